"""Proration: what a part of a period costs, and what a change within it costs and gives (rule M25).

A part is the difference of two amounts rounded from the period's start, halves to even. So the parts of a period,
however it is split, add up to its price to the cent, and none of them depends on the others.
"""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tallystick.domain.billing.plans import PlanVersion
from tallystick.kernel.credits import divide_half_even
from tallystick.kernel.periods import Period

_MICROSECOND: Final = dt.timedelta(microseconds=1)


def elapsed(period: Period, instant: dt.datetime) -> tuple[int, int]:
    """(microseconds of the period that are over at `instant`, microseconds of the period)."""
    whole = (period.end - period.start) // _MICROSECOND
    return min(max((instant - period.start) // _MICROSECOND, 0), whole), whole


def part(amount: int, period: Period, since: dt.datetime, until: dt.datetime) -> int:
    """What of `amount`, which is for the whole period, belongs to [since, until); any whole unit, cents or nano."""
    return _upto(amount, period, until) - _upto(amount, period, since)


def left(amount: int, period: Period, at: dt.datetime) -> int:
    """What of `amount` belongs to the rest of the period from `at` on."""
    return amount - _upto(amount, period, at)


def days_text(period: Period, at: dt.datetime) -> str:
    """The rest of a period for people: `17 of 31 days`, in days with at most one decimal."""
    over, whole = elapsed(period, at)
    day = dt.timedelta(days=1) // _MICROSECOND
    return f"{_tenths(whole - over, day)} of {_tenths(whole, day)} days"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of plan now. `credit_minor` of the old plan's unused time comes off `charge_minor` of the new one's.

    `credits` and `tool_runs` are what the new plan gives beyond the old one, in nano-units, not below zero; what was
    used stays used. `restarts` says that a new period begins now, since the length of periods changes.
    """

    credit_minor: int
    charge_minor: int
    credits: int
    tool_runs: int
    restarts: bool

    @property
    def net_minor(self) -> int:
        """To be paid today, before tax."""
        return self.charge_minor - self.credit_minor


def change(old: PlanVersion, new: PlanVersion, period: Period, fresh: Period, at: dt.datetime) -> Change:
    """What changing at `at` costs and gives. `fresh` is the period that the new plan is then in: the same one, of which
    only the rest is charged, or one that begins at `at` and is charged whole."""
    return Change(
        credit_minor=left(old.price_minor, period, at),
        charge_minor=left(new.price_minor, fresh, at),
        credits=_given(old.included_credits, new.included_credits, period, fresh, at),
        tool_runs=_given(old.included_tool_runs, new.included_tool_runs, period, fresh, at),
        restarts=fresh.start == at and period.start != at,
    )


def _given(old: int, new: int, period: Period, fresh: Period, at: dt.datetime) -> int:
    return max(left(new, fresh, at) - left(old, period, at), 0)


def _upto(amount: int, period: Period, instant: dt.datetime) -> int:
    over, whole = elapsed(period, instant)
    return divide_half_even(amount * over, whole)


def _tenths(microseconds: int, day: int) -> str:
    tenths = Decimal(divide_half_even(microseconds * 10, day)) / 10
    return f"{tenths.normalize():f}"
