"""Asking for credits, and giving back those that were not used (row D4; rule M26).

A purchase and its invoice are written down first, in one transaction; the payment is asked for after it, and what
becomes of it is recorded with what follows (flows/purchases.py). What crashes in between is found by the invoice.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from tallystick.domain.billing.accounts import Account
from tallystick.domain.billing.invoices import Invoice, Tax
from tallystick.domain.billing.payments import CREATED, Checkout, Payment
from tallystick.domain.billing.purchases import (
    PAID,
    PENDING,
    Purchase,
    check_credits,
)
from tallystick.domain.billing.revenue import Burnt, refund_of
from tallystick.domain.credits.grants import CREDITS
from tallystick.flows import accounts as customers
from tallystick.flows import due, invoicing, links, payments, purchases, revenue, reversals
from tallystick.flows.billing import Billing
from tallystick.flows.budgets import Author
from tallystick.flows.links import Link
from tallystick.gateways.payments.stripe_objects import INVOICE, PAYMENT, WORKSPACE
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import accounts, audit, invoices, ledger, subscriptions
from tallystick.store import payments as payment_store
from tallystick.store import purchases as store
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once

PAGE_PURPOSE: Final = "checkout"
PAGE_PATH: Final = "/buy"

_PLACE: Final = 1
"""The line of a purchase's invoice: it has no other."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What credits would cost now, in minor units; `credits` in nano-credits, `unit_price` minor units a credit."""

    credits: int
    unit_price: Decimal
    price_minor: int
    tax_minor: int
    currency: str
    taxes: tuple[Tax, ...]
    expires_days: int

    @property
    def total_minor(self) -> int:
        return self.price_minor + self.tax_minor


async def quote(database: Database, billing: Billing, workspace_id: UUID, credits_: int, *, now: dt.datetime) -> Quote:
    """Price and tax of a purchase of `credits_` nano-credits; nothing is changed.

    Raises `invalidAmount`, `currencyMismatch`, `subscriptionNotFound` and `workspaceNotFound`.
    """
    check_credits(credits_, billing.purchases)

    async def work(conn: Connection) -> Quote:
        await _check_workspace(conn, workspace_id)
        payer = await invoicing.payer(conn, billing, workspace_id, now)
        return quote_for(billing, payer, credits_, now)

    return await database.run(work)


def quote_for(billing: Billing, payer: invoicing.Payer, credits_: int, now: dt.datetime) -> Quote:
    """The same for a payer who is known. Raises `currencyMismatch`."""
    terms = billing.purchases
    invoicing.check_currency(payer.account, terms.currency)
    line = purchases.line_of(terms, credits_)
    _, taxes = billing.taxes.tax([line], billing.seller, payer.party, at=now)
    return Quote(
        credits=credits_,
        unit_price=terms.unit_price,
        price_minor=line.amount_minor,
        tax_minor=sum(tax.amount_minor for tax in taxes),
        currency=terms.currency,
        taxes=tuple(taxes),
        expires_days=terms.days,
    )


async def buy(
    database: Database, billing: Billing, credits_: int, author: Author, *, on_page: bool = False
) -> Purchase:
    """Buy credits: an invoice, and a charge of the method on file; by bank transfer it waits for the money.

    The same request again is the same purchase, and asks for nothing twice. `on_page`: the buyer is there and may pay
    on a page of the provider's, so nothing has to be on file. Raises `invalidAmount`, `paymentMethodNotFound`,
    `subscriptionNotFound`, `workspaceNotFound`, `currencyMismatch`, `idempotencyConflict` and
    `paymentProviderUnavailable`: then it is on its way, and goes on by itself.
    """
    check_credits(credits_, billing.purchases)

    async def work(conn: Connection) -> UUID:
        async def make() -> Mapping[str, Any]:
            account = await lock_account(conn, billing, author)
            if account.provider != "offline" and not payments.can_collect(account) and not on_page:
                raise TallystickError("paymentMethodNotFound", "There is no payment method on file: add one first.")
            purchase = await purchases.begin_in(
                conn, billing, author.workspace_id, credits_, actor=author.actor, now=author.now, ids=author.ids
            )
            return {"purchaseId": str(purchase.id)}

        return UUID((await once(conn, author.request, author.now, make))["purchaseId"])

    purchase_id = await database.run(work)
    await collect(database, billing, author.workspace_id, purchase_id, now=author.now, ids=author.ids)
    return await find(database, author.workspace_id, purchase_id)


async def collect(
    database: Database, billing: Billing, workspace_id: UUID, purchase_id: UUID, *, now: dt.datetime, ids: Ids
) -> Payment | None:
    """Charge the method on file for a purchase that is pending; None where there is nothing to charge.

    Raises `purchaseNotFound`, and `paymentProviderUnavailable` where nobody knows what became of it.
    """
    purchase = await find(database, workspace_id, purchase_id)
    if purchase.status != PENDING or purchase.invoice_id is None:
        return None
    return await payments.collect(
        database,
        billing,
        workspace_id,
        purchase.invoice_id,
        now=now,
        ids=ids,
        purpose="topup" if purchase.is_automatic else "purchase",
    )


async def page_link(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    *,
    base_url: str,
    real_now: dt.datetime,
    ids: Ids,
) -> str:
    """The signed address of our own page on which credits are bought, good for some minutes of the machine's time.

    Whoever pays by bank transfer sees there where to; others pay by the method on file, or on their provider's page.
    Raises `subscriptionNotFound`.
    """
    async with database.read(workspace_id) as conn:
        await _check_workspace(conn, workspace_id)
    expires_at = real_now + dt.timedelta(seconds=billing.settings.portal_seconds)
    text = await links.sign(database, Link(PAGE_PURPOSE, workspace_id, expires_at), now=real_now, ids=ids)
    return f"{base_url.rstrip('/')}{PAGE_PATH}/{text}"


async def checkout(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    purchase_id: UUID,
    *,
    return_url: str,
    now: dt.datetime,
    ids: Ids,
) -> str | None:
    """The address of the provider's page on which a pending purchase is paid; None by bank transfer, and once paid.

    The payment is written down before, so that what the provider tells finds it. Raises `purchaseNotFound`,
    `subscriptionNotFound` and `paymentProviderUnavailable`.
    """
    known = await customers.ensure_customer(database, billing, workspace_id, now=now, ids=ids)
    if known.provider.name == "offline":
        return None

    async def work(conn: Connection) -> tuple[Purchase, Invoice, Payment] | None:
        await payments.lock_workspace(conn, workspace_id, now, ids)
        purchase = await store.lock(conn, workspace_id, purchase_id)
        if purchase.status != PENDING or purchase.invoice_id is None:
            return None
        invoice = await invoices.lock(conn, workspace_id, purchase.invoice_id)
        key = f"{purchases.CHECKOUT}{purchase.id}"
        payment = await payment_store.by_key(conn, workspace_id, key)
        if payment is None:
            payment = _paid_on_page(invoice, known.provider.name, key, now, ids)
            await payment_store.insert(conn, payment)
        return purchase, invoice, payment

    begun = await database.run(work)
    if begun is None:
        return None
    purchase, invoice, payment = begun
    wanted = Checkout(
        description=f"{format_credits(purchase.credits)} credits, invoice {invoice.number}",
        credits=1,
        unit_minor=payment.amount_minor,
        currency=payment.currency,
        success_url=return_url,
        cancel_url=return_url,
        metadata={WORKSPACE: str(workspace_id), PAYMENT: str(payment.id), INVOICE: str(invoice.id)},
        is_adjustable=False,
    )
    return await known.provider.checkout(known.ref, wanted, key=payment.key)


async def refund(
    database: Database, billing: Billing, purchase_id: UUID, credits_: int | None, reason: str, author: Author
) -> Purchase:
    """Give back credits of a purchase that are not used: a credit note, the money, and the grant's rest taken back.

    All that is unused and not held, or `credits_` nano-credits of it. Raises `purchaseNotFound`, `purchaseNotOpen`,
    `nothingToRefund`, `refundTooLarge` and `idempotencyConflict`.
    """
    workspace_id, now, ids = author.workspace_id, author.now, author.ids
    await revenue.recognise(database, workspace_id, now=now, ids=ids)

    async def work(conn: Connection) -> None:
        async def make() -> Mapping[str, Any]:
            await payments.lock_workspace(conn, workspace_id, now, ids)
            await _refund_in(conn, billing, purchase_id, credits_, reason, author)
            return {}

        await once(conn, author.request, now, make)

    await database.run(work)
    purchase = await find(database, workspace_id, purchase_id)
    if purchase.payment_id is not None:
        await reversals.finish(database, billing, workspace_id, purchase.payment_id, now=now, ids=ids)
    return purchase


async def find(database: Database, workspace_id: UUID, purchase_id: UUID) -> Purchase:
    """One purchase as it stands. Raises `purchaseNotFound`."""
    async with database.read(workspace_id) as conn:
        return await store.find(conn, workspace_id, purchase_id)


async def _refund_in(
    conn: Connection, billing: Billing, purchase_id: UUID, credits_: int | None, reason: str, author: Author
) -> None:
    workspace_id, now, ids = author.workspace_id, author.now, author.ids
    purchase = await store.lock(conn, workspace_id, purchase_id)
    if purchase.status != PAID or purchase.grant_id is None or purchase.invoice_id is None:
        purchase.move("refund", now)
        raise AssertionError("a purchase that is paid has a grant and an invoice")
    await revenue.recognise_in(conn, workspace_id, now=now, ids=ids, locked=[purchase])
    books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
    book = books[workspace_id][CREDITS]
    grant = book.grants.get(purchase.grant_id)
    unused = 0 if grant is None or not grant.alive(now) else book.would_expire(grant)
    taken = unused if credits_ is None else credits_
    if grant is None or not unused:
        raise TallystickError("nothingToRefund", "Nothing of this purchase is unused.", id=str(purchase_id))
    if not 0 < taken <= unused:
        raise TallystickError(
            "refundTooLarge",
            "Only what is unused, and not held, can be given back.",
            id=str(purchase_id),
            asked=format_credits(taken),
            unused=format_credits(unused),
        )
    burnt = Burnt(purchase.recognised_used, purchase.recognised_expired)
    net = refund_of(purchase, burnt, taken)
    key = f"refund:{purchase.id}:{purchase.taken}"
    book.withdraw(grant, taken, ids.new(now), key=key, at=now, reason=reason, actor=author.actor)
    await ledger.save_books(conn, books, now)
    amount = 0
    if net:
        invoice = await invoices.lock(conn, workspace_id, purchase.invoice_id)
        by = purchase.payment_id
        payment = None if by is None else await payment_store.lock(conn, workspace_id, by)
        note = await invoicing.credit_in(conn, billing, invoice, lines={_PLACE: net}, reason=reason, now=now, ids=ids)
        # The note says what tax goes with it, so that both always agree.
        purchase.refunded_minor += note.net_minor
        purchase.refunded_tax_minor += note.tax_minor
        amount = note.total_minor
        if payment is not None:
            await reversals.refund_in(conn, payment, amount, reason=reason, actor=author.actor, now=now, ids=ids)
    purchase.taken += taken
    if not grant.remaining:
        purchase.move("refund", now)
    await revenue.book_in(conn, purchase, "refund", now=now, ids=ids)
    await store.save(conn, purchase)
    await audit.record(
        conn,
        "credits.refunded",
        workspace_id=workspace_id,
        actor=author.actor,
        now=now,
        ids=ids,
        reason=reason,
        purchase=str(purchase.id),
        credits=format_credits(taken),
        amount=amount,
        currency=purchase.currency,
    )


def _paid_on_page(invoice: Invoice, provider: str, key: str, now: dt.datetime, ids: Ids) -> Payment:
    return Payment(
        workspace_id=invoice.workspace_id,
        id=ids.new(now),
        invoice_id=invoice.id,
        provider=provider,
        purpose="purchase",
        key=key,
        status=CREATED,
        amount_minor=invoice.open_minor,
        currency=invoice.currency,
        created_at=now,
        updated_at=now,
        next_at=now + payments.LOOK_AGAIN,
    )


async def lock_account(conn: Connection, billing: Billing, author: Author) -> Account:
    """The account of a workspace that may buy; its balances are locked and brought up to now."""
    await _check_workspace(conn, author.workspace_id)
    await payments.lock_workspace(conn, author.workspace_id, author.now, author.ids)
    return await accounts.lock(conn, author.workspace_id, provider=billing.settings.payment_provider, now=author.now)


async def _check_workspace(conn: Connection, workspace_id: UUID) -> None:
    if await subscriptions.live_terms(conn, workspace_id) is None:
        raise TallystickError("subscriptionNotFound", "This workspace has no subscription.")
