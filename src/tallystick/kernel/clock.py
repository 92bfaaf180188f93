"""What time it is. Layers below the surfaces take `now` as a value; only this module asks the machine."""

import datetime as dt
from typing import Protocol


class Clock(Protocol):
    def now(self) -> dt.datetime:
        """The current instant, in UTC, with a zone."""
        ...


class SystemClock:
    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)


class FrozenClock:
    """A clock that moves only when told, for stories and test clocks."""

    def __init__(self, at: dt.datetime) -> None:
        self._at = at

    def now(self) -> dt.datetime:
        return self._at

    def advance(self, by: dt.timedelta) -> dt.datetime:
        """Move forward; a negative step is a ValueError, since time never runs back."""
        if by < dt.timedelta(0):
            raise ValueError("a clock only moves forward")
        self._at += by
        return self._at
