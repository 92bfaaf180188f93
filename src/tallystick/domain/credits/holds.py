"""Holds: what is set aside before work, and how it ends (rules M8, M20; row E1).

A hold is `held` until it is settled, voided, or expires at its deadline. A partial settle leaves it open with less set
aside. The states are a table; a transition that is not in it is refused with `holdNotOpen`.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS
from tallystick.kernel.errors import TallystickError

HELD: Final = "held"
SETTLED: Final = "settled"
VOIDED: Final = "voided"
EXPIRED: Final = "expired"

TRANSITIONS: Final[Mapping[tuple[str, str], str]] = {
    (HELD, "extend"): HELD,
    (HELD, "settlePart"): HELD,
    (HELD, "settle"): SETTLED,
    (HELD, "void"): VOIDED,
    (HELD, "expire"): EXPIRED,
}
"""(status, what is asked) → status."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Credits and tool runs in nano-units."""

    credits: int = 0
    tool_runs: int = 0

    def of(self, unit: str) -> int:
        return self.credits if unit == CREDITS else self.tool_runs

    def by_unit(self) -> dict[str, int]:
        return {CREDITS: self.credits, TOOL_RUNS: self.tool_runs}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a hold or a charge is for, and so which budgets stand over it. `run` and `api_key` are as reported."""

    run: str | None = None
    project_id: UUID | None = None
    user_id: UUID | None = None
    workflow_id: UUID | None = None
    agent_id: UUID | None = None
    api_key: str | None = None


@dataclass(slots=True)
class Cover:
    """What a hold has set aside for the usage that settles it, counted down while that is booked.

    `left` is nano-units of credits and of tool runs; None for a balance that the hold does not speak of.
    """

    left: list[int | None]

    @classmethod
    def of(cls, hold: "Hold") -> "Cover":
        """What an open hold still has set aside."""
        return cls([hold.credits if hold.asked_credits else None, hold.tool_runs if hold.asked_tool_runs else None])

    def is_exceeded_by(self, place: int, amount: int) -> bool:
        """Take `amount` of one unit; whether that is more than was left of it (rule M8)."""
        before = self.left[place]
        if before is None:
            return False
        self.left[place] = before - amount
        return amount > 0 and before < amount


@dataclass(slots=True)
class Hold:
    """One hold while its workspace is locked; `credits` and `tool_runs` are what is still set aside.

    `names` is JSON: how the request called project, user, workflow and agent.
    """

    workspace_id: UUID
    id: UUID
    key: str
    request_hash: bytes
    status: str
    credits: int
    tool_runs: int
    asked_credits: int
    asked_tool_runs: int
    settled_credits: int
    settled_tool_runs: int
    run: str | None
    project_id: UUID | None
    user_id: UUID | None
    workflow_id: UUID | None
    agent_id: UUID | None
    api_key: str | None
    names: str
    created_at: dt.datetime
    expires_at: dt.datetime
    finished_at: dt.datetime | None = None
    finish_key: str | None = None
    finish_hash: bytes | None = None

    @property
    def scope(self) -> Scope:
        return Scope(self.run, self.project_id, self.user_id, self.workflow_id, self.agent_id, self.api_key)

    @property
    def open_amounts(self) -> Amounts:
        return Amounts(self.credits, self.tool_runs)

    def move(self, asked: str) -> None:
        """Take the transition `asked`. Raises `holdNotOpen`."""
        following = TRANSITIONS.get((self.status, asked))
        if following is None:
            raise TallystickError(
                "holdNotOpen", f"The hold is {self.status}, no longer open.", id=str(self.id), status=self.status
            )
        self.status = following
