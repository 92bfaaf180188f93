"""What a run asks for, the holds that it then has, and what its parts have in common."""

import datetime as dt
import itertools
import threading
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from tallystick.client.leases import Share
from tallystick.client.replies import Call
from tallystick.wire.holds import Hold, HoldAnswer, SettleAnswer

Ending = Call[SettleAnswer] | Call[HoldAnswer]
"""What ends a hold: a settle, or a void where nothing was used."""

_LIFE_UNTIL_EXTENDED: Final = 0.5
_LIFE_BETWEEN_ATTEMPTS: Final = 0.1
_SECONDS_BETWEEN_ATTEMPTS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run is for and wants. Amounts are in nano-units; `percentile` asks history for the credits.

    `names` are fields of usage events. `key` is the `Idempotency-Key` of the run's first hold, and begins all others.
    """

    names: dict[str, str]
    amounts: dict[str, int]
    key: str
    begun_at: dt.datetime
    percentile: str | None = None
    wait: int | None = None
    expires_in: int | None = None


@dataclass(slots=True, eq=False)
class OpenHold:
    """A hold of this run. Amounts are in nano-units, `lifetime` in seconds, `next_at` and `gone_at` by `Rules.time`.

    `next_at` is when it wants to be extended; once it has ended here, when the server should be told so again.
    """

    id: UUID
    key: str
    lifetime: float
    next_at: float = 0.0
    gone_at: float = 0.0
    left: dict[str, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    has_settled: bool = False
    ending: Ending | None = None

    def lives_from(self, at: float) -> None:
        self.next_at = at + self.lifetime * _LIFE_UNTIL_EXTENDED
        self.gone_at = at + self.lifetime

    def try_again_after(self, at: float) -> None:
        self.next_at = at + min(self.lifetime * _LIFE_BETWEEN_ATTEMPTS, _SECONDS_BETWEEN_ATTEMPTS)

    def told(self, hold: Hold) -> None:
        self.left = {unit: amount.nano for unit, amount in hold.open.items()}
        self.settled = {unit: amount.nano for unit, amount in hold.settled.items()}


@dataclass(slots=True, eq=False)
class Stray:
    """A hold that was asked for in vain: it may be there all the same, and is released once the server can be asked."""

    call: Call[HoldAnswer]
    key: str
    next_at: float
    gone_at: float


class RunAccount:
    """What all parts of a run have in common: its holds, what the ended ones came to, and its share of the lease."""

    def __init__(self) -> None:
        self.share: Share | None = None
        self.placed: set[UUID] = set()
        self._lock = threading.Lock()
        self._settled: dict[str, int] = {}
        self._keys = itertools.count()

    def add(self, hold: OpenHold) -> None:
        """Book a hold that has ended."""
        with self._lock:
            self.placed.discard(hold.id)
            for unit, nano in hold.settled.items():
                self._settled[unit] = self._settled.get(unit, 0) + nano

    def settled(self, unit: str) -> int:
        return self._settled.get(unit, 0)

    def key(self, first: str) -> str:
        """The key of the next hold: the same sequence whenever the run is begun again."""
        number = next(self._keys)
        return f"{first}/{number}" if number else first
