"""Pieces of time leave nothing out and count nothing twice, and ticks are the same for everybody."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.deployments.accrual import first_tick, pieces, quantity, tick_after, tick_until
from tallystick.domain.deployments.coverage import Stretch, faults

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
LEAP = dt.datetime(2024, 2, 27, tzinfo=dt.UTC)
instants = st.integers(0, 4 * 86_400 * 10**6).map(lambda number: LEAP + number * MICROSECOND)
seconds = st.integers(1, 3_600)


@given(instants, instants, st.lists(instants, max_size=5))
def test_pieces_follow_each_other_and_end_at_hours_and_cuts(
    a: dt.datetime, b: dt.datetime, cuts: list[dt.datetime]
) -> None:
    start, end = min(a, b), max(a, b)
    found = list(pieces(start, end, sorted(cuts)))
    edges = [start, *(until for _, until in found)]
    assert edges == sorted(set(edges)) and edges[-1] == end
    assert [since for since, _ in found] == edges[:-1]
    hours = {since.replace(minute=0, second=0, microsecond=0) for since in edges}
    inside = {hour for hour in hours if start < hour < end} | {cut for cut in cuts if start < cut < end}
    assert inside <= set(edges)
    assert all(until - since <= dt.timedelta(hours=1) for since, until in found)


@given(instants, instants, st.integers(1, 1_000))
def test_the_quantity_is_exact_and_has_at_most_nine_places(a: dt.datetime, b: dt.datetime, replicas: int) -> None:
    start, end = min(a, b), max(a, b)
    amount = quantity(start, end, replicas)
    assert Fraction(amount) == Fraction((end - start) // MICROSECOND * replicas, 1_000_000)
    if isinstance(amount, Decimal):
        assert amount != amount.to_integral_value() and amount == round(amount, 9)


@given(instants, seconds)
def test_ticks_are_multiples_since_1970(instant: dt.datetime, every: int) -> None:
    step = dt.timedelta(seconds=every)
    last, following = tick_until(instant, every), tick_after(instant, every)
    assert last <= instant < following == last + step
    assert (last - EPOCH) % step == dt.timedelta(0)


@given(instants, st.integers(0, 10_000), seconds, st.integers(-3, 200), st.booleans())
def test_the_first_tick_at_which_something_follows_is_found(
    start: dt.datetime, length: int, every: int, place: int, at_once: bool
) -> None:
    end = start + dt.timedelta(seconds=length)
    ticks = []
    tick = tick_after(start, every)
    while tick <= end:
        ticks.append(tick)
        tick += dt.timedelta(seconds=every)
    true_at = {tick for number, tick in enumerate(ticks) if number >= place >= 0 or (at_once and number == 0)}
    asked: list[dt.datetime] = []

    def follows(instant: dt.datetime) -> bool:
        asked.append(instant)
        return instant in true_at

    assert first_tick(start, end, every, follows) == min(true_at, default=None)
    assert len(asked) <= 3 + len(ticks).bit_length() and set(asked) <= set(ticks)


edges = st.lists(st.integers(0, 40), min_size=2, max_size=8, unique=True).map(sorted)


def stretches(marks: list[int], replicas: int = 1) -> list[Stretch]:
    """[0, 1), [2, 3), … of the marks."""
    pairs = zip(marks[::2], marks[1::2], strict=False)
    return [Stretch(at(start), at(end), "p", replicas) for start, end in pairs]


def at(number: int) -> dt.datetime:
    return EPOCH + dt.timedelta(seconds=number)


def covered(found: list[Stretch]) -> list[int]:
    return [s for one in found for s in range(40) if one.start <= at(s) < one.end]


@given(edges, st.lists(edges, max_size=3))
def test_what_is_missing_doubled_or_unfounded_is_told_to_the_second(spans: list[int], charged: list[list[int]]) -> None:
    there = stretches(spans)
    billed = sorted((one for marks in charged for one in stretches(marks)), key=lambda one: (one.start, one.end))
    told: dict[str, list[Stretch]] = {}
    for code, stretch in faults(there, billed):
        told.setdefault(code, []).append(stretch)
    seconds_there, seconds_billed = set(covered(there)), covered(billed)
    once = set(seconds_billed)
    assert covered(told.get("deploymentTimeMissing", [])) == sorted(seconds_there - once)
    assert sorted(covered(told.get("deploymentTimeUnfounded", []))) == sorted(once - seconds_there)
    assert len(covered(told.get("deploymentTimeDoubled", []))) == len(seconds_billed) - len(once)


def test_other_replicas_are_missing_and_unfounded() -> None:
    found = list(faults(stretches([0, 10]), stretches([0, 10], replicas=2)))
    assert [(code, one.replicas) for code, one in found] == [
        ("deploymentTimeMissing", 1),
        ("deploymentTimeUnfounded", 2),
    ]
