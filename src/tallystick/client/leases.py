"""What a client may spend on trust while the server can't be reached, and how that is made good."""

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tallystick.client.calls import Amount
from tallystick.client.delivery import Outcome, Retrying
from tallystick.client.events import EncodedEvent
from tallystick.kernel.credits import format_credits, parse_credits

CREDITS: Final = "credits"
TOOL_RUNS: Final = "toolRuns"


@dataclass(frozen=True, slots=True)
class Lease:
    """Runs may start without a hold while the server can't be reached, up to these bounds together; then no more.

    `credits` and `tool_runs` bound the estimates of all runs that started on trust and whose usage the server has not
    booked yet; `seconds` the time from the first such start until the server answers again.
    """

    credits: Amount
    seconds: float
    tool_runs: Amount = 0

    def __post_init__(self) -> None:
        parse_credits(self.credits, field=CREDITS)
        parse_credits(self.tool_runs, field=TOOL_RUNS)
        if self.seconds <= 0:
            raise ValueError("a lease lasts more than 0 seconds")

    @property
    def limits(self) -> dict[str, int]:
        """In nano-units."""
        return {CREDITS: parse_credits(self.credits), TOOL_RUNS: parse_credits(self.tool_runs)}


@dataclass(slots=True, eq=False)
class Share:
    """What one run took of the lease, in nano-units: given back once the run is over and all it used is booked."""

    taken: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    over: bool = False
    lost: bool = False


class LeaseAccount:
    """The lease's book-keeping, for all runs of a client. Safe to use from several threads."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._lock = threading.Lock()
        self._outstanding = {CREDITS: 0, TOOL_RUNS: 0}
        self._spent = 0
        self._since: float | None = None
        self._shares: dict[str, Share] = {}

    @property
    def outstanding(self) -> Decimal:
        """Credits of runs that started on trust and are not yet booked by the server."""
        with self._lock:
            return Decimal(format_credits(self._outstanding[CREDITS]))

    @property
    def spent(self) -> Decimal:
        """Credits that the server has charged for such runs, as its answers told."""
        with self._lock:
            return Decimal(format_credits(self._spent))

    @property
    def has_begun(self) -> bool:
        """Whether runs have started on trust since the server answered last."""
        return self._since is not None

    def lasting(self, retrying: Retrying) -> Retrying:
        """The same, going on for at least as long as the lease does."""
        more = math.ceil(2 * self._lease.seconds / retrying.longest)
        return replace(retrying, attempts=retrying.attempts + more)

    def take(self, share: Share, amounts: Mapping[str, int], at: float) -> str | None:
        """Let a run have `amounts` more on trust. The reason why not, when that goes beyond the lease.

        `at` is in seconds of any clock that never runs back.
        """
        limits = self._lease.limits
        with self._lock:
            since = at if self._since is None else self._since
            if at - since > self._lease.seconds:
                return f"its lease of {self._lease.seconds:g} seconds is over"
            for unit, amount in amounts.items():
                if self._outstanding[unit] + amount > limits[unit]:
                    left = format_credits(limits[unit] - self._outstanding[unit])
                    return f"of its lease of {format_credits(limits[unit])} {unit} there are {left} left"
            self._since = since
            for unit, amount in amounts.items():
                self._outstanding[unit] += amount
                share.taken[unit] = share.taken.get(unit, 0) + amount
        return None

    def reached(self) -> None:
        """The server answers again: the next time it does not, the seconds count anew."""
        with self._lock:
            self._since = None

    def expect(self, share: Share, events: Iterable[EncodedEvent]) -> None:
        """These events of a run are on their way to the server."""
        with self._lock:
            for event in events:
                if event.id not in self._shares:
                    self._shares[event.id] = share
                    share.waiting += 1

    def booked(self, events: Iterable[EncodedEvent], outcome: Outcome) -> None:
        """The server has answered for these events. What it did not get stays on the account: it was spent."""
        unsent = {problem.id for problem in outcome.problems if problem.kind == "unsent"}
        with self._lock:
            self._spent += outcome.charged
            for event in events:
                share = self._shares.pop(event.id, None)
                if share is not None:
                    share.waiting -= 1
                    share.lost = share.lost or event.id in unsent
                    self._give_back(share)

    def ended(self, share: Share) -> None:
        """The run is over; no more events of it follow."""
        with self._lock:
            share.over = True
            self._give_back(share)

    def _give_back(self, share: Share) -> None:
        if share.over and share.waiting == 0 and not share.lost:
            for unit, amount in share.taken.items():
                self._outstanding[unit] -= amount
            share.taken.clear()
