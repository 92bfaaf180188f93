"""`tally verify`: re-derives everything that is stored twice, and tells each difference (row E2).

Keys → events → charges → ledger transactions → balances and grants → daily and hourly totals; price versions and the
counters of tiered prices beside them. It only reads. Each workspace is looked at in one snapshot of its own, one after
the other, so ingest goes on meanwhile; memory does not grow with what is checked.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from uuid import UUID

from tallystick.domain.differences import Difference
from tallystick.domain.rederiving import Rerating
from tallystick.kernel.errors import TallystickError
from tallystick.queries.verify import charges, ledger, prices, totals
from tallystick.queries.verify.checking import Check, Checked
from tallystick.store.database import Database, export_snapshot

__all__ = ["Checked", "verify"]


def _nothing() -> None:
    return None


async def verify(
    database: Database,
    tell: Callable[[Difference], None],
    *,
    hours_since: dt.datetime,
    workspace_id: UUID | None = None,
    checked: Checked | None = None,
    progress: Callable[[], None] = _nothing,
) -> Checked:
    """Check every workspace, or one, and `tell` each difference as it is found; what was looked at.

    Hourly totals are compared from `hours_since` on. `checked` is counted up as it goes and `progress` called now
    and then. Raises `workspaceNotFound`.
    """
    checked = Checked() if checked is None else checked
    async with database.read() as conn:
        book = await prices.check(conn, checked, tell)
        wanted = await prices.workspaces(conn)
    if workspace_id is not None:
        if workspace_id not in wanted:
            raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
        wanted = [workspace_id]
    for one in wanted:
        await _verify_workspace(database, Check(one, checked, tell, progress), Rerating(book), hours_since)
        checked.workspaces += 1
        progress()
    return checked


async def _verify_workspace(database: Database, check: Check, rerating: Rerating, hours_since: dt.datetime) -> None:
    """One workspace in one snapshot, which two connections share: sums are the server's work, rating is ours."""
    async with database.read(check.workspace_id) as first:
        snapshot = await export_snapshot(first)
        async with database.read(check.workspace_id, snapshot=snapshot) as second:

            async def sums() -> None:
                await totals.check(second, check, hours_since)
                await ledger.check(second, check)

            tasks = [asyncio.create_task(sums()), asyncio.create_task(charges.check(first, check, rerating))]
            try:
                await asyncio.gather(*tasks)
            finally:
                # Where one failed the other must let go of its connection, and the first failure is what is raised.
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
