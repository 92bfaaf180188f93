"""Keys that sign links to our own pages. They live where the installation does, not with a workspace."""

import datetime as dt
from uuid import UUID

from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)


async def keys(conn: Connection) -> dict[UUID, bytes]:
    """The keys in force, the one that signs first."""
    rows = await (await conn.execute(SQL["keys"])).fetchall()
    return {row["id"]: bytes(row["secret"]) for row in rows}


async def insert(conn: Connection, key_id: UUID, secret: bytes, now: dt.datetime) -> None:
    """Add a key, which signs from now on."""
    await conn.execute(SQL["insert"], {"id": key_id, "secret": secret, "now": now})
