"""Spending limits: the installation's, written at each start from its settings, and a workspace's own (rule M16)."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, replace

from tallystick.domain.credits.limits import Limits, OwnLimits
from tallystick.domain.identity.workspaces import NO_WORKSPACE
from tallystick.flows import due
from tallystick.flows.budgets import Author
from tallystick.kernel.credits import format_credits
from tallystick.store import audit, ledger
from tallystick.store import limits as store
from tallystick.store.database import Connection, Database
from tallystick.store.workspaces import not_found


async def ship_default(database: Database, limits: Limits, now: dt.datetime) -> None:
    """Make these the limits of every workspace that has none of its own; safe at every start. Raises `invalidLimits`.

    They are in the database, so that nothing that watches them needs the settings.
    """
    said = OwnLimits(**asdict(limits.check()))

    async def work(conn: Connection) -> None:
        if await store.own(conn, NO_WORKSPACE) != said:
            await store.put(conn, NO_WORKSPACE, said, now)

    await database.run(work)


async def put_own(
    database: Database, changes: Mapping[str, int | None], reason: str, author: Author
) -> tuple[Limits, OwnLimits]:
    """Change limits of a workspace's own, named as the fields of `OwnLimits`; None leaves one to the installation.

    What was due until now is settled under the limits that there were. Answers what counts from now on, and what is
    the workspace's own. Raises `workspaceNotFound`, and `invalidLimits` where what counts would be out of order.
    """
    workspace_id, now, ids = author.workspace_id, author.now, author.ids

    async def work(conn: Connection) -> tuple[Limits, OwnLimits]:
        books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
        if workspace_id not in books:
            raise not_found(workspace_id)
        await ledger.save_books(conn, books, now)
        own = replace(await store.own(conn, workspace_id), **changes)
        await store.put(conn, workspace_id, own, now)
        counting = (await store.effective(conn, workspace_id)).check()
        await audit.record(
            conn,
            "limits.changed",
            workspace_id=workspace_id,
            actor=author.actor,
            now=now,
            ids=ids,
            reason=reason,
            **{name: _shown(name, value) for name, value in changes.items()},
        )
        return counting, own

    return await database.run(work)


def _shown(name: str, value: int | None) -> int | str | None:
    return value if value is None or name.endswith("_seconds") else format_credits(value)
