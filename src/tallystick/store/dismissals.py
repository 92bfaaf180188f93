"""Banners that members put away."""

import datetime as dt
from uuid import UUID

from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)


async def dismiss(conn: Connection, workspace_id: UUID, person_id: UUID, banner: str, now: dt.datetime) -> None:
    """Put a banner away; put away before, it stays so."""
    given = {"workspace_id": workspace_id, "person_id": person_id, "banner": banner, "now": now}
    await conn.execute(SQL["dismiss"], given)
