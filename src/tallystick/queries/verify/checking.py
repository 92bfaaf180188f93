"""What a check carries along: whose figures it looks at, what it has looked at, and where it tells differences."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from tallystick.domain.differences import Difference, Figure


@dataclass(slots=True)
class Checked:
    """How much was looked at, over all workspaces."""

    workspaces: int = 0
    keys: int = 0
    events: int = 0
    transactions: int = 0
    entries: int = 0
    balances: int = 0
    grants: int = 0
    buckets: int = 0
    counters: int = 0
    prices: int = 0
    holds: int = 0
    budgets: int = 0
    deployments: int = 0
    purchases: int = 0
    invoices: int = 0


@dataclass(slots=True)
class Check:
    """One workspace's check. `tell` is called with each difference as it is found, so none is ever held back."""

    workspace_id: UUID
    checked: Checked
    tell: Callable[[Difference], None]
    progress: Callable[[], None]
    given: Mapping[str, object] = field(init=False)

    def __post_init__(self) -> None:
        self.given = {"workspace_id": self.workspace_id}

    def found(self, code: str, ids: Mapping[str, object], figures: tuple[Figure, ...]) -> None:
        """Tell one difference of this workspace."""
        self.tell(Difference(code, self.workspace_id, ids, figures))


Group = Mapping[UUID, Check]
"""Workspaces that are looked at in one snapshot, by id: their rows lie mixed in the same pages, which are read once."""


def given_for(group: Group) -> dict[str, object]:
    """What a query over the whole group is given."""
    return {"workspace_ids": sorted(group)}
