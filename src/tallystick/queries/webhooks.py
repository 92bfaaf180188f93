"""Webhook endpoints without their secrets, and the log of their deliveries."""

import datetime as dt
from dataclasses import dataclass, fields
from typing import Any, Final
from uuid import UUID

from tallystick.domain.telling.webhooks import Status, payload
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database, Row
from tallystick.store.named_sql import load

SQL = load(__file__)


@dataclass(frozen=True, slots=True)
class ShownEndpoint:
    """An endpoint (domain/telling/webhooks.py) without what is secret."""

    id: UUID
    url: str
    description: str
    kinds: tuple[str, ...]
    previous_until: dt.datetime | None
    is_enabled: bool
    disabled_because: str | None
    failing_since: dt.datetime | None
    created_at: dt.datetime
    updated_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A fact on its way to an endpoint. `status_code` and `error` are of its last attempt, None while that is made."""

    id: UUID
    endpoint_id: UUID
    fact_id: UUID
    status: Status
    attempts: int
    next_at: dt.datetime
    created_at: dt.datetime
    finished_at: dt.datetime | None
    kind: str
    fact_at: dt.datetime
    status_code: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a delivery was posted; `answer` is the beginning of what the receiver said."""

    number: int
    at: dt.datetime
    milliseconds: int
    status_code: int | None
    error: str | None
    answer: str


@dataclass(frozen=True, slots=True)
class WholeDelivery:
    """A delivery with what is posted, as it is signed, and every attempt at it."""

    delivery: Delivery
    payload: str
    attempts: list[Attempt]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list: None is any; `since` and `until` are of their making, half-open."""

    status: str | None = None
    kind: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


_DELIVERY_FIELDS: Final = tuple(field.name for field in fields(Delivery))
_ENDPOINT_FIELDS: Final = tuple(field.name for field in fields(ShownEndpoint))


async def page(database: Database, workspace_id: UUID, *, limit: int, offset: int) -> list[ShownEndpoint]:
    """A page of the workspace's endpoints, oldest first."""
    given = {"workspace_id": workspace_id, "limit": limit, "offset": offset}
    async with database.read(workspace_id) as conn:
        return [_endpoint_of(row) for row in await (await conn.execute(SQL["page"], given)).fetchall()]


async def one(database: Database, workspace_id: UUID, endpoint_id: UUID) -> ShownEndpoint:
    """One of them. Raises `webhookNotFound`."""
    async with database.read(workspace_id) as conn:
        row = await (await conn.execute(SQL["one"], {"workspace_id": workspace_id, "id": endpoint_id})).fetchone()
    if row is None:
        raise TallystickError("webhookNotFound", "There is no such webhook endpoint.", uuid=str(endpoint_id))
    return _endpoint_of(row)


async def deliveries(
    database: Database, workspace_id: UUID, endpoint_id: UUID, wanted: DeliveryFilter, *, limit: int, offset: int
) -> list[Delivery]:
    """A page of an endpoint's deliveries, newest first. Raises `webhookNotFound`."""
    await one(database, workspace_id, endpoint_id)
    given: dict[str, Any] = {
        "workspace_id": workspace_id,
        "endpoint_id": endpoint_id,
        "status": wanted.status,
        "kind": wanted.kind,
        "since": wanted.since,
        "until": wanted.until,
        "limit": limit,
        "offset": offset,
    }
    async with database.read(workspace_id) as conn:
        return [_delivery_of(row) for row in await (await conn.execute(SQL["deliveries"], given)).fetchall()]


async def delivery(database: Database, workspace_id: UUID, delivery_id: UUID) -> WholeDelivery:
    """One delivery, also of an endpoint that was deleted. Raises `webhookDeliveryNotFound`."""
    given = {"workspace_id": workspace_id, "id": delivery_id}
    async with database.read(workspace_id) as conn:
        row = await (await conn.execute(SQL["delivery"], given)).fetchone()
        if row is None:
            raise TallystickError("webhookDeliveryNotFound", "There is no such delivery.", uuid=str(delivery_id))
        attempts = await (await conn.execute(SQL["attempts"], given)).fetchall()
    text = payload(workspace_id, row["kind"], row["fact_at"], row["data"])
    return WholeDelivery(_delivery_of(row), text, [Attempt(**attempt) for attempt in attempts])


def _endpoint_of(row: Row) -> ShownEndpoint:
    values: dict[str, Any] = {name: row[name] for name in _ENDPOINT_FIELDS}
    return ShownEndpoint(**values | {"kinds": tuple(row["kinds"])})


def _delivery_of(row: Row) -> Delivery:
    return Delivery(**{name: row[name] for name in _DELIVERY_FIELDS})
