"""How the asynchronous client sends: requests where they stand, recorded events by a task of its own."""

import asyncio
import atexit
import random
import time as machine_time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import httpx2

from tallystick.client import delivery
from tallystick.client.batching import Batching, Outbox
from tallystick.client.connecting import Connecting, no_reply
from tallystick.client.delivery import (
    BATCH_TYPE,
    Delivery,
    NoReply,
    Outcome,
    Pause,
    Post,
    Reply,
    Retrying,
)
from tallystick.client.errors import BufferFullError, EventProblem, RecordingError, ServerUnreachableError
from tallystick.client.events import EncodedEvent
from tallystick.client.leases import LeaseAccount, Share
from tallystick.client.replies import Call, error_of
from tallystick.client.synchronous_sending import SyncTransport

T = TypeVar("T")


class AsyncTransport:
    """Sends requests and drives deliveries on the running event loop."""

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting
        self._http = connecting.async_client()

    async def send(self, call: Call[T]) -> bytes:
        reply = await self.exchange(call, self._connecting.timeout)
        if isinstance(reply, NoReply):
            raise ServerUnreachableError(self._connecting.base_url, reply.cause)
        if not 200 <= reply.status < 300:
            raise error_of(reply.status, reply.body)
        return reply.body

    async def exchange(self, call: Call[Any], timeout: float) -> Reply | NoReply:  # noqa: ASYNC109 - httpx2's own
        """One attempt; `timeout` in seconds for each of connecting, sending and waiting for the next byte."""
        try:
            response = await self._http.request(
                call.method,
                call.path,
                params=dict(call.query) or None,
                content=call.body,
                headers=dict(call.headers),
                timeout=timeout + call.patience,
            )
        except httpx2.HTTPError as error:
            return no_reply(error)
        return Reply(response.status_code, response.headers, response.content)

    async def run(self, steps: Delivery) -> Outcome:
        answer: Reply | NoReply | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                answer = None
            else:
                answer = await self._post(step)

    async def _post(self, step: Post) -> Reply | NoReply:
        try:
            response = await self._http.post(step.path, content=step.body, headers={"content-type": BATCH_TYPE})
        except httpx2.HTTPError as error:
            return no_reply(error)
        return Reply(response.status_code, response.headers, response.content)

    async def close(self) -> None:
        await self._http.aclose()


class AsyncRecorder:
    """The outbox and the task that empties it; all of it belongs to one event loop."""

    def __init__(
        self,
        transport: AsyncTransport,
        connecting: Connecting,
        batching: Batching,
        retrying: Retrying,
        on_problem: Callable[[EventProblem], None] | None,
        on_outcome: Callable[[list[EncodedEvent], Outcome], None] | None = None,
    ) -> None:
        self._on_outcome = on_outcome
        self._transport = transport
        self._connecting = connecting
        self._batching = batching
        self._retrying = retrying
        self._on_problem = on_problem
        self._outbox = Outbox(batching)
        self._woken = asyncio.Event()
        self._settled = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        _RECORDERS.add(self)

    async def add(self, event: EncodedEvent) -> None:
        if self._closed:
            raise RuntimeError("the client is closed")
        if self._outbox.is_full:
            await self._wait_for_room()
        if self._outbox.add(event, asyncio.get_running_loop().time()):
            self._woken.set()
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="tallystick-recorder")

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self._batching.full_timeout), self._settled:
                await self._settled.wait_for(lambda: not self._outbox.is_full)
        except TimeoutError:
            raise BufferFullError(f"{self._batching.max_pending} events are waiting to be sent already.") from None

    async def flush(self, timeout: float | None) -> None:  # noqa: ASYNC109 - the same signature as the other client's
        target = self._outbox.hurry()
        self._woken.set()
        missing = 0
        try:
            async with asyncio.timeout(timeout), self._settled:
                await self._settled.wait_for(lambda: self._outbox.settled >= target)
        except TimeoutError:
            missing = target - self._outbox.settled
        problems, count = self._outbox.problems()
        if count:
            raise RecordingError(problems, count)
        if missing:
            raise TimeoutError(f"{missing} recorded events are still to be sent")

    async def close(self, timeout: float | None) -> None:  # noqa: ASYNC109 - as above
        try:
            if not self._closed:
                await self.flush(timeout)
        except TimeoutError:
            problems = delivery.unsent(self._outbox.abandon())
            delivery.tell(problems, self._on_problem)
            raise RecordingError(problems, len(problems)) from None
        finally:
            self._closed = True
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        outbox, loop = self._outbox, asyncio.get_running_loop()
        while True:
            self._woken.clear()
            batch = outbox.take(loop.time())
            if batch is None:
                await self._sleep(outbox.due_in(loop.time()))
                continue
            outcome = await self._deliver(batch)
            self._answered(batch, outcome)
            async with self._settled:
                outbox.settle(outcome)
                self._settled.notify_all()

    def _answered(self, batch: list[EncodedEvent], outcome: Outcome) -> None:
        delivery.tell(outcome.problems, self._on_problem)
        if self._on_outcome is not None:
            self._on_outcome(batch, outcome)

    def note(self, problems: list[EventProblem]) -> None:
        """Tell of events that were sent another way; the next flush raises them, too."""
        delivery.tell(problems, self._on_problem)
        self._outbox.note(problems)

    def refuse(self, events: list[EncodedEvent], error: Exception) -> None:
        """Events that found no room here."""
        problems = delivery.failed(events, error)
        self.note(problems)
        if self._on_outcome is not None:
            self._on_outcome(events, Outcome(problems=problems))

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _deliver(self, batch: list[EncodedEvent]) -> Outcome:
        try:
            return await self._transport.run(delivery.deliver(batch, self._retrying, random.random))
        except Exception as error:  # noqa: BLE001 - told by the outcome; the task must outlive it
            return Outcome(problems=delivery.failed(batch, error))

    def leave(self, events: list[EncodedEvent]) -> None:
        """Add events where no event loop runs any more."""
        for event in events:
            self._outbox.add(event, machine_time.monotonic())

    def send_what_is_left(self) -> None:
        """At the end of the program there is no event loop any more: what nobody flushed goes the synchronous way."""
        left = self._outbox.abandon()
        if not left or self._closed:
            return
        transport = SyncTransport(self._connecting)
        try:
            few = Retrying(attempts=3)
            steps = delivery.deliver(left, few, random.random)
            delivery.tell(transport.run(steps, machine_time.sleep).problems, self._on_problem)
        finally:
            transport.close()


_RECORDERS: "Final[weakref.WeakSet[AsyncRecorder]]" = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    for recorder in list(_RECORDERS):
        recorder.send_what_is_left()


class AsyncRecorders:
    """The recorder of all events but those of runs on trust; these have their own, so that their charges are known."""

    def __init__(
        self,
        transport: AsyncTransport,
        connecting: Connecting,
        batching: Batching,
        retrying: Retrying,
        on_problem: Callable[[EventProblem], None] | None,
        lease: LeaseAccount | None,
    ) -> None:
        self.usual = AsyncRecorder(transport, connecting, batching, retrying, on_problem)
        self._all = [self.usual]
        self._lease = lease
        if lease is not None:
            lasting = lease.lasting(retrying)
            self._all.append(AsyncRecorder(transport, connecting, batching, lasting, on_problem, lease.booked))

    async def record(self, events: list[EncodedEvent], share: Share | None) -> None:
        """Take the events of a run. Raises nothing: what there is no room for is told like every other problem."""
        recorder = self.usual if share is None else self._all[-1]
        if self._lease is not None and share is not None:
            self._lease.expect(share, events)
        for at, event in enumerate(events):
            try:
                await recorder.add(event)
            except (BufferFullError, RuntimeError) as error:
                recorder.refuse(events[at:], error)
                return

    async def flush(self, timeout: float | None) -> None:  # noqa: ASYNC109 - as above
        """As `AsyncClient.flush` has it."""
        await self._each(lambda recorder: recorder.flush(timeout))

    async def close(self, timeout: float | None) -> None:  # noqa: ASYNC109 - as above
        """As `AsyncClient.aclose` has it."""
        await self._each(lambda recorder: recorder.close(timeout))

    async def _each(self, work: Callable[[AsyncRecorder], Awaitable[None]]) -> None:
        problems: list[EventProblem] = []
        count = 0
        late: TimeoutError | None = None
        for recorder in self._all:
            try:
                await work(recorder)
            except RecordingError as error:
                problems += error.problems
                count += error.count
            except TimeoutError as error:
                late = error
        if count:
            raise RecordingError(problems, count)
        if late is not None:
            raise late
