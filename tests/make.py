"""Factories, each named for the state that it yields."""

import datetime as dt
from uuid import UUID

from tallystick.flows import subscriptions
from tallystick.kernel.ids import SystemIds
from tallystick.store.database import Connection, Database

IDS = SystemIds()


async def bare_workspace(
    database: Database, now: dt.datetime, *, plan: str = "free", zone: str = "UTC", key: str | None = None
) -> UUID:
    """A workspace on a plan, without any grant but the plan's."""
    workspace_id = IDS.new(now)
    await subscriptions.ship_plans(database)

    async def work(conn: Connection) -> None:
        await conn.execute(
            "INSERT INTO workspace (id, key, name, zone, created_at) VALUES (%s, %s, 'Acme', %s, %s)",
            [workspace_id, key, zone, now],
        )
        await subscriptions.begin_in(conn, workspace_id, plan, zone=zone, now=now, ids=IDS)

    await database.run(work)
    return workspace_id
