"""The benchmarks measure what they say: their events are accepted, and both sides of a ratio give one answer."""

import datetime as dt
import importlib
from pathlib import Path

import pytest
from benchmarks import ingest, soak, usage
from benchmarks.__main__ import LARGEST, NAMES
from benchmarks.figures import Figure

from tallystick.domain.metering.events import UsageEvent, Window
from tallystick.flows.batches import Batch
from tallystick.flows.names import Item
from tallystick.kernel.clock import SystemClock
from tallystick.store.database import Database
from tallystick.surfaces.api.reports import BATCH, ReportLimits, check_reports, decode_reports
from tests import make

ROOT = Path(__file__).parent.parent
LIMITS = ReportLimits(
    events=10_000,
    body_bytes=16_777_216,
    event_bytes=65_536,
    window=Window(oldest=dt.timedelta(days=400), ahead=dt.timedelta(minutes=5)),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_that_can_be_named_is_there(name: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{name}").run)


def test_only_benchmarks_that_there_are_have_a_largest_volume() -> None:
    assert set(LARGEST) <= set(NAMES)


@pytest.mark.parametrize("test", soak.TESTS, ids=lambda test: test.bar)
def test_a_long_form_is_asked_for_by_the_variable_that_its_test_reads(test: soak.Long) -> None:
    assert test.variable in (ROOT / test.test).read_text(encoding="utf-8")


async def test_the_events_of_ingest_are_accepted_and_priced(database: Database) -> None:
    now = SystemClock().now()
    await make.catalog(database, now - dt.timedelta(days=200))
    workspace = await make.bare_workspace(database, now - dt.timedelta(days=100))
    bodies = list(ingest.batches([str(workspace)], 3, seed=1, span=dt.timedelta(days=90)))
    sent = [event for body in bodies for event in decode_reports(body, BATCH, {}, LIMITS)]
    events = check_reports(sent, lambda _: now, LIMITS)
    batch = Batch([Item(workspace, event) for event in events if isinstance(event, UsageEvent)], now)
    await make.Meter(database).book(batch)
    assert [outcome.kind for outcome in batch.outcomes if outcome] == ["accepted"] * 3 * ingest.BATCH
    booked = await make.rows(
        database,
        "SELECT state, min(used_at) AS first FROM usage_event WHERE workspace_id = %s GROUP BY 1 ORDER BY 1",
        workspace,
    )
    # Gemini has no price in the catalog of this test alone; another test may have brought every public price.
    assert [row["state"] for row in booked] in (["priced"], ["priced", "unpriced"])
    assert dt.timedelta(days=59) < now - min(row["first"] for row in booked) < dt.timedelta(days=61)


async def test_the_totals_of_the_usage_benchmark_answer_what_its_events_do(server_url: str) -> None:
    async with usage.filled(server_url, 3_000) as filled:
        found = await usage.ours(filled)
        assert found == await usage.raw(filled)
        [count] = await make.rows(
            filled,
            "SELECT count(*) AS events, count(*) FILTER (WHERE workspace_id = %s) AS big, "
            "(SELECT sum(events)::int FROM rollup_daily) AS counted FROM usage_event",
            usage.workspace_id(0),
        )
    assert len(found.days) == usage.DAYS
    assert found.total > 0
    assert count["events"] == count["counted"] == 3_000
    assert 750 < count["big"] < 1_050


@pytest.mark.parametrize(
    ("value", "smaller", "verdict"),
    [
        (9, True, "below floor"),
        (8, True, "floor"),
        (5, True, "floor"),
        (4, True, "goal"),
        (3, False, "below floor"),
        (4, False, "floor"),
        (7, False, "floor"),
        (8, False, "goal"),
    ],
)
def test_a_figure_on_its_bar_reaches_it(value: float, smaller: bool, verdict: str) -> None:
    floor, goal = (8, 4) if smaller else (4, 8)
    assert Figure("P0", "figure", value, "×", floor, goal, smaller_is_better=smaller).verdict == verdict
    assert Figure("P0", "figure", value, "×").verdict == ""
