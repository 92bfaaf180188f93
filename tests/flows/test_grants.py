"""Giving, expiring and renewing, through the flows and PostgreSQL."""

import datetime as dt
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.credits.grants import GrantTerms
from tallystick.flows import due, grants
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import SystemIds
from tallystick.store import ledger
from tallystick.store.database import Connection, Database
from tests import make

T0 = dt.datetime(2026, 1, 31, 10, 0, tzinfo=dt.UTC)
IDS = SystemIds()


async def balance(database: Database, workspace_id: UUID, unit: str = "credits") -> dict[str, Any]:
    async with database.read() as conn:
        row = await (
            await conn.execute("SELECT * FROM balance WHERE workspace_id = %s AND unit = %s", [workspace_id, unit])
        ).fetchone()
    assert row is not None
    return dict(row)


async def entries_sum(database: Database, workspace_id: UUID) -> int:
    async with database.read() as conn:
        row = await (
            await conn.execute(
                "SELECT sum(amount)::bigint AS n FROM ledger_entry WHERE workspace_id = %s", [workspace_id]
            )
        ).fetchone()
    assert row is not None
    return int(row["n"] or 0)


async def settle(database: Database, workspace_id: UUID, now: dt.datetime, use: int = 0) -> None:
    async def work(conn: Connection) -> None:
        books = await due.lock(conn, {workspace_id}, now=now, ids=IDS)
        if use:
            commit = IDS.new(now)
            books[workspace_id]["credits"].use(use, commit, key=f"usage:{commit}", at=now)
        await ledger.save_books(conn, books, now)

    await database.run(work)


async def test_the_same_key_gives_the_same_grant_once(database: Database) -> None:
    workspace = await make.bare_workspace(database, T0)
    terms = GrantTerms("credits", 75 * NANO, "free", key="k1", expires_at=T0 + dt.timedelta(days=90))
    first = await grants.issue(database, terms, workspace_id=workspace, now=T0, ids=IDS, actor="test")
    again = await grants.issue(database, terms, workspace_id=workspace, now=T0, ids=IDS, actor="test")
    assert first == again
    row = await balance(database, workspace)
    assert (row["posted"], row["allocation"], row["allocation_no"]) == (75 * NANO, 75 * NANO, 1)
    assert row["due_at"] == dt.datetime(2026, 2, 28, 10, 0, tzinfo=dt.UTC)


async def test_a_grant_for_nobody_is_refused(database: Database) -> None:
    terms = GrantTerms("credits", NANO, "free", key="k")
    with pytest.raises(TallystickError) as refused:
        await grants.issue(database, terms, workspace_id=IDS.new(T0), now=T0, ids=IDS, actor="test")
    assert refused.value.code == "workspaceNotFound"


async def test_what_is_left_of_a_grant_expires_by_an_entry(database: Database) -> None:
    workspace = await make.bare_workspace(database, T0)
    ends = T0 + dt.timedelta(days=10)
    await grants.issue(
        database,
        GrantTerms("credits", 75 * NANO, "free", key="k", expires_at=ends),
        workspace_id=workspace,
        now=T0,
        ids=IDS,
        actor="test",
    )
    await settle(database, workspace, ends - dt.timedelta(seconds=1), use=5 * NANO)
    assert (await balance(database, workspace))["posted"] == 70 * NANO
    await settle(database, workspace, ends)
    row = await balance(database, workspace)
    assert (row["posted"], row["expired"], row["allocation"]) == (0, 70 * NANO, 5 * NANO)
    assert await entries_sum(database, workspace) == 0


async def test_three_missed_periods_are_renewed_in_order(database: Database) -> None:
    workspace = await make.bare_workspace(database, T0, plan="pro")
    await settle(database, workspace, T0 + dt.timedelta(days=1), use=12_000 * NANO)
    row = await balance(database, workspace)
    assert (row["posted"], row["overdraft"]) == (-2_000 * NANO, 2_000 * NANO)
    await settle(database, workspace, dt.datetime(2026, 5, 1, tzinfo=dt.UTC))
    row = await balance(database, workspace)
    # The first reset pays the overdraft; the second and third give a full plan grant and expire what was left.
    assert (row["posted"], row["overdraft"]) == (10_000 * NANO, 0)
    assert row["expired"] == 18_000 * NANO
    assert row["due_at"] == dt.datetime(2026, 5, 31, 10, 0, tzinfo=dt.UTC)
    async with database.read() as conn:
        found = await (
            await conn.execute(
                "SELECT starts_at, ends_at, closed_at IS NULL AS open FROM billing_period"
                " WHERE workspace_id = %s ORDER BY starts_at",
                [workspace],
            )
        ).fetchall()
    assert [row["ends_at"].day for row in found] == [28, 31, 30, 31]
    assert [row["open"] for row in found] == [False, False, False, True]
    assert await entries_sum(database, workspace) == 0


async def test_the_sweeper_settles_what_is_due_once(database: Database) -> None:
    workspace = await make.bare_workspace(database, T0, plan="pro")
    after = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    assert await due.sweep(database, now=after, ids=IDS) >= 1
    row = await balance(database, workspace)
    assert (row["allocation_no"], row["seq"]) == (2, 2)
    await due.sweep(database, now=after, ids=IDS)
    assert (await balance(database, workspace))["seq"] == 2
