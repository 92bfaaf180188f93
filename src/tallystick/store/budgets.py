"""Budgets and how far each is used. The workspace's balances must be locked by whoever adds to a usage."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from typing import Final
from uuid import UUID

from tallystick.domain.credits.budgets import Budget, WindowKey
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(Budget))

UsageKey = tuple[UUID, WindowKey]
"""A workspace's row of `budget_usage`."""


async def live(conn: Connection, workspace_ids: Collection[UUID]) -> dict[UUID, list[Budget]]:
    """The budgets of these workspaces that have not ended; a workspace without any is missing."""
    return by_workspace(await (await conn.execute(SQL["live"], {"workspace_ids": list(workspace_ids)})).fetchall())


def by_workspace(rows: Iterable[Row]) -> dict[UUID, list[Budget]]:
    """The budgets of these rows of `budget`."""
    found: dict[UUID, list[Budget]] = {}
    for row in rows:
        found.setdefault(row["workspace_id"], []).append(Budget(**{name: row[name] for name in _FIELDS}))
    return found


async def usages(conn: Connection, wanted: Collection[UsageKey]) -> dict[UsageKey, tuple[int, int]]:
    """Spent and held of each; what is missing was never used."""
    if not wanted:
        return {}
    rows = await (await conn.execute(SQL["usages"], _columns(wanted))).fetchall()
    return {
        (row["workspace_id"], WindowKey(row["budget_id"], row["subject"], row["window"])): (row["spent"], row["held"])
        for row in rows
    }


async def add(conn: Connection, moved: Mapping[UsageKey, tuple[int, int]]) -> None:
    """Add to spent and held of each, in a fixed order."""
    changed = sorted(key for key, (spent, held) in moved.items() if spent or held)
    if changed:
        given = {"spent": [moved[key][0] for key in changed], "held": [moved[key][1] for key in changed]}
        await conn.execute(SQL["add"], _columns(changed) | given)


def _columns(keys: Collection[UsageKey]) -> dict[str, list[object]]:
    return {
        "workspace_ids": [workspace_id for workspace_id, _ in keys],
        "budget_ids": [key.budget_id for _, key in keys],
        "subjects": [key.subject for _, key in keys],
        "windows": [key.window for _, key in keys],
    }
