"""The money rules M13 to M15, M18, M19 and M21 once more, as slowly and plainly as they can be written.

Every single unit is an object that lies somewhere, and is moved by hand. Nothing here is taken from the product.
"""

import datetime as dt
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

FAR = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)


@dataclass
class Purse:
    """One grant: how many of its units lie where."""

    name: Any
    source: str
    order: tuple[int, dt.datetime, dt.datetime, Any]
    ends: dt.datetime | None
    left: int
    spent: int = 0
    lost: int = 0
    closed: bool = False

    def usable(self, now: dt.datetime) -> bool:
        return not self.closed and (self.ends is None or now < self.ends)


@dataclass
class SlowLedger:
    purses: list[Purse] = field(default_factory=list)
    debt: int = 0
    given: int = 0
    consumed: int = 0
    lost: int = 0
    at_reset: int = 0
    since: list[int] = field(default_factory=list)
    """What moved the allocation since the last reset, in order (rule M18)."""

    @property
    def posted(self) -> int:
        return sum(purse.left for purse in self.purses) - self.debt

    @property
    def allocation(self) -> int:
        return self.at_reset + sum(self.since)

    @property
    def used_share(self) -> Fraction:
        """1 − remaining / allocation, exact."""
        if self.allocation == 0:
            return Fraction(1)
        return 1 - Fraction(max(self.posted, 0), self.allocation)

    def give(self, purse: Purse, *, counts: bool = True) -> None:
        self.purses.append(purse)
        self.given += purse.left
        if counts:
            self.since.append(purse.left)
        while self.debt and purse.left:
            self.debt -= 1
            purse.left -= 1
            purse.spent += 1

    def take(self, units: int, now: dt.datetime) -> None:
        self.consumed += units
        for _ in range(units):
            candidates = [purse for purse in self.purses if purse.left and purse.usable(now)]
            if candidates:
                first = min(candidates, key=lambda purse: purse.order)
                first.left -= 1
                first.spent += 1
            else:
                self.debt += 1

    def put_back(self, units: int, now: dt.datetime, spare: Purse) -> None:
        """`spare` is empty, and used only where nothing else has room."""
        self.consumed -= units
        for _ in range(units):
            if self.debt:
                self.debt -= 1
                continue
            candidates = [purse for purse in self.purses if purse.spent and purse.usable(now)]
            if candidates:
                last = max(candidates, key=lambda purse: purse.order)
                last.spent -= 1
                last.left += 1
            else:
                spare.left += 1
        if spare.left:
            self.purses.append(spare)
        if self.posted > self.allocation:
            self.since.append(self.posted - self.allocation)

    def end(self, purse: Purse, *, counts: bool = True) -> None:
        gone = purse.left
        purse.closed = True
        purse.left = 0
        purse.lost += gone
        self.lost += gone
        if counts:
            self.since.append(-gone)

    def correct_down(self, units: int, now: dt.datetime) -> None:
        """An operator takes units away: they are lost, and no longer part of the allocation."""
        self.lost += units
        before = self.allocation
        for _ in range(units):
            candidates = [purse for purse in self.purses if purse.left and purse.usable(now)]
            if candidates:
                first = min(candidates, key=lambda purse: purse.order)
                first.left -= 1
                first.lost += 1
            else:
                self.debt += 1
        self.since.append(-min(units, before))

    def reset(self, fresh: list[Purse]) -> None:
        """A period's end: what the plan gave ends, what it gives now begins."""
        for purse in self.purses:
            if purse.source == "plan" and not purse.closed:
                self.end(purse, counts=not fresh)
        for purse in fresh:
            self.give(purse, counts=False)
        if fresh:
            self.at_reset = max(self.posted, 0)
            self.since = []


STEPS = (20, 50, 70, 80, 90, 100)


@dataclass
class SlowTeller:
    """Which thresholds people were told of the present allocation, as a set of them."""

    said: set[int] = field(default_factory=lambda: set(STEPS))

    def used(self, ledger: SlowLedger) -> list[int]:
        """Something was used: what is told of it, the highest alone."""
        news = self._reached(ledger) - self.said
        self.said |= news
        return [max(news)] if news else []

    def begun(self, ledger: SlowLedger) -> None:
        """A new allocation: whatever it begins above is old."""
        self.said = self._reached(ledger)

    def ended(self, ledger: SlowLedger) -> None:
        """Something left the allocation, and was told as that."""
        self.said |= self._reached(ledger)

    def _reached(self, ledger: SlowLedger) -> set[int]:
        share = ledger.used_share * 100
        shown = Fraction((share * 100 + Fraction(1, 2)).__floor__(), 100)
        steps = {step for step in STEPS if step < 100 and shown >= step}
        # Whoever is told of a threshold is told of all below it.
        return ({step for step in STEPS if step <= max(steps)} if steps else set()) | (
            set(STEPS) if share == 100 else set()
        )
