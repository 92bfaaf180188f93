"""Budgets: the workspace's own caps, per run, day or month; the most restrictive one decides (row E6).

A budget without a subject gives every one of its scope a cap of its own: each agent, each user. One of scope
`workspace` has the workspace as its subject. Days and months are UTC (rule M29); a hold counts in the window it was
made in, a charge in the window of its event's time (rule M20).
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from tallystick.domain.credits.holds import Scope
from tallystick.kernel.errors import TallystickError

SCOPES: Final = ("workspace", "project", "user", "workflow", "agent", "apiKey")
PERIODS: Final = ("run", "day", "month")
WHOLE: Final = "workspace"
"""The subject of a budget over the whole workspace."""

_RUN_GOES_ON: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Budget:
    """A cap of `amount` nano-units of `unit` per `per`. `subject` is a resource's id as text, an API key, or None."""

    id: UUID
    workspace_id: UUID
    name: str
    scope: str
    subject: str | None
    per: str
    unit: str
    amount: int
    created_at: dt.datetime

    def subject_in(self, scope: Scope) -> str | None:
        """Whom of this scope it caps: the subject whose usage counts, or None where it does not apply."""
        found = _member(self.scope, scope)
        if found is None or (self.subject is not None and self.subject != found):
            return None
        return found

    def window_at(self, at: dt.datetime) -> "WindowKey | None":
        """The one window that counts at `at`; None where there are many: a cap for each run, or each of its scope."""
        subject = WHOLE if self.scope == WHOLE else self.subject
        window = _window(self.per, None, at)
        return None if subject is None or window is None else WindowKey(self.id, subject, window)


class WindowKey(NamedTuple):
    """Names one row of `budget_usage` of a workspace."""

    budget_id: UUID
    subject: str
    window: str


@dataclass(slots=True)
class Usage:
    """How far one budget is used in one window: what was charged, and what open holds set aside. Nano-units."""

    budget: Budget
    spent: int = 0
    held: int = 0

    @property
    def left(self) -> int:
        """What a new hold may take; negative once late usage went past the cap."""
        return self.budget.amount - self.spent - self.held


def windows(budgets: Iterable[Budget], scope: Scope, at: dt.datetime) -> Iterator[tuple[Budget, WindowKey]]:
    """The budgets that stand over `scope` at the instant `at` (aware), each with the window that counts."""
    for budget in budgets:
        subject = budget.subject_in(scope)
        window = _window(budget.per, scope.run, at)
        if subject is not None and window is not None:
            yield budget, WindowKey(budget.id, subject, window)


def window_start(per: str, at: dt.datetime) -> dt.datetime:
    """The first instant of the window that `at` lies in; for runs, since when one must be used to be still going on."""
    if per == "run":
        return at - _RUN_GOES_ON
    day = at.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day if per == "day" else day.replace(day=1)


def first_window(per: str, at: dt.datetime) -> str:
    """The name of the window of days or months that `at` lies in; later ones sort after it. Empty for runs."""
    return _window(per, None, at) or ""


def check_budget(scope: str, per: str, unit: str, amount: int, subject: str | None) -> None:
    """Raises `invalidScope`, `invalidPeriod`, `invalidUnit` or `invalidAmount`, naming what there is."""
    if scope not in SCOPES:
        raise TallystickError("invalidScope", f"scope must be one of {', '.join(SCOPES)}.", scope=scope[:64])
    if per not in PERIODS:
        raise TallystickError("invalidPeriod", f"per must be one of {', '.join(PERIODS)}.", per=per[:64])
    if unit not in ("credits", "tool_runs"):
        raise TallystickError("invalidUnit", "unit must be credits or toolRuns.", unit=unit[:64])
    if amount < 0:
        raise TallystickError("invalidAmount", "A budget's amount is 0 or more.", field="amount")
    if scope == WHOLE and subject is not None:
        raise TallystickError("invalidScope", "A budget of the whole workspace has no subject.", scope=scope)


def _member(kind: str, scope: Scope) -> str | None:
    if kind == WHOLE:
        return WHOLE
    if kind == "apiKey":
        return scope.api_key or None
    found: UUID | None = getattr(scope, f"{kind}_id")
    return None if found is None else str(found)


def _window(per: str, run: str | None, at: dt.datetime) -> str | None:
    if per == "run":
        return run or None
    return f"{at.astimezone(dt.UTC):%Y-%m-%d}" if per == "day" else f"{at.astimezone(dt.UTC):%Y-%m}"
