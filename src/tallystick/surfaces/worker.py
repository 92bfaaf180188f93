"""Time as a surface: calls the flows that the clock asks for, in `tally serve` or apart in `tally worker`.

Nothing here is needed for a right figure: every flow settles what is due before it books. It only makes sure that
what is due happens also where nobody calls.
"""

import asyncio
import contextlib
import datetime as dt
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from tallystick.flows import (
    claims,
    collecting,
    due,
    ending,
    maintain,
    notices,
    overdue,
    provider_events,
    reprice,
    revenue,
)
from tallystick.flows import jobs as records
from tallystick.flows.delivering import Sender
from tallystick.kernel.errors import TallystickError
from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tallystick.surfaces import telling

_log = structlog.get_logger("tallystick.worker")

_A_MOMENT: Final = 2.0
"""Seconds after which a turn is written down as under way; nearly all have ended by then: one write in place of two."""


@dataclass(slots=True)
class Job:
    """A flow that is called again and again; each is safe to run twice and by many at once."""

    name: str
    every: dt.timedelta
    run: Callable[[Runtime, dt.datetime], Awaitable[int]]


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


async def _stop_overdue(runtime: Runtime, now: dt.datetime) -> int:
    return await overdue.stop_overdue(runtime.database, now=now, ids=runtime.ids)


async def _end_lost(runtime: Runtime, now: dt.datetime) -> int:
    return await claims.end_lost(runtime.database, now=now)


async def _recognise_revenue(runtime: Runtime, now: dt.datetime) -> int:
    return await revenue.recognise(runtime.database, now=now, ids=runtime.ids)


async def _blank_closed(runtime: Runtime, now: dt.datetime) -> int:
    return await ending.blank_closed(runtime.database, days=runtime.settings.closed_data_days, now=now, ids=runtime.ids)


async def _forget_hours(runtime: Runtime, now: dt.datetime) -> int:
    return await maintain.forget_hours(runtime.database, now - dt.timedelta(days=runtime.settings.hourly_rollup_days))


async def _send_webhooks(runtime: Runtime, now: dt.datetime) -> int:
    # A turn may take a minute, so it asks for the time itself.
    sender = Sender(
        runtime.database,
        runtime.webhooks,
        runtime.clock,
        runtime.ids,
        seconds=runtime.settings.webhook_seconds,
        attempts_max=runtime.settings.delivery_attempts_max,
    )
    return await sender.turn()


async def _billing(runtime: Runtime, now: dt.datetime) -> int:
    return await collecting.turn(runtime.database, runtime.billing, None, now=now, ids=runtime.ids)


async def _billing_notices(runtime: Runtime, now: dt.datetime) -> int:
    return await notices.tell(runtime.database, None, now=now)


async def _hear_missed(runtime: Runtime, now: dt.datetime) -> int:
    return await provider_events.catch_up(runtime.database, runtime.billing, now=now, ids=runtime.ids)


def jobs(settings: Settings) -> list[Job]:
    """What there is to do, and how often."""
    often = dt.timedelta(seconds=settings.worker_seconds)
    return [
        Job("settle_due", often, _settle_due),
        Job("stop_overdue", often, _stop_overdue),
        Job("end_lost_runs", often, _end_lost),
        Job("price_unpriced", often, _LatePrices()),
        Job("billing", often, _billing),
        Job("billing_notices", dt.timedelta(hours=1), _billing_notices),
        Job("hear_missed", dt.timedelta(hours=1), _hear_missed),
        Job("send_webhooks", often, _send_webhooks),
        Job("fan_out_facts", often, telling.fan_out_facts),
        Job("send_mails", often, telling.send_mails),
        Job("recognise_revenue", dt.timedelta(hours=1), _recognise_revenue),
        Job("blank_closed", dt.timedelta(hours=1), _blank_closed),
        Job("forget_hours", dt.timedelta(hours=1), _forget_hours),
    ]


async def work(runtime: Runtime) -> None:
    """Do what is due until cancelled, each job at its own pace: one that is slow holds up no other.

    A job that fails is logged and tried again at its next turn. How each goes stands in `job_turn`.
    """
    todo = jobs(runtime.settings)
    await register(runtime, todo)
    async with asyncio.TaskGroup() as group:
        for job in todo:
            group.create_task(_again_and_again(job, runtime), name=job.name)


async def register(runtime: Runtime, todo: Sequence[Job] | None = None) -> None:
    """Write down which jobs there are, so that one which nobody does is noticed. Never raises."""
    todo = jobs(runtime.settings) if todo is None else todo
    named = [(job.name, _whole_seconds(job.every)) for job in todo]
    await _write(records.register(runtime.database, named, now=runtime.clock.now()))


async def _again_and_again(job: Job, runtime: Runtime) -> None:
    while True:
        await turn(job, runtime)
        await asyncio.sleep(job.every.total_seconds())


async def turn(job: Job, runtime: Runtime) -> int:
    """One turn of a job, written down when it has ended, or as begun once it takes its time; how much it did.

    What it raises is logged and written down, not raised.
    """
    begun = runtime.clock.now()
    every = _whole_seconds(job.every)
    task = asyncio.create_task(_run(job, runtime, begun))
    try:
        if not (await asyncio.wait({task}, timeout=_A_MOMENT))[0]:
            await _write(records.begun(runtime.database, job.name, every, now=begun))
        done, error = await task
    finally:
        # Told to stop in the middle: nothing of it goes on when the runtime is closed.
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    ended = records.Turn(job.name, every, begun, runtime.clock.now(), done, error)
    await _write(records.ended(runtime.database, ended))
    return done


async def _run(job: Job, runtime: Runtime, now: dt.datetime) -> tuple[int, str | None]:
    try:
        done = await job.run(runtime, now)
    except TallystickError as error:
        _log.warning("job failed", job=job.name, reason=error.code, message=error.message)
        return 0, f"{error.code}: {error.message}"
    except Exception as error:  # noqa: BLE001 - the next turn tries again, the log has it in full
        _log.exception("job failed", job=job.name)
        return 0, type(error).__name__
    if done:
        _log.info("job done", job=job.name, done=done)
    return done, None


async def _write(writing: Awaitable[None]) -> None:
    """A turn that can't be written down was done all the same."""
    try:
        await writing
    except Exception as error:  # noqa: BLE001 - what matters is the work, and the log says why
        _log.warning("job turn not recorded", reason=getattr(error, "code", type(error).__name__))


def _whole_seconds(span: dt.timedelta) -> int:
    return max(int(span.total_seconds()), 1)


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
