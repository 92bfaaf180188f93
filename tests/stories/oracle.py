"""What a story comes to, worked out by hand from the money rules and the price list: exact fractions, no product code.

Amounts are Fractions of a credit. Where the rules round (M3: once for an event, half to even, to 10⁻⁹), so does this.
"""

import datetime as dt
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

SMALLEST = Fraction(1, 10**9)
FAR = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
ORDER = {"plan": 10, "free": 20, "promotion": 20, "adjustment": 20, "purchase": 30}


def rounded(amount: Fraction) -> Fraction:
    """To the nano-credit; Python rounds a Fraction half to even."""
    return round(amount / SMALLEST) * SMALLEST


def tokens(report: dict[str, Any], prices: dict[str, Fraction], above: tuple[int, dict[str, Fraction]]) -> Fraction:
    """Credits of a call by prices per million tokens; a long prompt has other prices for all of its tokens."""
    if report["inputTokens"] > above[0]:
        prices = above[1]
    cached = report.get("cachedInputTokens", 0)
    reasoning = report.get("reasoningTokens", 0)
    total = (
        (report["inputTokens"] - cached) * prices["input"]
        + cached * prices["cached"]
        + (report["outputTokens"] - reasoning) * prices["output"]
        + reasoning * prices["output"]
    )
    return rounded(total / 1_000_000)


def graduated(filled: Fraction, more: Fraction, tiers: list[tuple[int | None, Fraction]]) -> Fraction:
    """What `more` adds to a period that has used `filled` already (rule M5)."""

    def total(quantity: Fraction) -> Fraction:
        owed, floor = Fraction(0), Fraction(0)
        for up_to, price in tiers:
            top = quantity if up_to is None else min(quantity, Fraction(up_to))
            owed += max(top - floor, Fraction(0)) * price
            floor = max(floor, top)
        return rounded(owed)

    return total(filled + more) - total(filled)


@dataclass
class Purse:
    """A grant."""

    source: str
    left: Fraction
    ends: dt.datetime | None
    begun: dt.datetime
    number: int
    spent: Fraction = Fraction(0)
    closed: bool = False

    def alive(self, now: dt.datetime) -> bool:
        return not self.closed and (self.ends is None or self.ends > now)

    @property
    def order(self) -> tuple[int, dt.datetime, dt.datetime, int]:
        return ORDER[self.source], self.ends or FAR, self.begun, self.number


class Wallet:
    """One workspace and unit under rules M13 to M15, M18 and M21."""

    def __init__(self, period_end: dt.datetime | None = None) -> None:
        self.period_end = period_end
        self.purses: list[Purse] = []
        self.debt = Fraction(0)
        self.allocation = Fraction(0)

    @property
    def posted(self) -> Fraction:
        return sum((purse.left for purse in self.purses), Fraction(0)) - self.debt

    @property
    def used_percent(self) -> str:
        """Two decimals, half up; 0 and 100 only when exact."""
        remaining = max(self.posted, Fraction(0))
        if self.allocation == 0 or remaining == 0:
            return "100.00"
        if remaining == self.allocation:
            return "0.00"
        hundredths = int((1 - remaining / self.allocation) * 10_000 + Fraction(1, 2))
        hundredths = min(max(hundredths, 1), 9_999)
        return f"{hundredths // 100}.{hundredths % 100:02d}"

    def give(self, source: str, amount: Fraction, ends: dt.datetime | None, now: dt.datetime) -> None:
        self._put(source, amount, ends, now)
        self.allocation += amount

    def use(self, amount: Fraction, now: dt.datetime) -> None:
        if amount < 0:
            self._put_back(-amount, now)
            return
        for purse in sorted((p for p in self.purses if p.alive(now)), key=lambda p: p.order):
            taken = min(amount, purse.left)
            purse.left -= taken
            purse.spent += taken
            amount -= taken
        self.debt += amount

    def expire(self, now: dt.datetime) -> Fraction:
        """End what is over; how much of it went unused."""
        lost = Fraction(0)
        for purse in self.purses:
            if not purse.closed and purse.source != "plan" and purse.ends is not None and purse.ends <= now:
                purse.closed = True
                lost += purse.left
                purse.left = Fraction(0)
        self.allocation -= lost
        return lost

    def reset(self, amount: Fraction, ends: dt.datetime, now: dt.datetime) -> Fraction:
        """A period's end on a plan; how much of the old period's grant went unused."""
        lost = Fraction(0)
        for purse in self.purses:
            if purse.source == "plan" and not purse.closed:
                purse.closed = True
                lost += purse.left
                purse.left = Fraction(0)
        self.period_end = ends
        self._put("plan", amount, ends, now)
        self.allocation = max(self.posted, Fraction(0))
        return lost

    def _put(self, source: str, amount: Fraction, ends: dt.datetime | None, now: dt.datetime) -> None:
        purse = Purse(source, amount, ends, now, len(self.purses))
        paid = min(purse.left, self.debt)
        self.debt -= paid
        purse.left -= paid
        purse.spent += paid
        self.purses.append(purse)

    def _put_back(self, amount: Fraction, now: dt.datetime) -> None:
        paid = min(amount, self.debt)
        self.debt -= paid
        amount -= paid
        for purse in sorted((p for p in self.purses if p.alive(now)), key=lambda p: p.order, reverse=True):
            room = min(amount, purse.spent)
            purse.spent -= room
            purse.left += room
            amount -= room
        if amount:
            self.purses.append(Purse("adjustment", amount, self.period_end, now, len(self.purses)))
        self.allocation = max(self.allocation, self.posted)
