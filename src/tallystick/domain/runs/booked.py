"""What was booked, read back: one event with its charge, and what was booked on it later."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from tallystick.domain.metering.events import EventData

Quantity = int | Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """One row of the journal of usage: amounts in nano-units, provider cost in nano-USD, negative where taken back.

    `facts` are those of its own event, so of the request that took back or priced it where `reverses` or `adjusts`
    is set. `used_at` is the instant it counts for, `booked_at` that of its commit.
    """

    id: UUID
    source: str
    source_id: str
    type: str
    meter: str
    category: str
    slug: str
    status: str | None
    used_at: dt.datetime
    booked_at: dt.datetime
    facts: EventData
    workflow_id: UUID | None
    agent_id: UUID | None
    connector_id: UUID | None
    tool_id: UUID | None
    language_model: str | None
    integration: str | None
    quantity: Quantity
    tokens_in: int
    tokens_out: int
    credits: int
    tool_runs: int
    provider_cost: int | None
    state: str
    price_version_id: UUID | None
    counter_before: Quantity | None
    overdrawn: bool
    over_budget: bool
    reverses: UUID | None
    adjusts: UUID | None


@dataclass(frozen=True, slots=True)
class Used:
    """One reported event, and what was booked on it since, oldest first: late prices, and what took them back."""

    event: Booked
    later: tuple[Booked, ...] = ()

    @property
    def every(self) -> tuple[Booked, ...]:
        """The event's own charge first."""
        return (self.event, *self.later)

    @property
    def credits(self) -> int:
        """What it costs now, in nano-credits."""
        return self.event.credits + sum(row.credits for row in self.later)

    @property
    def tool_runs(self) -> int:
        return self.event.tool_runs + sum(row.tool_runs for row in self.later)

    @property
    def is_taken_back(self) -> bool:
        """Whether it was cancelled, replaced or refunded."""
        return any(row.reverses == self.event.id for row in self.later)

    @property
    def is_unpriced(self) -> bool:
        """Whether it still waits for a price (rule M6)."""
        return self.event.state == "unpriced" and not self.later


def uses_of(rows: Iterable[Booked]) -> list[Used]:
    """The events among `rows` in order of time, each with what was booked on it.

    What was booked on an event that is not among them stands alone, so that sums over the answer are those over `rows`.
    """
    ordered = sorted(rows, key=lambda row: (row.used_at, row.id))
    by_id = {row.id: row for row in ordered}
    later: dict[UUID, list[Booked]] = {}
    first = []
    for row in ordered:
        root = _root(row, by_id)
        if root is row:
            first.append(row)
        else:
            later.setdefault(root.id, []).append(row)
    return [Used(row, tuple(later.get(row.id, ()))) for row in first]


def _root(row: Booked, by_id: dict[UUID, Booked]) -> Booked:
    """The event that a row was booked on in the end: a reversal may take back a late price."""
    seen = {row.id}
    while (target := row.reverses or row.adjusts) is not None and target in by_id and target not in seen:
        seen.add(target)
        row = by_id[target]
    return row
