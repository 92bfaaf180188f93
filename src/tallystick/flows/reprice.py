"""Pricing what was unpriced: an adjustment dated now that names the original and shows on the day of use (rule M6)."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.metering.attribution import Attribution, priced_name
from tallystick.domain.metering.catalog import Catalog
from tallystick.domain.metering.charging import PRICED, Charge, charge_for
from tallystick.domain.metering.events import RUNNING_SOURCE, UsageEvent, event_hash, read_data
from tallystick.domain.metering.rollups import Dimensions
from tallystick.flows import booking, due
from tallystick.flows.caps import Caps
from tallystick.flows.catalog import CatalogCache
from tallystick.gateways.model_prices import ModelDirectory
from tallystick.kernel.ids import Ids
from tallystick.store import ledger, running, unpriced, usage, workspaces
from tallystick.store.database import Connection, Database, Row
from tallystick.store.running import Day

ADJUSTMENT: Final = "price.adjustment"
_SOURCE: Final = "tallystick/prices"
_PAGE: Final = 1_000
_NO_ID: Final = UUID(int=0)


async def catalog_version(database: Database, catalogs: CatalogCache) -> int:
    """The version of the catalog; only a change of it can give unpriced usage a price."""
    async with database.read() as conn:
        return (await catalogs.current(conn)).version


async def price_unpriced(
    database: Database,
    *,
    catalogs: CatalogCache,
    models: ModelDirectory,
    hourly_days: int,
    now: dt.datetime,
    ids: Ids,
) -> int:
    """Book what prices that came later make of unpriced events, a page a transaction; how many were priced.

    It is dated now: for a workspace with a test clock, what that says.

    Safe to run twice and by many at once: each adjustment has a key of its own.
    """
    async with database.read() as conn:
        waiting = await unpriced.workspaces(conn)
        clocks = await workspaces.clocks(conn, waiting)
    priced = 0
    for workspace_id in waiting:
        at = clocks.get(workspace_id) or now
        after: UUID | None = _NO_ID
        while after is not None:

            async def work(
                conn: Connection, workspace_id: UUID = workspace_id, after: UUID = after, now: dt.datetime = at
            ) -> tuple[int, UUID | None]:
                return await _price_page(conn, workspace_id, after, catalogs, models, hourly_days, now, ids)

            booked, after = await database.run(work)
            priced += booked
    return priced


async def _price_page(
    conn: Connection,
    workspace_id: UUID,
    after: UUID,
    catalogs: CatalogCache,
    models: ModelDirectory,
    hourly_days: int,
    now: dt.datetime,
    ids: Ids,
) -> tuple[int, UUID | None]:
    books = await due.lock(conn, {workspace_id}, now=now, ids=ids, returns=True)
    catalog = await catalogs.current(conn)
    rows = await unpriced.page(conn, workspace_id, after, _PAGE)
    charges = [charge for row in rows if (charge := adjustment_of(row, catalog, models, now)) is not None]
    base = booking.first_id(ids, now)
    booking.number(charges, base)
    if charges:
        await usage.insert_keys(conn, charges)
    hours_since = now - dt.timedelta(days=hourly_days)
    caps = await Caps.load(conn, {workspace_id})
    await booking.book(conn, charges, books, caps, UUID(int=base), hours_since=hours_since, now=now, ids=ids)
    await running.add_days(conn, workspace_id, _days(rows, charges))
    await caps.save(conn)
    await ledger.save_books(conn, books, now)
    return len(charges), rows[-1]["id"] if len(rows) == _PAGE else None


def _days(rows: Sequence[Row], charges: Iterable[Charge]) -> dict[Day, tuple[int, int]]:
    """What late prices of deployments' running time add to the totals of its days; the time itself is there already."""
    measured = {row["id"]: row for row in rows if row["source"] == RUNNING_SOURCE}
    days: dict[Day, tuple[int, int]] = {}
    for charge in charges:
        if charge.adjusts in measured:
            data = measured[charge.adjusts]["data"]
            day: Day = (UUID(data["deployment"]), charge.used_at.astimezone(dt.UTC).date(), data["profile"])
            days[day] = 0, days.get(day, (0, 0))[1] + charge.credits
    return days


def adjustment_of(row: Row, catalog: Catalog, models: ModelDirectory, now: dt.datetime) -> Charge | None:
    """What an unpriced event costs now, as a charge that adjusts it; None while it has no price."""
    dimensions = Dimensions(row["meter"], *(row[name] for name in Dimensions._fields[1:]))
    facts, _ = read_data(msgspec.json.encode(row["data"]))
    attribution = Attribution(
        row["workspace_id"],
        catalog.meters[row["meter"]],
        dimensions,
        provider=facts.integration or dimensions.integration,
        action=facts.action,
        canonical=models.resolve(facts.model, dimensions.integration) if facts.model else None,
        priced_name=priced_name(row["meter"], facts),
    )
    event = UsageEvent(row["source"], row["source_id"], row["type"], row["subject"], row["time"], "", b"", facts)
    charge = charge_for(event, attribution, catalog.prices)
    if charge.state != PRICED:
        return None
    identity = str(row["id"])
    content: dict[str, Any] = {"adjusts": {"id": row["source_id"], "source": row["source"]}}
    if facts.api_key:
        content["apiKey"] = facts.api_key  # whoever takes the adjustment back finds which budgets it counted in
    data = msgspec.json.encode(content)
    charge.event = msgspec.structs.replace(
        event,
        source=_SOURCE,
        source_id=identity,
        type=ADJUSTMENT,
        time=now,
        data=data.decode(),
        hash=event_hash(ADJUSTMENT, event.subject, data),
    )
    charge.adjusts = row["id"]
    charge.covered_by = row["covered_by"]
    # Counted when it was reported; only its price is new.
    charge.tokens_in = charge.tokens_out = charge.tool_runs = 0
    charge.provider_cost = None
    return charge
