"""Quantity to amount, a table for each price model, then properties against an oracle in fractions."""

import datetime as dt
import json
import re
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.metering.counters import REPORTED, TokenCounters
from tallystick.domain.metering.prices import PriceVersion
from tallystick.domain.metering.rating import (
    cost_of_tokens,
    exact_cost_of_tokens,
    rate_percentage,
    rate_quantity,
    rate_tiered,
    rate_tokens,
    token_numerator,
)
from tallystick.kernel.credits import MAX_NANO, NANO, format_credits, parse_credits
from tallystick.kernel.errors import TallystickError
from tests.domain.price_factory import price, token_price

NOON = dt.datetime(2026, 3, 14, 12, 0, tzinfo=dt.UTC)


def amount(nano: int) -> str:
    return format_credits(nano)


# --- fixed and unit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", [0, 1, 7, Decimal("2.5")])
def test_a_fixed_price_is_per_event_whatever_its_quantity(quantity: int | Decimal) -> None:
    assert amount(rate_quantity(price("fixed", {"amount": "5"}), quantity)) == "5"


UNIT = [
    # The shipped prices: 1 credit per 100 executions, 1 per 1,000 records, never rounded up to a package (M4).
    ({"amount": "0.01"}, 1, "0.01"),
    ({"amount": "0.01"}, 100, "1"),
    ({"amount": "0.001"}, 1, "0.001"),
    ({"amount": "0.001"}, 999, "0.999"),
    ({"amount": "1", "per": 1000}, 1, "0.001"),
    ({"amount": "1", "per": 1000}, 1500, "1.5"),
    ({"amount": "1", "per": 3}, 1, "0.333333333"),
    ({"amount": "1", "per": 3}, 2, "0.666666667"),
    # Half to even: 0.5, 1.5 and 2.5 nano-credits.
    ({"amount": "0.000000001", "per": 2}, 1, "0"),
    ({"amount": "0.000000001", "per": 2}, 3, "0.000000002"),
    ({"amount": "0.000000001", "per": 2}, 5, "0.000000002"),
    ({"amount": "0.000000001", "per": 2}, -1, "0"),
    ({"amount": "0.000000001", "per": 2}, -3, "-0.000000002"),
    ({"amount": "36"}, Decimal("0.25"), "9"),
    ({"amount": "0.01"}, -3, "-0.03"),
    ({"amount": "0"}, 10**15, "0"),
    ({"amount": "0.01"}, 0, "0"),
    ({"amount": "1"}, Decimal("0.1234567895"), "0.12345679"),
]


@pytest.mark.parametrize(("rates", "quantity", "expected"), UNIT)
def test_a_unit_price_is_in_proportion(rates: dict[str, Any], quantity: int | Decimal, expected: str) -> None:
    assert amount(rate_quantity(price("unit", rates), quantity)) == expected


# --- tiered ---------------------------------------------------------------------------------------------------------

PACKAGE = {"amount": "2", "per": 100}
TIERS = {
    "tiers": [
        {"upTo": 100, "amount": "1"},
        {"upTo": 1000, "amount": "0.5"},
        {"upTo": None, "amount": "0.1", "flat": "7"},
    ]
}

TOTALS = [
    ("package", PACKAGE, 0, "0"),
    ("package", PACKAGE, 1, "2"),
    ("package", PACKAGE, 100, "2"),
    ("package", PACKAGE, Decimal("100.000000001"), "4"),
    ("package", PACKAGE, 101, "4"),
    ("package", PACKAGE, 1000, "20"),
    ("graduated", TIERS, 0, "0"),
    ("graduated", TIERS, 1, "1"),
    ("graduated", TIERS, 100, "100"),
    ("graduated", TIERS, 101, "100.5"),
    ("graduated", TIERS, 1000, "550"),
    ("graduated", TIERS, 1001, "557.1"),
    ("graduated", TIERS, Decimal("1000.5"), "557.05"),
    ("graduated", TIERS, 2000, "657"),
    ("volume", TIERS, 0, "0"),
    ("volume", TIERS, 100, "100"),
    ("volume", TIERS, 101, "50.5"),
    ("volume", TIERS, 1000, "500"),
    ("volume", TIERS, 1001, "107.1"),
    ("volume", TIERS, 2000, "207"),
]


@pytest.mark.parametrize(("model", "rates", "quantity", "expected"), TOTALS)
def test_a_tiered_price_from_nothing_used(
    model: str, rates: dict[str, Any], quantity: int | Decimal, expected: str
) -> None:
    assert amount(rate_tiered(price(model, rates), 0, quantity)) == expected


STEPS = [
    # (before, quantity) -> f(before + quantity) - f(before), rule M5
    ("package", PACKAGE, 99, 1, "0"),
    ("package", PACKAGE, 100, 1, "2"),
    ("package", PACKAGE, 100, 1000, "20"),
    ("graduated", TIERS, 99, 2, "1.5"),
    ("volume", TIERS, 100, 1, "-49.5"),
    ("volume", TIERS, 101, -1, "49.5"),
    ("graduated", TIERS, 101, -101, "-100.5"),
    ("graduated", TIERS, 5, -10, "-5"),
    ("graduated", TIERS, -5, 5, "0"),
]


@pytest.mark.parametrize(("model", "rates", "before", "quantity", "expected"), STEPS)
def test_a_tiered_price_goes_on_from_what_was_used(
    model: str, rates: dict[str, Any], before: int, quantity: int, expected: str
) -> None:
    assert amount(rate_tiered(price(model, rates), before, quantity)) == expected


# --- percentage -----------------------------------------------------------------------------------------------------

PERCENT = [
    ({"percent": "100"}, "1", "100"),
    ({"percent": "120"}, "0.01", "1.2"),
    ({"percent": "0"}, "5", "0"),
    ({"percent": "0.5"}, "1", "0.5"),
    ({"percent": "110", "creditsPerUsd": "1000"}, "0.000001", "0.0011"),
    ({"percent": "100"}, "0.0000000000050", "0"),  # half a nano-credit
    ({"percent": "100"}, "0.0000000000150", "0.000000002"),
    ({"percent": "100"}, "0", "0"),
    ({"percent": "100"}, "0E-30", "0"),
]


@pytest.mark.parametrize(("rates", "cost", "expected"), PERCENT)
def test_a_percentage_is_of_the_providers_cost(rates: dict[str, Any], cost: str, expected: str) -> None:
    assert amount(rate_percentage(price("percentage", rates), Decimal(cost))) == expected


@pytest.mark.parametrize("cost", ["-0.01", "NaN", "Infinity", "-Infinity", "sNaN"])
def test_a_cost_that_is_no_cost_is_refused(cost: str) -> None:
    with pytest.raises(TallystickError) as caught:
        rate_percentage(price("percentage", {"percent": "100"}), Decimal(cost))
    assert caught.value.code == "invalidAmount"


# --- tokens ---------------------------------------------------------------------------------------------------------

GPT = {"perMillion": {"inputTokens": "250", "cachedInputTokens": "125", "outputTokens": "1000"}}
CLIFF = {
    "perMillion": {"inputTokens": "300", "outputTokens": "1500", "cachedInputTokens": "30"},
    "above": [
        {"inputTokens": 200_000, "perMillion": {"inputTokens": "600", "outputTokens": "2250"}},
        {"inputTokens": 500_000, "perMillion": {"inputTokens": "900"}},
    ],
}
NIGHT = {
    "perMillion": {"inputTokens": "100"},
    "schedule": [
        {"from": "22:00", "until": "06:00", "perMillion": {"inputTokens": "50"}},
        {"from": "05:00", "until": "08:00", "perMillion": {"inputTokens": "70"}},
    ],
}

TOKENS = [
    (GPT, TokenCounters(input=1_000_000), "250"),
    (GPT, TokenCounters(input=176, cached=1024, output=25, reasoning=20), "0.217"),
    # A counter without a price has its whole's.
    (GPT, TokenCounters(cache_write=1_000_000), "250"),
    (GPT, TokenCounters(cache_write_1h=1_000_000), "250"),
    (GPT, TokenCounters(audio_input=1_000_000), "250"),
    (GPT, TokenCounters(image_input=1_000_000), "250"),
    (GPT, TokenCounters(reasoning=1_000_000), "1000"),
    (GPT, TokenCounters(audio_output=1_000_000), "1000"),
    ({"perMillion": {"inputTokens": "1", "cacheWriteTokens": "2"}}, TokenCounters(cache_write_1h=1_000_000), "2"),
    ({"perMillion": {"outputTokens": "1"}}, TokenCounters(input=5, cached=5, output=1_000_000), "1"),
    (GPT, TokenCounters(requests=9, searches=9), "0"),
    ({"perThousand": {"requests": "5", "searches": "1000"}}, TokenCounters(requests=1, searches=3), "3.005"),
    # Rounded once over all counters: 0.4 + 0.4 + 0.4 nano-credits is 1, not 0.
    (
        {"perMillion": {"inputTokens": "0.0004", "cachedInputTokens": "0.0004", "outputTokens": "0.0004"}},
        TokenCounters(input=1, cached=1, output=1),
        "0.000000001",
    ),
    ({"perMillion": {"inputTokens": "0.0005"}}, TokenCounters(input=1), "0"),
    ({"perMillion": {"inputTokens": "0.0005"}}, TokenCounters(input=3), "0.000000002"),
    # The cliff: above the threshold every token of the call has the higher price.
    (CLIFF, TokenCounters(input=200_000, output=1000), "61.5"),
    (CLIFF, TokenCounters(input=200_001, output=1000), "122.2506"),
    (CLIFF, TokenCounters(input=1, cached=200_000), "120.0006"),
    (CLIFF, TokenCounters(input=500_001, output=1000), "450.0009"),
    (CLIFF, TokenCounters(input=100, output=900_000), "1350.03"),
]


@pytest.mark.parametrize(("rates", "counters", "expected"), TOKENS)
def test_tokens_are_priced_by_counter_and_rounded_once(
    rates: dict[str, Any], counters: TokenCounters, expected: str
) -> None:
    assert amount(rate_tokens(token_numerator(token_price(rates), counters, NOON))) == expected


HOURS = [
    ("21:59:59.999999", "100"),
    ("22:00:00", "50"),
    ("00:00:00", "50"),
    ("05:59:59.999999", "50"),
    ("06:00:00", "70"),
    ("07:59:59", "70"),
    ("08:00:00", "100"),
]


@pytest.mark.parametrize(("time", "expected"), HOURS)
def test_a_schedule_prices_by_the_hour_of_the_utc_day(time: str, expected: str) -> None:
    at = dt.datetime.fromisoformat(f"2026-03-14T{time}+00:00")
    elsewhere = at.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=45)))
    for moment in (at, elsewhere):
        assert (
            amount(rate_tokens(token_numerator(token_price(NIGHT), TokenCounters(input=1_000_000), moment))) == expected
        )


def test_the_cost_of_a_call_has_the_markup_taken_out_again() -> None:
    version = token_price(GPT | {"cost": {"creditsPerUsd": "200", "markup": "1.25"}})
    call = TokenCounters(input=1_000_000)
    assert cost_of_tokens(version, token_numerator(version, call, NOON)) == NANO  # 250 credits / 200 / 1.25 = US$1
    assert exact_cost_of_tokens(version, token_numerator(version, call, NOON)) == 1
    assert cost_of_tokens(token_price(GPT), 1) is None


# --- limits ---------------------------------------------------------------------------------------------------------


def test_an_amount_beyond_the_limit_is_refused_and_the_limit_itself_is_not() -> None:
    most = price("unit", {"amount": format_credits(MAX_NANO)})
    assert rate_quantity(most, 1) == MAX_NANO
    tiers = price("graduated", {"tiers": [{"upTo": None, "amount": "1"}]})
    calls = [
        lambda: rate_quantity(most, 2),
        lambda: rate_quantity(most, -2),
        lambda: rate_quantity(most, Decimal("1E+999999")),
        lambda: rate_quantity(most, Decimal("1E-999999")),
        lambda: rate_quantity(most, Decimal("NaN")),
        lambda: rate_tiered(tiers, 0, 10**12),
        lambda: rate_tiered(tiers, 10**12, -(10**12)),
        lambda: rate_percentage(price("percentage", {"percent": "100"}), Decimal(10**9)),
        lambda: rate_percentage(price("percentage", {"percent": "100"}), Decimal("1E+500000")),
        lambda: rate_tokens(100_000_000 * 10**9 * 1_000_001),
    ]
    for call in calls:
        with pytest.raises(TallystickError) as caught:
            call()
        assert caught.value.code == "amountTooLarge"


def test_a_price_of_another_model_says_so() -> None:
    with pytest.raises(TallystickError, match="of model unit"):
        token_numerator(price("unit", {"amount": "1"}), TokenCounters(), NOON)
    with pytest.raises(TallystickError, match="of model package"):
        rate_quantity(price("package", PACKAGE), 1)
    with pytest.raises(TallystickError, match="of model unit"):
        rate_tiered(price("unit", {"amount": "1"}), 0, 1)


def test_the_page_on_rating_tells_the_truth() -> None:
    page = (Path(__file__).parents[2] / "docs/concepts/rating.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|(.*)\| ([0-9.]*) ?\|$", page, re.MULTILINE)
    tiers = ""
    told = {}
    for model, text, expected in rows:
        found = re.search(r"`(\{.*\})`", text)
        tiers = found[1] if found else tiers
        version = price(model, json.loads(tiers), target="llm.tokens")
        if expected:
            nano = rate_tiered(version, 0, 250) if version.is_tiered else rate_quantity(version, 250)
            told[model] = (expected, amount(nano))
    assert told == {
        "fixed": ("5", "5"),
        "unit": ("2.5", "2.5"),
        "package": ("3", "3"),
        "graduated": ("175", "175"),
        "volume": ("125", "125"),
    }
    assert len(rows) == 7


# --- properties, against fractions ------------------------------------------------------------------------------------

nanos = st.integers(0, 10**12)
quantities = st.one_of(st.integers(0, 10_000), st.decimals(0, 10_000, places=3), st.decimals(0, 10, places=9))


def half_even(value: Fraction) -> int:
    """Python's own rounding of a fraction: half to even."""
    return round(value)


@given(nanos, st.integers(1, 10_000), quantities)
def test_unit_prices_equal_the_oracle(nano: int, per: int, quantity: int | Decimal) -> None:
    version = price("unit", {"amount": format_credits(nano), "per": per})
    assert rate_quantity(version, quantity) == half_even(Fraction(nano, per) * Fraction(quantity))


@st.composite
def tier_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    ends = sorted(draw(st.sets(st.integers(1, 10_000), max_size=4)))
    return [
        {
            "upTo": end,
            "amount": format_credits(draw(nanos)),
            "per": draw(st.integers(1, 7)),
            "flat": format_credits(draw(st.one_of(st.just(0), nanos))),
        }
        for end in [*ends, None]
    ]


def graduated_oracle(rows: list[dict[str, Any]], quantity: Fraction) -> int:
    """Walk the boundaries and integrate the price over each stretch below the quantity."""
    bounds = [Fraction(0), *(Fraction(row["upTo"]) for row in rows[:-1]), max(quantity, Fraction(10**9))]
    total, flats = Fraction(0), 0
    for row, (low, high) in zip(rows, pairwise(bounds), strict=True):
        if quantity > low:
            flats += parse_credits(row["flat"])
            total += (min(high, quantity) - low) * Fraction(parse_credits(row["amount"]), row["per"])
    return flats + half_even(total)


def volume_oracle(rows: list[dict[str, Any]], quantity: Fraction) -> int:
    if quantity <= 0:
        return 0
    row = next(row for row in rows if row["upTo"] is None or quantity <= row["upTo"])
    return parse_credits(row["flat"]) + half_even(quantity * Fraction(parse_credits(row["amount"]), row["per"]))


@given(tier_rows(), quantities)
def test_tiered_prices_equal_the_oracle(rows: list[dict[str, Any]], quantity: int | Decimal) -> None:
    exact = Fraction(quantity)
    assert rate_tiered(price("graduated", {"tiers": rows}), 0, quantity) == graduated_oracle(rows, exact)
    assert rate_tiered(price("volume", {"tiers": rows}), 0, quantity) == volume_oracle(rows, exact)


@st.composite
def tiered_versions(draw: st.DrawFn) -> PriceVersion:
    model = draw(st.sampled_from(["package", "graduated", "volume"]))
    if model == "package":
        return price(model, {"amount": format_credits(draw(nanos)), "per": draw(st.integers(1, 500))})
    return price(model, {"tiers": draw(tier_rows())})


@given(tiered_versions(), st.lists(st.decimals(-500, 2000, places=3), max_size=12), st.randoms(use_true_random=False))
def test_any_split_and_order_of_a_quantity_comes_to_the_same_sum(
    version: PriceVersion, parts: list[Decimal], random: Any
) -> None:
    def charge(order: list[Decimal]) -> int:
        used, total = Decimal(0), 0
        for part in order:
            total += rate_tiered(version, used, part)
            used += part
        return total

    shuffled = list(parts)
    random.shuffle(shuffled)
    assert charge(parts) == charge(shuffled) == rate_tiered(version, 0, sum(parts, Decimal(0)))


@given(tiered_versions(), st.decimals(0, 5000, places=2), st.decimals(0, 5000, places=2))
def test_a_correction_gives_back_exactly_what_was_charged(
    version: PriceVersion, before: Decimal, quantity: Decimal
) -> None:
    assert rate_tiered(version, before, quantity) == -rate_tiered(version, before + quantity, -quantity)


def test_a_million_small_charges_do_not_drift() -> None:
    version = price("graduated", {"tiers": [{"upTo": None, "amount": "0.000000001", "per": 3}]})
    total = sum(rate_tiered(version, used, 1) for used in range(30_000))
    assert total == 10_000


PART_OF = {
    "cachedInputTokens": "inputTokens",
    "cacheWriteTokens": "inputTokens",
    "cacheWrite1hTokens": "cacheWriteTokens",
    "audioInputTokens": "inputTokens",
    "imageInputTokens": "inputTokens",
    "reasoningTokens": "outputTokens",
    "audioOutputTokens": "outputTokens",
}


def table_of(prices: dict[str, int]) -> dict[str, Any]:
    table: dict[str, Any] = {"perMillion": {}, "perThousand": {}}
    for name, nano in prices.items():
        table["perThousand" if name in ("requests", "searches") else "perMillion"][name] = format_credits(nano)
    return table


def token_oracle(prices: dict[str, int], counters: TokenCounters) -> Fraction:
    total = Fraction(0)
    for name, count in zip(REPORTED, counters, strict=True):
        priced = name
        while priced not in prices and priced in PART_OF:
            priced = PART_OF[priced]
        scale = 1000 if name in ("requests", "searches") else 1_000_000
        total += count * Fraction(prices.get(priced, 0), scale)
    return total


price_tables = st.dictionaries(st.sampled_from(REPORTED), st.integers(0, 10**13))
counters_strategy = st.builds(TokenCounters, *[st.integers(0, 300_000)] * 9, st.integers(0, 3), st.integers(0, 20))


@given(price_tables, price_tables, st.integers(1, 1_000_000), counters_strategy)
def test_token_prices_equal_the_oracle(
    base: dict[str, int], upper: dict[str, int], threshold: int, counters: TokenCounters
) -> None:
    version = token_price(table_of(base) | {"above": [{"inputTokens": threshold} | table_of(upper)]})
    chosen = upper if counters.tokens_in > threshold else base
    assert rate_tokens(token_numerator(version, counters, NOON)) == half_even(token_oracle(chosen, counters))


@given(st.integers(0, 10**9), st.decimals(0, 1000, places=12))
def test_percentages_equal_the_oracle(millionths: int, cost: Decimal) -> None:
    percent = Decimal(millionths).scaleb(-6)
    version = price("percentage", {"percent": str(percent), "creditsPerUsd": "100"})
    assert rate_percentage(version, cost) == half_even(Fraction(cost) * Fraction(percent) * NANO)
