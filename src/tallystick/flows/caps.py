"""Budgets within one commit: how far each is used, and by how much the commit moves that (row E6, rule M20)."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from tallystick.domain.credits.budgets import Budget, Usage, WindowKey, windows
from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.credits.holds import Amounts, Hold, Scope
from tallystick.domain.metering.charging import Charge
from tallystick.store import budgets
from tallystick.store.budgets import UsageKey
from tallystick.store.database import Connection

Placed = tuple[UUID, Scope, dt.datetime]
"""A workspace, what is done there, and the instant that says in which windows it counts."""


class Caps:
    """The budgets of a commit's workspaces, whose balances are locked. `read` comes before what asks or moves."""

    def __init__(self, found: Mapping[UUID, list[Budget]]) -> None:
        self._budgets = found
        self._usages: dict[UsageKey, Usage] = {}
        self._moved: dict[UsageKey, tuple[int, int]] = {}

    @classmethod
    async def load(cls, conn: Connection, workspace_ids: Collection[UUID]) -> "Caps":
        """Those of these workspaces."""
        return cls(await budgets.live(conn, workspace_ids))

    def __bool__(self) -> bool:
        return bool(self._budgets)

    async def read(self, conn: Connection, placed: Iterable[Placed]) -> None:
        """Look up how far the budgets over these are used."""
        if not self._budgets:
            return
        wanted: dict[UsageKey, Budget] = {}
        for workspace_id, scope, at in placed:
            for budget, key in windows(self._budgets.get(workspace_id, ()), scope, at):
                if (workspace_id, key) not in self._usages:
                    wanted[workspace_id, key] = budget
        found = await budgets.usages(conn, wanted)
        for place, budget in wanted.items():
            self._usages[place] = Usage(budget, *found.get(place, (0, 0)))

    def over(self, placed: Placed) -> list[tuple[WindowKey, Usage]]:
        """The budgets that stand over this, as they are used by now."""
        workspace_id, scope, at = placed
        found = windows(self._budgets.get(workspace_id, ()), scope, at)
        return [(key, self._usages[workspace_id, key]) for _, key in found]

    def hold(self, hold: Hold, amounts: Amounts) -> None:
        """Count what a hold sets aside, or with negative amounts no longer does, in the window it was made in."""
        for budget, key in windows(self._budgets.get(hold.workspace_id, ()), hold.scope, hold.created_at):
            self._move((hold.workspace_id, key), 0, amounts.of(budget.unit))

    def spend(self, charge: Charge) -> None:
        """Count a charge in the windows of its event's time; flag it where it goes over one of them (rule M8)."""
        workspace_id = charge.attribution.workspace_id
        for budget, key in windows(self._budgets.get(workspace_id, ()), charge.scope, charge.used_at):
            amount = charge.credits if budget.unit == CREDITS else charge.tool_runs
            self._move((workspace_id, key), amount, 0)
            usage = self._usages[workspace_id, key]
            if amount > 0 and usage.spent > budget.amount:
                charge.over_budget = True

    async def save(self, conn: Connection) -> None:
        """Write what moved."""
        if self._moved:
            await budgets.add(conn, self._moved)

    def _move(self, key: UsageKey, spent: int, held: int) -> None:
        usage = self._usages[key]
        usage.spent += spent
        usage.held += held
        before = self._moved.get(key, (0, 0))
        self._moved[key] = before[0] + spent, before[1] + held
