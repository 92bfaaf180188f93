"""What charging running time reads and writes beside its usage events. The workspace's balances must be locked."""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from tallystick.domain.metering.prices import PriceBook
from tallystick.store import prices
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)

Day = tuple[UUID, dt.date, str]
"""A deployment, a UTC day, a hardware profile."""


async def price_book(conn: Connection, targets: Collection[str]) -> PriceBook:
    """The versions of these targets alone."""
    rows = await (await conn.execute(SQL["prices"], {"targets": sorted(targets)})).fetchall()
    return PriceBook(prices.version_of(row) for row in rows)


async def resource_keys(conn: Connection, workspace_id: UUID, ids: Collection[UUID]) -> dict[UUID, str]:
    """How the platform calls these resources."""
    given = {"workspace_id": workspace_id, "ids": sorted(ids)}
    return {row["id"]: row["key"] for row in await (await conn.execute(SQL["keys"], given)).fetchall()}


async def low_since(conn: Connection, workspace_id: UUID) -> dt.datetime | None:
    """The tick that found credits at or below the low limit; None where none did since they were above it."""
    row = await (await conn.execute(SQL["low_since"], {"workspace_id": workspace_id})).fetchone()
    return row["since"] if row else None


async def save_low(conn: Connection, workspace_id: UUID, since: dt.datetime | None) -> None:
    """Write that."""
    given: dict[str, Any] = {"workspace_id": workspace_id}
    if since is None:
        await conn.execute(SQL["unmark_low"], given)
    else:
        await conn.execute(SQL["mark_low"], given | {"since": since})


async def advance(conn: Connection, workspace_id: UUID, until: Mapping[UUID, dt.datetime]) -> None:
    """Write until when each of these deployments has been charged."""
    if until:
        given = {"workspace_id": workspace_id, "ids": list(until), "until": list(until.values())}
        await conn.execute(SQL["advance"], given)


async def add_days(conn: Connection, workspace_id: UUID, days: Mapping[Day, tuple[int, int]]) -> None:
    """Add replica time in microseconds and nano-credits to the totals of days."""
    if not days:
        return
    ordered = sorted(days.items(), key=lambda item: item[0])
    given = {
        "workspace_id": workspace_id,
        "deployment_ids": [key[0] for key, _ in ordered],
        "days": [key[1] for key, _ in ordered],
        "profiles": [key[2] for key, _ in ordered],
        "microseconds": [figures[0] for _, figures in ordered],
        "credits": [figures[1] for _, figures in ordered],
    }
    await conn.execute(SQL["add_days"], given)


async def overdue(conn: Connection, now: dt.datetime, most: int) -> list[tuple[UUID, UUID]]:
    """What was to be stopped by now and was not, as workspace and deployment; no workspace with a test clock."""
    rows = await (await conn.execute(SQL["overdue"], {"now": now, "most": most})).fetchall()
    return [(row["workspace_id"], row["id"]) for row in rows]


async def overdue_of(conn: Connection, workspace_id: UUID, now: dt.datetime) -> list[tuple[UUID, dt.datetime]]:
    """What one workspace was to have stopped by now and has not, and by when each."""
    given = {"workspace_id": workspace_id, "now": now}
    rows = await (await conn.execute(SQL["overdue_of"], given)).fetchall()
    return [(row["id"], row["comply_by"]) for row in rows]


async def clear_stage(conn: Connection) -> None:
    """Make room for more events in the same transaction (`usage.add_events`)."""
    await conn.execute(SQL["clear_stage"])


async def is_overdue(conn: Connection, workspace_id: UUID, deployment_id: UUID, now: dt.datetime) -> bool:
    """Whether one deployment is such, and was not told of."""
    given = {"workspace_id": workspace_id, "id": deployment_id, "now": now}
    return await (await conn.execute(SQL["is_overdue"], given)).fetchone() is not None
