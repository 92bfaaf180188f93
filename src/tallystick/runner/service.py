"""The runner as a service: claims what waits, runs several at once, and lets go of all of it when told to end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx2
import structlog

from tallystick.client import ApiError, AsyncClient
from tallystick.client import orchestration as calls
from tallystick.kernel.clock import Clock, FrozenClock, SystemClock
from tallystick.runner import connection
from tallystick.runner.addresses import GuardedTransport, certificates
from tallystick.runner.language_models import LanguageModels
from tallystick.runner.metering import Experience, Meter
from tallystick.runner.nodes import Limits, Outside
from tallystick.runner.runs import RunExecutor
from tallystick.wire.orchestration import Task

_log = structlog.get_logger("tallystick.runner")

_GRACE_SECONDS: Final = 10.0
_CLAIM_MAX: Final = 100
_CLIENT_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class Options:
    """`name` shows whose a run is; at most `concurrency` runs go on at once."""

    base_url: str
    token: str
    limits: Limits
    name: str = "runner"
    concurrency: int = 8
    poll_seconds: float = 0.5
    lease_seconds: int = 30
    hold_wait_seconds: int = 20


@dataclass(slots=True)
class Runner:
    """Make it with `opened`; `serve` works until `stop`."""

    options: Options
    server: AsyncClient
    outside: Outside
    clock: Clock
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _experience: Experience = field(default_factory=Experience)
    _running: set["asyncio.Task[None]"] = field(default_factory=set)

    def stop(self) -> None:
        """Claim nothing more; runs are left between two nodes, for the next runner to go on with."""
        self.stopping.set()

    async def serve(self) -> None:
        """Work until told to stop. Raises `ApiError` where the token may not claim runs."""
        try:
            while not self.stopping.is_set():
                free = self.options.concurrency - len(self._running)
                claimed = await self._claim(free) if free else []
                for task in claimed:
                    self._start(task)
                if not claimed:
                    await self._pause()
        finally:
            await self._let_go()

    async def _claim(self, limit: int) -> list[Task]:
        wanted = calls.claim_runs(
            self.options.name, limit=min(limit, _CLAIM_MAX), lease_seconds=self.options.lease_seconds
        )
        asking = asyncio.create_task(connection.send(self.server, wanted))
        stopped = asyncio.create_task(self._until_stopped())
        await asyncio.wait({asking, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not asking.done():
            asking.cancel()
            return []
        return asking.result().tasks

    def _start(self, task: Task) -> None:
        options = self.options
        meter = Meter(
            server=self.server,
            clock=self.clock if task.clock is None else FrozenClock(task.clock),
            experience=self._experience,
            workspace=task.run.workspace_uuid,
            workflow=task.run.workflow_uuid,
            run=task.run.uuid,
            batch=task.run.batch_uuid,
            lease=task.lease,
            wait_seconds=options.hold_wait_seconds,
        )
        executor = RunExecutor(self.server, self.clock, self.outside, meter, task, options.lease_seconds, self.stopping)
        running = asyncio.create_task(self._watched(executor), name=f"run {task.run.uuid}")
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _watched(self, executor: RunExecutor) -> None:
        try:
            await executor.run()
        except ApiError as error:
            _log.warning("run left", run=str(executor.task.run.uuid), reason=error.reason, message=error.error_message)
        except Exception:  # noqa: BLE001 - one run must not end the others; its lease runs out and it is claimed again
            _log.exception("run left", run=str(executor.task.run.uuid))

    async def _pause(self) -> None:
        """Wait for the next look, or until a run has ended and there is room, or until told to stop."""
        full = len(self._running) >= self.options.concurrency
        stopped = asyncio.create_task(self._until_stopped())
        await asyncio.wait(
            {stopped, *self._running},
            timeout=None if full else self.options.poll_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        stopped.cancel()

    async def _until_stopped(self) -> None:
        await self.stopping.wait()

    async def _let_go(self) -> None:
        self.stopping.set()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_GRACE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


@asynccontextmanager
async def opened(options: Options, clock: Clock | None = None) -> AsyncIterator[Runner]:
    """A runner with its ways out."""
    seconds = float(options.limits.seconds)
    async with (
        httpx2.AsyncClient(verify=certificates(), timeout=seconds) as ours,
        httpx2.AsyncClient(transport=GuardedTransport(options.limits.allowed), timeout=seconds) as guarded,
        AsyncClient(options.base_url, options.token, timeout=_CLIENT_SECONDS) as server,
    ):
        outside = Outside(options.limits, LanguageModels(ours, guarded), guarded)
        yield Runner(options, server, outside, clock or SystemClock())
