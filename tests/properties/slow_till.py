"""Holds, grants and budgets of one workspace once more, in plain Python: rules M8, M10, M13, M15, M20 and M21.

Amounts are whole units. Nothing here is taken from the product; everything that can be added up anew is.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

FAR = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
UNITS = ("credits", "tool_runs")


@dataclass(eq=False)
class Purse:
    """A grant: how many of its units are left, spent or lost; `kept` once it has ended under open holds."""

    source: str
    order: tuple[int, dt.datetime, dt.datetime, Any]
    ends: dt.datetime | None
    left: int
    spent: int = 0
    lost: int = 0
    kept: int = 0
    over: bool = False

    def usable(self, now: dt.datetime) -> bool:
        return not self.over and (self.ends is None or now < self.ends)


@dataclass
class Pot:
    """One unit: its purses, what was used beyond them, and how much open holds set aside."""

    purses: list[Purse] = field(default_factory=list)
    debt: int = 0
    held: int = 0

    @property
    def posted(self) -> int:
        return sum(purse.left for purse in self.purses) - self.debt

    def in_order(self, *, over: bool) -> list[Purse]:
        return sorted((p for p in self.purses if p.over == over and p.left), key=lambda p: p.order)

    def give(self, purse: Purse) -> None:
        paid = min(self.debt, purse.left)
        self.debt -= paid
        purse.left -= paid
        purse.spent += paid
        self.purses.append(purse)

    def take(self, units: int, settling: int, now: dt.datetime) -> None:
        """`settling` of the units settle holds: those come from what was kept first."""
        for _ in range(units):
            kept = self.in_order(over=True) if settling > 0 else []
            settling -= 1
            usable = [purse for purse in self.in_order(over=False) if purse.usable(now)]
            if not kept and not usable:
                self.debt += 1
                continue
            purse = (kept or usable)[0]
            purse.left -= 1
            purse.spent += 1

    def put_back(self, units: int, now: dt.datetime, spare: Purse) -> None:
        for _ in range(units):
            if self.debt:
                self.debt -= 1
                continue
            room = [purse for purse in self.purses if purse.spent and purse.usable(now)]
            last = max(room, key=lambda purse: purse.order, default=None)
            if last is None:
                spare.left += 1
            else:
                last.spent -= 1
                last.left += 1
        if spare.left:
            self.purses.append(spare)

    def end(self, purse: Purse) -> None:
        """Holds rely on what is kept already, then on grants in burn order; the rest of this one is lost."""
        first = self.in_order(over=True) + self.in_order(over=False)
        covered = sum(other.left for other in first[: first.index(purse)]) if purse.left else 0
        purse.kept = max(min(purse.left, self.held - covered), 0)
        purse.lost += purse.left - purse.kept
        purse.left = purse.kept
        purse.over = True

    def let_go(self) -> None:
        """What no open hold relies on any more is lost, the last in burn order first."""
        while (kept := self.in_order(over=True)) and sum(purse.left for purse in kept) > self.held:
            kept[-1].left -= 1
            kept[-1].kept -= 1
            kept[-1].lost += 1


@dataclass(eq=False)
class SlowHold:
    """`open` and `settled` by unit."""

    name: Any
    asked: tuple[int, int]
    open: list[int]
    made: dt.datetime
    deadline: dt.datetime
    run: str | None
    agent: str | None
    settled: list[int] = field(default_factory=lambda: [0, 0])
    status: str = "held"


@dataclass(eq=False)
class Spent:
    """One charge, in units of both balances."""

    name: str
    amounts: tuple[int, int]
    at: dt.datetime
    run: str | None
    agent: str | None
    taken_back: bool = False


@dataclass(eq=False)
class Cap:
    """A budget over the workspace or over each agent, per run, day or month; `unit` is a place in `UNITS`."""

    name: Any
    scope: str
    per: str
    unit: int
    amount: int
    since: dt.datetime

    def window(self, thing: SlowHold | Spent, at: dt.datetime) -> tuple[str | None, str | None]:
        subject = "workspace" if self.scope == "workspace" else thing.agent
        window = {"run": thing.run, "day": f"{at:%Y-%m-%d}", "month": f"{at:%Y-%m}"}[self.per]
        return subject, window

    def counts(self, window: str) -> bool:
        """A window that was over before the budget began is only counted in part."""
        return self.per == "run" or window >= f"{self.since:%Y-%m-%d}"[: len(window)]


@dataclass
class SlowTill:
    """A workspace whose plan gives `included` of each unit on the 2nd of each month at `born`'s hour, if anything."""

    born: dt.datetime
    included: tuple[int, int]
    run_quota: int | None
    period_end: dt.datetime = field(init=False)
    pots: tuple[Pot, Pot] = field(default_factory=lambda: (Pot(), Pot()))
    holds: list[SlowHold] = field(default_factory=list)
    spent: list[Spent] = field(default_factory=list)
    caps: list[Cap] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    runs_started: int = 0

    def __post_init__(self) -> None:
        self.period_end = _next_month(self.born)
        self._renew(self.born)

    def _renew(self, at: dt.datetime) -> None:
        for pot, amount in zip(self.pots, self.included, strict=True):
            for purse in sorted((p for p in pot.purses if p.source == "plan" and not p.over), key=lambda p: p.order):
                pot.end(purse)
            if amount:
                pot.give(Purse("plan", (10, self.period_end, at, 0), self.period_end, amount))

    def bring_up(self, now: dt.datetime) -> None:
        """Everything that time alone does until now, in order: deadlines, then expiries, then the period's end."""
        while True:
            instants = [hold.deadline for hold in self.holds if hold.status == "held"]
            instants += [
                p.ends for pot in self.pots for p in pot.purses if not p.over and p.ends and p.source != "plan"
            ]
            instant = min([*instants, self.period_end])
            if instant > now:
                return
            for hold in self.holds:
                if hold.status == "held" and hold.deadline <= instant:
                    hold.status = "expired"
                    self._release(hold, hold.open)
                    self._let_go()
            for pot in self.pots:
                for purse in sorted(pot.purses, key=lambda p: p.order[-1] if isinstance(p.order[-1], int) else 0):
                    if purse.source != "plan" and not purse.over and purse.ends and purse.ends <= instant:
                        pot.end(purse)
            if self.period_end == instant:
                self.period_end = _next_month(instant)
                self.runs_started = 0
                self._renew(instant)

    def _let_go(self) -> None:
        for pot in self.pots:
            pot.let_go()

    def _release(self, hold: SlowHold, amounts: list[int]) -> None:
        for place, (pot, amount) in enumerate(zip(self.pots, list(amounts), strict=True)):
            pot.held -= amount
            hold.open[place] -= amount

    def debit(self, amounts: list[int], settling: list[int], now: dt.datetime) -> None:
        """What one commit comes to."""
        for pot, amount, settled in zip(self.pots, amounts, settling, strict=True):
            if amount > 0:
                pot.take(amount, min(settled, amount), now)
            elif amount < 0:
                spare = Purse("adjustment", (20, self.period_end, now, 0), self.period_end, 0)
                pot.put_back(-amount, now, spare)

    def settle(self, hold: SlowHold, amounts: tuple[int, int], *, final: bool) -> None:
        for place in range(2):
            hold.settled[place] += amounts[place]
        part = [min(amount, left) for amount, left in zip(amounts, hold.open, strict=True)]
        self._release(hold, hold.open if final else part)
        if final:
            hold.status = "settled"

    def void(self, hold: SlowHold) -> None:
        hold.status = "voided"
        self._release(hold, hold.open)

    def refusal(self, hold: SlowHold, now: dt.datetime) -> str | None:
        """Why this may not be set aside."""
        if (
            self.run_quota is not None
            and hold.run
            and hold.run not in self.runs
            and self.runs_started >= self.run_quota
        ):
            return "runQuotaReached"
        for pot, asked, reason in zip(self.pots, hold.asked, ("notEnoughCredits", "notEnoughToolRuns"), strict=True):
            if asked and asked > pot.posted - pot.held:
                return reason
        for cap in self.caps:
            key = cap.window(hold, now)
            asked = hold.asked[cap.unit]
            if None not in key and asked and asked > cap.amount - sum(self.usage(cap).get(key, (0, 0))):
                return "budgetExceeded"
        return None

    def place(self, hold: SlowHold) -> None:
        self.holds.append(hold)
        for pot, amount in zip(self.pots, hold.asked, strict=True):
            pot.held += amount
        if hold.run and hold.run not in self.runs:
            self.runs.add(hold.run)
            self.runs_started += 1

    def usage(self, cap: Cap) -> dict[Any, tuple[int, int]]:
        """Spent and held by subject and window, added up from every charge and open hold there is."""
        found: dict[Any, tuple[int, int]] = {}
        for spent in self.spent:
            if not spent.taken_back:
                _count(found, cap.window(spent, spent.at), spent.amounts[cap.unit], 0)
        for hold in self.holds:
            if hold.status == "held":
                _count(found, cap.window(hold, hold.made), 0, hold.open[cap.unit])
        return {key: value for key, value in found.items() if value != (0, 0) and cap.counts(key[1])}


def _count(found: dict[Any, tuple[int, int]], key: Any, spent: int, held: int) -> None:
    if None not in key:
        before = found.get(key, (0, 0))
        found[key] = (before[0] + spent, before[1] + held)


def _next_month(at: dt.datetime) -> dt.datetime:
    return at.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)
