"""Time as a surface: calls the flows that the clock asks for, in `tally serve` or apart in `tally worker`.

Nothing here is needed for a right figure: every flow settles what is due before it books. It only makes sure that
what is due happens also where nobody calls.
"""

import asyncio
import contextlib
import datetime as dt
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from tallystick.flows import claims, due, maintain, reprice
from tallystick.kernel.errors import TallystickError
from tallystick.runtime import Runtime
from tallystick.settings import Settings

_log = structlog.get_logger("tallystick.worker")


@dataclass(slots=True)
class Job:
    """A flow that is called again and again; each is safe to run twice and by many at once."""

    name: str
    every: dt.timedelta
    run: Callable[[Runtime, dt.datetime], Awaitable[int]]
    next_at: dt.datetime | None = None


async def _settle_due(runtime: Runtime, now: dt.datetime) -> int:
    return await due.sweep(runtime.database, now=now, ids=runtime.ids)


@dataclass(slots=True)
class _LatePrices:
    """Prices what was unpriced after the catalog changed; twice, since a commit that began before may end after."""

    version: int = -1
    turns: int = 0

    async def __call__(self, runtime: Runtime, now: dt.datetime) -> int:
        version = await reprice.catalog_version(runtime.database, runtime.catalogs)
        if version != self.version:
            self.version, self.turns = version, 2
        if not self.turns:
            return 0
        self.turns -= 1
        return await reprice.price_unpriced(
            runtime.database,
            catalogs=runtime.catalogs,
            models=runtime.models,
            hourly_days=runtime.settings.hourly_rollup_days,
            now=now,
            ids=runtime.ids,
        )


async def _end_lost(runtime: Runtime, now: dt.datetime) -> int:
    return await claims.end_lost(runtime.database, now=now)


async def _forget_hours(runtime: Runtime, now: dt.datetime) -> int:
    return await maintain.forget_hours(runtime.database, now - dt.timedelta(days=runtime.settings.hourly_rollup_days))


def jobs(settings: Settings) -> list[Job]:
    """What there is to do, and how often."""
    often = dt.timedelta(seconds=settings.worker_seconds)
    return [
        Job("settle_due", often, _settle_due),
        Job("end_lost_runs", often, _end_lost),
        Job("price_unpriced", often, _LatePrices()),
        Job("forget_hours", dt.timedelta(hours=1), _forget_hours),
    ]


async def work(runtime: Runtime) -> None:
    """Do what is due until cancelled. A job that fails is logged and tried again at its next turn."""
    todo = jobs(runtime.settings)
    while True:
        now = runtime.clock.now()
        for job in todo:
            if job.next_at is None or job.next_at <= now:
                await _run(job, runtime, now)
                job.next_at = now + job.every
        await asyncio.sleep(runtime.settings.worker_seconds)


async def _run(job: Job, runtime: Runtime, now: dt.datetime) -> None:
    try:
        done = await job.run(runtime, now)
    except TallystickError as error:
        _log.warning("job failed", job=job.name, reason=error.code, message=error.message)
    except Exception:  # noqa: BLE001 - the next turn tries again, the log has it in full
        _log.exception("job failed", job=job.name)
    else:
        if done:
            _log.info("job done", job=job.name, done=done)


async def serve(settings: Settings) -> None:
    """Work apart from any server until SIGTERM or SIGINT. Raises what `Runtime.open` raises."""
    runtime = await Runtime.open(settings)
    task = asyncio.create_task(work(runtime))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        await runtime.close()
