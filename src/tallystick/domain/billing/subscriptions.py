"""What a subscription shows: the counts of rule M22, from the grants that live in the current billing period."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from tallystick.domain.credits.grants import Grant
from tallystick.kernel.periods import Period

_INCLUDED: Final = frozenset({"plan", "free", "promotion", "adjustment"})


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
