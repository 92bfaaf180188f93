"""Append prices and meters: what ships with the program, what public sources say, what the operator sets."""

import asyncio
import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid5

from tallystick.domain.deployments import fine_tuning, profiles
from tallystick.domain.metering import meters
from tallystick.domain.metering.meters import Meter, check_meter
from tallystick.domain.metering.prices import BEGINNING, PriceVersion, check_target
from tallystick.domain.metering.rates import canonical_rates
from tallystick.domain.times import check_time
from tallystick.gateways import model_prices
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, catalog, prices
from tallystick.store.database import Connection, Database

_NAMESPACE: Final = UUID("5f3b5a0e-6f0d-5c1e-9a55-7a111c4b0002")

_SHIPPED_PRICES: Final = (
    (meters.EXECUTION, "0.01"),
    (meters.STORAGE_RECORDS, "0.001"),
    (meters.TOOL_CALL, "0"),
    ("asset.created", "0"),
    ("moderation.flag", "0"),
)
"""Credits per unit from the beginning (rules M4, M6), beside those of hardware by the hour (domain/deployments); an
operator's own price stands over them."""


def shipped_versions() -> list[PriceVersion]:
    """The prices of a fresh installation, with ids that are the same everywhere."""
    by_unit = [(target, "unit", {"amount": amount}) for target, amount in _SHIPPED_PRICES]
    by_hour = [
        (profile.targets[0], "graduated", {"tiers": [{"upTo": None, "amount": hourly, "per": profiles.HOUR}]})
        for profile, hourly in profiles.SHIPPED.values()
    ]
    by_token = [
        (f"{meters.FINE_TUNING_JOB}/{complexity}", "unit", {"amount": per_million, "per": 1_000_000})
        for complexity, per_million in fine_tuning.SHIPPED.items()
    ]
    return [
        PriceVersion(
            id=uuid5(_NAMESPACE, target),
            target=target,
            valid_from=BEGINNING,
            model=model,
            rates=canonical_rates(model, rates),
            origin="shipped",
            source="shipped",
            source_text="",
            created_at=BEGINNING,
        )
        for target, model, rates in (*by_unit, *by_hour, *by_token)
    ]


async def ship_catalog(database: Database, now: dt.datetime) -> None:
    """Make sure that the shipped meters and prices are there; safe at every start, and then changes nothing."""

    async def work(conn: Connection) -> None:
        await catalog.lock(conn)
        added_meters = await prices.insert_meters(conn, meters.SHIPPED, now)
        added_prices = await prices.insert_versions(conn, shipped_versions())
        if added_meters or added_prices:
            await catalog.bump(conn)

    await database.run(work, admin=True)


async def add_version(
    database: Database,
    *,
    target: str,
    model: str,
    rates: Any,
    now: dt.datetime,
    ids: Ids,
    actor: str,
    valid_from: dt.datetime | None = None,
    reason: str = "",
    credits_per_usd: Decimal = Decimal(100),
) -> PriceVersion:
    """Append an operator's price version; without `valid_from` it is valid from the beginning (rule M2).

    The same version again is answered with the one that is there. Raises `invalidPrice`, `invalidTime`;
    `unknownMeter` for a target of no known type of event; `priceVersionExists` when another version of this target
    has the same start.
    """
    canonical = canonical_rates(model, rates, credits_per_usd=credits_per_usd)
    check_target(target, model)
    start = BEGINNING if valid_from in (None, BEGINNING) else check_time(valid_from, field="validFrom")

    async def work(conn: Connection) -> PriceVersion:
        await catalog.lock(conn)
        version = PriceVersion(ids.new(now), target, start, model, canonical, "operator", "operator", "", now)
        if await prices.meter_by_type(conn, version.type) is None:
            raise TallystickError(
                "unknownMeter", f"No type of event is called {version.type}.", type=version.type, target=target
            )
        if not await prices.insert_versions(conn, [version]):
            return await _existing(conn, version)
        await audit.record(
            conn,
            "price.added",
            workspace_id=None,
            actor=actor,
            now=now,
            ids=ids,
            reason=reason,
            id=str(version.id),
            target=target,
            validFrom=start.isoformat(),
            model=model,
            rates=canonical,
        )
        await catalog.bump(conn)
        return version

    return await database.run(work, admin=True)


async def import_public(
    database: Database, versions: Sequence[PriceVersion], now: dt.datetime, ids: Ids, *, actor: str = "import"
) -> int:
    """Append what a public source says and the book does not; how many versions that made.

    A target that is new comes with its whole history, back to the beginning. Of a known one, coming versions are
    added, and a difference in what is valid now is a new version dated now: the past is never priced anew.
    """

    async def work(conn: Connection) -> int:
        await catalog.lock(conn)
        known = _by_target(await prices.versions_of_origin(conn, "public"))
        added = [
            replace(version, id=ids.new(now), created_at=now)
            for target, incoming in _by_target(versions).items()
            for version in _differences(known.get(target, []), incoming, now)
        ]
        if not added:
            return 0
        count = len(await prices.insert_versions(conn, added))
        if count:
            sources = ", ".join(sorted({version.source for version in added}))
            await audit.record(
                conn, "price.imported", workspace_id=None, actor=actor, now=now, ids=ids, source=sources, count=count
            )
            await catalog.bump(conn)
        return count

    return await database.run(work, admin=True)


async def import_packaged(
    database: Database, *, credits_per_usd: int, markup: Decimal, now: dt.datetime, ids: Ids
) -> int:
    """Import the public prices that came with this installation, unless that was the last import; how many were new.

    Cheap when nothing changed: the packaged data is not read then.
    """
    cost: dict[str, Any] | None = None
    if markup > 0:
        shape = {"cost": {"creditsPerUsd": credits_per_usd, "markup": markup}}
        cost = canonical_rates("tokens", shape)["cost"]

    async def is_done(conn: Connection) -> bool:
        return await prices.latest_public_import(conn) == (model_prices.source(), cost)

    if await database.run(is_done, admin=True):
        return 0
    versions = await asyncio.to_thread(
        model_prices.public_versions, now, credits_per_usd=credits_per_usd, markup=markup
    )
    return await import_public(database, versions, now, ids)


async def add_meter(
    database: Database, meter: Meter, *, now: dt.datetime, ids: Ids, actor: str, reason: str = ""
) -> Meter:
    """Define a type of usage event. The same again is that meter; raises `invalidMeter`, `meterExists`."""
    meter = replace(check_meter(meter), builtin=False)

    async def work(conn: Connection) -> Meter:
        await catalog.lock(conn)
        if not await prices.insert_meters(conn, [meter], now):
            there = await prices.meter_by_type(conn, meter.type)
            if there != meter:
                raise TallystickError("meterExists", f"{meter.type} is defined already.", type=meter.type)
            return meter
        await audit.record(
            conn,
            "meter.added",
            workspace_id=None,
            actor=actor,
            now=now,
            ids=ids,
            reason=reason,
            type=meter.type,
            category=meter.category,
            slug=meter.slug,
            unit=meter.unit,
        )
        await catalog.bump(conn)
        return meter

    return await database.run(work, admin=True)


async def _existing(conn: Connection, version: PriceVersion) -> PriceVersion:
    there = await prices.version_at_start(conn, version.target, version.origin, version.valid_from)
    if there is not None and (there.model, there.rates) == (version.model, version.rates):
        return there
    raise TallystickError(
        "priceVersionExists",
        f"{version.target} has another version from {version.valid_from.isoformat()}; versions are never edited.",
        target=version.target,
        validFrom=version.valid_from.isoformat(),
        id=str(there.id) if there else None,
    )


def _by_target(versions: Iterable[PriceVersion]) -> dict[str, list[PriceVersion]]:
    grouped: dict[str, list[PriceVersion]] = {}
    for version in sorted(versions, key=lambda version: (version.target, version.valid_from)):
        grouped.setdefault(version.target, []).append(version)
    return grouped


def _differences(
    known: Sequence[PriceVersion], incoming: Sequence[PriceVersion], now: dt.datetime
) -> list[PriceVersion]:
    """What to append for one target; both lists by start."""
    if not known:
        return list(incoming)
    starts = {version.valid_from for version in known}
    added = [version for version in incoming if version.valid_from > now and version.valid_from not in starts]
    then, valid = _valid_at(known, now), _valid_at(incoming, now)
    if valid is not None and (then is None or (then.model, then.rates) != (valid.model, valid.rates)):
        added.append(replace(valid, valid_from=now))
    return added


def _valid_at(versions: Sequence[PriceVersion], now: dt.datetime) -> PriceVersion | None:
    begun = bisect_right(versions, now, key=lambda version: version.valid_from)
    return versions[begun - 1] if begun else None
