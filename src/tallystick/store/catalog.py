"""The catalog as a whole and its version. Whoever changes meters, prices or plans locks it first and bumps it last."""

from tallystick.domain.billing.plans import PlanVersion
from tallystick.domain.metering.catalog import Catalog
from tallystick.domain.metering.prices import PriceBook, PriceVersion
from tallystick.store import prices
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)


async def version(conn: Connection) -> int:
    """The version that grows with every change."""
    return await _version(conn, "catalog_version")


async def lock(conn: Connection) -> int:
    """Hold off other changes until the end of the transaction; readers go on."""
    return await _version(conn, "lock_catalog")


async def bump(conn: Connection) -> int:
    """Tell every process that the catalog changed in this transaction; its new version."""
    return await _version(conn, "bump_catalog")


async def load_catalog(conn: Connection, known: Catalog | None = None) -> Catalog:
    """Everything. What `known` holds already is not compiled again, since versions never change.

    The version is read first: a change that commits meanwhile may be in what is returned, and is then loaded again.
    """
    number = await version(conn)
    seen = known.prices if known else PriceBook()
    versions: list[PriceVersion] = []
    for row in await (await conn.execute(SQL["all_price_versions"])).fetchall():
        versions.append(seen.get(row["id"]) or prices.version_of(row))
    meters = [prices.meter_of(row) for row in await (await conn.execute(SQL["all_meters"])).fetchall()]
    plans = [PlanVersion(**row) for row in await (await conn.execute(SQL["all_plan_versions"])).fetchall()]
    return Catalog(
        number, {meter.type: meter for meter in meters}, PriceBook(versions), {plan.id: plan for plan in plans}
    )


async def _version(conn: Connection, query: str) -> int:
    row = await (await conn.execute(SQL[query])).fetchone()
    if row is None:
        raise RuntimeError("catalog_state has no row")
    return int(row["version"])
