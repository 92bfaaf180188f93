"""Deployments with what they cost and cost so far, their history, and hardware with its prices (rows B5, B8 to B10)."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tallystick.domain.credits.gates import Decision
from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.deployments.costs import Cost, cost_of
from tallystick.domain.deployments.deployment import RESOURCE_KINDS, Change, Deployment, deployment_not_found
from tallystick.domain.deployments.history import Span, spans
from tallystick.domain.deployments.profiles import HardwareProfile, profile_not_found
from tallystick.domain.metering.prices import PriceVersion
from tallystick.domain.metering.resources import resource_id
from tallystick.domain.texts import check_key
from tallystick.queries.standing import Situation
from tallystick.store import deployments, prices, profiles
from tallystick.store.database import Connection, Database, Row
from tallystick.store.named_sql import load

SQL = load(__file__)


@dataclass(frozen=True, slots=True)
class ShownDeployment:
    """`cost` is what its hardware costs now, all replicas; `microseconds` (of replicas) and `credits` (nano) were
    charged so far."""

    deployment: Deployment
    cost: Cost | None
    microseconds: int
    credits: int


@dataclass(frozen=True, slots=True)
class History:
    """A deployment's spans, newest first, and its changes, oldest first."""

    spans: list[Span]
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class ShownProfile:
    """`cost` is that of one replica; None where it has no price."""

    profile: HardwareProfile
    cost: Cost | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be: hardware, its cost with all replicas, and whether the gate lets it in. `available` in nano."""

    profile: ShownProfile | None
    cost: Cost | None
    available: int
    decision: Decision


async def page(
    database: Database,
    workspace_id: UUID,
    *,
    now: dt.datetime,
    limit: int,
    offset: int,
    kind: str | None = None,
    state: str | None = None,
    resource: str | None = None,
) -> list[ShownDeployment]:
    """Those asked for, newest first, as of the last booking (flows/due.py). Raises `invalidKey`."""
    kinds = [RESOURCE_KINDS[kind]] if kind else list(RESOURCE_KINDS.values())
    ids = None
    if resource is not None:
        check_key(resource, field="resource")
        ids = [resource_id(workspace_id, one, resource) for one in kinds]
    given = {"workspace_id": workspace_id, "kind": kind, "state": state, "resource_ids": ids}
    async with database.read(workspace_id) as conn:
        return await _shown(conn, "page", given | {"limit": limit, "offset": offset}, now)


async def several(
    database: Database, workspace_id: UUID, ids: Sequence[UUID], *, now: dt.datetime
) -> list[ShownDeployment]:
    """These, in this order. Raises `deploymentNotFound`."""
    async with database.read(workspace_id) as conn:
        found = await _shown(conn, "several", {"workspace_id": workspace_id, "ids": list(ids)}, now)
    by_id = {one.deployment.id: one for one in found}
    for identity in ids:
        if identity not in by_id:
            raise deployment_not_found(identity)
    return [by_id[identity] for identity in ids]


async def history(database: Database, workspace_id: UUID, deployment_id: UUID) -> History:
    """What became of one deployment."""
    given = {"workspace_id": workspace_id, "id": deployment_id}
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(SQL["changes"], given)).fetchall()
    changes = [deployments.change_of(row) for row in rows]
    return History(spans(changes)[::-1], changes)


async def hardware(
    database: Database, *, now: dt.datetime, kind: str | None = None, retired: bool = False
) -> list[ShownProfile]:
    """Hardware profiles with what each costs at `now`, small ones first."""
    async with database.read() as conn:
        found = await _profiles(conn, now)
    return [
        shown
        for shown in found.values()
        if kind in (None, shown.profile.kind) and (retired or shown.profile.retired_at is None)
    ]


async def preview(
    database: Database, situation: Situation, *, kind: str, profile: str | None, replicas: int, now: dt.datetime
) -> Preview:
    """What a deployment would cost, and whether it may start in this situation. Raises `profileNotFound`."""
    shown, cost = None, None
    if profile is not None:
        async with database.read() as conn:
            found = await _profiles(conn, now)
            shown = found.get(profile)
            if shown is None or shown.profile.kind != kind or shown.profile.retired_at is not None:
                raise profile_not_found(profile, kind)
            cost = _cost(shown.profile, await _prices(conn, [shown.profile], now), replicas)
    return Preview(shown, cost, situation.funds[CREDITS].available, situation.decide("deploy"))


async def _shown(conn: Connection, name: str, given: Mapping[str, Any], now: dt.datetime) -> list[ShownDeployment]:
    rows = await (await conn.execute(SQL[name], given)).fetchall()
    on_hardware = {row["profile"] for row in rows if row["profile"] is not None}
    found: list[HardwareProfile] = []
    if on_hardware:
        every = await (await conn.execute(SQL["profiles"])).fetchall()
        found = [profiles.profile_of(row) for row in every if row["key"] in on_hardware]
    by_key = {profile.key: profile for profile in found}
    versions = await _prices(conn, found, now)
    return [_deployment_of(row, by_key.get(row["profile"]), versions) for row in rows]


def _deployment_of(row: Row, profile: HardwareProfile | None, versions: Mapping[str, PriceVersion]) -> ShownDeployment:
    cost = None if profile is None else _cost(profile, versions, row["replicas"])
    return ShownDeployment(deployments.deployment_of(row), cost, row["microseconds"] or 0, row["credits"] or 0)


async def _profiles(conn: Connection, now: dt.datetime) -> dict[str, ShownProfile]:
    rows = await (await conn.execute(SQL["profiles"])).fetchall()
    found = [profiles.profile_of(row) for row in rows]
    versions = await _prices(conn, found, now)
    return {one.key: ShownProfile(one, _cost(one, versions, 1)) for one in found}


async def _prices(conn: Connection, found: Iterable[HardwareProfile], now: dt.datetime) -> dict[str, PriceVersion]:
    """The version in force at `now` of each target that these profiles may be priced by."""
    targets = sorted({target for profile in found for target in profile.targets})
    if not targets:
        return {}
    rows = await (await conn.execute(SQL["prices"], {"targets": targets, "at": now})).fetchall()
    return {row["target"]: prices.version_of(row) for row in rows}


def _cost(profile: HardwareProfile, versions: Mapping[str, PriceVersion], replicas: int) -> Cost | None:
    version = next((versions[target] for target in profile.targets if target in versions), None)
    return cost_of(profile, version, replicas)
