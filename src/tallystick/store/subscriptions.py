"""Plan versions, subscriptions and stored billing periods. Whoever writes has locked the workspace's balances."""

import datetime as dt
from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tallystick.domain.billing.plans import PlanVersion
from tallystick.domain.billing.subscriptions import LiveTerms as LiveTerms
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.periods import MONTHS, Period, period_of
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)
_PLAN_FIELDS = tuple(field.name for field in fields(PlanVersion))
_NO_PERIOD = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_KEPT = (
    "status",
    "trial_ends_at",
    "trial_notice_at",
    "resumes_to",
    "past_due_since",
    "pending_kind",
    "pending_at",
    "overage_cap",
)
_READ = ("started_at", "overage_invoiced", "is_idle", "has_method")


@dataclass(frozen=True, slots=True)
class Era:
    """One subscription's calendar; it holds from `since` on, the first one's also before."""

    since: dt.datetime
    anchor_at: dt.datetime
    cadence: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """What names the billing period of any instant: the calendars of a workspace's subscriptions, oldest first."""

    eras: tuple[Era, ...]
    zone: str


async def insert_plan_version(conn: Connection, plan: PlanVersion) -> bool:
    """Add a version; one that is there already stays as it is. Whether it was added."""
    given = asdict(plan) | {"features": Jsonb(plan.features)}
    return (await conn.execute(SQL["insert_plan_version"], given)).rowcount == 1


async def latest_plan_version(conn: Connection, plan: str) -> PlanVersion:
    """The newest version of a plan, the monthly one where there are several cadences. Raises `planNotFound`."""
    row = await (await conn.execute(SQL["latest_plan_version"], {"plan": plan})).fetchone()
    if row is None:
        raise TallystickError("planNotFound", f"There is no plan called {plan}.", plan=plan)
    return plan_of(row)


async def plan_version(conn: Connection, plan_version_id: UUID) -> PlanVersion:
    """One version. Raises `planNotFound`."""
    row = await (await conn.execute(SQL["plan_version"], {"id": plan_version_id})).fetchone()
    if row is None:
        raise TallystickError("planNotFound", "There is no such plan version.", id=str(plan_version_id))
    return plan_of(row)


async def plan_versions(conn: Connection, workspace_id: UUID | None = None) -> list[PlanVersion]:
    """The versions made for everybody and those of this workspace, by plan and version."""
    rows = await (await conn.execute(SQL["plan_versions"], {"workspace_id": workspace_id})).fetchall()
    return [plan_of(row) for row in rows]


async def next_version(conn: Connection, plan: str) -> int:
    """The number of a plan's next version; the catalog must be locked."""
    row = await (await conn.execute(SQL["next_version"], {"plan": plan})).fetchone()
    return int(row["version"]) if row else 1


async def retire(conn: Connection, plan_version_id: UUID, now: dt.datetime) -> None:
    """Offer a version to nobody new; those on it stay."""
    await conn.execute(SQL["retire"], {"id": plan_version_id, "now": now})


async def migratable(conn: Connection, to: PlanVersion, workspace_ids: Collection[UUID] | None) -> list[UUID]:
    """Who of these is on an older version of the same plan and cadence and asked for no other change; None: of all."""
    rows = await (await conn.execute(SQL["migratable"], _migration(to, workspace_ids))).fetchall()
    return [row["workspace_id"] for row in rows]


async def migrate(
    conn: Connection, to: PlanVersion, workspace_ids: Collection[UUID], now: dt.datetime
) -> dict[UUID, dt.datetime]:
    """Put those that still are `migratable` on `to` from the next period on: whom, and when.

    Their balances must be locked: a renewal under way writes the subscription, too.
    """
    rows = await (await conn.execute(SQL["migrate"], _migration(to, workspace_ids) | {"now": now})).fetchall()
    return {row["workspace_id"]: row["ends_at"] for row in rows}


def _migration(to: PlanVersion, workspace_ids: Collection[UUID] | None) -> dict[str, Any]:
    return {
        "to": to.id,
        "plan": to.plan,
        "version": to.version,
        "cadence": to.cadence,
        "currency": to.currency,
        "workspace_id": to.workspace_id,
        "workspace_ids": None if workspace_ids is None else sorted(workspace_ids),
    }


async def lock_person(conn: Connection, person_id: UUID) -> None:
    """Hold off others who count what the same person owns."""
    await conn.execute(SQL["lock_person"], {"person_id": person_id})


async def plans_owned(conn: Connection, person_id: UUID) -> list[PlanVersion]:
    """The plan of each open workspace that a person owns."""
    rows = await (await conn.execute(SQL["plans_owned"], {"person_id": person_id})).fetchall()
    return [plan_of(row) for row in rows]


async def insert_subscription(
    conn: Connection,
    workspace_id: UUID,
    subscription_id: UUID,
    plan: PlanVersion,
    now: dt.datetime,
    *,
    anchor_at: dt.datetime | None = None,
    status: str = "active",
) -> None:
    """Start a subscription now; its anchor is now unless another one is given."""
    given = {
        "workspace_id": workspace_id,
        "id": subscription_id,
        "plan_version_id": plan.id,
        "status": status,
        "anchor_at": anchor_at or now,
        "now": now,
    }
    await conn.execute(SQL["insert_subscription"], given)


async def save(conn: Connection, workspace_id: UUID, terms: LiveTerms, now: dt.datetime) -> None:
    """Write back what changes of a live subscription: plan, state, trial, what is pending, overage cap."""
    given = {name: getattr(terms, name) for name in _KEPT}
    given |= {
        "workspace_id": workspace_id,
        "id": terms.subscription_id,
        "plan_version_id": terms.plan.id,
        "pending_plan_version_id": terms.pending_plan.id if terms.pending_plan else None,
        "now": now,
    }
    await conn.execute(SQL["save"], given)


async def end_subscription(
    conn: Connection, workspace_id: UUID, subscription_id: UUID, at: dt.datetime, now: dt.datetime
) -> None:
    """End a subscription at an instant."""
    given = {"workspace_id": workspace_id, "id": subscription_id, "at": at, "now": now}
    await conn.execute(SQL["end_subscription"], given)


async def insert_period(
    conn: Connection,
    workspace_id: UUID,
    subscription_id: UUID,
    plan: PlanVersion,
    period: Period,
    *,
    is_idle: bool = False,
) -> None:
    """Open a billing period."""
    given = {
        "workspace_id": workspace_id,
        "starts_at": period.start,
        "ends_at": period.end,
        "subscription_id": subscription_id,
        "plan_version_id": plan.id,
        "is_idle": is_idle,
    }
    await conn.execute(SQL["insert_period"], given)


async def close_period(conn: Connection, workspace_id: UUID, period: Period, closed_at: dt.datetime) -> None:
    """Mark a period as over, at its `end`, which may be earlier than it was to be; one that ends as it begins never
    was."""
    given = {"workspace_id": workspace_id, "starts_at": period.start}
    if period.start == period.end:
        await conn.execute(SQL["drop_period"], given)
    else:
        await conn.execute(SQL["close_period"], given | {"ends_at": period.end, "closed_at": closed_at})


async def replan_period(conn: Connection, workspace_id: UUID, starts_at: dt.datetime, plan: PlanVersion) -> None:
    """Another plan for the rest of an open period."""
    given = {"workspace_id": workspace_id, "starts_at": starts_at, "plan_version_id": plan.id}
    await conn.execute(SQL["replan_period"], given)


async def add_overage(conn: Connection, workspace_id: UUID, starts_at: dt.datetime, nano: int) -> None:
    """So many nano-credits of a period's overage were invoiced before its end; its cap counts them (rule M12)."""
    given = {"workspace_id": workspace_id, "starts_at": starts_at, "credits": nano}
    await conn.execute(SQL["add_overage"], given)


async def live_terms(conn: Connection, workspace_id: UUID) -> LiveTerms | None:
    """The live subscription of a workspace, None when it has none."""
    row = await (await conn.execute(SQL["live_terms"], {"workspace_id": workspace_id})).fetchone()
    if row is None:
        return None
    pending = row["pending_plan_version_id"]
    known: dict[str, Any] = {name: row[name] for name in (*_KEPT, *_READ)}
    return LiveTerms(
        row["subscription_id"],
        row["anchor_at"],
        row["zone"],
        Period(row["starts_at"], row["ends_at"]),
        plan_of(row),
        pending_plan=None if pending is None else await plan_version(conn, pending),
        **known,
    )


async def calendars(conn: Connection, workspace_ids: Collection[UUID]) -> dict[UUID, Calendar]:
    """The billing calendar of each of these workspaces."""
    rows = await (await conn.execute(SQL["calendars"], {"workspace_ids": sorted(workspace_ids)})).fetchall()
    eras: dict[UUID, list[Era]] = {}
    zones: dict[UUID, str] = {}
    for row in rows:
        eras.setdefault(row["workspace_id"], []).append(Era(row["started_at"], row["anchor_at"], row["cadence"]))
        zones[row["workspace_id"]] = row["zone"]
    return {one: Calendar(tuple(found), zones[one]) for one, found in eras.items()}


def period_start(calendar: Calendar | None, instant: dt.datetime) -> dt.datetime:
    """Start of the billing period of an instant; one endless period where there is no calendar to go by."""
    if calendar is None:
        return _NO_PERIOD
    place = bisect_right(calendar.eras, instant, key=lambda era: era.since) - 1
    era = calendar.eras[max(place, 0)]
    if era.cadence not in MONTHS:
        return _NO_PERIOD
    start = period_of(era.anchor_at, era.cadence, calendar.zone, instant).start
    # A period begins with its subscription at the earliest; before the first one the calendar runs on backwards.
    return max(start, era.since) if place >= 0 else start


def plan_of(row: Mapping[str, Any]) -> PlanVersion:
    """The plan version of a row of `plan_version`."""
    return PlanVersion(**{name: row[name] for name in _PLAN_FIELDS})
