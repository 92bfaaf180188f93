"""Webhook endpoints, and the deliveries that facts become. Sending them is in `store/deliveries.py`."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.telling.facts import Fact
from tallystick.domain.telling.webhooks import Endpoint, delivery_id
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(Endpoint))
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


async def queue(conn: Connection, facts: Sequence[Fact], now: dt.datetime) -> int:
    """Make a delivery of each fact to each endpoint of its workspace that wants it; how many there are to make.

    Done twice it makes them once. `now` is the machine's time, also for a workspace on a test clock: the receivers
    are real.
    """
    if not facts:
        return 0
    given = {"workspace_ids": sorted({fact.workspace_id for fact in facts})}
    rows = await (await conn.execute(SQL["enabled"], given)).fetchall()
    endpoints: dict[UUID, list[Endpoint]] = {}
    for endpoint in map(endpoint_of, rows):
        endpoints.setdefault(endpoint.workspace_id, []).append(endpoint)
    pairs = [(fact, one) for fact in facts for one in endpoints.get(fact.workspace_id, ()) if one.wants(fact)]
    if pairs:
        await conn.execute(SQL["add_deliveries"], _columns(pairs) | {"now": now})
    return len(pairs)


async def queue_for(conn: Connection, endpoint: Endpoint, fact: Fact, now: dt.datetime) -> UUID:
    """Record a fact that goes to one endpoint alone, and make its delivery; the delivery's id."""
    row = {"workspace_id": fact.workspace_id, "id": fact.id, "kind": fact.kind, "at": fact.at}
    await conn.execute(SQL["record_fact"], row | {"data": _encode(fact.data).decode(), "now": now})
    await conn.execute(SQL["add_deliveries"], _columns([(fact, endpoint)]) | {"now": now})
    return delivery_id(endpoint, fact)


def _columns(pairs: Sequence[tuple[Fact, Endpoint]]) -> dict[str, list[UUID]]:
    return {
        "workspace_ids": [fact.workspace_id for fact, _ in pairs],
        "ids": [delivery_id(endpoint, fact) for fact, endpoint in pairs],
        "endpoint_ids": [endpoint.id for _, endpoint in pairs],
        "fact_ids": [fact.id for fact, _ in pairs],
    }


async def lock_workspace(conn: Connection, workspace_id: UUID) -> None:
    """Let nobody else add an endpoint to the workspace until the transaction ends."""
    await conn.execute(SQL["lock_workspace"], {"workspace_id": workspace_id})


async def count(conn: Connection, workspace_id: UUID) -> int:
    """How many endpoints there are, deleted ones left out."""
    row = await (await conn.execute(SQL["count"], {"workspace_id": workspace_id})).fetchone()
    return int(row["found"]) if row else 0


async def insert(conn: Connection, endpoint: Endpoint) -> None:
    """Add an endpoint."""
    await conn.execute(SQL["insert"], _values(endpoint))


async def lock(conn: Connection, workspace_id: UUID, endpoint_id: UUID) -> Endpoint | None:
    """An endpoint, deleted ones too, kept from others until the transaction ends; comes before its deliveries."""
    row = await (await conn.execute(SQL["lock"], {"workspace_id": workspace_id, "id": endpoint_id})).fetchone()
    return None if row is None else endpoint_of(row)


async def update(conn: Connection, endpoint: Endpoint) -> None:
    """Write all of it that may change."""
    await conn.execute(SQL["update"], _values(endpoint))


def endpoint_of(row: Row) -> Endpoint:
    """An endpoint from a row with its columns."""
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    return Endpoint(**values | {"kinds": tuple(row["kinds"])})


def _values(endpoint: Endpoint) -> dict[str, Any]:
    return asdict(endpoint) | {"kinds": list(endpoint.kinds)}
