"""Spending limits: a workspace's own and, in the nil workspace, the installation's (rule M16)."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Final
from uuid import UUID

from tallystick.domain.credits.limits import SHIPPED, Limits, OwnLimits
from tallystick.domain.identity.workspaces import NO_WORKSPACE
from tallystick.store.database import Asked, Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(OwnLimits))


async def effective(conn: Connection, workspace_id: UUID) -> Limits:
    """What counts for a workspace: its own limits over the installation's."""
    query, given = question(workspace_id)
    return limits_of(await (await conn.execute(query, given)).fetchall())


def question(workspace_id: UUID) -> Asked:
    """What `limits_of` is made from."""
    return SQL["limits"], {"workspace_ids": sorted({NO_WORKSPACE, workspace_id})}


def limits_of(rows: Sequence[Row]) -> Limits:
    """The limits of the answer to `question`."""
    limits = SHIPPED
    for row in sorted(rows, key=lambda row: row["workspace_id"] != NO_WORKSPACE):
        limits = limits.over(_own(row))
    return limits


async def own(conn: Connection, workspace_id: UUID) -> OwnLimits:
    """What a workspace, or with the nil one the installation, says itself."""
    cursor = await conn.execute(SQL["limits"], {"workspace_ids": [workspace_id]})
    row = await cursor.fetchone()
    return _own(row) if row else OwnLimits()


async def put(conn: Connection, workspace_id: UUID, limits: OwnLimits, now: dt.datetime) -> None:
    """Write what a workspace, or with the nil one the installation, says itself, in place of what it said before."""
    await conn.execute(SQL["put"], asdict(limits) | {"workspace_id": workspace_id, "now": now})


def _own(row: Row) -> OwnLimits:
    return OwnLimits(**{name: row[name] for name in _FIELDS})
