"""How background work goes: each job's turns, and for how long something waits to be told.

Everything here is on the machine's clock; facts of workspaces with a test clock are no measure of waiting.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

from tallystick.store.database import Database
from tallystick.store.named_sql import load

SQL = load(__file__)

LATE_TURNS: Final = 10
"""After so many turns without a good one a job is late,"""
LEAST_PATIENCE: Final = dt.timedelta(minutes=5)
"""but not before so long: a backlog may take its time, and one that says it is late all the time says nothing."""


@dataclass(frozen=True, slots=True)
class JobState:
    """How one job goes; the fields are those of `job_turn` (store/migrations/0007_facts.sql)."""

    name: str
    every_seconds: int
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    well_at: dt.datetime
    done: int
    failures: int
    error: str | None

    @property
    def is_running(self) -> bool:
        """Whether a turn is under way that has taken more than a moment already."""
        return self.started_at is not None and (self.finished_at is None or self.finished_at < self.started_at)

    def is_late(self, now: dt.datetime) -> bool:
        """Whether it should have had a good turn long ago: nobody does it, it never ends, or it fails each time."""
        return now - self.well_at > max(LATE_TURNS * dt.timedelta(seconds=self.every_seconds), LEAST_PATIENCE)


@dataclass(frozen=True, slots=True)
class Waiting:
    """For how many whole seconds the oldest fact, mail and delivery have waited for their turn; 0 where none does."""

    facts: int
    mails: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class Standing:
    """All of it."""

    jobs: list[JobState]
    waiting: Waiting

    def late(self, now: dt.datetime) -> list[str]:
        """The names of those that are late."""
        return [job.name for job in self.jobs if job.is_late(now)]


async def standing(database: Database, now: dt.datetime) -> Standing:
    """Every job by name, and what waits."""
    async with database.read() as conn:
        jobs = await (await conn.execute(SQL["jobs"])).fetchall()
        oldest = await (await conn.execute(SQL["waiting"])).fetchone()
    if oldest is None:
        raise AssertionError("three sums answer a row")
    return Standing(
        [JobState(**job) for job in jobs],
        Waiting(*(_seconds(oldest[name], now) for name in ("fact", "mail", "delivery"))),
    )


def _seconds(since: dt.datetime | None, now: dt.datetime) -> int:
    return 0 if since is None else max(int((now - since).total_seconds()), 0)
