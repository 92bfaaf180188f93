"""Runs for asyncio: the same rules as for threads; timers and tasks of the event loop do what becomes due."""

import asyncio
import contextlib
import logging
import threading
import time as machine_time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from tallystick.client.asking import Ask, Record, Steps, Tell
from tallystick.client.calls import Amount
from tallystick.client.delivery import NoReply, Pause, Reply
from tallystick.client.errors import EventProblem
from tallystick.client.events import EncodedEvent, EventMaker
from tallystick.client.holding import RunState
from tallystick.client.holds import OpenHold
from tallystick.client.leases import Share
from tallystick.client.replies import Call
from tallystick.client.runs import Reporting, amounts_of

T = TypeVar("T")

_LOG = logging.getLogger("tallystick.client")

_BETWEEN_LOOKS: Final = 0.02


class AsyncRun(Reporting):
    """A run of an asynchronous client; ask `AsyncClient.run` for it, and use it in an `async with`, once.

    Reporting usage does not wait, and may be done from any thread.
    """

    def __init__(
        self, keeper: "AsyncKeeper", maker: EventMaker, state: RunState, outer: "AsyncRun | None" = None
    ) -> None:
        super().__init__(keeper.owner, maker, state, outer)
        self._keeper = keeper
        self._sending = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    async def __aenter__(self) -> Self:
        self._once()
        self._keeper.check_open()
        await self._keeper.whole(self._open(), undo=self.end)
        return self._begun()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._leave()
        await self._keeper.whole(self.end())

    def reserve(
        self,
        credits: Amount | None = None,  # noqa: A002 - the unit's name
        *,
        tool_runs: Amount | None = None,
    ) -> "AsyncReservation":
        """Set aside more before a call, awaited or in an `async with`: then it is settled with what is reported there.

        Raises `RefusedError`: then the run goes on with what it has; `ServerUnreachableError` as the policy has it.
        """
        return AsyncReservation(self, amounts_of(credits, tool_runs))

    async def _open(self) -> None:
        try:
            async with self._sending:
                await self._keeper.do(self._state.open())
        except BaseException:
            # A hold that may be there though nobody knows is looked for; else there is nothing to look after.
            self._keeper.watch(self)
            self._plan()
            raise

    async def set_aside(self, amounts: dict[str, int]) -> OpenHold | None:
        """Place a further hold; None when that is on trust."""
        if self._state.has_ended:
            raise RuntimeError("the run has ended")
        return await self._keeper.whole(self._reserve(amounts))

    async def _reserve(self, amounts: dict[str, int]) -> OpenHold | None:
        try:
            async with self._sending:
                return await self._keeper.do(self._state.reserve(amounts))
        finally:
            self._plan()

    def _begun(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._keeper.watch(self)
        self._enter()
        self._plan()
        return self

    async def part(self, hold: OpenHold | None) -> "AsyncRun":
        """A part of this run, begun, that settles `hold` by itself."""
        async with self._sending:
            part = AsyncRun(self._keeper, self._maker, self._state.part(hold), self)
        return part._begun()

    async def end(self) -> None:
        """Settle and release; a second time nothing happens."""
        async with self._sending:
            await self._keeper.do(self._state.finish())
        self._plan()

    async def _keep(self) -> None:
        try:
            async with self._sending:
                await self._keeper.do(self._state.upkeep())
        except Exception:  # noqa: BLE001 - what follows must be planned; the run's end tries again
            _LOG.exception("what was due for run %s could not be done", self.id)
        self._plan()

    async def end_rest(self) -> None:
        """Try once more to end what could not be ended."""
        async with self._sending:
            await self._keeper.do(self._state.end_rest())

    def give_up(self) -> list[EncodedEvent]:
        """End without the server: the events that it was not told of."""
        if self._timer is not None:
            self._timer.cancel()
        return self._state.abandon()

    def _planned(self) -> None:
        if threading.get_ident() == self._thread:
            self._plan()
        elif self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: what is collected is sent at the exit
                self._loop.call_soon_threadsafe(self._plan)

    def _plan(self) -> None:
        due = self._state.due_at()
        if due is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._state.has_ended:
                self._keeper.release(self)
            return
        self._keeper.watch(self)
        loop = asyncio.get_running_loop()
        at = loop.time() + max(due - machine_time.monotonic(), _BETWEEN_LOOKS)
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._keeper.spawn(self._keep())

    def _late(self, event: EncodedEvent) -> None:
        def record() -> None:
            self._keeper.spawn(self._keeper.record([event], None))

        if threading.get_ident() == self._thread:
            record()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(record)


class AsyncReservation:
    """What `AsyncRun.reserve` sets aside once this is awaited or entered: until the run or the `async with` ends."""

    def __init__(self, run: AsyncRun, amounts: dict[str, int]) -> None:
        self._run = run
        self._amounts = amounts
        self._hold: OpenHold | None = None
        self._is_placed = False
        self._part: AsyncRun | None = None

    def __await__(self) -> Generator[Any, None, "AsyncReservation"]:
        return self._place().__await__()

    async def _place(self) -> "AsyncReservation":
        if not self._is_placed:
            self._is_placed = True
            self._hold = await self._run.set_aside(self._amounts)
        return self

    async def __aenter__(self) -> AsyncRun:
        if self._part is not None:
            raise RuntimeError("what is set aside can be used up once")
        await self._place()
        self._part = await self._run.part(self._hold)
        return self._part

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._part is not None:
            await self._part.__aexit__(kind, error, at)


class AsyncKeeper:
    """The runs of one client, and the tasks that are under way for them."""

    def __init__(
        self,
        owner: object,
        exchange: Callable[[Call[Any]], Awaitable[Reply | NoReply]],
        record: Callable[[list[EncodedEvent], Share | None], Coroutine[Any, Any, None]],
        tell: Callable[[list[EventProblem]], None],
    ) -> None:
        self._owner = weakref.ref(owner)
        self._exchange = exchange
        self.record = record
        self._tell = tell
        self._runs: set[AsyncRun] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False

    @property
    def owner(self) -> object:
        """The client, as long as anybody has it."""
        return self._owner()

    async def do(self, steps: Steps[T]) -> T:
        """Do what a run asks for until it has its answer."""
        answer: Reply | NoReply | None = None
        try:
            while True:
                step = steps.send(answer)
                answer = None
                match step:
                    case Ask():
                        answer = await self._asked(step.call)
                    case Pause():
                        await asyncio.sleep(step.seconds)
                    case Record():
                        await self.record(step.events, step.share)
                    case Tell():
                        self._tell(step.problems)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    async def _asked(self, call: Call[Any]) -> Reply | NoReply:
        try:
            return await self._exchange(call)
        except RuntimeError as error:  # the client was closed meanwhile: what a run has used is still told
            return NoReply(str(error))

    def check_open(self) -> None:
        """Raises RuntimeError once the client is closed."""
        if self._stopped:
            raise RuntimeError("the client is closed")

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin something that outlives who asks for it; closing the client waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def whole(
        self, work: Coroutine[Any, Any, T], undo: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> T:
        """Do it to its end even when who asks is cancelled meanwhile, and then undo what nobody has any use for."""
        task = self.spawn(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if undo is not None:
                self.spawn(self._undo(task, undo))
            elif not task.done():
                task.add_done_callback(_look_at)
            raise

    @staticmethod
    async def _undo(task: "asyncio.Task[Any]", undo: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            await undo()

    def watch(self, run: AsyncRun) -> None:
        """Remember a run that has begun."""
        self._runs.add(run)

    def release(self, run: AsyncRun) -> None:
        """Forget a run of which nothing is left to do."""
        self._runs.discard(run)

    async def close(self, timeout: float | None) -> None:  # noqa: ASYNC109 - the same as the other client's
        """End every run. What can't be settled within `timeout` seconds is left to the recorder."""
        self._stopped = True
        runs = list(self._runs)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(self._end(run) for run in runs))
                while self._tasks:
                    await asyncio.wait(list(self._tasks))
        for task in list(self._tasks):
            task.cancel()
        for run in runs:
            left = run.give_up()
            if left:
                await self.record(left, None)
        self._runs.clear()

    async def _end(self, run: AsyncRun) -> None:
        await run.end()
        await run.end_rest()

    def abandon(self) -> list[EncodedEvent]:
        """At the end of the program, with no event loop: what the runs still had to tell."""
        runs, self._runs = list(self._runs), set()
        return [event for run in runs for event in run.give_up()]


def _look_at(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and task.exception() is not None:
        _LOG.warning("a request of a cancelled task failed: %s", task.exception())
