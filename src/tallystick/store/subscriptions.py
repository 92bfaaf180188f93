"""Plan versions, subscriptions and stored billing periods."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tallystick.domain.billing.plans import PlanVersion
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.periods import MONTHS, Period, period_of
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)
_PLAN_FIELDS = tuple(field.name for field in fields(PlanVersion))
_NO_PERIOD = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class LiveTerms:
    """A workspace's live subscription: its calendar, open period and plan version."""

    subscription_id: UUID
    anchor_at: dt.datetime
    zone: str
    period: Period
    plan: PlanVersion


@dataclass(frozen=True, slots=True)
class Calendar:
    """What names the billing period of any instant."""

    anchor_at: dt.datetime
    cadence: str
    zone: str


async def insert_plan_version(conn: Connection, plan: PlanVersion) -> None:
    """Add a version; one that is there already stays as it is."""
    await conn.execute(SQL["insert_plan_version"], asdict(plan) | {"features": Jsonb(plan.features)})


async def latest_plan_version(conn: Connection, plan: str) -> PlanVersion:
    """The newest version of a plan. Raises `planNotFound`."""
    row = await (await conn.execute(SQL["latest_plan_version"], {"plan": plan})).fetchone()
    if row is None:
        raise TallystickError("planNotFound", f"There is no plan called {plan}.", plan=plan)
    return _plan_of(row)


async def insert_subscription(
    conn: Connection, workspace_id: UUID, subscription_id: UUID, plan: PlanVersion, now: dt.datetime
) -> None:
    """Start a subscription now; its anchor is now."""
    given = {"workspace_id": workspace_id, "id": subscription_id, "plan_version_id": plan.id, "now": now}
    await conn.execute(SQL["insert_subscription"], given)


async def insert_period(
    conn: Connection, workspace_id: UUID, subscription_id: UUID, plan: PlanVersion, period: Period
) -> None:
    """Open a billing period."""
    given = {
        "workspace_id": workspace_id,
        "starts_at": period.start,
        "ends_at": period.end,
        "subscription_id": subscription_id,
        "plan_version_id": plan.id,
    }
    await conn.execute(SQL["insert_period"], given)


async def close_period(conn: Connection, workspace_id: UUID, starts_at: dt.datetime, closed_at: dt.datetime) -> None:
    """Mark a period as over."""
    given = {"workspace_id": workspace_id, "starts_at": starts_at, "closed_at": closed_at}
    await conn.execute(SQL["close_period"], given)


async def live_terms(conn: Connection, workspace_id: UUID) -> LiveTerms | None:
    """The live subscription of a workspace, None when it has none."""
    row = await (await conn.execute(SQL["live_terms"], {"workspace_id": workspace_id})).fetchone()
    if row is None:
        return None
    period = Period(row["starts_at"], row["ends_at"])
    return LiveTerms(row["subscription_id"], row["anchor_at"], row["zone"], period, _plan_of(row))


async def calendars(conn: Connection, workspace_ids: Collection[UUID]) -> dict[UUID, Calendar]:
    """The billing calendar of each of these workspaces."""
    rows = await (await conn.execute(SQL["calendars"], {"workspace_ids": sorted(workspace_ids)})).fetchall()
    return {row["workspace_id"]: Calendar(row["anchor_at"], row["cadence"], row["zone"]) for row in rows}


def period_start(calendar: Calendar | None, instant: dt.datetime) -> dt.datetime:
    """Start of the billing period of an instant; one endless period where there is no calendar to go by."""
    if calendar is None or calendar.cadence not in MONTHS:
        return _NO_PERIOD
    return period_of(calendar.anchor_at, calendar.cadence, calendar.zone, instant).start


def _plan_of(row: Mapping[str, Any]) -> PlanVersion:
    return PlanVersion(**{name: row[name] for name in _PLAN_FIELDS})
