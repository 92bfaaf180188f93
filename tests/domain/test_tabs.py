"""Ranges of tabs, and how sums become rows."""

import datetime as dt
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.deployments.profiles import SHIPPED
from tallystick.domain.deployments.tabs import Named, Placed, Point, Time, hardware, overview, parse_span, status_of

NOW = dt.datetime(2026, 3, 1, 0, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
TODAY = dt.datetime(2026, 2, 28, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
PROFILES = {key: profile for key, (profile, _) in SHIPPED.items()}


@pytest.mark.parametrize(
    ("range_", "start", "end", "steps"),
    [
        ("24h", TODAY - dt.timedelta(hours=1), TODAY + dt.timedelta(hours=23), 24),
        ("7d", TODAY - 6 * DAY, TODAY + DAY, 7),
        ("30d", TODAY - 29 * DAY, TODAY + DAY, 30),
        (None, TODAY - 29 * DAY, TODAY + DAY, 30),
        ("90d", TODAY - 89 * DAY, TODAY + DAY, 90),
    ],
)
def test_a_range_ends_with_the_utc_day_or_hour_of_now(
    range_: str | None, start: dt.datetime, end: dt.datetime, steps: int
) -> None:
    span = parse_span(range_, None, None, now=NOW, days_max=366)
    assert (span.start, span.end, len(span.steps()), span.hourly) == (start, end, steps, range_ == "24h")
    before = span.before()
    assert (before.end, before.end - before.start, before.hourly) == (span.start, span.end - span.start, span.hourly)
    assert set(before.steps()).isdisjoint(span.steps())


def test_days_are_both_counted() -> None:
    span = parse_span(None, "2026-02-27", "2026-03-02", now=NOW, days_max=366)
    assert (span.start, span.end) == (TODAY - DAY, TODAY + 3 * DAY)
    assert (span.first, span.last, len(span.steps())) == (dt.date(2026, 2, 27), dt.date(2026, 3, 2), 4)


def placed(number: int, state: str = "deployed", profile: str = "gpu-t4") -> Placed:
    one = UUID(int=number)
    return Placed(one, UUID(int=0), "one", state, profile, {}, "token:1", NOW, NOW, NOW)


@pytest.mark.parametrize(
    ("states", "is_deleted", "status"),
    [
        ([], False, "Undeployed"),
        ([], True, "Deleted"),
        (["draft"], False, "Undeployed"),
        (["failed", "deployed"], False, "Deployed"),
        (["stopping"], False, "Deployed"),
        (["undeployed", "deleted"], False, "Undeployed"),
        (["deleted", "deleted"], False, "Deleted"),
        (["undeployed"], True, "Deleted"),
        (["deployed"], True, "Deployed"),
    ],
)
def test_a_status_is_that_of_what_runs_first(states: list[str], is_deleted: bool, status: str) -> None:
    resource = Named(UUID(int=0), "one", "One", {}, NOW if is_deleted else None)
    assert status_of(resource, [placed(n, state) for n, state in enumerate(states)]) == status


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.sampled_from(sorted(SHIPPED)), st.integers(0, 10**12), st.integers(0, 10**15))
    )
)
def test_components_add_up_to_the_credits_of_their_hardware(used: list[tuple[int, str, int, int]]) -> None:
    times = [Time(UUID(int=number), profile, lasted, charged) for number, profile, lasted, charged in used]
    own = [placed(number) for number in (1, 2, 3)]
    found = hardware(own, times, PROFILES)
    for one in found:
        assert sum(one.components.values()) == one.credits
    assert sum(one.credits for one in found) == sum(entry[3] for entry in used if entry[0] <= 3)
    assert sum(one.microseconds for one in found) == sum(entry[2] for entry in used if entry[0] <= 3)


categories = st.sampled_from(["llm", "hosting", "fine_tuning", "guardrail", "script", "tool_calls", "other"])


@given(st.lists(st.tuples(st.integers(0, 6), categories, st.integers(-(10**9), 10**12), st.integers(0, 10**10))))
def test_the_trend_and_the_categories_add_up(charged: list[tuple[int, str, int, int]]) -> None:
    span = parse_span("7d", None, None, now=NOW, days_max=366)
    points = [Point(span.start + day * DAY, *rest) for day, *rest in charged]  # type: ignore[arg-type]
    found = overview(span, points)
    assert len(found.trend) == 7
    assert found.credits == sum(entry[2] for entry in charged)
    assert found.credits == sum(found.categories.values()) == sum(step.credits for step in found.trend)
    assert all(sum(step.groups.values()) == step.credits for step in found.trend)
    assert found.tool_runs == sum(step.tool_runs for step in found.trend)
