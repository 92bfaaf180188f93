"""Test clocks: what time it is for a workspace made with one, and moving it forward (rule M30).

A clock moves in steps, each one transaction: to the next instant at which something is due, and what is due then is
settled with it. What money owed asks for then follows in transactions of its own, since providers are asked for it; a
clock stands still at each such instant. So no figure differs from what a server would have booked that had been up all
the time, a step that was cut off was none, and the same call again goes on where the last step ended.
"""

import datetime as dt
from collections.abc import Collection
from typing import Final
from uuid import UUID

from tallystick.flows import collecting, due, notices, overdue
from tallystick.flows.billing import Billing
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids, distinct
from tallystick.store import audit, ledger, workspaces
from tallystick.store.database import Connection, Database

STEP: Final = dt.timedelta(days=1)
"""How far a step goes at least, unless that is beyond the target: time that is charged by the minute is settled by the
day."""
_CACHED_MOST: Final = 50_000


class Clocks:
    """Which workspaces have a test clock, as one process knows them: that never changes. What it says is read anew."""

    def __init__(self) -> None:
        self._known: dict[int, bool] = {}

    async def of(self, database: Database, workspace_ids: Collection[UUID]) -> dict[UUID, dt.datetime]:
        """The clocks of those that have one; no look-up where all are known to have none."""
        asked = [one for one in distinct(workspace_ids) if self._known.get(one.int, True)]
        if not asked:
            return {}
        async with database.look() as conn:
            found = await workspaces.clocks(conn, asked)
        if len(self._known) > _CACHED_MOST:
            self._known.clear()
        self._known.update((one.int, clock is not None) for one, clock in found.items())
        return {one: clock for one, clock in found.items() if clock is not None}


async def advance(
    database: Database, billing: Billing, workspace_id: UUID, to: dt.datetime, *, actor: str, ids: Ids
) -> dt.datetime:
    """Move a test clock forward, settling in order what is due on the way; what it says then, `to` or later.

    Moving it to where it stands changes nothing. Two at once end at the later of both. Raises `workspaceNotFound`,
    `noTestClock`, and `clockMovesForward` for an instant that it has passed.
    """
    at = await database.run(lambda conn: _begin(conn, workspace_id, to, actor, ids))
    while True:
        # Also where it stands: whoever moved it there may have been cut off.
        await collecting.turn(database, billing, workspace_id, now=at, ids=ids)
        await notices.tell(database, workspace_id, now=at)
        if at >= to:
            return at
        at = await database.run(lambda conn: _step(conn, workspace_id, to, ids))


async def _begin(conn: Connection, workspace_id: UUID, to: dt.datetime, actor: str, ids: Ids) -> dt.datetime:
    at = await workspaces.lock_clock(conn, workspace_id)
    if at is None:
        raise TallystickError(
            "noTestClock", "Only a workspace made with a test clock has one to move.", workspaceUuid=str(workspace_id)
        )
    if to < at:
        raise TallystickError(
            "clockMovesForward", "A test clock only moves forward.", clock=at.isoformat(), to=to.isoformat()
        )
    if to > at:
        await audit.record(
            conn,
            "workspace.clockAdvanced",
            workspace_id=workspace_id,
            actor=actor,
            now=at,
            ids=ids,
            **{"from": at.isoformat(), "to": to.isoformat()},
        )
    return at


async def _step(conn: Connection, workspace_id: UUID, to: dt.datetime, ids: Ids) -> dt.datetime:
    at = await workspaces.lock_clock(conn, workspace_id)
    if at is None or at >= to:
        return to if at is None else at
    due_at = await workspaces.next_due(conn, workspace_id, at)
    owed_at = await workspaces.next_owed(conn, workspace_id, at)
    now = min(to, to if due_at is None else max(due_at, at + STEP), owed_at or to)
    await workspaces.set_clock(conn, workspace_id, now)
    books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
    await ledger.save_books(conn, books, now)
    await overdue.tell_in(conn, workspace_id, now=now, ids=ids)
    return now
