"""Automatic top-up: switched on and off, and done (row D4). It buys once at a time, and never more a day than its cap.

What is below its threshold is found by a query that nobody's debit waits for; whether to buy is decided under the
workspace's lock, where the purchase is written down that keeps the next one waiting. Its payment is asked for after.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import UUID

from tallystick.domain.billing import top_up
from tallystick.domain.billing.accounts import Account
from tallystick.domain.credits.grants import CREDITS
from tallystick.flows import buying
from tallystick.flows import due as settling
from tallystick.flows import purchases as buying_steps
from tallystick.flows.billing import Billing
from tallystick.flows.budgets import Author
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import accounts, audit, ledger, purchases, subscriptions
from tallystick.store.database import Connection, Database

ACTOR = "topup"
"""Who buys automatically, on the record."""

_BUYS: Final = frozenset({"active", "trialing"})
"""States of a subscription in which it buys: who owes already is not made to owe more."""

_SWEEP: Final = 200


async def switch_on(
    database: Database,
    billing: Billing,
    *,
    credits_: int,
    threshold: int,
    daily_cap: int | None,
    author: Author,
) -> Account:
    """Have `credits_` bought whenever the balance is below `threshold`, nano-credits both; it begins at once.

    At most `daily_cap` a UTC day, None for the operator's. Raises `invalidAmount`, `paymentMethodNotFound`,
    `subscriptionNotFound` and `workspaceNotFound`.
    """
    changed = await _change(
        database,
        billing,
        author,
        lambda account: top_up.switched_on(
            account, credits_=credits_, threshold=threshold, daily_cap=daily_cap, terms=billing.purchases
        ),
    )
    await due_of(database, billing, author.workspace_id, now=author.now, ids=author.ids)
    return changed


async def switch_off(database: Database, billing: Billing, author: Author) -> Account:
    """Buy nothing any more by itself; what is on its way arrives. Raises `subscriptionNotFound`."""
    return await _change(database, billing, author, top_up.switched_off)


async def due(database: Database, billing: Billing, workspace_id: UUID | None, *, now: dt.datetime, ids: Ids) -> int:
    """Top up whatever is below its threshold, in one workspace or in all without a test clock; how many bought.

    Safe to run by many at once, and again after any crash. One that fails holds up no other; the first such error is
    raised when all others are done.
    """
    done, after = 0, None
    errors: list[TallystickError] = []
    while True:
        async with database.read(workspace_id) as conn:
            found = await purchases.to_top_up(conn, _SWEEP, workspace_id=workspace_id, after=after)
        for one in found:
            after = one
            try:
                done += await due_of(database, billing, one, now=now, ids=ids)
            except TallystickError as error:
                if error.code == "databaseUnavailable":
                    raise
                errors.append(error)
        if len(found) < _SWEEP:
            break
    if errors:
        raise errors[0]
    return done


async def due_of(database: Database, billing: Billing, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> int:
    """Buy for one workspace if it is below its threshold and may: 1 where it was, 0 where not.

    A provider that does not answer is no error: the payment is on its way, and is looked for by its invoice.
    """
    purchase_id = await database.run(lambda conn: _begin(conn, billing, workspace_id, now, ids))
    if purchase_id is None:
        return 0
    try:
        await buying.collect(database, billing, workspace_id, purchase_id, now=now, ids=ids)
    except TallystickError as error:
        if error.code != "paymentProviderUnavailable":
            raise
    return 1


async def _begin(conn: Connection, billing: Billing, workspace_id: UUID, now: dt.datetime, ids: Ids) -> UUID | None:
    """Decide under lock, and write the purchase down that keeps every other one waiting."""
    books = await settling.lock(conn, {workspace_id}, now=now, ids=ids)
    if workspace_id not in books:
        return None
    posted = books[workspace_id][CREDITS].balance.posted
    await ledger.save_books(conn, books, now)
    terms = await subscriptions.live_terms(conn, workspace_id)
    if terms is None or terms.status not in _BUYS:
        return None
    account = await accounts.lock(conn, workspace_id, provider=billing.settings.payment_provider, now=now)
    today = now.astimezone(dt.UTC).date()
    is_pending, bought, renewed = await purchases.automatic(conn, workspace_id, today, account.method_at)
    wanted = top_up.decide(
        account,
        billing.purchases,
        posted=posted,
        is_pending=is_pending,
        bought_today=bought,
        renewed_method=renewed,
    )
    if wanted != "buy" or account.top_up.credits is None:
        return None
    if account.top_up.state == "stopped":
        await accounts.save(conn, replace(account, top_up=replace(account.top_up, state="on", error=None)), now)
    purchase = await buying_steps.begin_in(
        conn, billing, workspace_id, account.top_up.credits, actor=ACTOR, now=now, ids=ids, is_automatic=True
    )
    return purchase.id


async def _change(
    database: Database, billing: Billing, author: Author, change: Callable[[Account], Account]
) -> Account:
    async def work(conn: Connection) -> Account:
        account = await buying.lock_account(conn, billing, author)
        changed = change(account)
        if changed != account:
            await accounts.save(conn, changed, author.now)
            top = changed.top_up
            await audit.record(
                conn,
                "topUp.changed",
                workspace_id=author.workspace_id,
                actor=author.actor,
                now=author.now,
                ids=author.ids,
                state=top.state,
                credits=None if top.credits is None else format_credits(top.credits),
                threshold=None if top.threshold is None else format_credits(top.threshold),
                dailyCap=None if top.daily_cap is None else format_credits(top.daily_cap),
            )
        return changed

    return await database.run(work)
