"""What a ledger of one workspace and unit is made of: the cached balance, and transactions of balanced entries."""

import datetime as dt
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tallystick.domain.credits.thresholds import ALL_USED
from tallystick.kernel.errors import TallystickError

BALANCE_MAX: Final = 2**62
"""No account may pass this in either direction, so that a bigint never overflows, sums of two included."""


class BalanceOutOfRangeError(TallystickError):
    """Code `balanceOutOfRange`: a booking would take an account beyond `BALANCE_MAX`."""

    def __init__(self, workspace_id: UUID, unit: str) -> None:
        super().__init__(
            "balanceOutOfRange",
            "The balance would leave the range that can be kept.",
            workspaceUuid=str(workspace_id),
            unit=unit,
        )
        self.workspace_id = workspace_id


@dataclass(frozen=True, slots=True)
class Entry:
    account: str
    grant_id: UUID | None
    amount: int
    balance_after: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """One balanced booking. `key` is unique per workspace and unit; `effective_at` is when it counts from."""

    seq: int
    id: UUID
    kind: str
    key: str
    effective_at: dt.datetime
    entries: tuple[Entry, ...]
    reason: str = ""
    actor: str = ""


@dataclass(slots=True)
class Balance:
    """The cached figures of one workspace and unit, in nano-units.

    `told` is the highest threshold in percent that was told of this allocation, or passed in silence (rule M19); a
    balance that was never given anything is all used, which is no news.
    """

    workspace_id: UUID
    unit: str
    held: int = 0
    overdraft: int = 0
    issued: int = 0
    used: int = 0
    expired: int = 0
    allocation: int = 0
    allocation_no: int = 0
    seq: int = 0
    due_at: dt.datetime | None = None
    resources_no: int = 0
    told: int = ALL_USED

    @property
    def posted(self) -> int:
        return self.issued - self.used - self.expired

    def is_due(self, now: dt.datetime) -> bool:
        """Whether the clock asks for something on it."""
        return self.due_at is not None and self.due_at <= now
