"""Budgets of a workspace, and how far each is used in the window of now."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final
from uuid import UUID

from tallystick.domain.credits.budgets import Budget, Usage
from tallystick.kernel.errors import TallystickError
from tallystick.store import budgets
from tallystick.store.database import Connection, Database
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(Budget))


@dataclass(frozen=True, slots=True)
class ShownBudget:
    """`usage` is that of the current window; None where it has many: a cap for each run, or each of its scope."""

    budget: Budget
    usage: Usage | None


async def page(
    database: Database, workspace_id: UUID, *, limit: int, offset: int, now: dt.datetime
) -> list[ShownBudget]:
    """Those that have not ended, oldest first, as of the last booking (flows/due.py)."""
    async with database.read(workspace_id) as conn:
        return await _shown(conn, "page", {"workspace_id": workspace_id, "limit": limit, "offset": offset}, now)


async def one(database: Database, workspace_id: UUID, budget_id: UUID, *, now: dt.datetime) -> ShownBudget:
    """One of them. Raises `budgetNotFound`."""
    async with database.read(workspace_id) as conn:
        found = await _shown(conn, "one", {"workspace_id": workspace_id, "id": budget_id}, now)
    if not found:
        raise TallystickError("budgetNotFound", "There is no such budget.", uuid=str(budget_id))
    return found[0]


async def find(database: Database, budget: Budget, *, now: dt.datetime) -> ShownBudget:
    """This one; where it has ended, without its use, which nobody counts any more."""
    async with database.read(budget.workspace_id) as conn:
        found = await _shown(conn, "one", {"workspace_id": budget.workspace_id, "id": budget.id}, now)
    return found[0] if found else ShownBudget(budget, None)


async def _shown(conn: Connection, name: str, given: dict[str, Any], now: dt.datetime) -> list[ShownBudget]:
    rows = await (await conn.execute(SQL[name], given)).fetchall()
    return await _used(conn, [Budget(**{field: row[field] for field in _FIELDS}) for row in rows], now)


async def _used(conn: Connection, found: Sequence[Budget], now: dt.datetime) -> list[ShownBudget]:
    keys = {one.id: (one.workspace_id, key) for one in found if (key := one.window_at(now)) is not None}
    used = await budgets.usages(conn, list(keys.values()))
    return [ShownBudget(one, Usage(one, *used.get(keys[one.id], (0, 0))) if one.id in keys else None) for one in found]
