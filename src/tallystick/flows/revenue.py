"""The money side of bought credits, booked: at once where money moves, and by a sweep where credits are used (M26).

The sweep follows the credit ledger from where it was before, so it may run at any time and as often as one likes: what
is used or expires is recognised in the month of the ledger's transaction, whenever it is noticed.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import groupby
from uuid import UUID

from tallystick.domain.billing.purchases import Purchase
from tallystick.domain.billing.revenue import Burnt, movement, stand
from tallystick.flows import due
from tallystick.kernel.ids import Ids
from tallystick.store import ledger, money, purchases
from tallystick.store.database import Connection, Database
from tallystick.store.money import Burn, MoneyEntry

_SWEEP = 200


async def recognise(database: Database, workspace_id: UUID | None = None, *, now: dt.datetime, ids: Ids) -> int:
    """Recognise what was used and expired of bought credits until `now`; of how many workspaces.

    Of one, or of all; where there is a test clock, until that. Each is a transaction of its own; safe to run by many
    at once.
    """
    done, after = 0, None
    while True:
        async with database.read() as conn:
            found = await purchases.to_recognise(conn, now, _SWEEP, workspace_id=workspace_id, after=after)
        for one, clock in found:
            # What is due on a workspace with a test clock is due by that.
            await _recognise_one(database, one, now if clock is None else clock, ids)
            done, after = done + 1, one
        if len(found) < _SWEEP:
            return done


async def _recognise_one(database: Database, workspace_id: UUID, now: dt.datetime, ids: Ids) -> None:
    async def work(conn: Connection) -> None:
        books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
        await ledger.save_books(conn, books, now)
        await recognise_in(conn, workspace_id, now=now, ids=ids)

    await database.run(work)


async def recognise_in(
    conn: Connection, workspace_id: UUID, *, now: dt.datetime, ids: Ids, locked: Sequence[Purchase] | None = None
) -> None:
    """`recognise`, inside a transaction that has locked the workspace's balances and saved its books.

    `locked` are those that the caller has in its hands, and only those.
    """
    found = await purchases.lock_burning(conn, workspace_id, now) if locked is None else list(locked)
    seq = await money.last_seq(conn, workspace_id)
    behind = [one for one in found if one.grant_id is not None and one.recognised_seq < seq]
    by_start: dict[int, list[Purchase]] = {}
    for purchase in behind:
        by_start.setdefault(purchase.recognised_seq, []).append(purchase)
    for since, those in by_start.items():
        grant_ids = [one.grant_id for one in those if one.grant_id is not None]
        burns = await money.burnt(conn, workspace_id, since, grant_ids)
        by_grant = {grant_id: list(burn) for grant_id, burn in groupby(burns, key=lambda burn: burn.grant_id)}
        for purchase in those:
            await _follow(conn, purchase, by_grant.get(purchase.grant_id, ()), seq, ids)


async def _follow(conn: Connection, purchase: Purchase, burns: Sequence[Burn], seq: int, ids: Ids) -> None:
    """Book what the ledger moved on one purchase's grant, month by month. What a refund took is not part of it."""
    for burn in burns:
        before = _standing(purchase)
        purchase.recognised_used += burn.used
        purchase.recognised_expired += burn.expired
        moved = movement(before, _standing(purchase))
        entries = []
        # Two movements, so that a report tells them apart: what was earned by use, and what by expiry.
        for account, cause in (("revenue", "use"), ("breakage", "expiry")):
            if moved.get(account):
                entries += _entries(
                    purchase, {account: moved[account], "deferred": -moved[account]}, cause, burn.at, ids
                )
        await money.insert(conn, entries)
    purchase.recognised_seq = seq
    await purchases.save(conn, purchase)


async def book_in(conn: Connection, purchase: Purchase, cause: str, *, now: dt.datetime, ids: Ids) -> None:
    """Book at once what a purchase's new standing means: paid, refunded, charged back. The caller saves it."""
    before = await money.standing(conn, purchase.workspace_id, purchase.id)
    paid_out = await money.paid_out(conn, purchase.workspace_id, purchase.id)
    moved = movement(before, stand(purchase, _burnt(purchase), paid_out))
    await money.insert(conn, _entries(purchase, moved, cause, now, ids))


async def pay_out_in(conn: Connection, purchase: Purchase, amount_minor: int, *, now: dt.datetime, ids: Ids) -> None:
    """`amount_minor` has gone back to the customer; what was not credited of the purchase before is none of its."""
    paid_out = await money.paid_out(conn, purchase.workspace_id, purchase.id)
    owed = -stand(purchase, _burnt(purchase), paid_out)["refunds"]
    moved = min(amount_minor, owed)
    await money.insert(conn, _entries(purchase, {"refunds": moved, "cash": -moved}, "payout", now, ids))


def _standing(purchase: Purchase) -> Mapping[str, int]:
    # What was paid out moves cash alone, which use and expiry do not.
    return stand(purchase, _burnt(purchase))


def _burnt(purchase: Purchase) -> Burnt:
    return Burnt(purchase.recognised_used, purchase.recognised_expired)


def _entries(purchase: Purchase, moved: Mapping[str, int], cause: str, at: dt.datetime, ids: Ids) -> list[MoneyEntry]:
    transaction_id = ids.new(at)
    return [
        MoneyEntry(
            workspace_id=purchase.workspace_id,
            id=ids.new(at),
            transaction_id=transaction_id,
            at=at,
            account=account,
            amount_minor=amount,
            currency=purchase.currency,
            purchase_id=purchase.id,
            cause=cause,
        )
        for account, amount in moved.items()
        if amount
    ]
