"""Deployments and their changes. The workspace's balances must be locked by whoever writes here."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.deployments.deployment import Change, Deployment, deployment_not_found
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_FIELDS: Final = tuple(field.name for field in fields(Deployment))
_CHANGE_FIELDS: Final = tuple(field.name for field in fields(Change))
# Amounts and numbers of details keep their digits.
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


async def find(conn: Connection, workspace_id: UUID, deployment_id: UUID) -> Deployment:
    """One deployment, not locked. Raises `deploymentNotFound`."""
    return await _one(conn, "by_id", workspace_id, deployment_id)


async def lock(conn: Connection, workspace_id: UUID, deployment_id: UUID) -> Deployment:
    """One deployment, locked until the transaction ends. Raises `deploymentNotFound`."""
    return await _one(conn, "lock", workspace_id, deployment_id)


async def lock_all(conn: Connection, workspace_id: UUID) -> list[Deployment]:
    """Every deployment of the workspace that is not deleted, locked, by id."""
    return await _many(conn, "lock_all", workspace_id)


async def lock_running(conn: Connection, workspace_id: UUID) -> list[Deployment]:
    """Those that are charged by time, locked, by id."""
    return await _many(conn, "lock_running", workspace_id)


async def count(conn: Connection, workspace_id: UUID) -> int:
    """How many there are that are not deleted."""
    row = await (await conn.execute(SQL["count_live"], {"workspace_id": workspace_id})).fetchone()
    return int(row["found"]) if row else 0


async def insert(conn: Connection, deployments: Sequence[Deployment]) -> None:
    """Add new ones."""
    if deployments:
        await conn.execute(SQL["insert"], {"rows": _rows(deployments)})


async def update(conn: Connection, deployments: Sequence[Deployment]) -> None:
    """Write back what changes of these, of one workspace; its kind, resource and maker stay."""
    if deployments:
        given = {"workspace_id": deployments[0].workspace_id, "rows": _rows(deployments)}
        await conn.execute(SQL["update"], given)


async def add_change(conn: Connection, deployment: Deployment, asked: str, *, actor: str, at: dt.datetime) -> int:
    """Put in its history that it stands, after `asked`, as it does now; the change's number. Its row must be locked."""
    given = {
        "workspace_id": deployment.workspace_id,
        "deployment_id": deployment.id,
        "at": at,
        "asked": asked,
        "state": deployment.state,
        "profile": deployment.profile,
        "replicas": deployment.replicas,
        "actor": actor,
        "reason": deployment.reason,
    }
    row = await (await conn.execute(SQL["add_change"], given)).fetchone()
    if row is None:
        raise AssertionError("a change that was just added has a number")
    return int(row["number"])


def deployment_of(row: Row) -> Deployment:
    """The deployment of a row of `deployment`."""
    return Deployment(**{name: row[name] for name in _FIELDS})


def change_of(row: Row) -> Change:
    """The change of a row of `deployment_change`."""
    return Change(**{name: row[name] for name in _CHANGE_FIELDS})


async def _one(conn: Connection, name: str, workspace_id: UUID, deployment_id: UUID) -> Deployment:
    given = {"workspace_id": workspace_id, "id": deployment_id}
    row = await (await conn.execute(SQL[name], given)).fetchone()
    if row is None:
        raise deployment_not_found(deployment_id)
    return deployment_of(row)


async def _many(conn: Connection, name: str, workspace_id: UUID) -> list[Deployment]:
    rows = await (await conn.execute(SQL[name], {"workspace_id": workspace_id})).fetchall()
    return [deployment_of(row) for row in rows]


def _rows(deployments: Sequence[Deployment]) -> str:
    rows: list[dict[str, Any]] = [asdict(one) for one in deployments]
    return _encode(rows).decode()
