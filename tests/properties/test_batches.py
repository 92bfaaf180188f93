"""Any split, order or repetition of the same events gives the same totals (rules M3, M5, M21)."""

import asyncio
import dataclasses
import datetime as dt
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.flows import prices
from tallystick.flows.batches import Batch
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.committer import Committer
from tallystick.flows.ingest import IngestLimits
from tallystick.flows.names import Item, Names
from tallystick.store.database import Database
from tests import make
from tests.make import IDS

T0 = dt.datetime(2026, 3, 20, 10, 0, tzinfo=dt.UTC)
BORN = T0 - dt.timedelta(days=100)
HOUR = dt.timedelta(hours=1)
TIERS = {
    "graduated": {"tiers": [{"upTo": 10, "amount": "1"}, {"upTo": None, "amount": "0.333333333", "flat": "2"}]},
    "volume": {"tiers": [{"upTo": 12, "amount": "1"}, {"upTo": None, "amount": "0.25"}]},
    "package": {"amount": "3", "per": 4},
}


@pytest.fixture(scope="session")
async def priced(database: Database) -> Database:
    await make.catalog(database, BORN - dt.timedelta(days=400))
    start = BORN - dt.timedelta(days=1)
    for model, rates in TIERS.items():
        await prices.add_meter(database, make.operator_meter(f"split.{model}"), now=start, ids=IDS, actor="test")
        await prices.add_version(
            database, target=f"split.{model}", model=model, rates=rates, now=start, ids=IDS, actor="test"
        )
    await prices.add_version(
        database,
        target="tool.call/integration:split",
        model="unit",
        rates={"amount": "0.7", "per": 3},
        now=start,
        ids=IDS,
        actor="test",
    )
    return database


@dataclasses.dataclass(frozen=True)
class Report:
    """One event of a drawn history. `after` is the number of the event that it cancels or replaces."""

    number: int
    place: int
    data: dict[str, Any]
    hours_ago: int
    after: int | None = None

    def item(self, workspaces: list[UUID]) -> Item:
        workspace_id = workspaces[self.place]
        if self.data["type"] == "event.cancelled":
            event = make.cancellation(str(self.number), "test", str(self.after), workspace_id, T0)
        else:
            correction = {} if self.after is None else {"replaces": {"source": "test", "id": str(self.after)}}
            report = {**self.data, **correction, "id": str(self.number), "at": T0 - self.hours_ago * HOUR}
            event = make.event_of(report, workspace_id, T0)
        return Item(workspace_id, event)


@st.composite
def uses(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(
            ["orchestration.execution", "tool.call", "llm.tokens", "direct.charge", *(f"split.{m}" for m in TIERS)]
        )
    )
    data: dict[str, Any] = {"type": kind, "workflow": draw(st.sampled_from(["w1", "w2"]))}
    if kind == "llm.tokens":
        data["model"] = draw(st.sampled_from(["gpt-4o-mini", "claude-3-5-haiku-latest", "in-house-7b"]))
        data["inputTokens"] = draw(st.integers(0, 5_000))
        data["outputTokens"] = draw(st.integers(0, 900))
        data["cachedInputTokens"] = draw(st.integers(0, data["inputTokens"]))
    elif kind == "tool.call":
        data |= {"integration": draw(st.sampled_from(["split", "free"])), "action": "a", "quantity": 2}
    else:
        data["quantity"] = str(draw(st.decimals("0.001", 9, places=3)))
    if draw(st.booleans()):
        data |= {"agent": draw(st.sampled_from(["a1", "a2"])), "status": draw(st.sampled_from(["success", "error"]))}
    return data


@st.composite
def histories(draw: st.DrawFn) -> list[Report]:
    """Events of two workspaces; some are cancelled, once or twice, or replaced, and replacements too."""
    reports: list[Report] = []

    def add(place: int, data: dict[str, Any], hours: int, after: int | None = None) -> Report:
        reports.append(Report(len(reports), place, data, hours, after))
        return reports[-1]

    for _ in range(draw(st.integers(1, 8))):
        report = add(draw(st.integers(0, 1)), draw(uses()), draw(st.integers(0, 24 * 33)))
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
            report = add(report.place, draw(uses()), draw(st.integers(0, 24 * 33)), report.number)
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            add(report.place, {"type": "event.cancelled"}, 0, report.number)
    return reports


@st.composite
def splits(draw: st.DrawFn, reports: list[Report]) -> list[list[Report]]:
    """The same events in commits: in any order, but a correction with its target or later; some come again."""
    commits = draw(st.integers(1, 5))
    at: dict[int, int] = {}
    for report in reports:
        chosen = draw(st.integers(0, commits - 1))
        at[report.number] = chosen if report.after is None else max(chosen, at[report.after])
    grouped: list[list[Report]] = [[] for _ in range(commits)]
    for report in draw(st.permutations(reports)):
        grouped[at[report.number]].append(report)
    for report in draw(st.lists(st.sampled_from(reports), max_size=4)):
        again = draw(st.integers(at[report.number], commits - 1))
        grouped[again].insert(draw(st.integers(0, len(grouped[again]))), report)
    return [group for group in grouped if group]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Report], list[list[Report]], int]:
    reports = draw(histories())
    return reports, draw(splits(reports)), draw(st.integers(1, 3))


async def workspaces_of(database: Database) -> list[UUID]:
    made = [await make.bare_workspace(database, BORN) for _ in range(2)]
    for workspace_id in made:
        await make.grant(database, workspace_id, 20, BORN)
        await make.grant(database, workspace_id, 10, BORN, unit="tool_runs")
    return made


async def totals(database: Database, workspaces: list[UUID]) -> dict[str, Any]:
    """All that must not depend on how events came: resources by key, since their ids are their workspace's own."""
    places = {workspace_id: place for place, workspace_id in enumerate(workspaces)}
    names = {
        row["id"]: f"{row['kind']}:{row['key']}"
        for row in await make.rows(
            database, "SELECT id, kind, key FROM resource WHERE workspace_id = ANY(%s)", workspaces
        )
    }

    def plain(row: dict[str, Any]) -> tuple[Any, ...]:
        kept = {key: value for key, value in row.items() if key != "bucket"}
        return tuple(places.get(value, names.get(value, value)) for value in kept.values())

    found: dict[str, Any] = {}
    queries = {
        "balances": "SELECT workspace_id, unit, posted, overdraft, issued, used, expired FROM balance",
        "days": "SELECT workspace_id, day, type, category, slug, status, project_id, user_id, workflow_id, agent_id, "
        "connector_id, tool_id, table_id, language_model, integration, events, quantity, tokens_in, tokens_out, "
        "credits, tool_runs, provider_cost, unpriced FROM rollup_daily",
        "hours": "SELECT * FROM rollup_hourly",
        "workflows": "SELECT * FROM rollup_workflow",
        "counters": "SELECT workspace_id, target, period_start, quantity FROM price_counter",
        "keys": "SELECT workspace_id, source, id FROM event_key",
        "corrected": "SELECT workspace_id, count(*) AS n, count(DISTINCT reverses) AS different FROM usage_event"
        " WHERE reverses IS NOT NULL GROUP BY workspace_id HAVING workspace_id IS NOT NULL",
        "events": "SELECT workspace_id, count(*) AS n, sum(credits) AS credits FROM usage_event"
        " GROUP BY workspace_id HAVING workspace_id IS NOT NULL",
    }
    for name, query in queries.items():
        joiner = " AND" if "HAVING" in query else " WHERE"
        rows = await make.rows(database, f"{query}{joiner} workspace_id = ANY(%s)", workspaces)
        found[name] = sorted((plain(row) for row in rows), key=repr)
    found["tiered"] = sorted(
        (slug, place, sum(row[-4] for row in found["days"] if (row[0], row[4]) == (place, slug)))
        for slug in {row[4] for row in found["days"] if ".split." in row[4]}
        for place in places.values()
    )
    # Which day's events a tier falls to may differ (rule M5): above they count together.
    for name, slug, credits_at in (("days", 4, -4), ("hours", 3, -2), ("workflows", 7, -5)):
        found[name] = sorted(
            (
                row if ".split." not in row[slug] else (*row[:credits_at], None, *row[credits_at + 1 :])
                for row in found[name]
            ),
            key=repr,
        )
    return found


def committer_of(database: Database, lanes: int) -> Committer:
    return Committer(
        database,
        names=Names(make.MODELS),
        catalogs=CatalogCache(),
        limits=IngestLimits(),
        ids=IDS,
        lanes=lanes,
    )


@settings(max_examples=15)
@given(case=cases())
async def test_a_split_of_the_same_events_gives_the_same_totals(
    priced: Database, case: tuple[list[Report], list[list[Report]], int]
) -> None:
    reports, commits, lanes = case
    alone = await workspaces_of(priced)
    meter = make.Meter(priced)
    for report in reports:
        await meter.book(Batch([report.item(alone)], T0))
    expected = await totals(priced, alone)

    together = await workspaces_of(priced)
    committer = committer_of(priced, lanes)
    for commit in commits:
        items = [report.item(together) for report in commit]
        batches = [Batch([items[n] for n in places], T0) for places in committer.split(items)]
        await asyncio.gather(*(committer.submit(batch) for batch in batches))
        outcomes = [outcome for batch in batches for outcome in batch.outcomes]
        assert {outcome.kind for outcome in outcomes if outcome} <= {"accepted", "duplicate"}, outcomes
    found = await totals(priced, together)

    cancellations = {str(report.number) for report in reports if report.data["type"] == "event.cancelled"}
    for keys in (expected, found):
        keys["keys"] = [row for row in keys["keys"] if row[2] not in cancellations]
    assert found == expected
    assert await make.differences(priced, *alone, *together) == []
    assert all(n == different for _, n, different in found["corrected"])
