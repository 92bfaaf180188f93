"""What the credit-usage widget shows: both balances as `/v1/balances` has them, and what used the credits (row B3)."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tallystick.domain.credits.balances import Shown, State, shown
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database, together
from tallystick.store.named_sql import load

SQL = load(__file__)

_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "models": ("llm", "hosting", "fine_tuning"),
    "guardrails": ("guardrail",),
    "scripts": ("script",),
}
_WORST: Final[tuple[State, ...]] = ("exhausted", "low", "moderate", "healthy")


@dataclass(frozen=True, slots=True)
class Widget:
    """Balances: credits, then tool runs, and when the first of their grants ends. `used` is nano-credits since the
    billing period began, by whole UTC days, of models, guardrails and scripts; `others` is all else."""

    balances: tuple[tuple[Shown, dt.datetime | None], ...]
    used: Mapping[str, int]

    @property
    def state(self) -> State:
        """The worse of the two balances."""
        return min((balance.state for balance, _ in self.balances), key=_WORST.index)


async def widget(database: Database, workspace_id: UUID, now: dt.datetime) -> Widget:
    """As of the last booking: the caller settles what is due first (flows/due.py). Raises `workspaceNotFound`."""
    given = {"workspace_id": workspace_id, "today": now.date()}
    async with database.read(workspace_id) as conn:
        rows, sums = await together(conn, (SQL["balances"], given), (SQL["used"], given))
    if not rows:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    by_category = {row["category"]: row["credits"] for row in sums}
    used = {name: sum(by_category.pop(one, 0) for one in members) for name, members in _GROUPS.items()}
    balances = tuple(
        (
            shown(row["unit"], posted=row["posted"], held=row["held"], allocation=row["allocation"]),
            row["expires_at"],
        )
        for row in rows
    )
    return Widget(balances, used | {"others": sum(by_category.values())})
