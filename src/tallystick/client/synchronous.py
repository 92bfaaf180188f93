"""The client for threads: usage is kept in memory and sent by a thread of its own; calls answer where they stand."""

import atexit
import datetime as dt
import os
import random
import threading
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
from tallystick.client.methods import method
from tallystick.client.replies import Call, error_of
from tallystick.kernel.clock import Clock, SystemClock
from tallystick.kernel.ids import Ids, SystemIds

T = TypeVar("T")

EXIT_SECONDS: Final = 10.0
"""How long the end of a program waits for what is still to be sent."""


class SyncTransport:
    """Sends requests and drives deliveries. Safe to use from several threads."""

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting
        self._http = connecting.sync_client()

    def send(self, call: Call[T]) -> bytes:
        """The body of the answer. Raises `ApiError` and `ServerUnreachableError`."""
        try:
            response = self._http.request(
                call.method, call.path, params=dict(call.query) or None, content=call.body, headers=dict(call.headers)
            )
        except httpx2.HTTPError as error:
            raise ServerUnreachableError(self._connecting.base_url, cause_of(error)) from error
        if not response.is_success:
            raise error_of(response.status_code, response.content)
        return response.content

    def run(self, steps: Delivery, pause: Callable[[float], object]) -> Outcome:
        """Do what a delivery asks for until it has an outcome."""
        answer: Reply | NoReply | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            if isinstance(step, Pause):
                pause(step.seconds)
                answer = None
            else:
                answer = self._post(step)

    def _post(self, step: Post) -> Reply | NoReply:
        try:
            response = self._http.post(step.path, content=step.body, headers={"content-type": BATCH_TYPE})
        except httpx2.HTTPError as error:
            return NoReply(cause_of(error))
        return Reply(response.status_code, response.headers, response.content)

    def renew(self) -> None:
        """Forget the connections: after a fork they belong to the parent."""
        self._http = self._connecting.sync_client()

    def close(self) -> None:
        self._http.close()


class _Stopped(Exception):  # noqa: N818 - no error: the client was closed while it waited to try again
    pass


class _Recorder:
    """The outbox, the lock around it and the thread that empties it."""

    def __init__(
        self,
        transport: SyncTransport,
        batching: Batching,
        retrying: Retrying,
        on_problem: Callable[[EventProblem], None] | None,
    ) -> None:
        self._transport = transport
        self._batching = batching
        self._retrying = retrying
        self._on_problem = on_problem
        self._begin()
        _RECORDERS.add(self)

    def _begin(self) -> None:
        self._outbox = Outbox(self._batching)
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def after_fork(self) -> None:
        """In the child: what waits is the parent's to send, and its thread and connections did not come along."""
        self._transport.renew()
        self._begin()

    def add(self, event: EncodedEvent) -> None:
        with self._changed:
            if self._stop.is_set():
                raise RuntimeError("the client is closed")
            if self._outbox.is_full and not self._changed.wait_for(
                lambda: not self._outbox.is_full or self._stop.is_set(), self._batching.full_timeout
            ):
                raise BufferFullError(f"{self._batching.max_pending} events are waiting to be sent already.")
            if self._outbox.add(event, machine_time.monotonic()):
                self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tallystick-recorder", daemon=True)
                self._thread.start()

    def flush(self, timeout: float | None) -> None:
        with self._changed:
            target = self._outbox.hurry()
            self._changed.notify_all()
            in_time = self._changed.wait_for(lambda: self._outbox.settled >= target, timeout)
            problems, count = self._outbox.problems()
            missing = target - self._outbox.settled
        if count:
            raise RecordingError(problems, count)
        if not in_time:
            raise TimeoutError(f"{missing} recorded events are still to be sent")

    def close(self, timeout: float | None) -> None:
        """Send what waits, then stop. What could not be sent in time is told like every other problem."""
        try:
            if not self._stop.is_set():
                self.flush(timeout)
        except TimeoutError:
            problems = self._abandon()
            raise RecordingError(problems, len(problems)) from None
        finally:
            with self._changed:
                self._stop.set()
                self._changed.notify_all()
            if self._thread is not None:
                self._thread.join(1.0)

    def _abandon(self) -> list[EventProblem]:
        with self._changed:
            left = self._outbox.abandon()
        problems = delivery.unsent(left)
        delivery.tell(problems, self._on_problem)
        return problems

    def _work(self) -> None:
        changed, outbox = self._changed, self._outbox
        while True:
            with changed:
                while (batch := outbox.take(machine_time.monotonic())) is None:
                    if self._stop.is_set():
                        return
                    changed.wait(outbox.due_in(machine_time.monotonic()))
            steps = delivery.deliver(batch, self._retrying, random.random)
            outcome = self._deliver(steps, batch)
            delivery.tell(outcome.problems, self._on_problem)
            with changed:
                if not outbox.is_empty:
                    outbox.settle(outcome)
                changed.notify_all()

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _Stopped

    def _deliver(self, steps: Delivery, batch: list[EncodedEvent]) -> Outcome:
        """The outcome also where the unforeseen happens: this thread must outlive it, and the events be named."""
        try:
            return self._transport.run(steps, self._pause)
        except _Stopped:
            return Outcome()  # whoever stopped us has named the events already
        except Exception as error:  # noqa: BLE001 - told by the outcome
            return Outcome(problems=delivery.failed(batch, error))


_RECORDERS: "Final[weakref.WeakSet[_Recorder]]" = weakref.WeakSet()


def _after_fork() -> None:
    for recorder in list(_RECORDERS):
        recorder.after_fork()


@atexit.register
def _at_exit() -> None:
    """The last events of a program: sent before it ends, or named in the log."""
    for recorder in list(_RECORDERS):
        try:
            recorder.close(EXIT_SECONDS)
        except RecordingError:
            continue  # each of them has been told already


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Client:
    """A connection to one server with one token. Safe to use from several threads; close it, or use it in a `with`.

    `workspace_uuid` selects a workspace for an operator's token. `subject` and `source` are those of recorded events
    that name none; without a subject they belong to the token's workspace. `timeout` is in seconds, per request.
    `on_problem` is called, from another thread, for every recorded event that the server does not take.
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
        self._transport = SyncTransport(connecting)
        self._recorder = _Recorder(self._transport, batching or Batching(), self._retrying, on_problem)

    def record(
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
        """Report usage; returns the event's id at once, the sending happens behind.

        Raises `BufferFullError` when there was no room in time, TypeError for fields that no event has.
        """
        event = self._maker.make(type, id, source, subject, time, data, fields)
        self._recorder.add(event)
        return event.id

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all that was recorded so far has been settled.

        Raises `RecordingError` with what the server did not take since the last flush, TimeoutError after `timeout`
        seconds: then the sending goes on.
        """
        self._recorder.flush(timeout)

    def close(self, timeout: float | None = EXIT_SECONDS) -> None:
        """Flush and end. Raises `RecordingError` with what was not taken, or not sent within `timeout` seconds."""
        try:
            self._recorder.close(timeout)
        finally:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.close()
        except RecordingError:
            if kind is None:
                raise  # with another error under way, that one is the news; the log has these

    def send(self, call: Call[T]) -> T:
        """The answer to a call of `tallystick.client.calls`. Raises `ApiError` and `ServerUnreachableError`."""
        return call.decoder.decode(self._transport.send(call))

    def send_raw(self, call: Call[Any]) -> bytes:
        """The same as the JSON that the server wrote."""
        return self._transport.send(call)

    def deliver(self, events: list[EncodedEvent], path: str = delivery.EVENTS_PATH) -> Outcome:
        """Send encoded events now and wait for what becomes of them, with all the retrying that `record` gets."""
        return self._transport.run(delivery.deliver(events, self._retrying, random.random, path), machine_time.sleep)

    usage_metrics = method(calls.usage_metrics)
    subscription = method(calls.subscription)
    balances = method(calls.balances)
    current_user = method(calls.current_user)
    current_workspace = method(calls.current_workspace)
    plays = method(calls.plays)
    tools = method(calls.tools)
    agents = method(calls.agents)
    connectors = method(calls.connectors)
    models = method(calls.models)
    create_token = method(calls.create_token)
    tokens = method(calls.tokens)
    revoke_token = method(calls.revoke_token)
    create_workspace = method(calls.create_workspace)
    workspaces = method(calls.workspaces)
    create_grant = method(calls.create_grant)
    price_versions = method(calls.price_versions)
    add_price = method(calls.add_price)
    plans = method(calls.plans)
