"""`tally verify`: re-derives everything that is stored twice, and tells each difference (row E2).

Keys → events → charges → ledger transactions → balances and grants → daily and hourly totals; price versions, the
counters of tiered prices, holds, the use of budgets, the time of deployments and invoices beside them. It only reads.
Each workspace is looked at in one snapshot, which it shares with others when they are small; no check but that of
invoices' numbers compares two workspaces. Ingest goes on meanwhile; memory does not grow with what is checked.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from uuid import UUID

from tallystick.domain.differences import Difference
from tallystick.domain.metering.rederiving import Rerating
from tallystick.kernel.errors import TallystickError
from tallystick.queries.verify import (
    budgets,
    charges,
    holds,
    invoices,
    ledger,
    money,
    payments,
    prices,
    running,
    totals,
)
from tallystick.queries.verify.checking import Check, Checked, Group
from tallystick.store.database import Database, export_snapshot

__all__ = ["Checked", "verify"]

_GROUP_MOST: Final = 100
_GROUP_EVENTS: Final = 250_000


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
        if workspace_id is None:
            await invoices.check_numbers(conn, tell)
        wanted = await prices.workspaces(conn, workspace_id)
    if workspace_id is not None and not wanted:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    rerating = Rerating(book)
    for group in _groups(wanted):
        checks = {one: Check(one, checked, tell, progress) for one in group}
        await _verify_group(database, checks, rerating, hours_since)
        checked.workspaces += len(group)
        progress()
    return checked


def _groups(workspaces: Iterable[tuple[UUID, int]]) -> Iterator[list[UUID]]:
    """Workspaces of one snapshot: few enough, and with few enough events, that it never lasts long."""
    group: list[UUID] = []
    size = 0
    for workspace_id, events in workspaces:
        if group and (len(group) == _GROUP_MOST or size + events > _GROUP_EVENTS):
            yield group
            group, size = [], 0
        group.append(workspace_id)
        size += events
    if group:
        yield group


async def _verify_group(database: Database, group: Group, rerating: Rerating, hours_since: dt.datetime) -> None:
    """Workspaces in one snapshot, which two connections share: sums are the server's work, rating is ours."""
    async with database.read() as first:
        snapshot = await export_snapshot(first)
        async with database.read(snapshot=snapshot) as second:

            async def sums() -> None:
                await totals.check(second, group, hours_since)
                await budgets.check(second, group)
                for check in group.values():
                    await ledger.check(second, check)
                    await holds.check(second, check)
                    await running.check(second, check)
                    await money.check(second, check)
                    await invoices.check(second, check)
                    await payments.check(second, check)

            tasks = [asyncio.create_task(sums()), asyncio.create_task(charges.check(first, group, rerating))]
            try:
                await asyncio.gather(*tasks)
            finally:
                # Where one failed the other must let go of its connection, and the first failure is what is raised.
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
