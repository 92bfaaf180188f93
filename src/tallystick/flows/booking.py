"""From charges to tables: counters, overdraft flags, debits, rows and totals, within the transaction of the caller."""

import datetime as dt
from collections.abc import Iterable, Sequence
from uuid import UUID, uuid5

from tallystick.domain.credits.grants import PRIORITIES, UNITS, Grant
from tallystick.domain.metering.attribution import Attribution
from tallystick.domain.metering.charging import Charge
from tallystick.flows import tiers
from tallystick.flows.caps import Caps
from tallystick.kernel.ids import Ids
from tallystick.store import subscriptions, usage
from tallystick.store.database import Connection
from tallystick.store.ledger import Books

_LOW_BITS = 0xFFFFF


def first_id(ids: Ids, now: dt.datetime) -> int:
    """The id of a commit's transaction, with room below it for the ids of a million rows."""
    return ids.new(now).int & ~_LOW_BITS


def number(charges: Iterable[Charge], base: int) -> None:
    """Ids of one commit share their beginning with its transaction and grow in order of arrival."""
    for following, charge in enumerate(charges, base + 1):
        charge.number = following


def number_again(charges: Iterable[Charge], base: int) -> None:
    """The same after reversals came in between: each stays with what it takes back."""
    numbered = [(charge, charge.number) for charge in charges]
    number((charge for charge, _ in numbered), base)
    moved = {before: charge.id for charge, before in numbered if charge.reverses is None}
    for charge, _ in numbered:
        if charge.reverses is not None:
            charge.reverses = moved.get(charge.reverses.int, charge.reverses)


async def book(
    conn: Connection,
    charges: Sequence[Charge],
    books: Books,
    caps: Caps,
    transaction_id: UUID,
    *,
    hours_since: dt.datetime,
    now: dt.datetime,
    ids: Ids,
    at: dt.datetime | None = None,
) -> None:
    """Book numbered charges whose workspaces are locked and whose keys are claimed; the caller saves books and caps.

    They are paid by the grants alive `at` that instant, without it by those alive now.
    """
    if charges:
        await stage(conn, charges, books, caps, transaction_id, now=now, ids=ids, at=at)
        async with conn.pipeline():
            await usage.add_events(conn, hours_since=hours_since)


async def stage(
    conn: Connection,
    charges: Sequence[Charge],
    books: Books,
    caps: Caps,
    transaction_id: UUID,
    *,
    now: dt.datetime,
    ids: Ids,
    at: dt.datetime | None = None,
) -> None:
    """All of it but the last: `usage.add_events` has to follow."""
    await tiers.apply(conn, charges)
    if caps:
        await caps.read(conn, [(charge.attribution.workspace_id, charge.scope, charge.used_at) for charge in charges])
        for charge in charges:
            caps.spend(charge)
    await _debit(conn, _tally(charges, books), books, transaction_id, now if at is None else at, ids)
    await usage.stage_events(conn, charges, transaction_id, now=now)


class _Tally:
    """What one workspace's charges come to in one commit, by unit; `left` is what its balances have left."""

    __slots__ = ("covered", "debits", "left", "settled", "workspace_id")

    def __init__(self, workspace_id: UUID, books: Books) -> None:
        self.workspace_id = workspace_id
        self.left = [books[workspace_id][unit].balance.posted for unit in UNITS]
        self.debits = [0, 0]
        self.settled = [0, 0]
        self.covered: dict[tuple[int, UUID], int] = {}

    def add(self, place: int, amount: int, charge: Charge) -> None:
        """Count what a charge takes of one unit, and flag it when its balance or hold has not that much left (M8)."""
        if charge.covered_by is not None:
            key = (place, charge.covered_by)
            self.covered[key] = self.covered.get(key, 0) + amount
            return
        if amount > 0 and self.left[place] < amount:
            charge.overdrawn = True
        self.left[place] -= amount
        self.debits[place] += amount
        if charge.settles is not None:
            self.settled[place] += amount
            if charge.settles.is_exceeded_by(place, amount):
                charge.overdrawn = True


def _tally(charges: Iterable[Charge], books: Books) -> list[_Tally]:
    """Sum up by workspace, in order of arrival."""
    tallies: dict[UUID, _Tally] = {}
    # Attributions compare by identity, so this look-up is the cheap one.
    by_attribution: dict[Attribution, _Tally] = {}
    for charge in charges:
        tally = by_attribution.get(charge.attribution)
        if tally is None:
            workspace_id = charge.attribution.workspace_id
            tally = tallies.get(workspace_id)
            if tally is None:
                tally = tallies[workspace_id] = _Tally(workspace_id, books)
            by_attribution[charge.attribution] = tally
        if charge.credits:
            tally.add(0, charge.credits, charge)
        if charge.tool_runs:
            tally.add(1, charge.tool_runs, charge)
    return list(tallies.values())


async def _debit(
    conn: Connection, tallies: Iterable[_Tally], books: Books, transaction_id: UUID, now: dt.datetime, ids: Ids
) -> None:
    """One ledger transaction for each workspace and balance; covered usage has one of its own."""
    for tally in tallies:
        for place, unit in enumerate(UNITS):
            book = books[tally.workspace_id][unit]
            amount = tally.debits[place]
            if amount > 0:
                settled = max(tally.settled[place], 0)
                book.use(amount, transaction_id, key=f"usage:{transaction_id}", at=now, settled=settled)
            elif amount < 0:
                adjustment = await _adjustment(conn, tally.workspace_id, unit, now, ids)
                book.give_back(-amount, adjustment, transaction_id, key=f"usage:{transaction_id}", at=now)
            covered = {uuid5(by, unit): n for (at, by), n in tally.covered.items() if at == place}
            if covered:
                book.cover(covered, transaction_id, key=f"history:{transaction_id}", at=now)


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
