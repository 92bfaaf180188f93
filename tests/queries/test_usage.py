"""Metrics from daily totals equal an oracle that adds up the raw events, whatever is asked."""

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from itertools import product
from random import Random
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.metering.metrics import GROUPS, Filters, Range, Unit, metrics_of
from tallystick.domain.metering.resources import resource_id
from tallystick.flows import resources
from tallystick.flows.batches import Batch
from tallystick.flows.names import Item
from tallystick.flows.resources import Change
from tallystick.kernel.credits import NANO
from tallystick.queries import usage
from tallystick.store.database import Database
from tests import make

NOW = dt.datetime(2026, 3, 14, 9, 41, 7, tzinfo=dt.UTC)
WEEK = Range(dt.date(2026, 3, 8), dt.date(2026, 3, 14))

UNITS: tuple[Unit | None, ...] = (None, "billing.credits", "storage.records", "orchestration.executions")
COLUMNS = {
    "workflow_uuid": "workflow_id",
    "connector_uuid": "connector_id",
    "model_uuid": "table_id",
    "agent_uuid": "agent_id",
    "user_uuid": "user_id",
    "integration_slug": "integration",
    "language_model": "language_model",
    "category": "category",
}


def test_the_oracle_knows_every_group() -> None:
    assert set(COLUMNS) == set(GROUPS)


def reports(chance: Random) -> list[dict[str, Any]]:
    """A week of usage of every kind, some of it not attributable to anything."""
    made = []
    for number in range(300):
        at = NOW - dt.timedelta(minutes=chance.randrange(6 * 24 * 60))
        names = {
            "workflow": chance.choice(["routing", "triage", None]),
            "agent": chance.choice(["scout", "scribe", None]),
            "user": chance.choice(["ada", "ben", None]),
            "connector": chance.choice(["own-key", "paid", None]),
            "table": chance.choice(["accounts", "contacts", None]),
        }
        report: dict[str, Any] = {"id": f"e{number}", "at": at} | {k: v for k, v in names.items() if v}
        kind = chance.randrange(6)
        if kind == 0:
            tokens = {"inputTokens": chance.randrange(9_999), "outputTokens": chance.randrange(999)}
            model = chance.choice(["gpt-4o-mini", "claude-sonnet-4-5", "nobody-knows-me"])
            report |= {"type": "llm.tokens", "model": model} | tokens
        elif kind == 1:
            report |= {"type": "tool.call", "integration": chance.choice(["crm", "mail"]), "action": "send"}
        elif kind == 2:
            report |= {"type": "storage.records", "quantity": str(Decimal(chance.randrange(1, 10**11)).scaleb(-9))}
        elif kind == 3:
            report |= {"type": "direct.charge", "quantity": str(Decimal(chance.randrange(1, 10**10)).scaleb(-9))}
        else:
            status = chance.choice(["success", "error", None])
            report |= {"type": "orchestration.execution", "quantity": chance.choice([1, 1, 3])}
            report |= {"status": status} if status else {}
        made.append(report)
    return made


@pytest.fixture(scope="module")
async def workspace(database: Database) -> UUID:
    await make.catalog(database, NOW)
    workspace_id = await make.bare_workspace(database, NOW - dt.timedelta(days=30), plan="pro")
    own_key = Change("Own key", None, {"useCredits": False, "integrationSlug": "crm"})
    await resources.put(database, "connector", "own-key", own_key, workspace_id=workspace_id, now=NOW)
    meter = make.Meter(database)
    week = reports(Random(7))
    for start in range(0, len(week), 60):
        outcomes = await meter.report(workspace_id, *week[start : start + 60], now=NOW)
        assert {outcome.kind for outcome in outcomes} == {"accepted"}
    replaced = {"source": "test", "id": week[0]["id"]}
    outcomes = await meter.report(
        workspace_id,
        week[0] | {"id": "better", "quantity": 2, "replaces": replaced},
        now=NOW + dt.timedelta(hours=1),
    )
    assert outcomes[0].kind == "accepted"
    return workspace_id


async def oracle(
    database: Database, workspace_id: UUID, filters: Filters, group_by: str | None, unit: Unit | None
) -> tuple[dict[tuple[dt.date, str, str | None], int], int]:
    """The same from raw events: count in 10⁻⁹ by day, slug and group, and the total."""
    counts: dict[tuple[dt.date, str, str | None], int] = defaultdict(int)
    happened: dict[tuple[dt.date, str, str | None], int] = defaultdict(int)
    total = 0
    wanted = {
        "workflow_id": filters.workflow_id,
        "table_id": filters.table_id,
        "connector_id": filters.connector_id,
        "agent_id": filters.agent_id,
        "integration": filters.integration,
    }
    for row in await make.rows(database, "SELECT * FROM usage_event WHERE workspace_id = %s", workspace_id):
        if any(value is not None and row[name] != value for name, value in wanted.items()):
            continue
        group = row[COLUMNS[group_by]] if group_by else None
        faces = [("billing.credits", row["slug"], row["credits"])]
        if row["meter"] == "orchestration.execution":
            faces.append(("orchestration.executions", row["status"] or "success", int(row["quantity"] * NANO)))
        if row["meter"] == "storage.records":
            faces.append(("storage.records", "insert", int(row["quantity"] * NANO)))
        for kind, slug, count in faces:
            if kind != (unit or kind) or slug != (filters.slug or slug):
                continue
            place = (row["used_at"].date(), slug, None if group is None else str(group))
            counts[place] += count
            happened[place] += -1 if row["reverses"] else 1
            total += count if kind == (unit or "billing.credits") else 0
    return {place: count for place, count in counts.items() if count or happened[place]}, total


async def check(
    database: Database, workspace_id: UUID, filters: Filters, group_by: str | None, unit: Unit | None
) -> int:
    found = await usage.metrics(database, workspace_id, WEEK, filters=filters, group_by=group_by, unit=unit)
    expected, total = await oracle(database, workspace_id, filters, group_by, unit)
    assert {(day, i.slug, i.group): i.amount for day, items in found.days for i in items} == expected
    assert [day for day, _ in found.days] == WEEK.days()
    assert found.total == total
    return len(expected)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("group_by", [None, *GROUPS])
async def test_every_unit_by_every_group_equals_the_raw_events(
    database: Database, workspace: UUID, group_by: str | None, unit: Unit | None
) -> None:
    assert await check(database, workspace, Filters(), group_by, unit) > 0


@pytest.mark.parametrize("unit", UNITS)
async def test_every_filter_combines_with_every_group(database: Database, workspace: UUID, unit: Unit | None) -> None:
    filters = [
        Filters(workflow_id=resource_id(workspace, "play", "routing")),
        Filters(table_id=resource_id(workspace, "table", "accounts")),
        Filters(connector_id=resource_id(workspace, "connector", "own-key")),
        Filters(agent_id=resource_id(workspace, "agent", "scout")),
        Filters(integration="crm"),
        Filters(slug="native.execution"),
        Filters(slug="success"),
        Filters(
            workflow_id=resource_id(workspace, "play", "triage"), agent_id=resource_id(workspace, "agent", "scout")
        ),
        Filters(workflow_id=UUID(int=5)),
    ]
    found = [
        await check(database, workspace, narrowed, group_by, unit)
        for narrowed, group_by in product(filters, [None, "user_uuid"])
    ]
    assert sum(found) > 0
    assert found[-1] == 0


async def test_credits_add_up_to_every_charge(database: Database, workspace: UUID) -> None:
    [row] = await make.rows(
        database, "SELECT sum(credits)::bigint AS n FROM usage_event WHERE workspace_id = %s", workspace
    )
    [balance] = await make.rows(
        database, "SELECT used FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace
    )
    found = await usage.metrics(database, workspace, WEEK)
    assert found.total == row["n"] == balance["used"]


async def test_nobody_sees_another_workspace(database: Database, workspace: UUID) -> None:
    stranger = await make.bare_workspace(database, NOW)
    found = await usage.metrics(database, stranger, WEEK)
    assert found == metrics_of([], WEEK, unit=None, slug=None)


async def test_what_was_taken_back_entirely_leaves_no_item(database: Database) -> None:
    await make.catalog(database, NOW)
    workspace_id = await make.bare_workspace(database, NOW)
    meter = make.Meter(database)
    await meter.report(workspace_id, {"id": "x", "type": "orchestration.execution", "status": "success"}, now=NOW)
    before = await usage.metrics(database, workspace_id, Range(NOW.date(), NOW.date()))
    assert [(item.slug, item.amount) for item in before.days[0][1]] == [("native.execution", 10**7), ("success", NANO)]
    batch = Batch([Item(workspace_id, make.cancellation("c", "test", "x", workspace_id, NOW))], NOW)
    await meter.book(batch)
    after = await usage.metrics(database, workspace_id, Range(NOW.date(), NOW.date()))
    assert (after.days[0][1], after.total) == ([], 0)
