"""A live subscription as flows know it, and what it shows: the counts of rule M22, from the grants of its period."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from tallystick.domain.billing.plans import PlanVersion
from tallystick.domain.credits.gates import overage_of
from tallystick.domain.credits.grants import Grant
from tallystick.kernel.periods import Period

_INCLUDED: Final = frozenset({"plan", "free", "promotion", "adjustment"})


@dataclass(frozen=True, slots=True)
class Following:
    """What comes after a period: the plan and the period that are then paid for in advance.

    `is_billed` is False where nothing is to be charged for it: it is idle, the subscription has ended, or its price is
    on another invoice.
    """

    plan: PlanVersion
    period: Period
    is_billed: bool = True


@dataclass(frozen=True, slots=True)
class LiveTerms:
    """A workspace's live subscription: its calendar, open period, plan version, state, and what was asked for its end.

    `resumes_to` is the state that a pause or a debt interrupted, None where a trial ended unpaid. An idle period costs
    nothing and includes nothing. `overage_cap` and `overage_invoiced` (of the open period) are in nano-credits.
    `following` is known only while a period is being closed.
    """

    subscription_id: UUID
    anchor_at: dt.datetime
    zone: str
    period: Period
    plan: PlanVersion
    status: str = "active"
    started_at: dt.datetime | None = None
    trial_ends_at: dt.datetime | None = None
    trial_notice_at: dt.datetime | None = None
    resumes_to: str | None = None
    past_due_since: dt.datetime | None = None
    pending_kind: str | None = None
    pending_at: dt.datetime | None = None
    pending_plan: PlanVersion | None = None
    overage_cap: int | None = None
    overage_invoiced: int = 0
    is_idle: bool = False
    has_method: bool = False
    following: Following | None = None

    @property
    def overage(self) -> int | None:
        """How far beyond its credits this period still goes, in nano-credits; None is without end (rule M12)."""
        return overage_of(self.plan.at_zero, self.overage_cap, self.overage_invoiced)

    @property
    def next_at(self) -> dt.datetime:
        """When the clock asks for something of it: the period's end, or telling that a trial ends."""
        return min(self.period.end, self.trial_notice_at or self.period.end)


@dataclass(frozen=True, slots=True)
class Counts:
    """Rule M22, in nano-credits. `available - used` is what remains of included grants and may be negative;
    `additional` is what remains of bought ones; (available - used) + additional = posted."""

    available: int
    used: int
    additional: int


def counts(grants: Iterable[Grant], *, period: Period, overdraft: int) -> Counts:
    """The public counts from every grant of credits that was alive at any moment of `period`.

    A grant of an import's history is outside (rule M13). An overdraft counts as used.
    """
    available = used = additional = 0
    for grant in grants:
        lives = alive_within(grant, period)
        if not lives and not kept_within(grant, period):
            continue
        if grant.source in _INCLUDED:
            available += grant.amount - grant.expired if lives else grant.kept
            used += grant.consumed if lives else grant.kept - grant.remaining
        elif grant.source == "purchase":
            additional += grant.remaining
    return Counts(available, used + overdraft, additional)


def alive_within(grant: Grant, period: Period) -> bool:
    """Whether a grant could be used at some moment of the period; one that ended as it began was not."""
    ends = [instant for instant in (grant.ended_at, grant.expires_at) if instant is not None]
    return grant.starts_at < period.end and (not ends or min(ends) > period.start)


def kept_within(grant: Grant, period: Period) -> bool:
    """Whether a part of an ended grant, kept for open holds, was alive in the period (rule M20)."""
    return grant.kept > 0 and grant.starts_at < period.end and (grant.ended_at is None or grant.ended_at > period.start)


def public_plan(plan: str) -> Literal["self-serve", "enterprise"]:
    """The plan as other people's clients know it; ours is told beside it."""
    return "enterprise" if plan == "enterprise" else "self-serve"


def overage_action(at_zero: str) -> Literal["deny", "allow"]:
    """What happens beyond the credits of a plan that is to `deny` or `invoice` (rule M12)."""
    return "allow" if at_zero == "invoice" else "deny"
