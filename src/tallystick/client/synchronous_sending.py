"""How the synchronous client sends: requests where they stand, recorded events by a thread of its own."""

import atexit
import os
import random
import threading
import time as machine_time
import weakref
from collections.abc import Callable
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
        reply = self.exchange(call, self._connecting.timeout)
        if isinstance(reply, NoReply):
            raise ServerUnreachableError(self._connecting.base_url, reply.cause)
        if not 200 <= reply.status < 300:
            raise error_of(reply.status, reply.body)
        return reply.body

    def exchange(self, call: Call[Any], timeout: float) -> Reply | NoReply:
        """One attempt; `timeout` in seconds for each of connecting, sending and waiting for the next byte."""
        try:
            response = self._http.request(
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
            return no_reply(error)
        return Reply(response.status_code, response.headers, response.content)

    def renew(self) -> None:
        """Forget the connections: after a fork they belong to the parent."""
        self._http = self._connecting.sync_client()

    def close(self) -> None:
        self._http.close()


class _Stopped(Exception):  # noqa: N818 - no error: the client was closed while it waited to try again
    pass


class Recorder:
    """The outbox, the lock around it and the thread that empties it."""

    def __init__(
        self,
        transport: SyncTransport,
        batching: Batching,
        retrying: Retrying,
        on_problem: Callable[[EventProblem], None] | None,
        on_outcome: Callable[[list[EncodedEvent], Outcome], None] | None = None,
    ) -> None:
        self._on_outcome = on_outcome
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
            try:
                outcome = self._deliver(steps, batch)
            except _Stopped:
                return  # whoever stopped us has named the events already
            self._answered(batch, outcome)
            with changed:
                if not outbox.is_empty:
                    outbox.settle(outcome)
                changed.notify_all()

    def _answered(self, batch: list[EncodedEvent], outcome: Outcome) -> None:
        delivery.tell(outcome.problems, self._on_problem)
        if self._on_outcome is not None:
            self._on_outcome(batch, outcome)

    def note(self, problems: list[EventProblem]) -> None:
        """Tell of events that were sent another way; the next flush raises them, too."""
        delivery.tell(problems, self._on_problem)
        with self._changed:
            self._outbox.note(problems)

    def refuse(self, events: list[EncodedEvent], error: Exception) -> None:
        """Events that found no room here."""
        problems = delivery.failed(events, error)
        self.note(problems)
        if self._on_outcome is not None:
            self._on_outcome(events, Outcome(problems=problems))

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _Stopped

    def _deliver(self, steps: Delivery, batch: list[EncodedEvent]) -> Outcome:
        """The outcome also where the unforeseen happens: this thread must outlive it, and the events be named."""
        try:
            return self._transport.run(steps, self._pause)
        except _Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - told by the outcome
            return Outcome(problems=delivery.failed(batch, error))


_RECORDERS: "Final[weakref.WeakSet[Recorder]]" = weakref.WeakSet()


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


class Recorders:
    """The recorder of all events but those of runs on trust; these have their own, so that their charges are known."""

    def __init__(
        self,
        transport: SyncTransport,
        batching: Batching,
        retrying: Retrying,
        on_problem: Callable[[EventProblem], None] | None,
        lease: LeaseAccount | None,
    ) -> None:
        self.usual = Recorder(transport, batching, retrying, on_problem)
        self._all = [self.usual]
        self._lease = lease
        if lease is not None:
            self._all.append(Recorder(transport, batching, lease.lasting(retrying), on_problem, lease.booked))

    def record(self, events: list[EncodedEvent], share: Share | None) -> None:
        """Take the events of a run. Raises nothing: what there is no room for is told like every other problem."""
        recorder = self.usual if share is None else self._all[-1]
        if self._lease is not None and share is not None:
            self._lease.expect(share, events)
        for at, event in enumerate(events):
            try:
                recorder.add(event)
            except (BufferFullError, RuntimeError) as error:
                recorder.refuse(events[at:], error)
                return

    def flush(self, timeout: float | None) -> None:
        """As `Client.flush` has it."""
        self._each(lambda recorder: recorder.flush(timeout))

    def close(self, timeout: float | None) -> None:
        """As `Client.close` has it."""
        self._each(lambda recorder: recorder.close(timeout))

    def _each(self, work: Callable[[Recorder], None]) -> None:
        problems: list[EventProblem] = []
        count = 0
        late: TimeoutError | None = None
        for recorder in self._all:
            try:
                work(recorder)
            except RecordingError as error:
                problems += error.problems
                count += error.count
            except TimeoutError as error:
                late = error
        if count:
            raise RecordingError(problems, count)
        if late is not None:
            raise late
