"""What the ledger tells is written in the transaction that causes it, once (rules M18, M19)."""

import datetime as dt
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.telling.facts import derived_id
from tallystick.flows import due
from tallystick.kernel.credits import NANO
from tallystick.store import ledger
from tallystick.store.database import Connection, Database
from tests import make
from tests.make import IDS, Meter

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


async def facts(database: Database, workspace_id: UUID) -> list[dict[str, Any]]:
    found = await make.rows(
        database, "SELECT * FROM fact WHERE workspace_id = %s ORDER BY at, created_at, kind, id", workspace_id
    )
    return [fact for fact in found if fact["data"].get("source") != "plan"]


async def told(database: Database, workspace_id: UUID) -> list[str]:
    """Kind and threshold or amount of each fact, sorted."""
    return sorted(
        f"{fact['kind']} {fact['data'].get('threshold', fact['data'].get('amount'))}"
        for fact in await facts(database, workspace_id)
    )


@pytest.fixture(scope="module")
async def priced(database: Database) -> Database:
    await make.catalog(database, T0 - 500 * DAY)
    return database


async def charge(meter: Meter, workspace_id: UUID, quantity: str, now: dt.datetime = T0) -> None:
    report = {"type": "direct.charge", "id": str(IDS.new(now)), "quantity": quantity}
    [outcome] = await meter.report(workspace_id, report, now=now)
    assert outcome.kind == "accepted"


async def test_usage_tells_thresholds_once_though_the_same_reports_come_again(priced: Database) -> None:
    workspace_id = await make.bare_workspace(priced, T0)
    await make.grant(priced, workspace_id, 100, T0)
    meter = Meter(priced)
    reports = [{"type": "direct.charge", "id": f"e{n}", "quantity": 1} for n in range(95)]
    for first in range(0, 95, 5):
        await meter.report(workspace_id, *reports[first : first + 5], now=T0)
    for first in range(0, 95, 19):
        await meter.report(workspace_id, *reports[first : first + 19], now=T0)
    expected = [f"credits.threshold_crossed {step}" for step in (20, 50, 70, 80, 90)]
    assert await told(priced, workspace_id) == ["credits.granted 100", *expected]
    assert await make.differences(priced, workspace_id) == []


async def test_a_big_commit_tells_the_highest_threshold_alone(priced: Database) -> None:
    workspace_id = await make.bare_workspace(priced, T0)
    await make.grant(priced, workspace_id, 100, T0)
    reports = [{"type": "direct.charge", "id": f"e{n}", "quantity": 1} for n in range(120)]
    await Meter(priced).report(workspace_id, *reports, now=T0)
    assert await told(priced, workspace_id) == ["credits.exhausted 100", "credits.granted 100"]
    [fact] = [fact for fact in await facts(priced, workspace_id) if fact["kind"] == "credits.exhausted"]
    assert fact["id"] == derived_id(workspace_id, "threshold", "credits", "1", "100")
    assert fact["data"] == {
        "unit": "credits",
        "threshold": 100,
        "usedPercent": 100,
        "remaining": 0,
        "posted": -20,
        "granted": 100,
        "used": 100,
        "allocationNo": 1,
    }
    assert (fact["at"], fact["fanned_at"]) == (T0, None)


async def test_one_tool_call_moves_both_balances_and_each_tells_its_own(priced: Database) -> None:
    workspace_id = await make.bare_workspace(priced, T0)
    await make.grant(priced, workspace_id, 10, T0, unit="tool_runs")
    report = {"type": "tool.call", "id": "t1", "quantity": 5, "tool": "search"}
    await Meter(priced).report(workspace_id, report, now=T0)
    assert await told(priced, workspace_id) == ["tool_runs.granted 10", "tool_runs.threshold_crossed 50"]


async def test_a_commit_that_fails_tells_nothing_and_once_it_is_repeated_the_same(priced: Database) -> None:
    workspace_id = await make.bare_workspace(priced, T0)
    await make.grant(priced, workspace_id, 100, T0)
    seen: list[UUID] = []

    async def work(conn: Connection, *, fails: bool) -> None:
        books = await due.lock(conn, {workspace_id}, now=T0, ids=IDS)
        book = books[workspace_id]["credits"]
        book.use(60 * NANO, IDS.new(T0), key="usage:retried", at=T0)
        await ledger.save_books(conn, books, T0)
        seen.extend(fact.id for fact in book.facts)
        if fails:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await priced.run(lambda conn: work(conn, fails=True))
    assert await told(priced, workspace_id) == ["credits.granted 100"]
    await priced.run(lambda conn: work(conn, fails=False))
    assert seen[0] == seen[1]
    assert await told(priced, workspace_id) == ["credits.granted 100", "credits.threshold_crossed 50"]


async def test_what_ends_by_the_clock_is_told_at_its_instant_however_late_it_is_noticed(priced: Database) -> None:
    workspace_id = await make.bare_workspace(priced, T0)
    await make.grant(priced, workspace_id, 60, T0, source="free", expires_at=T0 + 5 * DAY)
    await make.grant(priced, workspace_id, 40, T0, source="purchase")
    meter = Meter(priced)
    await charge(meter, workspace_id, "30")
    for _ in range(2):
        await due.bring_up(priced, workspace_id, now=T0 + 20 * DAY, ids=IDS)
    [fact] = [fact for fact in await facts(priced, workspace_id) if fact["kind"] == "credits.expired"]
    assert fact["at"] == T0 + 5 * DAY
    assert (fact["data"]["amount"], fact["data"]["free"], fact["data"]["source"]) == (30, True, "free")
    # 30 of 70 are used: 20 % was told, 42.86 % is silent, so 50 % is next.
    await charge(meter, workspace_id, "5", T0 + 20 * DAY)
    assert await told(priced, workspace_id) == [
        "credits.expired 30",
        "credits.granted 40",
        "credits.granted 60",
        "credits.threshold_crossed 20",
        "credits.threshold_crossed 50",
    ]
    assert await make.differences(priced, workspace_id) == []


async def test_a_renewal_rearms_and_tells_what_the_plan_gives_each_month(priced: Database) -> None:
    workspace_id = await make.bare_workspace(priced, T0, plan="pro")
    meter = Meter(priced)
    await charge(meter, workspace_id, "5000")
    await due.bring_up(priced, workspace_id, now=T0 + 40 * DAY, ids=IDS)
    await charge(meter, workspace_id, "5000", T0 + 40 * DAY)
    found = await make.rows(
        priced,
        "SELECT kind, at, data FROM fact WHERE workspace_id = %s AND kind LIKE 'credits.%%' ORDER BY at, kind",
        workspace_id,
    )
    assert [(f["kind"], f["data"].get("threshold", f["data"].get("amount"))) for f in found] == [
        ("credits.granted", 10_000),
        ("credits.threshold_crossed", 50),
        ("credits.expired", 5_000),
        ("credits.granted", 10_000),
        ("credits.threshold_crossed", 50),
    ]
    assert found[2]["data"]["renewed"] is True
    assert found[2]["at"] == found[3]["at"] == dt.datetime(2026, 4, 2, 10, tzinfo=dt.UTC)
    assert await make.differences(priced, workspace_id) == []


async def test_history_tells_nothing(priced: Database) -> None:
    workspace_id = await make.bare_workspace(priced, T0)
    await make.grant(priced, workspace_id, 100, T0)
    past = T0 - 30 * DAY
    reports = [{"type": "direct.charge", "id": f"h{n}", "quantity": 50, "at": past} for n in range(5)]
    await Meter(priced).report(workspace_id, *reports, now=T0, history="before")
    assert await told(priced, workspace_id) == ["credits.granted 100"]


async def test_the_fact_of_a_grant_says_what_and_until_when(priced: Database) -> None:
    workspace_id = await make.bare_workspace(priced, T0)
    await make.grant(priced, workspace_id, 75, T0, source="free", expires_at=T0 + 90 * DAY, reason="welcome")
    [fact] = await facts(priced, workspace_id)
    wanted = ("source", "amount", "expiresAt", "reason", "allocationNo")
    assert [fact["data"][name] for name in wanted] == ["free", 75, "2026-05-31T10:00:00Z", "welcome", 1]
