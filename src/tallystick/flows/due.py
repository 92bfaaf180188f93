"""What is due by the clock on one workspace: grants that expire and billing periods that end (rules M13 to M15).

Every flow that locks balances settles what is due first, so that no figure depends on when a sweeper runs.
"""

import datetime as dt
from uuid import UUID

from tallystick.domain.grants import UNITS, Grant, GrantTerms, new_grant
from tallystick.domain.ledger import Book
from tallystick.kernel.ids import Ids
from tallystick.kernel.periods import Period, period_of
from tallystick.store import ledger, subscriptions
from tallystick.store.database import Connection, Database
from tallystick.store.ledger import Books
from tallystick.store.subscriptions import LiveTerms

_SWEEP = 200


async def lock(
    conn: Connection, workspace_ids: set[UUID], *, now: dt.datetime, ids: Ids, returns: bool = False
) -> Books:
    """Lock the balances of these workspaces and bring them up to `now`; the caller saves the books."""
    books = await ledger.lock_books(conn, workspace_ids, returns=returns)
    for workspace_id, pair in books.items():
        if any(book.balance.due_at is not None and book.balance.due_at <= now for book in pair.values()):
            await ledger.read_grants(conn, {workspace_id: pair}, [workspace_id], returns=True)
            await _settle(conn, workspace_id, pair, now, ids)
    return books


async def sweep(database: Database, *, now: dt.datetime, ids: Ids) -> int:
    """Settle every workspace on which something is due; how many there were. Safe to run by many at once."""
    async with database.read() as conn:
        due = await ledger.due_workspaces(conn, now, _SWEEP)
    for workspace_id in due:

        async def work(conn: Connection, workspace_id: UUID = workspace_id) -> None:
            books = await lock(conn, {workspace_id}, now=now, ids=ids)
            await ledger.save_books(conn, books, now)

        await database.run(work)
    return len(due)


async def bring_up(database: Database, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> None:
    """Settle one workspace, so that what is read next is true at `now`; one small read when nothing is due."""
    async with database.read(workspace_id) as conn:
        if not await ledger.is_due(conn, workspace_id, now):
            return

    async def work(conn: Connection) -> None:
        books = await lock(conn, {workspace_id}, now=now, ids=ids)
        await ledger.save_books(conn, books, now)

    await database.run(work)


async def _settle(conn: Connection, workspace_id: UUID, pair: dict[str, Book], now: dt.datetime, ids: Ids) -> None:
    """In order of time: what a period's end takes or gives must not depend on how late it is noticed."""
    terms = await subscriptions.live_terms(conn, workspace_id)
    while True:
        period_end = terms.period.end if terms else None
        for book in pair.values():
            _expire(book, min(now, period_end) if period_end else now, ids, renewing=terms is not None)
        if terms is None or terms.period.end > now:
            break
        terms = await _renew(conn, workspace_id, pair, terms, now, ids)
    for book in pair.values():
        book.schedule(terms.period.end if terms else None)


def _expire(book: Book, until: dt.datetime, ids: Ids, *, renewing: bool) -> None:
    # A plan grant ends with its period, in the reset that gives the next one.
    ending = [
        grant
        for grant in book.grants.values()
        if grant.ended_at is None
        and grant.expires_at is not None
        and grant.expires_at <= until
        and not (renewing and grant.source == "plan")
    ]
    for instant, grant in sorted(
        ((grant.expires_at or until, grant) for grant in ending), key=lambda e: (e[0], e[1].id)
    ):
        book.expire(grant, ids.new(instant), at=instant)


async def _renew(
    conn: Connection, workspace_id: UUID, pair: dict[str, Book], terms: LiveTerms, now: dt.datetime, ids: Ids
) -> LiveTerms:
    """Close the ended period and open the next: one reset for each unit, the plan's grants included (rule M14)."""
    end = terms.period.end
    following = period_of(terms.anchor_at, terms.plan.cadence, terms.zone, end)
    for unit in UNITS:
        given = _rolled_over(pair[unit], terms, following, ids) + plan_grants(terms, unit, following, ids)
        pair[unit].reset(given, ids.new(end), at=end, key=f"reset:{end.isoformat()}")
    await subscriptions.close_period(conn, workspace_id, terms.period.start, now)
    await subscriptions.insert_period(conn, workspace_id, terms.subscription_id, terms.plan, following)
    return LiveTerms(terms.subscription_id, terms.anchor_at, terms.zone, following, terms.plan)


def plan_grants(terms: LiveTerms, unit: str, period: Period, ids: Ids) -> list[Grant]:
    """What the plan includes of `unit` for one period, as a grant that ends with it; nothing where it includes none."""
    return _plan_grant(unit, terms.plan.included(unit), period, terms.plan.name, ids)


def _rolled_over(book: Book, terms: LiveTerms, period: Period, ids: Ids) -> list[Grant]:
    left = sum(grant.remaining for grant in book.grants.values() if grant.source == "plan" and grant.ended_at is None)
    share = left * terms.plan.rollover_share_ppm // 1_000_000
    return _plan_grant(book.balance.unit, share, period, "rolled over", ids)


def _plan_grant(unit: str, amount: int, period: Period, reason: str, ids: Ids) -> list[Grant]:
    if not amount:
        return []
    terms = GrantTerms(unit, amount, "plan", key="", expires_at=period.end, reason=reason)
    return [new_grant(terms, ids.new(period.start), period.start)]
