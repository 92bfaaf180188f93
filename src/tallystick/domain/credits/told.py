"""What a booking tells: the facts of thresholds, expiries, grants and corrections (rules M18, M19, row E10).

Their ids come from what makes each of them one, so that a transaction that is tried again tells the same facts.
"""

import datetime as dt
from decimal import Decimal
from typing import Any, Final

from tallystick.domain.credits.accounts import Balance
from tallystick.domain.credits.balances import used_hundredths
from tallystick.domain.credits.grants import CREDITS, Grant
from tallystick.domain.credits.thresholds import ALL_USED
from tallystick.domain.telling import facts
from tallystick.domain.telling.facts import Fact, derived_id
from tallystick.kernel.credits import NANO, format_credits

UNIT_NAMES: Final = {"credits": "credits", "tool_runs": "toolRuns"}
"""A unit as it is called on the wire."""

_HUNDREDTH: Final = NANO // 100


def threshold_fact(balance: Balance, threshold: int, *, at: dt.datetime) -> Fact:
    """A threshold was crossed; at 100 % everything is used. Every balance is as it stands right after the booking."""
    known = balance.unit == CREDITS
    if threshold == ALL_USED:
        kind = facts.CREDITS_EXHAUSTED if known else facts.TOOL_RUNS_EXHAUSTED
    else:
        kind = facts.CREDITS_THRESHOLD if known else facts.TOOL_RUNS_THRESHOLD
    parts = ("threshold", balance.unit, str(balance.allocation_no), str(threshold))
    return _fact(kind, parts, at, balance, threshold=threshold)


def granted_fact(balance: Balance, grant: Grant, *, key: str, at: dt.datetime) -> Fact:
    """A grant was given; `key` is what makes it one: its transaction's, and its place where that gives several."""
    kind = facts.CREDITS_GRANTED if balance.unit == CREDITS else facts.TOOL_RUNS_GRANTED
    return _fact(
        kind,
        ("granted", balance.unit, key),
        at,
        balance,
        grantUuid=str(grant.id),
        source=grant.source,
        amount=amount(grant.amount),
        expiresAt=_instant(grant.expires_at),
        reason=grant.reason,
    )


def expired_fact(
    balance: Balance, grant: Grant, gone: int, *, key: str, at: dt.datetime, reason: str = "", renewed: bool = False
) -> Fact:
    """`gone` nano-units of a grant ended unused. `renewed`: the period's end gave a new allocation with it."""
    kind = facts.CREDITS_EXPIRED if balance.unit == CREDITS else facts.TOOL_RUNS_EXPIRED
    return _fact(
        kind,
        ("expired", balance.unit, key),
        at,
        balance,
        grantUuid=str(grant.id),
        source=grant.source,
        amount=amount(gone),
        free=grant.source == "free",
        renewed=renewed,
        reason=reason,
    )


def adjusted_fact(
    balance: Balance, moved: int, *, key: str, at: dt.datetime, reason: str, grant: Grant | None = None
) -> Fact:
    """An operator's correction by `moved` nano-units, below zero where something was taken back."""
    kind = facts.CREDITS_ADJUSTED if balance.unit == CREDITS else facts.TOOL_RUNS_ADJUSTED
    return _fact(
        kind,
        ("adjusted", balance.unit, key),
        at,
        balance,
        grantUuid=str(grant.id) if grant else None,
        amount=amount(moved),
        expiresAt=_instant(grant.expires_at if grant else None),
        reason=reason,
    )


def amount(nano: int) -> Decimal:
    """Whole units with no more decimals than there are."""
    return Decimal(format_credits(nano))


def _fact(kind: str, parts: tuple[str, ...], at: dt.datetime, balance: Balance, **data: Any) -> Fact:
    remaining = max(balance.posted, 0)
    figures = {
        "unit": UNIT_NAMES[balance.unit],
        "allocationNo": balance.allocation_no,
        "granted": amount(balance.allocation),
        "used": amount(balance.allocation - remaining),
        "usedPercent": amount(used_hundredths(remaining, balance.allocation) * _HUNDREDTH),
        "remaining": amount(remaining),
        "posted": amount(balance.posted),
    }
    return Fact(balance.workspace_id, derived_id(balance.workspace_id, *parts), kind, at, figures | data)


def _instant(at: dt.datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
