"""What the names in events stand for: workspaces by uuid or key, resources of many workspaces at once."""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tallystick.domain.texts import as_uuid
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

Name = tuple[UUID, str, str]
"""A resource as an event names it: workspace, kind, uuid or key."""
NewResource = tuple[UUID, UUID, str, str, dict[str, Any]]
"""Workspace, id, kind, key, attributes."""


async def workspaces(conn: Connection, subjects: Collection[str]) -> dict[str, UUID]:
    """The open workspaces that these subjects name, by subject."""
    by_id = {uuid: subject for subject in subjects if (uuid := as_uuid(subject)) is not None}
    given = {"ids": list(by_id), "keys": [subject for subject in subjects if subject not in by_id.values()]}
    found: dict[str, UUID] = {}
    for row in await (await conn.execute(SQL["workspaces"], given)).fetchall():
        if row["id"] in by_id:
            found[by_id[row["id"]]] = row["id"]
        if row["key"] is not None:
            found[row["key"]] = row["id"]
    return found


async def births(conn: Connection, workspace_ids: Collection[UUID]) -> dict[UUID, dt.datetime]:
    """When each workspace was made; what was used before is history."""
    rows = await (await conn.execute(SQL["births"], {"ids": sorted(workspace_ids)})).fetchall()
    return {row["id"]: row["created_at"] for row in rows}


async def resources_no(conn: Connection, workspace_ids: Collection[UUID]) -> dict[UUID, int]:
    """How often connectors of each workspace have changed."""
    rows = await (await conn.execute(SQL["resources_no"], {"workspace_ids": sorted(workspace_ids)})).fetchall()
    return {row["workspace_id"]: row["resources_no"] for row in rows}


async def resources(conn: Connection, wanted: Collection[Name]) -> list[Row]:
    """The resources of these names that exist: workspace_id, kind, key, id, attributes."""
    ids = [(name[0], uuid) for name in wanted if (uuid := as_uuid(name[2])) is not None]
    keys = list(wanted)
    given = {
        "workspace_ids": [name[0] for name in keys],
        "kinds": [name[1] for name in keys],
        "keys": [name[2] for name in keys],
    }
    rows: list[Row] = list(await (await conn.execute(SQL["by_key"], given)).fetchall())
    if ids:
        pairs = {"workspace_ids": [pair[0] for pair in ids], "ids": [pair[1] for pair in ids]}
        rows += await (await conn.execute(SQL["by_id"], pairs)).fetchall()
    return rows


async def existing(conn: Connection, new: Collection[NewResource]) -> set[tuple[UUID, UUID]]:
    """Those of the resources, as (workspace, id), that are there already."""
    given = {"workspace_ids": [item[0] for item in new], "ids": [item[1] for item in new]}
    rows = await (await conn.execute(SQL["existing"], given)).fetchall()
    return {(row["workspace_id"], row["id"]) for row in rows}


async def counts(conn: Connection, wanted: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], int]:
    """How many resources of a kind a workspace has, for each (workspace, kind)."""
    given = {"workspace_ids": sorted({w for w, _ in wanted}), "kinds": sorted({kind for _, kind in wanted})}
    rows = await (await conn.execute(SQL["counts"], given)).fetchall()
    return {(row["workspace_id"], row["kind"]): row["found"] for row in rows}


async def insert(conn: Connection, new: Sequence[NewResource], now: dt.datetime) -> None:
    """Add resources met for the first time; another process may have been quicker."""
    given = {
        "workspace_ids": [item[0] for item in new],
        "ids": [item[1] for item in new],
        "kinds": [item[2] for item in new],
        "keys": [item[3] for item in new],
        "attributes": [Jsonb(item[4]) for item in new],
        "now": now,
    }
    await conn.execute(SQL["insert"], given)
