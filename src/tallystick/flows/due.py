"""What is due by the clock on one workspace: holds and grants that expire, billing periods that end (M13 to M15, M20).

Every flow that locks balances settles what is due first, so that no figure depends on when a sweeper runs.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import replace
from uuid import UUID

from tallystick.domain.billing.life_told import life_fact
from tallystick.domain.billing.subscriptions import LiveTerms
from tallystick.domain.billing.told import instant as told_instant
from tallystick.domain.credits.grants import Grant
from tallystick.domain.credits.holds import Amounts, Hold
from tallystick.domain.credits.ledger import Book
from tallystick.domain.telling.facts import TRIAL_ENDING
from tallystick.flows import turning
from tallystick.flows.caps import Caps
from tallystick.flows.running import Running
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import facts, holds, ledger, subscriptions
from tallystick.store.database import Asked, Connection, Database, Row, finishing, together
from tallystick.store.ledger import Books

_SWEEP = 200
_TOGETHER = 8
"""Workspaces that one transaction of the sweep settles: all of them wait for its end."""


async def lock(
    conn: Connection, workspace_ids: set[UUID], *, now: dt.datetime, ids: Ids, returns: bool = False
) -> Books:
    """Lock the balances of these workspaces and bring them up to `now`; the caller saves the books."""
    books, _ = await lock_and_ask(conn, workspace_ids, {}, now=now, ids=ids, returns=returns)
    return books


async def lock_and_ask(
    conn: Connection,
    workspace_ids: set[UUID],
    asked: Mapping[str, Asked],
    *,
    now: dt.datetime,
    ids: Ids,
    returns: bool = False,
) -> tuple[Books, dict[str, list[Row]]]:
    """The same, and the answers to what is asked, as they are once everything due has been settled."""
    books, answers = await ledger.lock_books(conn, workspace_ids, returns=returns, also=asked.values())
    due = [one for one, pair in books.items() if any(book.balance.is_due(now) for book in pair.values())]
    for workspace_id in due:
        pair = books[workspace_id]
        await ledger.read_grants(conn, {workspace_id: pair}, [workspace_id], returns=True)
        await _settle(conn, workspace_id, pair, now, ids)
    if due and asked:
        answers = await together(conn, *asked.values())
    return books, dict(zip(asked, answers, strict=True))


async def sweep(database: Database, *, now: dt.datetime, ids: Ids) -> int:
    """Settle every workspace on which something is due; how many there were. Safe to run by many at once.

    One that can't be settled holds up no other; the first such error is raised when all others are done.
    """
    done: set[UUID] = set()
    errors: list[TallystickError] = []
    while True:
        async with database.read() as conn:
            due = [one for one in await ledger.due_workspaces(conn, now, _SWEEP + len(errors)) if one not in done]
        for place in range(0, len(due), _TOGETHER):
            group = due[place : place + _TOGETHER]
            done.update(group)
            errors += await _bring_up_all(database, group, now, ids)
        if len(due) < _SWEEP:
            break
    if errors:
        raise errors[0]
    return len(done)


async def bring_up(database: Database, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> None:
    """Settle one workspace, so that what is read next is true at `now`; one small read when nothing is due."""
    async with database.read(workspace_id) as conn:
        if not await ledger.is_due(conn, workspace_id, now):
            return
    await _bring_up(database, {workspace_id}, now, ids)


async def _bring_up_all(
    database: Database, workspace_ids: list[UUID], now: dt.datetime, ids: Ids
) -> list[TallystickError]:
    """Settle some in one transaction; where one of them can't be settled each has its own. What went wrong."""
    try:
        await _bring_up(database, workspace_ids, now, ids)
    except TallystickError as error:
        if error.code == "databaseUnavailable":
            raise
        if len(workspace_ids) == 1:
            return [error]
        return [found for one in workspace_ids for found in await _bring_up_all(database, [one], now, ids)]
    return []


async def _bring_up(database: Database, workspace_ids: Collection[UUID], now: dt.datetime, ids: Ids) -> None:
    async def work(conn: Connection) -> None:
        books = await lock(conn, set(workspace_ids), now=now, ids=ids)
        async with finishing(conn):
            await ledger.save_books(conn, books, now)

    await database.run(work)


async def _settle(conn: Connection, workspace_id: UUID, pair: dict[str, Book], now: dt.datetime, ids: Ids) -> None:
    """In order of time: what a period's end takes or gives must not depend on how late it is noticed."""
    terms = await subscriptions.live_terms(conn, workspace_id)
    overage = terms.overage if terms else 0
    running = await Running.load(conn, workspace_id, pair, now=now, ids=ids, overage=overage)
    lapsing = await _Lapsing.load(conn, workspace_id, pair, running, now)
    while True:
        period_end = terms.period.end if terms else None
        until = min(now, period_end) if period_end else now
        await _expire(pair, until, ids, lapsing, running, period_end=period_end)
        await lapsing.until(until, ids)
        if terms is not None:
            terms = await _tell_trial(conn, workspace_id, terms, until, now)
        if terms is None or terms.period.end > now:
            break
        # What is used in a period is paid by its grants, to its last microsecond.
        await running.reach(terms.period.end)
        await _expire(pair, until, ids, lapsing, running, period_end=period_end)
        terms = await turning.renew(conn, workspace_id, pair, terms, now, ids)
        await running.renewed(terms.overage)
    await running.reach_tick(now)
    await running.save()
    await lapsing.save(conn)
    await _schedule(conn, workspace_id, pair, terms, now)
    running.wake(now)


async def reschedule(
    conn: Connection, workspace_id: UUID, pair: dict[str, Book], terms: LiveTerms | None, now: dt.datetime, ids: Ids
) -> None:
    """Have a locked workspace looked at again when something of these terms is due next."""
    await _schedule(conn, workspace_id, pair, terms, now)
    (await Running.load(conn, workspace_id, pair, now=now, ids=ids)).wake(now)


async def _schedule(
    conn: Connection, workspace_id: UUID, pair: dict[str, Book], terms: LiveTerms | None, now: dt.datetime
) -> None:
    hold_end = await holds.next_end(conn, workspace_id, now)
    for book in pair.values():
        book.schedule(terms.next_at if terms else None, hold_end)


async def _tell_trial(
    conn: Connection, workspace_id: UUID, terms: LiveTerms, until: dt.datetime, now: dt.datetime
) -> LiveTerms:
    """That a trial ends soon is told once, at its instant, where nothing is on file to pay with (rule M23)."""
    at = terms.trial_notice_at
    if at is None or at > until:
        return terms
    if not terms.has_method and terms.pending_kind is None:
        ends = told_instant(terms.trial_ends_at)
        await facts.record(conn, [life_fact(TRIAL_ENDING, workspace_id, terms, at, endsAt=ends)], now)
    terms = replace(terms, trial_notice_at=None)
    await subscriptions.save(conn, workspace_id, terms, now)
    return terms


class _Lapsing:
    """The holds of one workspace whose deadline has come, released in order of time as others of its things end."""

    def __init__(self, pair: dict[str, Book], running: Running, waiting: list[Hold], caps: Caps) -> None:
        self._pair = pair
        self._running = running
        self._waiting = waiting
        self._caps = caps
        self._done: list[Hold] = []

    @classmethod
    async def load(
        cls, conn: Connection, workspace_id: UUID, pair: dict[str, Book], running: Running, now: dt.datetime
    ) -> "_Lapsing":
        waiting = await holds.lapsed(conn, workspace_id, now)
        caps = Caps({})
        if waiting:
            caps = await Caps.load(conn, [workspace_id])
            await caps.read(conn, [(workspace_id, hold.scope, hold.created_at) for hold in waiting])
        return cls(pair, running, waiting, caps)

    async def until(self, instant: dt.datetime, ids: Ids) -> None:
        """Release those whose deadline is not after `instant`; what was kept for them expires with them."""
        while self._waiting and self._waiting[0].expires_at <= instant:
            hold = self._waiting.pop(0)
            await self._running.reach_tick(hold.expires_at)
            hold.move("expire")
            hold.finished_at = hold.expires_at
            release(hold, hold.open_amounts, self._pair, self._caps)
            self._done.append(hold)
            for book in self._pair.values():
                book.let_go(ids.new(hold.expires_at), at=hold.expires_at)

    async def save(self, conn: Connection) -> None:
        await holds.update(conn, self._done)
        await self._caps.save(conn)


def release(hold: Hold, amounts: Amounts, pair: dict[str, Book], caps: Caps) -> None:
    """Take `amounts` off what a hold sets aside, off its balances and off its budgets."""
    hold.credits -= amounts.credits
    hold.tool_runs -= amounts.tool_runs
    for unit, amount in amounts.by_unit().items():
        if amount:
            pair[unit].release(amount)
    caps.hold(hold, Amounts(-amounts.credits, -amounts.tool_runs))


async def _expire(
    pair: dict[str, Book],
    until: dt.datetime,
    ids: Ids,
    lapsing: _Lapsing,
    running: Running,
    *,
    period_end: dt.datetime | None,
) -> None:
    # Looked for anew after each, since charging what runs may have given something back.
    while ending := [
        (instant, grant.id, book, grant)
        for book in pair.values()
        for grant in book.grants.values()
        # A plan grant that ends with its period ends in the reset that gives the next one.
        if (instant := _end_of(grant)) is not None
        and instant <= until
        and not (instant == period_end and grant.source == "plan")
    ]:
        instant, _, book, grant = min(ending, key=lambda entry: entry[:2])
        await lapsing.until(instant, ids)
        # What it paid for until it ended, it pays.
        await running.reach(instant)
        book.expire(grant, ids.new(instant), at=instant)


def _end_of(grant: Grant) -> dt.datetime | None:
    """When a grant ends that has not ended yet."""
    return grant.expires_at if grant.ended_at is None and not grant.kept else None
