"""Holds as they stand."""

from dataclasses import fields
from typing import Any, Final
from uuid import UUID

from tallystick.domain.credits.holds import Hold
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(Hold))


async def hold(database: Database, workspace_id: UUID, hold_id: UUID) -> Hold:
    """Raises `holdNotFound`. The caller settles what is due first (flows/due.py)."""
    async with database.read(workspace_id) as conn:
        row = await (await conn.execute(SQL["hold"], {"workspace_id": workspace_id, "id": hold_id})).fetchone()
    if row is None:
        raise TallystickError("holdNotFound", "There is no such hold.", id=str(hold_id))
    return _hold_of(row)


async def holds(
    database: Database, workspace_id: UUID, *, status: str | None, run: str | None, limit: int, offset: int
) -> list[Hold]:
    """A page of a workspace's holds, newest first."""
    given = {"workspace_id": workspace_id, "status": status, "run": run, "limit": limit, "offset": offset}
    async with database.read(workspace_id) as conn:
        return [_hold_of(row) for row in await (await conn.execute(SQL["holds"], given)).fetchall()]


def _hold_of(row: Row) -> Hold:
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    return Hold(**values)
