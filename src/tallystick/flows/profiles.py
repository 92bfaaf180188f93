"""Hardware profiles: what ships with the program, and what the operator makes of it."""

import datetime as dt
from dataclasses import dataclass, replace
from uuid import UUID

from tallystick.domain.deployments.profiles import HOUR, SHIPPED, HardwareProfile, check_profile
from tallystick.domain.metering.prices import BEGINNING, PriceVersion
from tallystick.domain.metering.rates import canonical_rates
from tallystick.kernel.credits import format_credits, parse_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, catalog, prices, profiles
from tallystick.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks, and when."""

    actor: str
    now: dt.datetime
    ids: Ids
    reason: str = ""


async def ship_profiles(database: Database) -> None:
    """Make sure that the shipped profiles are there; safe at every start. Their prices ship with the catalog."""

    async def work(conn: Connection) -> None:
        await profiles.ship(conn, [profile for profile, _ in SHIPPED.values()])

    await database.run(work, admin=True)


async def put(
    database: Database, profile: HardwareProfile, operator: Operator, *, hourly: int | None = None
) -> HardwareProfile:
    """Write a profile in place of what stands under its key; with `hourly`, nano-credits, at a price from now on.

    What is deployed on it keeps it and pays the new price from that instant; a profile that never had a price has it
    from the beginning. A retired one is no longer to be chosen.

    Raises `invalidProfile`, `invalidText`, `invalidAmount`, and `profileKindConflict` where the key is that of
    hardware for another kind.
    """
    check_profile(profile)
    if hourly is not None:
        parse_credits(format_credits(hourly), field="creditsPerHour")

    async def work(conn: Connection) -> HardwareProfile:
        await catalog.lock(conn)
        before = await profiles.find(conn, profile.key)
        if before is not None and before.kind != profile.kind:
            raise TallystickError(
                "profileKindConflict",
                f"{profile.key} is hardware for a {before.kind}; take another key.",
                key=profile.key,
                kind=before.kind,
            )
        after = replace(profile, created_at=before.created_at if before else profile.created_at)
        if before is not None and before.retired_at is not None and after.retired_at is not None:
            after = replace(after, retired_at=before.retired_at)
        await profiles.put(conn, after)
        if hourly is not None:
            await _price(conn, after, hourly, operator)
        await audit.record(
            conn,
            "hardware_profile.put",
            workspace_id=None,
            actor=operator.actor,
            now=operator.now,
            ids=operator.ids,
            reason=operator.reason,
            key=after.key,
            kind=after.kind,
            name=after.name,
            creditsPerHour=None if hourly is None else format_credits(hourly),
            retired=after.retired_at is not None,
        )
        return after

    return await database.run(work, admin=True)


async def _price(conn: Connection, profile: HardwareProfile, hourly: int, operator: Operator) -> None:
    """Append a price version unless the one in force says the same."""
    held = (await catalog.load_catalog(conn)).prices
    target = profile.targets[0]
    rates = canonical_rates("graduated", {"tiers": [{"upTo": None, "amount": format_credits(hourly), "per": HOUR}]})
    current = held.at((target,), operator.now)
    if current is not None and (current.model, current.rates) == ("graduated", rates):
        return
    start = BEGINNING if current is None else operator.now
    version = PriceVersion(
        operator.ids.new(operator.now), target, start, "graduated", rates, "operator", "operator", "", operator.now
    )
    added: set[UUID] = await prices.insert_versions(conn, [version])
    if not added:
        raise TallystickError(
            "priceVersionExists",
            f"{target} has another version from this instant; try again.",
            target=target,
            validFrom=start.isoformat(),
        )
    await catalog.bump(conn)
