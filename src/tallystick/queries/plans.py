"""Plans: what a workspace is offered, every version for the operator, and what a workspace is entitled to (row D1)."""

from uuid import UUID

from tallystick.domain.billing.entitlements import Entitlement, Used, entitlements
from tallystick.domain.billing.plans import PlanVersion, offered
from tallystick.kernel.errors import TallystickError
from tallystick.store import subscriptions
from tallystick.store.database import Database, together
from tallystick.store.named_sql import load

SQL = load(__file__)


async def offers(database: Database, workspace_id: UUID) -> list[PlanVersion]:
    """What this workspace may be on: what is offered to everybody, its contracts, and the version that it is on."""
    async with database.read(workspace_id) as conn:
        every = await subscriptions.plan_versions(conn, workspace_id)
        terms = await subscriptions.live_terms(conn, workspace_id)
    found = offered(every, workspace_id)
    if terms is not None and all(one.id != terms.plan.id for one in found):
        found.append(terms.plan)
    return sorted(found, key=lambda one: (one.plan, one.version))


async def every_version(database: Database) -> list[PlanVersion]:
    """All versions, contracts and retired ones too, by plan and version."""
    async with database.read() as conn:
        rows = await (await conn.execute(SQL["every_version"])).fetchall()
    return [subscriptions.plan_of(row) for row in rows]


async def entitled(
    database: Database, workspace_id: UUID, *, free_workspaces: int
) -> tuple[PlanVersion, list[Entitlement]]:
    """What the live plan of a workspace lets it do, and how much of it is used; as of the last booking.

    `free_workspaces` is how many a person may own on Free alone. Raises `subscriptionNotFound`.
    """
    given = {"workspace_id": workspace_id}
    async with database.read(workspace_id) as conn:
        terms = await subscriptions.live_terms(conn, workspace_id)
        used, owned = await together(conn, (SQL["used"], given), (SQL["owned"], given))
    if terms is None or not used:
        raise TallystickError("subscriptionNotFound", "This workspace has no subscription.")
    [row] = used
    counted = Used(
        workspaces=max((one["owned"] for one in owned), default=0),
        runs=row["runs_started"],
        credits=row["credits"],
        tool_runs=row["tool_runs"],
    )
    return terms.plan, entitlements(terms.plan, counted, free_workspaces=free_workspaces)
