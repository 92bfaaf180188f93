"""How background work goes: one row for each job, written by whoever does its turns. It follows the machine's clock."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a job that ended: `done` counts what it did, `error` is None where it did not fail."""

    name: str
    every_seconds: int
    started_at: dt.datetime
    finished_at: dt.datetime
    done: int = 0
    error: str | None = None


async def register(conn: Connection, jobs: Sequence[tuple[str, int]], now: dt.datetime) -> None:
    """Write down which jobs there are, as (name, seconds between turns), and forget those that are no more."""
    given = {"names": [name for name, _ in jobs], "every": [every for _, every in jobs], "now": now}
    await conn.execute(SQL["forget_others"], {"names": given["names"]})
    await conn.execute(SQL["register"], given)


async def begun(conn: Connection, name: str, every_seconds: int, now: dt.datetime) -> None:
    """A turn that takes its time is under way since `now`."""
    await conn.execute(SQL["begun"], {"name": name, "every_seconds": every_seconds, "now": now})


async def ended(conn: Connection, turn: Turn) -> None:
    """A turn ended; without an error the job is well."""
    await conn.execute(SQL["ended"], asdict(turn))
