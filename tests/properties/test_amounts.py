"""Amounts are read, rounded and printed without losing anything."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.kernel.credits import MAX_NANO, NANO, divide_half_even, format_credits, parse_credits
from tallystick.kernel.errors import TallystickError

nanos = st.integers(-MAX_NANO, MAX_NANO)


@given(nanos)
def test_what_is_printed_reads_back_as_the_same_amount(nano: int) -> None:
    text = format_credits(nano)
    assert parse_credits(text, signed=True) == nano
    assert parse_credits(Decimal(text), signed=True) == nano
    assert Fraction(text) == Fraction(nano, NANO)


@given(nanos)
def test_what_is_printed_is_the_shortest_plain_decimal(nano: int) -> None:
    text = format_credits(nano)
    assert "e" not in text.lower() and "+" not in text
    assert text == text.strip() and text not in ("-0", "")
    assert "." not in text or not text.endswith(("0", "."))


@given(nanos, st.integers(0, 30), st.booleans())
def test_zeros_and_exponents_do_not_change_an_amount(nano: int, zeros: int, spaced: bool) -> None:
    plain = format_credits(nano)
    padded = (plain if "." in plain else f"{plain}.") + "0" * zeros
    assert parse_credits(f" {padded} " if spaced else padded, signed=True) == nano
    assert parse_credits(f"{nano}e-9", signed=True) == nano


@given(st.integers(1, MAX_NANO), st.integers(1, 9))
def test_a_tenth_decimal_is_refused_not_rounded(nano: int, digit: int) -> None:
    with pytest.raises(TallystickError) as refused:
        parse_credits(f"{nano // NANO}.{nano % NANO:09d}{digit}")
    assert refused.value.code == "invalidAmount"


@given(st.one_of(st.integers(MAX_NANO + 1, 10**40), st.integers(-(10**40), -MAX_NANO - 1)))
def test_what_is_out_of_range_is_refused(nano: int) -> None:
    with pytest.raises(TallystickError):
        parse_credits(Decimal(nano).scaleb(-9), signed=True)


@given(st.one_of(st.text(max_size=12), st.floats(), st.booleans(), st.none()))
def test_anything_is_an_exact_amount_or_refused_by_name(value: object) -> None:
    try:
        nano = parse_credits(value, signed=True)
    except TallystickError as error:
        refused = error.code
    else:
        assert isinstance(value, str)
        assert Fraction(value.strip()) == Fraction(nano, NANO)
        return
    assert refused == "invalidAmount"


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**15))
def test_division_rounds_as_the_fraction_does(numerator: int, denominator: int) -> None:
    # Python rounds a Fraction half to even.
    assert divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**9))
def test_halves_go_to_the_even_neighbour(quotient: int, half: int) -> None:
    assert divide_half_even(quotient * 2 * half + half, 2 * half) == quotient + quotient % 2
