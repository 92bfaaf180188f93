"""Bought credits, step by step: begun, then granted, given up or taken back as their payment goes (row D4; rule M26).

All of it happens within transactions of others, who hold the workspace's lock: those that ask for credits
(flows/buying.py), and those that record payments (flows/payments.py). Each step is done once, however often it is told.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from tallystick.domain.billing import top_up
from tallystick.domain.billing.invoices import DRAFT, OPEN, Invoice, Line, new_line
from tallystick.domain.billing.invoices import PAID as INVOICE_PAID
from tallystick.domain.billing.payments import Payment
from tallystick.domain.billing.purchases import (
    CHARGED_BACK,
    FAILED,
    PAID,
    PENDING,
    REFUNDED,
    Purchase,
    PurchaseTerms,
    price_of,
)
from tallystick.domain.billing.told import account_fact, instant, invoice_fact
from tallystick.domain.credits.grants import CREDITS, Grant, GrantTerms
from tallystick.domain.telling import facts
from tallystick.flows import due, grants, invoicing, revenue
from tallystick.flows.billing import Billing
from tallystick.kernel.credits import NANO, format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import accounts, audit, invoices, ledger, money
from tallystick.store import facts as told
from tallystick.store import purchases as store
from tallystick.store.database import Connection

ACTOR: Final = "billing"
"""Who does what follows from a payment, on the record."""

CHECKOUT: Final = "checkout:"
"""Beginning of the key of a payment on a page of the provider's: given up there, the purchase is given up."""

_NOT_TAXED: Final = "O"
_TAKEN_BACK: Final = "the payment was taken back by the bank"


async def begin_in(
    conn: Connection,
    billing: Billing,
    workspace_id: UUID,
    credits_: int,
    *,
    actor: str,
    now: dt.datetime,
    ids: Ids,
    is_automatic: bool = False,
    terms: PurchaseTerms | None = None,
) -> Purchase:
    """Write down a purchase with its invoice; one that costs nothing is paid, and granted, at once.

    `terms` are the operator's of today unless others were agreed. The caller has locked the workspace's balances and
    brought them up to `now`. Raises `currencyMismatch`.
    """
    terms = terms or billing.purchases
    purchase_id = ids.new(now)
    line = line_of(terms, credits_, {"purchaseUuid": str(purchase_id)})
    invoice = await invoicing.issue_now(
        conn, billing, workspace_id, "purchase", [line], now=now, ids=ids, currency=terms.currency
    )
    purchase = Purchase(
        workspace_id=workspace_id,
        id=purchase_id,
        is_automatic=is_automatic,
        status=PENDING,
        credits=credits_,
        price_minor=invoice.net_minor,
        tax_minor=invoice.tax_minor,
        currency=invoice.currency,
        unit_price=terms.unit_price,
        tax_at=terms.tax_at,
        day=now.astimezone(dt.UTC).date(),
        expires_days=terms.days,
        created_by=actor,
        created_at=now,
        invoice_id=invoice.id,
    )
    if not await store.insert(conn, purchase):
        raise TallystickError("purchaseInFlight", "An automatic purchase is on its way already.")
    await audit.record(
        conn,
        "credits.purchaseBegun",
        workspace_id=workspace_id,
        actor=actor,
        now=now,
        ids=ids,
        purchase=str(purchase.id),
        credits=format_credits(credits_),
        amount=purchase.total_minor,
        currency=purchase.currency,
        invoice=invoice.number,
    )
    if invoice.status == INVOICE_PAID:
        await grant_in(conn, purchase, None, now=now, ids=ids)
    return purchase


async def paid_in(conn: Connection, payment: Payment, *, now: dt.datetime, ids: Ids) -> Purchase | None:
    """The payment of a purchase has succeeded: its credits are granted, in this transaction.

    None where the payment's invoice is for no purchase; told twice it grants once. The caller holds the lock of the
    workspace's balances.
    """
    if payment.invoice_id is None:
        return None
    purchase = await store.lock_of_invoice(conn, payment.workspace_id, payment.invoice_id)
    if purchase is None or purchase.status != PENDING:
        return purchase
    await grant_in(conn, purchase, payment.id, now=now, ids=ids)
    return purchase


async def grant_in(
    conn: Connection, purchase: Purchase, payment_id: UUID | None, *, now: dt.datetime, ids: Ids
) -> Grant:
    """Grant what was bought: a pending purchase that is locked, and paid now."""
    purchase.move("pay", now)
    terms = GrantTerms(
        unit=CREDITS,
        amount=purchase.credits,
        source="purchase",
        key=f"purchase:{purchase.id}",
        expires_at=now + dt.timedelta(days=purchase.expires_days),
        reason="bought by automatic top-up" if purchase.is_automatic else "bought",
    )
    grant = await grants.issue_in(
        conn, terms, workspace_id=purchase.workspace_id, now=now, ids=ids, actor=purchase.created_by
    )
    purchase.grant_id, purchase.payment_id = grant.id, payment_id
    # The money side follows the ledger from the grant's own transaction on: an overdraft is paid from it at once.
    purchase.recognised_seq = await money.last_seq(conn, purchase.workspace_id) - 1
    await revenue.book_in(conn, purchase, "purchase", now=now, ids=ids)
    await store.save(conn, purchase)
    kinds = [facts.CREDITS_PURCHASED, *([facts.TOP_UP_SUCCEEDED] if purchase.is_automatic else [])]
    data = await _data(conn, purchase) | {"grantUuid": str(grant.id), "expiresAt": instant(grant.expires_at)}
    await told.record(
        conn, [account_fact(purchase.workspace_id, kind, now, str(purchase.id), **data) for kind in kinds], now
    )
    await _record(conn, "credits.purchased", purchase, now, ids)
    return grant


async def failed_in(
    conn: Connection, invoice: Invoice, *, error: str, now: dt.datetime, ids: Ids, provider: str = "offline"
) -> Purchase | None:
    """A purchase will not be paid: its locked invoice is voided, nothing is granted; an automatic one stops top-up.

    `error` says why, for people. None where the invoice is for no purchase. Told twice it does nothing more. The caller
    holds the lock of the workspace's balances.
    """
    purchase = await store.lock_of_invoice(conn, invoice.workspace_id, invoice.id)
    if purchase is None or purchase.status != PENDING:
        return purchase
    if purchase.is_automatic:
        # Before the invoice by the order of locks; nobody else gets here while the balances are locked.
        await _stop(conn, purchase, error, provider, now)
    purchase.move("fail", now)
    purchase.error = error
    await store.save(conn, purchase)
    if invoice.status in (DRAFT, *OPEN):
        invoice.move("void", now)
        invoice.closed_at, invoice.next_at, invoice.reason = now, None, error
        await invoices.save(conn, invoice)
        await told.record(conn, [invoice_fact(invoice, facts.INVOICE_VOIDED, now)], now)
    await _record(conn, "credits.purchaseFailed", purchase, now, ids, reason=error)
    return purchase


async def revived_in(
    conn: Connection, billing: Billing, invoice: Invoice, payment: Payment, *, now: dt.datetime, ids: Ids
) -> Invoice | None:
    """Money came after all for a purchase that was given up or charged back: it is asked for anew, at its own price.

    The new invoice, issued, for the caller to count the payment on; None where the old one was for no purchase, or
    less than all of the money is there. The caller holds the lock of the workspace's balances.
    """
    purchase = await store.lock_of_invoice(conn, invoice.workspace_id, invoice.id)
    if purchase is None or purchase.status not in (FAILED, CHARGED_BACK):
        return None
    if payment.refundable_minor < purchase.total_minor:
        return None
    terms = replace(
        billing.purchases,
        unit_price=purchase.unit_price,
        currency=purchase.currency,
        days=purchase.expires_days,
        tax_at=purchase.tax_at,
    )
    again = await begin_in(
        conn,
        billing,
        purchase.workspace_id,
        purchase.credits,
        actor=purchase.created_by,
        now=now,
        ids=ids,
        terms=terms,
    )
    return None if again.invoice_id is None else await invoices.lock(conn, again.workspace_id, again.invoice_id)


async def charged_back_in(
    conn: Connection, billing: Billing, invoice: Invoice, payment: Payment, *, now: dt.datetime, ids: Ids
) -> Purchase | None:
    """The bank took the payment of a purchase back: the rest of its grant goes, what was used becomes negative.

    Credits that were used come off what else there is, and are an overdraft beyond that; so nothing is owed in money,
    and the locked invoice is credited. None where it is for no purchase, or one that was never granted; told twice it
    does nothing more. The caller holds the lock of the workspace's balances.
    """
    purchase = await store.lock_of_invoice(conn, invoice.workspace_id, invoice.id)
    if purchase is None or purchase.status not in (PAID, REFUNDED) or purchase.grant_id is None:
        return None
    await _take_all(conn, purchase, now=now, ids=ids)
    purchase.move("chargeBack", now)
    await revenue.book_in(conn, purchase, "chargeback", now=now, ids=ids)
    await store.save(conn, purchase)
    if purchase.is_automatic:
        await _stop(conn, purchase, "The payment was disputed at the bank.", payment.provider, now)
    await _record(conn, "credits.chargedBack", purchase, now, ids, reason=_TAKEN_BACK)
    if invoice.total_minor > invoice.credited_minor:
        await invoicing.credit_in(conn, billing, invoice, reason=_TAKEN_BACK, now=now, ids=ids)
    return purchase


async def paid_out_in(conn: Connection, payment: Payment, amount_minor: int, *, now: dt.datetime, ids: Ids) -> None:
    """So much of a payment has reached its payer: of a purchase's, as much as was credited of it and is not back yet.

    The caller holds the lock of the workspace's balances.
    """
    if payment.invoice_id is None:
        return
    purchase = await store.lock_of_invoice(conn, payment.workspace_id, payment.invoice_id)
    if purchase is not None:
        await revenue.pay_out_in(conn, purchase, amount_minor, now=now, ids=ids)


def line_of(terms: PurchaseTerms, credits_: int, details: Mapping[str, Any] | None = None) -> Line:
    """The one line of a purchase's invoice."""
    count = Decimal(credits_ // NANO)
    line = new_line(
        "credits",
        f"{count:,} credits, good for {terms.days} days",
        price_of(credits_, terms.unit_price),
        quantity=count,
        unit="credit",
        unit_price=terms.unit_price,
        credits=credits_,
        details=details or {},
    )
    # Taxed where they are used, on the invoices of those periods.
    return replace(line, tax_category=_NOT_TAXED) if terms.tax_at == "use" else line


async def _take_all(conn: Connection, purchase: Purchase, *, now: dt.datetime, ids: Ids) -> None:
    """Take back what remains of a purchase's grant, holds or not, and what was used of it from all there is."""
    if purchase.grant_id is None:
        return
    await revenue.recognise_in(conn, purchase.workspace_id, now=now, ids=ids, locked=[purchase])
    grant = await ledger.grant_by_id(conn, purchase.workspace_id, purchase.grant_id)
    books = await due.lock(conn, {purchase.workspace_id}, now=now, ids=ids)
    book = books[purchase.workspace_id][CREDITS]
    key, reason = f"chargeback:{purchase.id}", _TAKEN_BACK
    if grant.remaining:
        rest = book.grants[grant.id]
        book.withdraw(rest, rest.remaining, ids.new(now), key=f"{key}:rest", at=now, reason=reason, actor=ACTOR)
    if grant.consumed > 0:
        book.take_back(grant.consumed, ids.new(now), key=f"{key}:used", at=now, reason=reason, actor=ACTOR)
    await ledger.save_books(conn, books, now)


async def _stop(conn: Connection, purchase: Purchase, error: str, provider: str, now: dt.datetime) -> None:
    """Stop automatic top-up and tell its owner; it waits for a new method, or for being switched on again."""
    account = await accounts.lock(conn, purchase.workspace_id, provider=provider, now=now)
    after = top_up.stopped(account, error)
    if after == account:
        return
    await accounts.save(conn, after, now)
    data = await _data(conn, purchase) | {"error": error}
    fact = account_fact(purchase.workspace_id, facts.TOP_UP_STOPPED, now, str(purchase.id), **data)
    await told.record(conn, [fact], now)


async def _data(conn: Connection, purchase: Purchase) -> dict[str, Any]:
    """A purchase as facts tell it: whole credits, money in minor units."""
    invoice_id = purchase.invoice_id
    invoice = None if invoice_id is None else await invoices.find(conn, purchase.workspace_id, invoice_id)
    return {
        "purchaseUuid": str(purchase.id),
        "automatic": purchase.is_automatic,
        "credits": Decimal(format_credits(purchase.credits)),
        "amount": purchase.total_minor,
        "taxAmount": purchase.tax_minor,
        "currency": purchase.currency,
        "invoiceUuid": str(invoice_id) if invoice_id else None,
        "invoiceNumber": invoice.number if invoice else None,
    }


async def _record(
    conn: Connection, action: str, purchase: Purchase, now: dt.datetime, ids: Ids, *, reason: str = ""
) -> None:
    await audit.record(
        conn,
        action,
        workspace_id=purchase.workspace_id,
        actor=purchase.created_by,
        now=now,
        ids=ids,
        reason=reason,
        purchase=str(purchase.id),
        credits=format_credits(purchase.credits),
        amount=purchase.total_minor,
        currency=purchase.currency,
    )
