"""Amounts cross the wire with every digit, in both directions."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.kernel.credits import MAX_NANO
from tallystick.kernel.errors import TallystickError
from tallystick.wire.amounts import Credits, answer_decoder, encode, request_decoder


class Paid(msgspec.Struct):
    amount: Credits


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (75 * 10**9, "75"),
        (10_000_000, "0.01"),
        (9_007_199_254_740_993, "9007199.254740993"),
        (-(10**17) - 1, "-100000000.000000001"),
    ],
)
def test_an_amount_is_a_number_with_all_its_digits(nano: int, text: str) -> None:
    assert encode(Paid(Credits(nano))) == b'{"amount":%s}' % text.encode()


@given(st.integers(-(10**20), 10**20))
def test_what_is_written_is_what_is_read(nano: int) -> None:
    assert answer_decoder(Paid).decode(encode(Paid(Credits(nano)))) == Paid(Credits(nano))


@given(st.integers(-MAX_NANO, MAX_NANO), st.booleans())
def test_a_request_gives_a_number_or_a_string(nano: int, quoted: bool) -> None:
    text = format(Decimal(nano).scaleb(-9), "f")
    raw = f'{{"amount": "{text}"}}' if quoted else f'{{"amount": {text}}}'
    assert request_decoder(Paid).decode(raw) == Paid(Credits(nano))


@pytest.mark.parametrize(
    "value",
    ["0.0000000001", "1e30", "1e400", "1e9999999999999999999", '"NaN"', '"Infinity"', '""', "true", "[]", "null"],
)
def test_what_is_no_amount_is_named(value: str) -> None:
    with pytest.raises(TallystickError) as caught:
        request_decoder(Paid).decode(f'{{"amount": {value}}}')
    assert caught.value.code == "invalidAmount"


def test_a_decimal_is_a_number_on_the_wire() -> None:
    assert encode({"count": Decimal("0.10")}) == b'{"count":0.10}'


def test_amounts_compare_and_hash_by_their_nano_units() -> None:
    assert {Credits(1), Credits(1), Credits(2)} == {Credits(2), Credits(1)}
    assert repr(Credits(10_000_000)) == "Credits(0.01)"
