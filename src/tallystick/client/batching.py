"""When recorded events are sent and how many wait at most. Pure: no I/O, no clock, no lock; both clients drive it."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from tallystick.client.delivery import Outcome
from tallystick.client.errors import EventProblem
from tallystick.client.events import EncodedEvent

_MOST_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True)
class Batching:
    """A batch leaves when it has `max_events` or `max_bytes`, or its first event has waited `linger` seconds.

    At most `max_pending` events are kept, those under way included. `record` then waits up to `full_timeout` seconds
    for room, for ever when that is None, and raises `BufferFullError`.
    """

    max_events: int = 1000
    max_bytes: int = 900_000
    linger: float = 0.2
    max_pending: int = 20_000
    full_timeout: float | None = 30.0

    def __post_init__(self) -> None:
        if self.max_events < 1 or self.max_bytes < 1 or self.max_pending < 1 or self.linger < 0:
            raise ValueError("a batch needs at least one event and one byte, and linger is not negative")


@dataclass(slots=True)
class _Waiting:
    event: EncodedEvent
    since: float


@dataclass(slots=True)
class Outbox:
    """Events on their way, in the order of recording. Times are seconds of any clock that never runs back.

    One batch is under way at a time: so `settled` counts events in the order in which they were added.
    """

    batching: Batching
    added: int = 0
    settled: int = 0
    unreported: list[EventProblem] = field(default_factory=list)
    unreported_count: int = 0
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _bytes: int = 0
    _under_way: list[EncodedEvent] = field(default_factory=list)
    _urgent: int = 0

    @property
    def is_full(self) -> bool:
        return self.added - self.settled >= self.batching.max_pending

    @property
    def is_empty(self) -> bool:
        return self.added == self.settled

    def add(self, event: EncodedEvent, at: float) -> bool:
        """Keep an event; True when the sender has something to do sooner than it thought."""
        self._waiting.append(_Waiting(event, at))
        self._bytes += len(event.body) + 1
        self.added += 1
        return len(self._waiting) == 1 or self._is_full_batch()

    def hurry(self) -> int:
        """Send all that waits without lingering. The number that `settled` reaches once it is done."""
        self._urgent = self.added
        return self.added

    def due_in(self, at: float) -> float | None:
        """Seconds until a batch should leave; None when there is nothing to send, or a batch is under way."""
        if not self._waiting or self._under_way:
            return None
        if self._urgent > self.settled or self._is_full_batch():
            return 0.0
        return max(0.0, self._waiting[0].since + self.batching.linger - at)

    def take(self, at: float) -> list[EncodedEvent] | None:
        """The next batch if one is due. It has to be settled before another one is."""
        due = self.due_in(at)
        if due is None or due > 0:
            return None
        batch: list[EncodedEvent] = []
        size = 2
        while self._waiting and len(batch) < self.batching.max_events:
            length = len(self._waiting[0].event.body) + 1
            if batch and size + length > self.batching.max_bytes:
                break
            batch.append(self._waiting.popleft().event)
            size += length
            self._bytes -= length
        self._under_way = batch
        return batch

    def settle(self, outcome: Outcome) -> None:
        """The batch under way came to an end, well or not; what went wrong is kept for the next flush."""
        self.settled += len(self._under_way)
        self._under_way = []
        self.note(outcome.problems)

    def note(self, problems: list[EventProblem]) -> None:
        """Keep what went wrong for the next flush."""
        self.unreported_count += len(problems)
        self.unreported.extend(problems[: _MOST_REMEMBERED - len(self.unreported)])

    def problems(self) -> tuple[list[EventProblem], int]:
        """What went wrong since the last call, and how many events in all."""
        problems, count = self.unreported, self.unreported_count
        self.unreported, self.unreported_count = [], 0
        return problems, count

    def abandon(self) -> list[EncodedEvent]:
        """Give up on everything that is not settled, and say what that is."""
        left = [*self._under_way, *(waiting.event for waiting in self._waiting)]
        self._under_way = []
        self._waiting.clear()
        self._bytes = 0
        self.settled = self.added
        return left

    def _is_full_batch(self) -> bool:
        return len(self._waiting) >= self.batching.max_events or self._bytes >= self.batching.max_bytes
