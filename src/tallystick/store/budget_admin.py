"""Making, changing and ending budgets, and how far a new one is used when it begins in the middle of a window."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final
from uuid import UUID

from tallystick.domain.credits.budgets import Budget
from tallystick.domain.credits.holds import Amounts, Scope
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(Budget))
_SCOPE_FIELDS: Final = tuple(field.name for field in fields(Scope))


@dataclass(frozen=True, slots=True)
class OpenHold:
    """What an open hold sets aside, of what, and when it was made."""

    scope: Scope
    amounts: Amounts
    created_at: dt.datetime


async def lock(conn: Connection, workspace_id: UUID) -> bool:
    """Keep every debit and hold of the workspace out until the transaction ends; False when there is no such workspace.

    Comes before any other lock of rows.
    """
    row = await (await conn.execute(SQL["lock"], {"workspace_id": workspace_id})).fetchone()
    return row is not None


async def count(conn: Connection, workspace_id: UUID) -> int:
    """How many budgets have not ended."""
    row = await (await conn.execute(SQL["count"], {"workspace_id": workspace_id})).fetchone()
    return int(row["found"]) if row else 0


async def insert(conn: Connection, budget: Budget) -> None:
    """Add a budget."""
    await conn.execute(SQL["insert"], asdict(budget))


async def by_id(conn: Connection, workspace_id: UUID, budget_id: UUID) -> tuple[Budget, bool] | None:
    """A budget, and whether it has ended."""
    row = await (await conn.execute(SQL["by_id"], {"workspace_id": workspace_id, "id": budget_id})).fetchone()
    if row is None:
        return None
    return Budget(**{name: row[name] for name in _FIELDS}), row["ended_at"] is not None


async def update(conn: Connection, budget: Budget, now: dt.datetime) -> None:
    """Write its name and amount; how far it is used stays."""
    await conn.execute(SQL["update"], asdict(budget) | {"now": now})


async def end(conn: Connection, budget: Budget, now: dt.datetime) -> None:
    """It caps nothing any more, and nobody asks how far it was used."""
    given = {"workspace_id": budget.workspace_id, "id": budget.id, "now": now}
    await conn.execute(SQL["end"], given)
    await conn.execute(SQL["forget_usage"], given)


async def resources(
    conn: Connection, workspace_id: UUID, ids: Sequence[UUID], kinds: Collection[str]
) -> dict[UUID, str]:
    """The kind of each of these resources that exists and is of one of these kinds."""
    given = {"workspace_id": workspace_id, "ids": list(ids), "kinds": list(kinds)}
    return {row["id"]: row["kind"] for row in await (await conn.execute(SQL["resources"], given)).fetchall()}


async def open_holds(conn: Connection, workspace_id: UUID) -> list[OpenHold]:
    """Every open hold of the workspace."""
    rows = await (await conn.execute(SQL["open_holds"], {"workspace_id": workspace_id})).fetchall()
    return [
        OpenHold(
            Scope(**{name: row[name] for name in _SCOPE_FIELDS}),
            Amounts(row["credits"], row["tool_runs"]),
            row["created_at"],
        )
        for row in rows
    ]


async def begin_spent(conn: Connection, budget: Budget, since: dt.datetime) -> None:
    """Write what was charged already in each of its windows, from the one that `since` lies in.

    For a budget per run that is every run with usage since then, or with an open hold. The workspace must be locked.
    """
    given: dict[str, Any] = asdict(budget) | {"since": since}
    if budget.per == "run":
        await conn.execute(SQL["spend_by_run"], given)
    elif budget.scope == "apiKey":
        await conn.execute(SQL["spend_by_key"], given)
    else:
        await conn.execute(SQL["spend_by_day"], given)
