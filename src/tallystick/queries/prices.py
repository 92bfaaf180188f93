"""What things cost: price versions, the one in force at an instant, and meters."""

import datetime as dt
from dataclasses import fields
from typing import Final
from uuid import UUID

from tallystick.domain.metering.meters import Meter
from tallystick.domain.metering.prices import PriceVersion
from tallystick.store.database import Database, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(PriceVersion) if field.init)


async def price_versions(
    database: Database,
    *,
    prefix: str = "",
    at: dt.datetime | None = None,
    workspace_id: UUID | None = None,
    limit: int,
    offset: int = 0,
) -> list[PriceVersion]:
    """A page of the versions whose target begins with `prefix`, by target, precedence and start.

    With `at`, only those in force then, one a target. With `workspace_id`, without those of other workspaces' tools
    and connectors.
    """
    given = {"prefix": prefix, "at": at, "workspace_id": workspace_id, "limit": limit, "offset": offset}
    async with database.read() as conn:
        return [_version_of(row) for row in await (await conn.execute(SQL["price_versions"], given)).fetchall()]


async def price_in_force(database: Database, targets: tuple[str, ...], at: dt.datetime) -> PriceVersion | None:
    """The version in force at `at` of the first of `targets` that has one, as `PriceBook.at` answers it."""
    async with database.read() as conn:
        cursor = await conn.execute(SQL["price_in_force"], {"targets": list(targets), "at": at})
        row = await cursor.fetchone()
    return None if row is None else _version_of(row)


async def meters(database: Database) -> list[Meter]:
    """Every type of usage event, by type."""
    async with database.read() as conn:
        return [Meter(**row) for row in await (await conn.execute(SQL["meters"])).fetchall()]


def _version_of(row: Row) -> PriceVersion:
    return PriceVersion(*(row[name] for name in _FIELDS))
