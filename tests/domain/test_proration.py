"""Proration: parts of a period add up to its price to the cent, however it is split (rule M25)."""

import datetime as dt
import itertools
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.billing.money import split
from tallystick.domain.billing.plans import SHIPPED, PlanVersion
from tallystick.domain.billing.proration import change, days_text, left, part
from tallystick.kernel.periods import Period, period_of

MICRO: Final = dt.timedelta(microseconds=1)
DAY: Final = dt.timedelta(days=1)
START: Final = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
MARCH: Final = Period(START, dt.datetime(2026, 4, 1, tzinfo=dt.UTC))
PRO: Final = SHIPPED[1]

prices = st.integers(0, 10**9)
anchors = st.integers(0, 13 * 366 * 86_400).map(
    lambda n: dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + n * dt.timedelta(seconds=1)
)
cadences = st.sampled_from(["monthly", "quarterly", "semi_annual", "annual"])
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"])


@st.composite
def periods(draw: st.DrawFn) -> Period:
    anchor = draw(anchors)
    return period_of(anchor, draw(cadences), draw(zones), anchor + draw(st.integers(0, 3_000)) * DAY)


@st.composite
def cut_periods(draw: st.DrawFn) -> tuple[Period, list[dt.datetime]]:
    period = draw(periods())
    whole = (period.end - period.start) // MICRO
    cuts = draw(st.lists(st.integers(0, whole), max_size=6))
    return period, [period.start, *(period.start + cut * MICRO for cut in sorted(cuts)), period.end]


@given(prices, cut_periods())
def test_the_parts_of_a_period_add_up_to_its_price_and_none_is_more_than_it(
    price: int, cut: tuple[Period, list[dt.datetime]]
) -> None:
    period, instants = cut
    parts = [part(price, period, since, until) for since, until in itertools.pairwise(instants)]
    assert sum(parts) == price
    assert all(0 <= one <= price for one in parts)
    # As exact as largest remainders would be: no part is a whole cent from its share.
    weights = [(until - since) // MICRO for since, until in itertools.pairwise(instants)]
    assert all(abs(ours - theirs) <= 1 for ours, theirs in zip(parts, split(price, weights), strict=True))


@given(prices, cut_periods())
def test_what_is_left_and_what_is_over_are_the_whole(price: int, cut: tuple[Period, list[dt.datetime]]) -> None:
    period, instants = cut
    for at in instants:
        assert left(price, period, at) + part(price, period, period.start, at) == price


@given(prices, prices, cut_periods())
def test_up_and_down_again_within_a_period_costs_what_each_plan_had(
    low: int, high: int, cut: tuple[Period, list[dt.datetime]]
) -> None:
    period, instants = cut
    plans = [replace(PRO, price_minor=price) for price in (low, high)]
    paid = plans[0].price_minor
    used = 0
    now: PlanVersion = plans[0]
    for number, (before, at) in enumerate(itertools.pairwise(instants)):
        used += part(now.price_minor, period, before, at)
        following = plans[(number + 1) % 2]
        paid += change(now, following, period, period, at).net_minor
        now = following
    assert paid == used


@given(cut_periods(), st.integers(0, 10**15), st.integers(0, 10**15))
def test_no_more_credits_are_given_than_the_new_plan_includes(
    cut: tuple[Period, list[dt.datetime]], old: int, new: int
) -> None:
    period, instants = cut
    before, after = replace(PRO, included_credits=old), replace(PRO, included_credits=new)
    for at in instants:
        found = change(before, after, period, period, at)
        assert 0 <= found.credits <= max(new - old, 0) + 1
        assert found.credit_minor <= PRO.price_minor


@pytest.mark.parametrize(
    ("day", "cents", "text"),
    [(1, 9_900, "31 of 31 days"), (15, 5_429, "17 of 31 days"), (31, 319, "1 of 31 days")],
)
def test_the_rest_of_march(day: int, cents: int, text: str) -> None:
    at = dt.datetime(2026, 3, day, tzinfo=dt.UTC)
    assert (left(9_900, MARCH, at), days_text(MARCH, at)) == (cents, text)


def test_half_a_day_is_told_as_such() -> None:
    assert days_text(MARCH, START + 12 * dt.timedelta(hours=1)) == "30.5 of 31 days"


def test_a_longer_cadence_charges_its_whole_first_period() -> None:
    at = dt.datetime(2026, 3, 16, 12, tzinfo=dt.UTC)
    yearly = replace(PRO, cadence="annual", price_minor=99_000)
    found = change(PRO, yearly, MARCH, period_of(at, "annual", "UTC", at), at)
    assert (found.credit_minor, found.charge_minor, found.restarts) == (4_950, 99_000, True)
