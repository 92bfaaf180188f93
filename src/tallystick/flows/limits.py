"""Spending limits: the installation's, written at each start from its settings (rule M16)."""

import datetime as dt
from dataclasses import asdict

from tallystick.domain.credits.limits import Limits, OwnLimits
from tallystick.domain.identity.workspaces import NO_WORKSPACE
from tallystick.store import limits as store
from tallystick.store.database import Connection, Database


async def ship_default(database: Database, limits: Limits, now: dt.datetime) -> None:
    """Make these the limits of every workspace that has none of its own; safe at every start. Raises `invalidLimits`.

    They are in the database, so that nothing that watches them needs the settings.
    """
    said = OwnLimits(**asdict(limits.check()))

    async def work(conn: Connection) -> None:
        if await store.own(conn, NO_WORKSPACE) != said:
            await store.put(conn, NO_WORKSPACE, said, now)

    await database.run(work)
