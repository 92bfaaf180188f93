"""Workflows and their releases. Name, kind and whether one is enabled are the resource's (store/resources.py)."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Final
from uuid import UUID

from tallystick.domain.runs.workflows import Workflow
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(Workflow))


@dataclass(frozen=True, slots=True)
class Head:
    """A workflow's own row: which release runs now, and how many runs at once."""

    id: UUID
    release_id: UUID
    concurrency_limit: int | None
    created_at: dt.datetime
    updated_at: dt.datetime


async def lock(conn: Connection, workspace_id: UUID, workflow_id: UUID) -> Head | None:
    """The row of a workflow, locked until the transaction ends."""
    given = {"workspace_id": workspace_id, "id": workflow_id}
    row = await (await conn.execute(SQL["lock"], given)).fetchone()
    return Head(**row) if row else None


async def lock_limited(conn: Connection, workspace_id: UUID, workflow_ids: Collection[UUID]) -> dict[UUID, int]:
    """Lock those that bound how many runs go on at once; their bounds."""
    given = {"workspace_id": workspace_id, "ids": sorted(workflow_ids)}
    rows = await (await conn.execute(SQL["lock_limited"], given)).fetchall()
    return {row["id"]: row["concurrency_limit"] for row in rows}


async def insert(conn: Connection, workspace_id: UUID, head: Head) -> None:
    """Add a workflow's row; its resource must be locked."""
    await conn.execute(SQL["insert"], _given(workspace_id, head))


async def update(conn: Connection, workspace_id: UUID, head: Head) -> None:
    """Write its release, limit and time."""
    await conn.execute(SQL["update"], _given(workspace_id, head))


async def insert_release(
    conn: Connection,
    workspace_id: UUID,
    *,
    workflow_id: UUID,
    release_id: UUID,
    version: int,
    nodes: str,
    max_steps: int | None,
    now: dt.datetime,
) -> None:
    """Append a release; `nodes` is JSON text."""
    given = {
        "workspace_id": workspace_id,
        "id": release_id,
        "workflow_id": workflow_id,
        "version": version,
        "nodes": nodes,
        "max_steps": max_steps,
        "created_at": now,
    }
    await conn.execute(SQL["insert_release"], given)


async def current(conn: Connection, workspace_id: UUID, workflow_id: UUID) -> Workflow | None:
    """A workflow with its newest release; None when it has none, or was deleted."""
    given = {"workspace_id": workspace_id, "ids": [workflow_id]}
    row = await (await conn.execute(SQL["with_newest_release"], given)).fetchone()
    return workflow_of(row) if row else None


async def released(conn: Connection, workspace_id: UUID, release_ids: Collection[UUID]) -> dict[UUID, Workflow]:
    """The workflows of these releases, by release."""
    given = {"workspace_id": workspace_id, "ids": sorted(release_ids)}
    rows = await (await conn.execute(SQL["with_releases"], given)).fetchall()
    return {row["release_id"]: workflow_of(row) for row in rows}


async def of_key(conn: Connection, workspace_id: UUID, key: str) -> dict[str, UUID]:
    """The plays and tools with this key, by kind; a play comes first."""
    given = {"workspace_id": workspace_id, "key": key}
    rows = await (await conn.execute(SQL["of_key"], given)).fetchall()
    return {row["kind"]: row["id"] for row in rows}


async def is_known(conn: Connection, workspace_id: UUID, workflow_id: UUID) -> bool:
    """Whether there is such a play or tool, with nodes or without."""
    given = {"workspace_id": workspace_id, "id": workflow_id}
    return await (await conn.execute(SQL["is_known"], given)).fetchone() is not None


def workflow_of(row: Row) -> Workflow:
    """The workflow of a row that has all its fields."""
    return Workflow(**{name: row[name] for name in _FIELDS})


def _given(workspace_id: UUID, head: Head) -> dict[str, object]:
    return {
        "workspace_id": workspace_id,
        "id": head.id,
        "release_id": head.release_id,
        "concurrency_limit": head.concurrency_limit,
        "created_at": head.created_at,
        "updated_at": head.updated_at,
    }
