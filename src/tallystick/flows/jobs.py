"""Writing down how background work goes. Everything here follows the machine's clock."""

import datetime as dt
from collections.abc import Sequence

from tallystick.store import jobs
from tallystick.store.database import Connection, Database
from tallystick.store.jobs import Turn

__all__ = ["Turn", "begun", "ended", "register"]


async def register(database: Database, named: Sequence[tuple[str, int]], *, now: dt.datetime) -> None:
    """Write down which jobs there are, as (name, seconds between turns), so that one which nobody does is noticed."""

    async def work(conn: Connection) -> None:
        await jobs.register(conn, sorted(named), now)

    await database.run(work, admin=True)


async def begun(database: Database, name: str, every_seconds: int, *, now: dt.datetime) -> None:
    """A turn that takes its time is under way since `now`."""

    async def work(conn: Connection) -> None:
        await jobs.begun(conn, name, every_seconds, now)

    await database.run(work, admin=True)


async def ended(database: Database, turn: Turn) -> None:
    """A turn ended, well or not."""

    async def work(conn: Connection) -> None:
        await jobs.ended(conn, turn)

    await database.run(work, admin=True)
