"""Plans as versions: what an operator adds, retires, and moves workspaces to (row D1).

A version never changes: who is on it keeps its terms until its own change, or until the operator moves it with the end
of a period.
"""

import datetime as dt
from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

from tallystick.domain.billing.life_told import short
from tallystick.domain.billing.plans import FREE, PlanVersion, check_version, same_terms
from tallystick.domain.billing.told import account_fact, instant
from tallystick.domain.telling.facts import CHANGE_PENDING
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, catalog, facts, ledger, subscriptions, workspaces
from tallystick.store.database import Connection, Database


async def add(
    database: Database, plan: PlanVersion, *, reason: str, actor: str, now: dt.datetime, ids: Ids
) -> PlanVersion:
    """Add a version of a plan, a contract where it names a workspace; its id, number and time are made here.

    The newest of its plan, cadence and workspace with the same terms is answered as it is. Nobody is moved to it.
    Raises `invalidPlan`, `invalidText` and `workspaceNotFound`.
    """
    check_version(plan)

    async def work(conn: Connection) -> PlanVersion:
        await catalog.lock(conn)
        if plan.workspace_id is not None:
            await workspaces.by_id(conn, plan.workspace_id)
        every = await subscriptions.plan_versions(conn, plan.workspace_id)
        alike = [one for one in every if _line(one) == _line(plan) and one.retired_at is None]
        if alike and same_terms(alike[-1], plan):
            return alike[-1]
        number = await subscriptions.next_version(conn, plan.plan)
        made = replace(plan, id=ids.new(now), version=number, created_at=now, retired_at=None)
        await subscriptions.insert_plan_version(conn, made)
        await _record(
            conn,
            "plan.added",
            made,
            reason,
            actor,
            now,
            ids,
            price=made.price_minor,
            currency=made.currency,
            includedCredits=format_credits(made.included_credits),
            workspace=str(made.workspace_id) if made.workspace_id else None,
        )
        await catalog.bump(conn)
        return made

    return await database.run(work, admin=True)


async def retire(
    database: Database, plan_version_id: UUID, *, reason: str, actor: str, now: dt.datetime, ids: Ids
) -> PlanVersion:
    """Offer a version to nobody new; those on it stay. Retired before, it is as it was.

    Raises `planNotFound`, and `lastPlanVersion` for what every new workspace begins on.
    """

    async def work(conn: Connection) -> PlanVersion:
        await catalog.lock(conn)
        plan = await subscriptions.plan_version(conn, plan_version_id)
        if plan.retired_at is not None:
            return plan
        others = [one for one in await subscriptions.plan_versions(conn) if one.plan == FREE and one.retired_at is None]
        if [one.id for one in others] == [plan.id]:
            raise TallystickError(
                "lastPlanVersion", "New workspaces begin on it: add another version of Free first.", id=str(plan.id)
            )
        await subscriptions.retire(conn, plan.id, now)
        await _record(conn, "plan.retired", plan, reason, actor, now, ids)
        await catalog.bump(conn)
        return replace(plan, retired_at=now)

    return await database.run(work, admin=True)


async def migrate(
    database: Database,
    plan_version_id: UUID,
    workspace_ids: Collection[UUID] | None,
    *,
    reason: str,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> int:
    """Put workspaces on an older version of the same plan and cadence on this one from their next period on; how many.

    `workspace_ids` None is every one. Each is told; who asked for another change keeps it. Raises `planNotFound`, and
    `invalidPlan` for a retired version.
    """

    async def work(conn: Connection) -> int:
        plan = await subscriptions.plan_version(conn, plan_version_id)
        if plan.retired_at is not None:
            raise TallystickError("invalidPlan", "This version is retired.", field="id", id=str(plan.id))
        found = await subscriptions.migratable(conn, plan, workspace_ids)
        await ledger.lock_books(conn, found)
        moved = await subscriptions.migrate(conn, plan, found, now)
        told = [
            account_fact(
                workspace_id,
                CHANGE_PENDING,
                now,
                str(plan.id),
                change="migration",
                effectiveAt=instant(ends_at),
                nextPlan=short(plan),
            )
            for workspace_id, ends_at in moved.items()
        ]
        await facts.record(conn, told, now)
        for workspace_id in sorted(moved):
            await _record(conn, "plan.migrated", plan, reason, actor, now, ids, of=workspace_id)
        return len(moved)

    return await database.run(work)


def _line(plan: PlanVersion) -> tuple[str, str, UUID | None]:
    """What a version is the newest of."""
    return plan.plan, plan.cadence, plan.workspace_id


async def _record(
    conn: Connection,
    action: str,
    plan: PlanVersion,
    reason: str,
    actor: str,
    now: dt.datetime,
    ids: Ids,
    of: UUID | None = None,
    **more: object,
) -> None:
    await audit.record(
        conn,
        action,
        workspace_id=of,
        actor=actor,
        now=now,
        ids=ids,
        reason=reason,
        plan=plan.plan,
        version=plan.version,
        id=str(plan.id),
        cadence=plan.cadence,
        **more,
    )
