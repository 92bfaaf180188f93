"""Runs for threads: each waits where it stands; one thread per client looks after what becomes due meanwhile."""

import logging
import math
import threading
import time as machine_time
import weakref
from collections.abc import Callable
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


class Run(Reporting):
    """A run of a synchronous client; ask `Client.run` for it, and use it in a `with`, once."""

    def __init__(self, keeper: "Keeper", maker: EventMaker, state: RunState, outer: "Run | None" = None) -> None:
        super().__init__(keeper.owner, maker, state, outer)
        self._keeper = keeper
        self._sending = threading.Lock()

    def __enter__(self) -> Self:
        self._once()
        self._keeper.check_open()
        try:
            with self._sending:
                self._keeper.do(self._state.open())
        except BaseException:
            # A hold that may be there though nobody knows is looked for; else there is nothing to look after.
            self._keeper.watch(self)
            self._keeper.release(self)
            raise
        return self._begun()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave()
        self.end()

    def reserve(self, credits: Amount | None = None, *, tool_runs: Amount | None = None) -> "Reservation":  # noqa: A002
        """Set aside more before a call. In a `with` it is settled with what is reported there, else with the run.

        Raises `RefusedError`: then the run goes on with what it has; `ServerUnreachableError` as the policy has it.
        """
        amounts = amounts_of(credits, tool_runs)
        if self._state.has_ended:
            raise RuntimeError("the run has ended")
        try:
            with self._sending:
                hold = self._keeper.do(self._state.reserve(amounts))
        finally:
            self._planned()
        return Reservation(self, hold)

    def _begun(self) -> Self:
        self._keeper.watch(self)
        self._enter()
        return self

    def part(self, hold: OpenHold | None) -> "Run":
        """A part of this run, begun, that settles `hold` by itself."""
        with self._sending:
            part = Run(self._keeper, self._maker, self._state.part(hold), self)
        return part._begun()

    def end(self) -> None:
        """Settle and release; a second time nothing happens."""
        with self._sending:
            self._keeper.do(self._state.finish())
        self._keeper.release(self)

    def keep(self) -> None:
        """Do what is due."""
        with self._sending:
            self._keeper.do(self._state.upkeep())

    def due_at(self) -> float | None:
        return self._state.due_at()

    def give_up(self) -> list[EncodedEvent]:
        """End without the server: the events that it was not told of."""
        return self._state.abandon()

    def end_rest(self) -> None:
        """Try once more to end what could not be ended."""
        with self._sending:
            self._keeper.do(self._state.end_rest())

    def after_fork(self) -> None:
        """In the child the run is over: its hold is the parent's to settle."""
        self._sending = threading.Lock()
        self._state = self._state.ended()

    def _planned(self) -> None:
        due = self._state.due_at()
        if due is not None:
            self._keeper.plan(due)

    def _late(self, event: EncodedEvent) -> None:
        self._keeper.record([event], None)


class Reservation:
    """What `Run.reserve` set aside. It stays so until the run ends, or until the `with` that it is used in."""

    def __init__(self, run: Run, hold: OpenHold | None) -> None:
        self._run = run
        self._hold = hold
        self._part: Run | None = None

    def __enter__(self) -> Run:
        if self._part is not None:
            raise RuntimeError("what is set aside can be used up once")
        self._part = self._run.part(self._hold)
        return self._part

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._part is not None:
            self._part.__exit__(kind, error, at)


class Keeper:
    """The runs of one client: sends what they ask for, and does in time what is due while they run."""

    def __init__(
        self,
        owner: object,
        exchange: Callable[[Call[Any]], Reply | NoReply],
        record: Callable[[list[EncodedEvent], Share | None], None],
        tell: Callable[[list[EventProblem]], None],
    ) -> None:
        self._owner = weakref.ref(owner)
        self._exchange = exchange
        self.record = record
        self._tell = tell
        self._begin()

    def _begin(self) -> None:
        self._runs: set[Run] = set()
        self._changed = threading.Condition()
        self._next = math.inf
        self._stopped = False
        self._thread: threading.Thread | None = None

    @property
    def owner(self) -> object:
        """The client, as long as anybody has it."""
        return self._owner()

    def do(self, steps: Steps[T]) -> T:
        """Do what a run asks for until it has its answer."""
        answer: Reply | NoReply | None = None
        try:
            while True:
                step = steps.send(answer)
                answer = None
                match step:
                    case Ask():
                        answer = self._asked(step.call)
                    case Pause():
                        machine_time.sleep(step.seconds)
                    case Record():
                        self.record(step.events, step.share)
                    case Tell():
                        self._tell(step.problems)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def _asked(self, call: Call[Any]) -> Reply | NoReply:
        try:
            return self._exchange(call)
        except RuntimeError as error:  # the client was closed meanwhile: what a run has used is still told
            return NoReply(str(error))

    def check_open(self) -> None:
        """Raises RuntimeError once the client is closed."""
        if self._stopped:
            raise RuntimeError("the client is closed")

    def watch(self, run: Run) -> None:
        """Look after a run that has begun."""
        with self._changed:
            self._runs.add(run)
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._work, name="tallystick-runs", daemon=True)
                self._thread.start()
        due = run.due_at()
        if due is not None:
            self.plan(due)

    def release(self, run: Run) -> None:
        """A run has ended; it is looked after as long as something of it could not be."""
        due = run.due_at()
        if due is not None:
            self.plan(due)
            return
        with self._changed:
            self._runs.discard(run)

    def plan(self, due: float) -> None:
        """Something is due then."""
        with self._changed:
            if due < self._next:
                self._next = due
                self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and self._next > machine_time.monotonic():
                    rest = self._next - machine_time.monotonic()
                    self._changed.wait(None if math.isinf(rest) else max(rest, 0.0))
                if self._stopped:
                    return
                due = self._look(machine_time.monotonic())
            for run in due:
                try:
                    run.keep()
                except Exception:  # noqa: BLE001 - this thread must outlive it; the run's end tries again
                    _LOG.exception("what was due for run %s could not be done", run.id)
                self.release(run) if run.has_ended else self._again(run)

    def _look(self, now: float) -> list[Run]:
        """The runs for which something is due; the others say when to look next."""
        due: list[Run] = []
        following = math.inf
        for run in self._runs:
            at = run.due_at()
            if at is not None and at <= now:
                due.append(run)
            elif at is not None:
                following = min(following, at)
        self._next = max(following, now + _BETWEEN_LOOKS)
        return due

    def _again(self, run: Run) -> None:
        at = run.due_at()
        if at is not None:
            self.plan(max(at, machine_time.monotonic() + _BETWEEN_LOOKS))

    def close(self, timeout: float | None) -> None:
        """End every run. What can't be settled within `timeout` seconds is left to the recorder."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            runs, self._runs = list(self._runs), set()
        until = math.inf if timeout is None else machine_time.monotonic() + timeout
        for run in runs:
            if machine_time.monotonic() < until:
                run.end()
                run.end_rest()
            left = run.give_up()
            if left:
                self.record(left, None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def after_fork(self) -> None:
        """In the child the runs are over; new ones may begin."""
        for run in self._runs:
            run.after_fork()
        self._begin()
