"""Price versions and meters: appended, read, never changed."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from tallystick.domain.metering.meters import Meter
from tallystick.domain.metering.prices import PriceVersion
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)

VERSION_FIELDS = ("id", "target", "valid_from", "model", "rates", "origin", "source", "source_text", "created_at")
_METER_FIELDS = ("type", "category", "slug", "unit", "builtin")


async def insert_versions(conn: Connection, versions: Sequence[PriceVersion]) -> set[UUID]:
    """Append versions; the ids of those whose target, origin and start were free."""
    given = {
        "created_at": [version.created_at for version in versions],
        "ids": [version.id for version in versions],
        "targets": [version.target for version in versions],
        "valid_from": [version.valid_from for version in versions],
        "models": [version.model for version in versions],
        "rates": [json.dumps(version.rates) for version in versions],
        "origins": [version.origin for version in versions],
        "sources": [version.source for version in versions],
        "source_texts": [version.source_text for version in versions],
        "digests": [version.digest() for version in versions],
    }
    rows = await (await conn.execute(SQL["insert_price_versions"], given)).fetchall()
    return {row["id"] for row in rows}


async def version_at_start(conn: Connection, target: str, origin: str, valid_from: dt.datetime) -> PriceVersion | None:
    """The version of a target and origin that starts exactly then."""
    given = {"target": target, "origin": origin, "valid_from": valid_from}
    row = await (await conn.execute(SQL["price_version_at_start"], given)).fetchone()
    return None if row is None else version_of(row)


async def versions_of_origin(conn: Connection, origin: str) -> list[PriceVersion]:
    """Every version of an origin, by target and start."""
    rows = await (await conn.execute(SQL["price_versions_of_origin"], {"origin": origin})).fetchall()
    return [version_of(row) for row in rows]


async def latest_public_import(conn: Connection) -> tuple[str, Mapping[str, str] | None] | None:
    """The source of the newest public versions, and how its USD became credits; None before the first import."""
    row = await (await conn.execute(SQL["latest_public_import"])).fetchone()
    return None if row is None else (row["source"], row["cost"])


async def insert_meters(conn: Connection, meters: Sequence[Meter], now: dt.datetime) -> set[str]:
    """Add meters; the types of those that were not there."""
    given = {
        "created_at": now,
        "types": [meter.type for meter in meters],
        "categories": [meter.category for meter in meters],
        "slugs": [meter.slug for meter in meters],
        "units": [meter.unit for meter in meters],
        "builtins": [meter.builtin for meter in meters],
    }
    rows = await (await conn.execute(SQL["insert_meters"], given)).fetchall()
    return {row["type"] for row in rows}


async def meter_by_type(conn: Connection, type_: str) -> Meter | None:
    """The meter of a type of event."""
    row = await (await conn.execute(SQL["meter_by_type"], {"type": type_})).fetchone()
    return None if row is None else meter_of(row)


def version_of(row: Mapping[str, Any]) -> PriceVersion:
    """A version from a row that holds its fields. Raises `invalidPrice` when its rates were edited into nonsense."""
    return PriceVersion(*(row[name] for name in VERSION_FIELDS))


def meter_of(row: Mapping[str, Any]) -> Meter:
    """A meter from a row that holds its fields."""
    return Meter(*(row[name] for name in _METER_FIELDS))
