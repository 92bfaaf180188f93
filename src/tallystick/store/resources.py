"""Resources, one by one. Ingest, which meets many at once, has its own set-based statements."""

from dataclasses import asdict, fields
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from tallystick.domain.metering.resources import Resource
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
# Numbers of attributes keep their digits, which the standard library would refuse to write.
_WRITE = msgspec.json.Encoder(decimal_format="number").encode
_FIELDS = tuple(field.name for field in fields(Resource))


async def announce_connector_change(conn: Connection, workspace_id: UUID) -> None:
    """Make caches of the workspace's connectors stale; before any resource is locked, since balances come first."""
    await conn.execute(SQL["announce_connector_change"], {"workspace_id": workspace_id})


async def lock(conn: Connection, workspace_id: UUID, resource_id: UUID) -> Resource | None:
    """The resource, deleted or not, locked until the transaction ends."""
    given = {"workspace_id": workspace_id, "id": resource_id}
    row = await (await conn.execute(SQL["lock_resource"], given)).fetchone()
    return resource_of(row) if row else None


async def count(conn: Connection, workspace_id: UUID, kind: str) -> int:
    """How many of one kind there are, deleted ones counted: their rows stay."""
    given = {"workspace_id": workspace_id, "kind": kind}
    row = await (await conn.execute(SQL["count_resources"], given)).fetchone()
    return int(row["found"]) if row else 0


async def insert(conn: Connection, workspace_id: UUID, resource: Resource) -> bool:
    """Whether it was added; False when one with its id, or with its kind and key, is there."""
    cursor = await conn.execute(SQL["insert_resource"], _given(workspace_id, resource))
    return await cursor.fetchone() is not None


async def update(conn: Connection, workspace_id: UUID, resource: Resource) -> None:
    """Write its name, description, attributes and times."""
    await conn.execute(SQL["update_resource"], _given(workspace_id, resource))


def resource_of(row: Row) -> Resource:
    """The resource of a row of `resource`."""
    return Resource(**{name: row[name] for name in _FIELDS})


def _given(workspace_id: UUID, resource: Resource) -> dict[str, Any]:
    attributes = Jsonb(dict(resource.attributes), dumps=_WRITE)
    return asdict(resource) | {"workspace_id": workspace_id, "attributes": attributes}
