"""The demo's events: the same for the same seed, as many as promised, shaped like working weeks and real calls."""

import datetime as dt
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from tallystick.demo import cast, corrections
from tallystick.demo.calendar import DAYS, current_period_start
from tallystick.demo.generator import SEED, Report, events

ENDS = [
    dt.datetime(2026, 3, 14, 9, 41, 7, 123456, tzinfo=dt.UTC),
    dt.datetime(2026, 6, 20, 23, 59, 59, tzinfo=dt.UTC),
    dt.datetime(2027, 1, 1, tzinfo=dt.UTC),
]


def told(end: dt.datetime, seed: str = SEED) -> list[Report]:
    return list(events(seed, end - dt.timedelta(days=DAYS), end))


@pytest.fixture(scope="module", params=ENDS, ids=str)
def story(request: pytest.FixtureRequest) -> tuple[dt.datetime, list[Report]]:
    return request.param, told(request.param)


def calls(reports: list[Report]) -> list[dict[str, Any]]:
    return [report.event["data"] for report in reports if report.event["type"] == "llm.tokens"]


def test_the_same_seed_and_range_tell_the_same_story() -> None:
    assert told(ENDS[0]) == told(ENDS[0])
    assert told(ENDS[0]) != told(ENDS[0], "another")


def test_between_60_and_120_thousand_events_in_order_of_report(story: tuple[dt.datetime, list[Report]]) -> None:
    end, reports = story
    assert 60_000 <= len(reports) <= 120_000
    assert all(earlier.at <= later.at for earlier, later in pairwise(reports))
    assert len({report.event["id"] for report in reports}) == len(reports)
    assert all(end - dt.timedelta(days=DAYS) <= report.event["time"] <= report.at < end for report in reports)
    days = {report.at.date() for report in reports}
    assert len(days) in (DAYS, DAYS + 1)


# Totals and rows of the published traces, and their quantiles.
FIGURES = [
    ("code", "inputTokens", {"mean": 18_059_974 / 8_819, 0.5: 1_469, 0.99: 7_436}),
    ("code", "outputTokens", {"mean": 245_896 / 8_819, 0.5: 13, 0.99: 252}),
    ("conversation", "inputTokens", {"mean": 22_361_870 / 19_366, 0.5: 1_020, 1.0: 14_050}),
    ("conversation", "outputTokens", {"mean": 4_088_665 / 19_366, 0.5: 129}),
]


@pytest.mark.parametrize(("profile", "counter", "figures"), FIGURES)
def test_tokens_per_call_are_within_a_fifth_of_the_traces(
    story: tuple[dt.datetime, list[Report]], profile: str, counter: str, figures: dict[float | str, float]
) -> None:
    counts = sorted(data[counter] for data in calls(story[1]) if data["kind"] == profile)
    assert len(counts) > 5_000
    for share, expected in figures.items():
        found = sum(counts) / len(counts) if isinstance(share, str) else counts[int(share * (len(counts) - 1))]
        assert abs(found - expected) <= expected / 5, (share, found, expected)


def test_weeks_have_weekends_days_have_nights_and_the_quarter_grows(story: tuple[dt.datetime, list[Report]]) -> None:
    end, reports = story
    runs = {report.event["data"]["run"]: report.at for report in reports if "run" in report.event["data"]}
    by_weekday = Counter(at.weekday() for at in runs.values())
    by_hour = Counter(at.hour for at in runs.values())
    working, weekend = sum(by_weekday[d] for d in range(5)) / 5, sum(by_weekday[d] for d in (5, 6)) / 2
    assert 2.5 < working / weekend < 6
    assert by_hour[10] > 8 * by_hour[2]
    first = sum(at < end - dt.timedelta(days=60) for at in runs.values())
    last = sum(at >= end - dt.timedelta(days=30) for at in runs.values())
    assert 1.3 < last / first < 2.2


def test_everybody_and_everything_plays_a_part(story: tuple[dt.datetime, list[Report]]) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for report in story[1]:
        for name, value in report.event["data"].items():
            if isinstance(value, str):
                seen[name].add(value)
    assert seen["workflow"] == {play.key for play in cast.PLAYS} | {tool.key for tool in cast.TOOLS}
    assert seen["tool"] == {tool.key for tool in cast.TOOLS}
    assert seen["agent"] == {agent.key for agent in cast.AGENTS}
    assert seen["connector"] == {connector.key for connector in cast.CONNECTORS}
    assert seen["project"] == set(cast.PROJECTS)
    assert seen["team"] == set(cast.TEAMS)
    assert seen["table"] == set(cast.TABLES)
    assert seen["user"] == set(cast.USERS)
    assert len(seen["model"]) == 10
    assert {"success", "error"} == seen["status"]


def test_errors_are_few_but_on_one_bad_day(story: tuple[dt.datetime, list[Report]]) -> None:
    end, reports = story
    executions = [r for r in reports if r.event["type"] == "orchestration.execution"]
    failed = Counter((end - r.at).days for r in executions if r.event["data"]["status"] == "error")
    whole = Counter((end - r.at).days for r in executions)
    assert 0.005 < sum(failed.values()) / sum(whole.values()) < 0.06
    assert max(failed, key=lambda day: failed[day] / whole[day]) in (32, 33)


def test_the_exhausted_tool_fails_to_the_end_and_never_recovers(story: tuple[dt.datetime, list[Report]]) -> None:
    end, reports = story
    checks = [r for r in reports if r.event["data"].get("tool") == cast.ADDRESS_CHECK]
    since = end - dt.timedelta(days=6)
    assert {r.event["data"]["status"] for r in checks if r.at >= since} == {"error"}
    assert sum(r.at >= since for r in checks) > 5
    before = [r.event["data"]["status"] for r in checks if r.at < since]
    assert before.count("success") > 10 * before.count("error")


def test_one_late_and_one_corrected_event(story: tuple[dt.datetime, list[Report]]) -> None:
    end, reports = story
    turn = current_period_start(end)
    late = [report for report in reports if report.at - report.event["time"] > dt.timedelta(hours=1)]
    assert [report.event["id"] for report in late] == [corrections.LATE, corrections.RIGHT]
    assert late[0].event["time"] < turn < late[0].at
    by_id = {report.event["id"]: report for report in reports}
    right, wrong = by_id[corrections.RIGHT], by_id[corrections.WRONG]
    assert right.event["data"]["replaces"] == {"source": cast.SOURCE, "id": corrections.WRONG}
    assert (right.event["time"], right.at > wrong.at) == (wrong.event["time"], True)


def test_the_unpriced_model_is_there_for_a_month_only(story: tuple[dt.datetime, list[Report]]) -> None:
    end, reports = story
    answers = [report for report in reports if report.event["type"] == "llm.tokens"]
    own = [report for report in answers if report.event["data"].get("model") == cast.UNPRICED.name]
    assert len(own) > 50
    assert min(report.at for report in own) >= end - dt.timedelta(days=30)


def test_the_current_period_begins_on_a_day_that_every_month_has() -> None:
    for days in range(1500):
        end = dt.datetime(2026, 1, 1, 15, 30, tzinfo=dt.UTC) + dt.timedelta(days=days)
        start = current_period_start(end)
        assert start.day <= 28
        assert dt.timedelta(days=20) <= end - start <= dt.timedelta(days=23)
