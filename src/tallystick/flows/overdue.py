"""What had to be stopped and was not, told once (rule M16). Charging has ended at the stop in any case."""

import datetime as dt
from typing import Final
from uuid import UUID

from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.deployments.told import change_fact
from tallystick.domain.telling.facts import DEPLOYMENT_STOP_OVERDUE
from tallystick.flows import due
from tallystick.flows.running import ACTOR
from tallystick.kernel.ids import Ids
from tallystick.store import deployments, facts, ledger, running
from tallystick.store.database import Connection, Database

_SWEEP: Final = 200


async def stop_overdue(database: Database, *, now: dt.datetime, ids: Ids) -> int:
    """Tell of each deployment that the platform was to stop by now; how many there were. No workspace on a test clock.

    Each is told once a stop, in the transaction that puts it in its history. Safe to run by many at once.
    """
    async with database.read() as conn:
        found = await running.overdue(conn, now, _SWEEP)
    told = 0
    for workspace_id, deployment_id in found:

        async def work(
            conn: Connection,
            workspace_id: UUID = workspace_id,
            deployment_id: UUID = deployment_id,
        ) -> bool:
            return await _tell(conn, workspace_id, deployment_id, now, ids)

        told += await database.run(work)
    return told


async def tell_in(conn: Connection, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> None:
    """The same for one workspace, each at the instant at which it became late; for whoever moves its clock to `now`."""
    for deployment_id, comply_by in await running.overdue_of(conn, workspace_id, now):
        await _tell(conn, workspace_id, deployment_id, comply_by, ids)


async def _tell(conn: Connection, workspace_id: UUID, deployment_id: UUID, at: dt.datetime, ids: Ids) -> bool:
    books = await due.lock(conn, {workspace_id}, now=at, ids=ids)
    await ledger.save_books(conn, books, at)
    deployment = await deployments.lock(conn, workspace_id, deployment_id)
    # Under lock once more: it may have stopped, or been told of, since it was looked for.
    if not await running.is_overdue(conn, workspace_id, deployment_id, at):
        return False
    number = await deployments.add_change(conn, deployment, "overdue", actor=ACTOR, at=at)
    balance = books[workspace_id][CREDITS].balance
    fact = change_fact(
        deployment,
        DEPLOYMENT_STOP_OVERDUE,
        number,
        at,
        hourly=None,
        posted=balance.posted,
        allocation=balance.allocation,
    )
    await facts.record(conn, [fact], at)
    return True
