"""The client for asyncio: the same rules and the same calls as the synchronous one, with another way of waiting."""

import asyncio
import atexit
import datetime as dt
import random
import time as machine_time
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack

import httpx2

from tallystick.client import calls, delivery
from tallystick.client.batching import Batching, Outbox
from tallystick.client.connecting import Connecting, cause_of, default_agent
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
from tallystick.client.events import EncodedEvent, EventMaker, UsageData
from tallystick.client.methods import async_method
from tallystick.client.replies import Call, error_of
from tallystick.client.synchronous import EXIT_SECONDS, SyncTransport
from tallystick.kernel.clock import Clock, SystemClock
from tallystick.kernel.ids import Ids, SystemIds

T = TypeVar("T")


class _Transport:
    """Sends requests and drives deliveries on the running event loop."""

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting
        self._http = connecting.async_client()

    async def send(self, call: Call[T]) -> bytes:
        try:
            response = await self._http.request(
                call.method, call.path, params=dict(call.query) or None, content=call.body, headers=dict(call.headers)
            )
        except httpx2.HTTPError as error:
            raise ServerUnreachableError(self._connecting.base_url, cause_of(error)) from error
        if not response.is_success:
            raise error_of(response.status_code, response.content)
        return response.content

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
            return NoReply(cause_of(error))
        return Reply(response.status_code, response.headers, response.content)

    async def close(self) -> None:
        await self._http.aclose()


class _Recorder:
    """The outbox and the task that empties it; all of it belongs to one event loop."""

    def __init__(
        self,
        transport: _Transport,
        connecting: Connecting,
        batching: Batching,
        retrying: Retrying,
        on_problem: Callable[[EventProblem], None] | None,
    ) -> None:
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
            delivery.tell(outcome.problems, self._on_problem)
            async with self._settled:
                outbox.settle(outcome)
                self._settled.notify_all()

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


_RECORDERS: "Final[weakref.WeakSet[_Recorder]]" = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    for recorder in list(_RECORDERS):
        recorder.send_what_is_left()


class AsyncClient:
    """`Client` for asyncio: the same arguments and calls; close it with `aclose`, or use it in an `async with`.

    It belongs to the event loop in which it is first used.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        workspace_uuid: str | None = None,
        subject: str | None = None,
        source: str = "tallystick-client",
        timeout: float = 30.0,
        batching: Batching | None = None,
        retrying: Retrying | None = None,
        on_problem: Callable[[EventProblem], None] | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
        agent: str | None = None,
    ) -> None:
        self._retrying = retrying or Retrying()
        self._maker = EventMaker(source, subject, clock or SystemClock(), ids or SystemIds())
        connecting = Connecting(base_url, token, workspace_uuid, timeout, agent or default_agent())
        self._transport = _Transport(connecting)
        self._recorder = _Recorder(self._transport, connecting, batching or Batching(), self._retrying, on_problem)

    async def record(
        self,
        type: str,  # noqa: A002 - named as the attribute of the event
        *,
        id: str | None = None,  # noqa: A002 - named as the attribute of the event
        source: str | None = None,
        subject: str | None = None,
        time: dt.datetime | None = None,
        data: Mapping[str, Any] | None = None,
        **fields: Unpack[UsageData],
    ) -> str:
        """Report usage; returns the event's id, having waited only where there was no room.

        Raises `BufferFullError` when there was no room in time, TypeError for fields that no event has.
        """
        event = self._maker.make(type, id, source, subject, time, data, fields)
        await self._recorder.add(event)
        return event.id

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the same as the other client's
        """Wait until all that was recorded so far has been settled.

        Raises `RecordingError` with what the server did not take since the last flush, TimeoutError after `timeout`
        seconds: then the sending goes on.
        """
        await self._recorder.flush(timeout)

    async def aclose(self, timeout: float | None = EXIT_SECONDS) -> None:  # noqa: ASYNC109 - as above
        """Flush and end. Raises `RecordingError` with what was not taken, or not sent within `timeout` seconds."""
        try:
            await self._recorder.close(timeout)
        finally:
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            await self.aclose()
        except RecordingError:
            if kind is None:
                raise  # with another error under way, that one is the news; the log has these

    async def send(self, call: Call[T]) -> T:
        """The answer to a call of `tallystick.client.calls`. Raises `ApiError` and `ServerUnreachableError`."""
        return call.decoder.decode(await self._transport.send(call))

    async def send_raw(self, call: Call[Any]) -> bytes:
        """The same as the JSON that the server wrote."""
        return await self._transport.send(call)

    async def deliver(self, events: list[EncodedEvent], path: str = delivery.EVENTS_PATH) -> Outcome:
        """Send encoded events now and wait for what becomes of them, with all the retrying that `record` gets."""
        return await self._transport.run(delivery.deliver(events, self._retrying, random.random, path))

    usage_metrics = async_method(calls.usage_metrics)
    subscription = async_method(calls.subscription)
    balances = async_method(calls.balances)
    current_user = async_method(calls.current_user)
    current_workspace = async_method(calls.current_workspace)
    plays = async_method(calls.plays)
    tools = async_method(calls.tools)
    agents = async_method(calls.agents)
    connectors = async_method(calls.connectors)
    models = async_method(calls.models)
    create_token = async_method(calls.create_token)
    tokens = async_method(calls.tokens)
    revoke_token = async_method(calls.revoke_token)
    create_workspace = async_method(calls.create_workspace)
    workspaces = async_method(calls.workspaces)
    create_grant = async_method(calls.create_grant)
    price_versions = async_method(calls.price_versions)
    add_price = async_method(calls.add_price)
    plans = async_method(calls.plans)
