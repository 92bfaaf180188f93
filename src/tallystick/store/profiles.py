"""Hardware profiles: a reference table, small, the same for every workspace."""

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any, Final

from psycopg.types.json import Jsonb

from tallystick.domain.deployments.profiles import HardwareProfile
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(HardwareProfile))


async def find(conn: Connection, key: str) -> HardwareProfile | None:
    """The profile of a key, retired or not."""
    row = await (await conn.execute(SQL["by_key"], {"key": key})).fetchone()
    return profile_of(row) if row else None


async def ship(conn: Connection, profiles: Iterable[HardwareProfile]) -> None:
    """Add those whose key is not there; what an operator made of one stays."""
    for profile in profiles:
        await conn.execute(SQL["ship"], _given(profile))


async def put(conn: Connection, profile: HardwareProfile) -> None:
    """Write a profile in place of what stood under its key."""
    await conn.execute(SQL["put"], _given(profile))


def profile_of(row: Row) -> HardwareProfile:
    """The profile of a row of `hardware_profile`."""
    return HardwareProfile(**{name: row[name] for name in _FIELDS})


def _given(profile: HardwareProfile) -> dict[str, Any]:
    return asdict(profile) | {"components": Jsonb(dict(profile.components))}
