"""Workspaces: the rows that say which customers there are."""

import datetime as dt
from collections.abc import Collection
from dataclasses import asdict, fields
from uuid import UUID

from tallystick.domain.identity.workspaces import Workspace
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS = tuple(field.name for field in fields(Workspace))


async def insert(conn: Connection, workspace: Workspace) -> None:
    """Add a workspace. Raises `workspaceKeyTaken` when another one has its key."""
    cursor = await conn.execute(SQL["insert_workspace"], asdict(workspace))
    if await cursor.fetchone() is None:
        raise TallystickError("workspaceKeyTaken", "Another workspace has this key.", key=workspace.key)


async def by_id(conn: Connection, workspace_id: UUID) -> Workspace:
    """One workspace, also one that is closed. Raises `workspaceNotFound`."""
    row = await (await conn.execute(SQL["workspace_by_id"], {"id": workspace_id})).fetchone()
    if row is None:
        raise not_found(workspace_id)
    return workspace_of(row)


async def zone_of(conn: Connection, workspace_id: UUID) -> str:
    """Its zone, also of one that is closed: what it owes is still asked for. Raises `workspaceNotFound`."""
    row = await (await conn.execute(SQL["zone_of"], {"id": workspace_id})).fetchone()
    if row is None:
        raise not_found(workspace_id)
    return str(row["zone"])


async def clocks(conn: Connection, workspace_ids: Collection[UUID]) -> dict[UUID, dt.datetime | None]:
    """The test clock of each of these workspaces that exist, None where it has none."""
    rows = await (await conn.execute(SQL["clocks"], {"ids": sorted(workspace_ids)})).fetchall()
    return {row["id"]: row["clock_at"] for row in rows}


async def clock_now(conn: Connection, workspace_id: UUID) -> dt.datetime:
    """What its test clock says, and goes on saying until the transaction ends. Raises `workspaceNotFound`."""
    row = await (await conn.execute(SQL["clock_now"], {"id": workspace_id})).fetchone()
    if row is None or row["clock_at"] is None:
        raise not_found(workspace_id)
    found: dt.datetime = row["clock_at"]
    return found


async def lock_clock(conn: Connection, workspace_id: UUID) -> dt.datetime | None:
    """The test clock of a workspace, locked, None where it has none. Raises `workspaceNotFound`."""
    row = await (await conn.execute(SQL["lock_clock"], {"id": workspace_id})).fetchone()
    if row is None:
        raise not_found(workspace_id)
    found: dt.datetime | None = row["clock_at"]
    return found


async def set_clock(conn: Connection, workspace_id: UUID, at: dt.datetime) -> None:
    """Move a locked test clock."""
    await conn.execute(SQL["set_clock"], {"id": workspace_id, "at": at})


async def next_due(conn: Connection, workspace_id: UUID, after: dt.datetime) -> dt.datetime | None:
    """When something is due next on a workspace: what its balances wait for, or after an instant a stop that has to be
    confirmed."""
    given = {"workspace_id": workspace_id, "after": after}
    row = await (await conn.execute(SQL["next_due"], given)).fetchone()
    if row is None:
        raise AssertionError("a minimum answers a row")
    found: dt.datetime | None = row["due_at"]
    return found


async def next_owed(conn: Connection, workspace_id: UUID, after: dt.datetime) -> dt.datetime | None:
    """When, after an instant, money owed asks for something next: a period's end, an invoice, a payment."""
    given = {"workspace_id": workspace_id, "after": after}
    row = await (await conn.execute(SQL["next_owed"], given)).fetchone()
    if row is None:
        raise AssertionError("a minimum answers a row")
    found: dt.datetime | None = row["owed_at"]
    return found


def workspace_of(row: Row) -> Workspace:
    """The workspace of a row."""
    return Workspace(**{name: row[name] for name in _FIELDS})


def not_found(workspace_id: UUID) -> TallystickError:
    return TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
