"""The beginning of a workspace's commercial life: balances, a subscription and its first period."""

import datetime as dt
from uuid import UUID

from tallystick.domain.billing.plans import SHIPPED, PlanVersion
from tallystick.domain.credits.grants import UNITS
from tallystick.flows import turning
from tallystick.kernel.ids import Ids
from tallystick.kernel.periods import period_of
from tallystick.store import ledger, subscriptions
from tallystick.store.database import Connection, Database
from tallystick.store.subscriptions import LiveTerms


async def ship_plans(database: Database) -> None:
    """Make sure that the shipped plan versions are there; safe at every start."""

    async def work(conn: Connection) -> None:
        for plan in SHIPPED:
            await subscriptions.insert_plan_version(conn, plan)

    await database.run(work, admin=True)


async def begin_in(
    conn: Connection, workspace_id: UUID, plan: str, *, zone: str, now: dt.datetime, ids: Ids
) -> PlanVersion:
    """Open the balances of a new workspace and put it on the newest version of `plan`, active from now on.

    What the plan includes for the first period is granted at once. Raises `planNotFound`.
    """
    version = await subscriptions.latest_plan_version(conn, plan)
    await ledger.open_balances(conn, workspace_id)
    subscription_id = ids.new(now)
    await subscriptions.insert_subscription(conn, workspace_id, subscription_id, version, now)
    period = period_of(now, version.cadence, zone, now)
    await subscriptions.insert_period(conn, workspace_id, subscription_id, version, period)
    books, _ = await ledger.lock_books(conn, {workspace_id})
    terms = LiveTerms(subscription_id, now, zone, period, version)
    for unit in UNITS:
        book = books[workspace_id][unit]
        for grant in turning.plan_grants(terms, unit, period, ids):
            book.issue(grant, grant.id, key=f"grant:plan:{period.start.isoformat()}", actor="plan")
        book.schedule(period.end, None)
    await ledger.save_books(conn, books, now)
    return version
