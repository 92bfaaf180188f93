"""Billing periods tile the time line in every zone, month length and cadence, before the anchor too (rule M29)."""

import calendar
import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.kernel.periods import MONTHS, boundary, period_of

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe")
"""Apia left out a whole day at the end of 2011; Lord Howe's summer is half an hour."""

zones = st.sampled_from(ZONES)
cadences = st.sampled_from(sorted(MONTHS))
instants = st.integers(0, 70 * 365 * 86_400 * 1_000).map(
    lambda milliseconds: dt.datetime(1990, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=milliseconds)
)


@given(instants, cadences, zones, instants)
def test_a_period_contains_the_instant_it_is_asked_for(
    anchor: dt.datetime, cadence: str, zone: str, instant: dt.datetime
) -> None:
    period = period_of(anchor, cadence, zone, instant)
    assert instant in period
    assert period.start <= instant < period.end
    assert period.start.tzinfo is dt.UTC and period.end.tzinfo is dt.UTC


@given(instants, cadences, zones, instants)
def test_neighbours_meet_without_a_gap_and_every_instant_agrees(
    anchor: dt.datetime, cadence: str, zone: str, instant: dt.datetime
) -> None:
    moment = dt.timedelta(microseconds=1)
    period = period_of(anchor, cadence, zone, instant)
    assert period_of(anchor, cadence, zone, period.start) == period
    assert period_of(anchor, cadence, zone, period.end - moment) == period
    assert period_of(anchor, cadence, zone, period.end).start == period.end
    assert period_of(anchor, cadence, zone, period.start - moment).end == period.start
    assert period.end not in period


@given(instants, cadences, zones)
def test_the_anchor_begins_a_period(anchor: dt.datetime, cadence: str, zone: str) -> None:
    assert period_of(anchor, cadence, zone, anchor).start == anchor


@given(instants, cadences, zones, instants)
def test_the_anchors_day_is_kept_and_clipped_to_the_months_length(
    anchor: dt.datetime, cadence: str, zone: str, instant: dt.datetime
) -> None:
    there = anchor.astimezone(ZoneInfo(zone))
    start = period_of(anchor, cadence, zone, instant).start
    local = start.astimezone(ZoneInfo(zone))
    wanted = min(there.day, calendar.monthrange(local.year, local.month)[1])
    clock = there.replace(year=local.year, month=local.month, day=wanted, tzinfo=None, fold=0)
    # A wall time that the zone skips or repeats may move by the size of its jump, never further.
    jump = abs(local.replace(tzinfo=None) - clock)
    assert jump <= (dt.timedelta(days=1) if zone == "Pacific/Apia" else dt.timedelta(hours=1))
    assert ((local.year - there.year) * 12 + local.month - there.month) % MONTHS[cadence] == 0 or jump


@given(instants, zones, st.integers(-600, 600))
def test_clipping_never_accumulates(anchor: dt.datetime, zone: str, months: int) -> None:
    early, late = boundary(anchor, months, zone), boundary(anchor, months + 1, zone)
    assert dt.timedelta(days=26) < late - early < dt.timedelta(days=33)


@pytest.mark.parametrize(
    ("anchor", "ends"),
    [
        ((2026, 1, 31), ["02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31"]),
        ((2024, 1, 31), ["02-29", "03-31", "04-30"]),
        ((2024, 2, 29), ["03-29", "04-29", "05-29"]),
        ((2026, 1, 30), ["02-28", "03-30", "04-30"]),
        ((2026, 8, 31), ["09-30", "10-31", "11-30", "12-31", "01-31", "02-28", "03-31"]),
    ],
)
def test_a_month_end_is_followed_through_short_months(anchor: tuple[int, int, int], ends: list[str]) -> None:
    start = dt.datetime(*anchor, 10, 30, tzinfo=dt.UTC)
    found, instant = [], start
    for _ in ends:
        instant = period_of(start, "monthly", "UTC", instant).end
        found.append(f"{instant:%m-%d}")
        assert (instant.hour, instant.minute) == (10, 30)
    assert found == ends


def test_a_leap_day_comes_back_every_fourth_year() -> None:
    anchor = dt.datetime(2024, 2, 29, tzinfo=dt.UTC)
    days = [f"{boundary(anchor, 12 * years, 'UTC'):%m-%d}" for years in range(-4, 5)]
    assert days == ["02-29", "02-28", "02-28", "02-28", "02-29", "02-28", "02-28", "02-28", "02-29"]


@pytest.mark.parametrize(
    ("zone", "anchor", "starts"),
    [
        # The wall clock is kept: midnight in Berlin is 23:00 UTC in winter and 22:00 in summer.
        ("Europe/Berlin", "2026-02-01T00:00", ["2026-01-31T23:00", "2026-02-28T23:00", "2026-03-31T22:00"]),
        # 02:30 does not exist on 8 March 2026 in New York.
        ("America/New_York", "2026-02-08T02:30", ["2026-02-08T07:30", "2026-03-08T07:30", "2026-04-08T06:30"]),
        # 01:30 happens twice on 1 November 2026; the first one counts.
        ("America/New_York", "2026-10-01T01:30", ["2026-10-01T05:30", "2026-11-01T05:30", "2026-12-01T06:30"]),
        ("Asia/Kolkata", "2026-01-31T00:00", ["2026-01-30T18:30", "2026-02-27T18:30", "2026-03-30T18:30"]),
        # Apia had no 30 December 2011.
        ("Pacific/Apia", "2011-11-30T12:00", ["2011-11-30T22:00", "2011-12-30T22:00", "2012-01-29T22:00"]),
    ],
)
def test_zones_keep_their_wall_clock(zone: str, anchor: str, starts: list[str]) -> None:
    instant = dt.datetime.fromisoformat(anchor).replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)
    found = [f"{boundary(instant, months, zone):%Y-%m-%dT%H:%M}" for months in range(3)]
    assert found == starts
