"""Test clocks and background work on the wire."""

import datetime as dt
from uuid import UUID

from tallystick.wire.identity import Wire


class Clock(Wire):
    """`at` is what time it is for the workspace, `isTest` whether a test clock says so and not the machine."""

    workspace_uuid: UUID
    at: dt.datetime
    is_test: bool


class ClockAnswer(Wire):
    clock: Clock


class AdvanceClock(Wire):
    """`to` is the instant at which the clock shall stand; it never goes back."""

    to: dt.datetime


class Job(Wire):
    """`wellAt` is when it last had a turn without a failure; `failures` are those since then, `error` of the last one.

    `late` says that it should have had a good turn long ago.
    """

    name: str
    every_seconds: int
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    well_at: dt.datetime
    done: int
    failures: int
    error: str | None
    running: bool
    late: bool


class WaitingSeconds(Wire):
    """For how many seconds the oldest fact, mail and webhook delivery have waited for their turn; 0: none does."""

    facts: int
    mails: int
    deliveries: int


class JobsAnswer(Wire):
    jobs: list[Job]
    waiting_seconds: WaitingSeconds
