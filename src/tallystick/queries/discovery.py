"""The lists that name what usage can be filtered and grouped by (row A6)."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Final
from uuid import UUID

from tallystick.domain.metering.resources import Resource
from tallystick.store.database import Database
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(Resource))


async def resources(
    database: Database, workspace_id: UUID, *kinds: str, limit: int | None = None, offset: int = 0
) -> Sequence[Resource]:
    """The workspace's resources of these kinds, oldest first; all of them unless there is a limit."""
    given = {"workspace_id": workspace_id, "kinds": list(kinds), "limit": limit, "offset": offset}
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(SQL["resources_of_kinds"], given)).fetchall()
    return [Resource(**{name: row[name] for name in _FIELDS}) for row in rows]
