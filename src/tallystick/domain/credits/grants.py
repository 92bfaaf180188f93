"""Grants: credits or tool runs given, and the order in which they are used up and refilled (rules M13, M21)."""

import datetime as dt
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tallystick.kernel.credits import MAX_NANO
from tallystick.kernel.errors import TallystickError

CREDITS: Final = "credits"
TOOL_RUNS: Final = "tool_runs"
UNITS: Final = (CREDITS, TOOL_RUNS)

PRIORITIES: Final = {
    "plan": 10,
    "free": 20,
    "promotion": 20,
    "adjustment": 20,
    "purchase": 30,
    "history": 0,
    "overage": 0,
}
"""Shipped priority by source; the lower number burns first."""

NOT_ISSUED: Final = frozenset({"history", "overage"})
"""Sources that nobody asks for: what an import covers, and what was used beyond all grants and is invoiced (M12)."""

_NEVER: Final = dt.datetime.max.replace(tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """What is to be given. `amount` in nano-units; `key` makes a repeated request the same grant."""

    unit: str
    amount: int
    source: str
    key: str
    expires_at: dt.datetime | None = None
    priority: int | None = None
    reason: str = ""


@dataclass(slots=True)
class Grant:
    """One grant while its workspace is locked. `remaining` never goes below zero (rule M15).

    `kept` is what open holds relied on when it ended, less what expired of that since: alive for settles only (M20).
    """

    id: UUID
    unit: str
    source: str
    amount: int
    remaining: int
    priority: int
    starts_at: dt.datetime
    expires_at: dt.datetime | None
    created_at: dt.datetime
    reason: str = ""
    ended_at: dt.datetime | None = None
    expired: int = 0
    kept: int = 0

    @property
    def consumed(self) -> int:
        """Nano-units used of this grant, returns already taken off."""
        return self.amount - self.remaining - self.expired

    def alive(self, now: dt.datetime) -> bool:
        return self.ended_at is None and not self.kept and (self.expires_at is None or self.expires_at > now)


def burn_order(grant: Grant) -> tuple[int, dt.datetime, dt.datetime, UUID]:
    """Sort key: priority, then earliest expiry (none last), then creation (rule M13)."""
    return grant.priority, grant.expires_at or _NEVER, grant.created_at, grant.id


def check_terms(terms: GrantTerms, now: dt.datetime) -> None:
    """Raises `invalidUnit`, `invalidAmount`, `invalidSource`, `invalidPriority` or `invalidExpiry`."""
    if terms.unit not in UNITS:
        raise TallystickError("invalidUnit", "unit must be credits or toolRuns.", unit=terms.unit)
    if not 0 < terms.amount <= MAX_NANO:
        raise TallystickError("invalidAmount", "A grant needs an amount above zero.", field="amount")
    if terms.source not in PRIORITIES or terms.source in NOT_ISSUED:
        known = sorted(set(PRIORITIES) - NOT_ISSUED)
        raise TallystickError("invalidSource", f"source must be one of {', '.join(known)}.", source=terms.source)
    if terms.priority is not None and not 0 <= terms.priority <= 1000:
        raise TallystickError("invalidPriority", "priority must be a whole number from 0 to 1000.")
    if terms.expires_at is not None and terms.expires_at <= now:
        raise TallystickError("invalidExpiry", "expiresAt must lie in the future.")


def new_grant(terms: GrantTerms, grant_id: UUID, now: dt.datetime) -> Grant:
    """A grant of these terms, nothing used yet."""
    return Grant(
        id=grant_id,
        unit=terms.unit,
        source=terms.source,
        amount=terms.amount,
        remaining=terms.amount,
        priority=PRIORITIES[terms.source] if terms.priority is None else terms.priority,
        starts_at=now,
        expires_at=terms.expires_at,
        created_at=now,
        reason=terms.reason,
    )
