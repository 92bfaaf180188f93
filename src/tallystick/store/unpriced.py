"""Unpriced events: counted, charged nothing, waiting for a price (rule M6)."""

from uuid import UUID

from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)


async def workspaces(conn: Connection) -> list[UUID]:
    """Workspaces that have, or once had, unpriced events."""
    return [row["workspace_id"] for row in await (await conn.execute(SQL["workspaces"])).fetchall()]


async def page(conn: Connection, workspace_id: UUID, after: UUID, most: int) -> list[Row]:
    """The next unpriced events whose id is greater than `after`, as rows of `usage_event`."""
    given = {"workspace_id": workspace_id, "after": after, "most": most}
    return list(await (await conn.execute(SQL["page"], given)).fetchall())
