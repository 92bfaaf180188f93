"""From charges to tables: counters, overdraft flags, debits, rows and totals, within the transaction of the caller."""

import datetime as dt
from collections.abc import Iterable, Sequence
from uuid import UUID, uuid5

from tallystick.domain.charging import Charge
from tallystick.domain.grants import CREDITS, PRIORITIES, TOOL_RUNS, Grant
from tallystick.domain.totals import Totals
from tallystick.flows import tiers
from tallystick.kernel.ids import Ids
from tallystick.store import ledger, subscriptions, usage
from tallystick.store.database import Connection
from tallystick.store.ledger import Books

_LOW_BITS = 0xFFFFF


def first_id(ids: Ids, now: dt.datetime) -> int:
    """The id of a commit's transaction, with room below it for the ids of a million rows."""
    return ids.new(now).int & ~_LOW_BITS


def number(charges: Iterable[Charge], base: int) -> None:
    """Ids of one commit share their beginning with its transaction and grow in order of arrival."""
    following = base
    for charge in charges:
        following += 1
        charge.id = UUID(int=following)


async def book(
    conn: Connection,
    charges: Sequence[Charge],
    books: Books,
    transaction_id: UUID,
    *,
    hours_since: dt.datetime,
    now: dt.datetime,
    ids: Ids,
) -> None:
    """Book numbered charges whose keys are claimed and whose workspaces are locked; the books are saved with them."""
    if charges:
        await tiers.apply(conn, charges)
        _mark_overdrawn(charges, books)
        await _debit(conn, charges, books, transaction_id, now, ids)
        await usage.copy_events(conn, charges, transaction_id, now)
        totals = Totals(hours_since)
        for charge in charges:
            totals.add(charge)
        await usage.add_totals(conn, totals)
    await ledger.save_books(conn, books, now)


def _mark_overdrawn(charges: Iterable[Charge], books: Books) -> None:
    """Flag what the balance could not cover when its turn came (rule M8)."""
    left: dict[tuple[UUID, str], int] = {}
    for charge in charges:
        if charge.covered_by is not None:
            continue
        workspace_id = charge.attribution.workspace_id
        for unit, amount in ((CREDITS, charge.credits), (TOOL_RUNS, charge.tool_runs)):
            if amount:
                before = left.get((workspace_id, unit))
                if before is None:
                    before = books[workspace_id][unit].balance.posted
                left[workspace_id, unit] = before - amount
                charge.overdrawn |= amount > 0 and before < amount


async def _debit(
    conn: Connection, charges: Iterable[Charge], books: Books, transaction_id: UUID, now: dt.datetime, ids: Ids
) -> None:
    """One ledger transaction for each workspace and balance; covered usage has one of its own."""
    debits: dict[tuple[UUID, str], int] = {}
    covered: dict[tuple[UUID, str], dict[UUID, int]] = {}
    for charge in charges:
        workspace_id = charge.attribution.workspace_id
        for unit, amount in ((CREDITS, charge.credits), (TOOL_RUNS, charge.tool_runs)):
            if not amount:
                continue
            if charge.covered_by is None:
                debits[workspace_id, unit] = debits.get((workspace_id, unit), 0) + amount
            else:
                by_grant = covered.setdefault((workspace_id, unit), {})
                grant_id = uuid5(charge.covered_by, unit)
                by_grant[grant_id] = by_grant.get(grant_id, 0) + amount
    for (workspace_id, unit), amount in debits.items():
        book = books[workspace_id][unit]
        key = f"usage:{transaction_id}"
        if amount > 0:
            book.use(amount, transaction_id, key=key, at=now)
        elif amount < 0:
            adjustment = await _adjustment(conn, workspace_id, unit, now, ids)
            book.give_back(-amount, adjustment, transaction_id, key=key, at=now)
    for (workspace_id, unit), amounts in covered.items():
        books[workspace_id][unit].cover(amounts, transaction_id, key=f"history:{transaction_id}", at=now)


async def _adjustment(conn: Connection, workspace_id: UUID, unit: str, now: dt.datetime, ids: Ids) -> Grant:
    """An empty grant that ends with the current period, for what of a return finds no grant to refill (rule M21)."""
    terms = await subscriptions.live_terms(conn, workspace_id)
    return Grant(
        id=ids.new(now),
        unit=unit,
        source="adjustment",
        amount=0,
        remaining=0,
        priority=PRIORITIES["adjustment"],
        starts_at=now,
        expires_at=terms.period.end if terms else None,
        created_at=now,
        reason="returned usage",
    )
