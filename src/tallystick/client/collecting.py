"""The events of one run that are not settled yet. Any thread may add; one at a time takes and says what came of it."""

import threading
from collections.abc import Callable

from tallystick.client.batching import Batching
from tallystick.client.errors import BufferFullError
from tallystick.client.events import EncodedEvent


class Collected:
    """Events in the order in which they were added. Times are seconds of any clock that never runs back."""

    def __init__(self, batching: Batching) -> None:
        self._batching = batching
        self._lock = threading.Lock()
        self._waiting: list[EncodedEvent] = []
        self._under_way: list[EncodedEvent] = []
        self._bytes = 0
        self._since = 0.0
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_closed(self) -> bool:
        return self._closed

    def add(self, event: EncodedEvent, at: float) -> bool:
        """Keep an event; False once this is closed. Raises `BufferFullError`."""
        with self._lock:
            if self._closed:
                return False
            if len(self._waiting) >= self._batching.max_pending:
                most = self._batching.max_pending
                raise BufferFullError(f"{most} events of one run are waiting to be settled already.")
            if not self._waiting:
                self._since = at
            self._waiting.append(event)
            self._bytes += len(event.body) + 1
            return True

    def close(self) -> bool:
        """Take no more; True for who closed it."""
        with self._lock:
            closed, self._closed = self._closed, True
            return not closed

    def due_at(self, *, at_once: bool) -> float | None:
        """When these should leave: when they are many, or the oldest has lingered; None when there are none."""
        with self._lock:
            if not self._waiting:
                return None
            many = len(self._waiting) >= self._batching.max_events or self._bytes >= self._batching.max_bytes
            return self._since if many or at_once else self._since + self._batching.linger

    def any_for(self, chosen: Callable[[EncodedEvent], bool]) -> bool:
        """Whether one of them is chosen."""
        with self._lock:
            return any(chosen(event) for event in self._waiting)

    def take(self, place_of: Callable[[EncodedEvent], object], at: float) -> list[EncodedEvent]:
        """As many as one request may carry, all of the first one's place. `done` or `put_back` has to follow."""
        with self._lock:
            taken: list[EncodedEvent] = []
            left: list[EncodedEvent] = []
            size = 0
            for event in self._waiting:
                length = len(event.body) + 1
                fits = len(taken) < self._batching.max_events and size + length <= self._batching.max_bytes
                if not taken or (fits and place_of(event) is place_of(taken[0])):
                    taken.append(event)
                    size += length
                else:
                    left.append(event)
            self._waiting = left
            self._bytes -= size
            self._since = at
            self._under_way = taken
            return taken

    def done(self) -> None:
        """What was taken is the server's, or the recorder's."""
        with self._lock:
            self._under_way = []

    def put_back(self) -> None:
        """What was taken is still to be settled."""
        with self._lock:
            self._waiting[:0] = self._under_way
            self._bytes += sum(len(event.body) + 1 for event in self._under_way)
            self._under_way = []

    def abandon(self) -> list[EncodedEvent]:
        """Close, and give out all that nobody has been told of."""
        with self._lock:
            self._closed = True
            left = [*self._under_way, *self._waiting]
            self._under_way, self._waiting, self._bytes = [], [], 0
            return left
