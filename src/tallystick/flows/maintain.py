"""Upkeep: what may be forgotten."""

import datetime as dt

from tallystick.store import usage
from tallystick.store.database import Connection, Database


async def forget_hours(database: Database, before: dt.datetime) -> int:
    """Drop hourly totals older than `before`; the daily ones stay. How many rows went."""

    async def work(conn: Connection) -> int:
        return await usage.forget_hours(conn, before)

    return await database.run(work)
