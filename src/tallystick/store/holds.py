"""Holds and the runs they start. The workspace's balances must be locked by whoever writes here."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.credits.budgets import Budget
from tallystick.domain.credits.gates import overage_of
from tallystick.domain.credits.holds import Hold
from tallystick.store import budgets
from tallystick.store.database import Asked, Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_FIELDS: Final = tuple(field.name for field in fields(Hold))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a workspace's subscription says about new work; `runs_started` counts those of the open billing period.

    `overage` is how far beyond its credits it still goes in this period, None without end (rule M12).
    """

    status: str
    resumes_to: str | None
    overage: int | None
    run_quota: int | None
    runs_started: int
    subscription_id: UUID
    plan: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a commit's operations rest on: holds by id and by key, each workspace's terms and budgets, runs started."""

    by_id: Mapping[tuple[UUID, UUID], Hold]
    by_key: Mapping[tuple[UUID, str], Hold]
    terms: Mapping[UUID, Terms]
    started: Collection[tuple[UUID, str]]
    budgets: Mapping[UUID, list[Budget]]


def hold_of(row: Row) -> Hold:
    """The hold of a row of `hold`."""
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    values["request_hash"] = bytes(values["request_hash"])
    if values["finish_hash"] is not None:
        values["finish_hash"] = bytes(values["finish_hash"])
    return Hold(**values)


async def by_id(conn: Connection, wanted: Collection[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Hold]:
    """Those of the holds, by (workspace, id), that exist."""
    if not wanted:
        return {}
    given = {"workspace_ids": [one[0] for one in wanted], "ids": [one[1] for one in wanted]}
    rows = await (await conn.execute(SQL["by_id"], given)).fetchall()
    return {(row["workspace_id"], row["id"]): hold_of(row) for row in rows}


def questions(
    workspace_ids: Collection[UUID],
    ids: Collection[tuple[UUID, UUID]],
    keys: Collection[tuple[UUID, str]],
    runs: Collection[tuple[UUID, str]],
) -> dict[str, Asked]:
    """What `facts_of` is made from, by name; `ids`, `keys` and `runs` are each with their workspace."""
    of_all = {"workspace_ids": sorted(workspace_ids)}
    asked: dict[str, Asked] = {"budgets": (budgets.SQL["live"], of_all)}
    if ids:
        asked["by_id"] = SQL["by_id"], {"workspace_ids": [one[0] for one in ids], "ids": [one[1] for one in ids]}
    if keys:
        asked["by_key"] = SQL["by_key"], {"workspace_ids": [one[0] for one in keys], "keys": [one[1] for one in keys]}
        asked["terms"] = SQL["standings"], of_all
    if runs:
        asked["started"] = SQL["started"], {"workspace_ids": [one[0] for one in runs], "runs": [one[1] for one in runs]}
    return asked


def facts_of(found: Mapping[str, Sequence[Row]]) -> Facts:
    """The facts of the answers to `questions`."""
    return Facts(
        {(row["workspace_id"], row["id"]): hold_of(row) for row in found.get("by_id", ())},
        {(row["workspace_id"], row["key"]): hold_of(row) for row in found.get("by_key", ())},
        _terms_of(found.get("terms", ())),
        {(row["workspace_id"], row["run"]) for row in found.get("started", ())},
        budgets.by_workspace(found["budgets"]),
    )


async def lapsed(conn: Connection, workspace_id: UUID, now: dt.datetime) -> list[Hold]:
    """The open holds of a workspace whose deadline has come, earliest first."""
    rows = await (await conn.execute(SQL["lapsed"], {"workspace_id": workspace_id, "now": now})).fetchall()
    return [hold_of(row) for row in rows]


async def next_end(conn: Connection, workspace_id: UUID, now: dt.datetime) -> dt.datetime | None:
    """The earliest deadline of a workspace's open holds after `now`."""
    row = await (await conn.execute(SQL["next_end"], {"workspace_id": workspace_id, "now": now})).fetchone()
    return row["ends_at"] if row else None


async def insert(conn: Connection, holds: Sequence[Hold]) -> None:
    """Add new holds."""
    if holds:
        await conn.execute(SQL["insert"], {"rows": _rows(holds)})


async def update(conn: Connection, holds: Sequence[Hold]) -> None:
    """Write back what changes of a hold."""
    if holds:
        ids = {"workspace_ids": sorted({hold.workspace_id for hold in holds}), "ids": [hold.id for hold in holds]}
        await conn.execute(SQL["update"], {"rows": _rows(holds), **ids})


def _rows(holds: Sequence[Hold]) -> str:
    return msgspec.json.encode(holds).decode()


async def terms(conn: Connection, workspace_ids: Collection[UUID]) -> Mapping[UUID, Terms]:
    """The terms of each workspace that has a live subscription."""
    return _terms_of(await (await conn.execute(SQL["standings"], {"workspace_ids": sorted(workspace_ids)})).fetchall())


def _terms_of(rows: Iterable[Row]) -> dict[UUID, Terms]:
    return {
        row["workspace_id"]: Terms(
            row["status"],
            row["resumes_to"],
            overage_of(row["at_zero"], row["overage_cap"], row["overage_invoiced"]),
            row["run_quota"],
            row["runs_started"],
            row["subscription_id"],
            row["plan"],
        )
        for row in rows
    }


async def start(conn: Connection, runs: Collection[tuple[UUID, str]], now: dt.datetime) -> None:
    """Record runs as started and count them in their workspace's open billing period."""
    if not runs:
        return
    given = {"workspace_ids": [one[0] for one in runs], "runs": [one[1] for one in runs]}
    await conn.execute(SQL["start"], given | {"now": now})
    counts: dict[UUID, int] = {}
    for workspace_id, _ in runs:
        counts[workspace_id] = counts.get(workspace_id, 0) + 1
    ordered = sorted(counts)
    await conn.execute(SQL["count_runs"], {"workspace_ids": ordered, "runs": [counts[one] for one in ordered]})
