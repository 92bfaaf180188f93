"""Bank transfers: money that came by itself, and what it paid (row D11).

A part of what is owed leaves the rest open; what is more than that is kept on the invoice and can be given back.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from tallystick.domain.billing.invoices import DRAFT, PAID, VOID, Invoice
from tallystick.domain.billing.payments import SUCCEEDED, Payment, Transfer
from tallystick.domain.texts import check_text
from tallystick.flows import payments
from tallystick.flows.billing import Billing
from tallystick.flows.budgets import Author
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, invoices
from tallystick.store import payments as store
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once

PROVIDER: Final = "offline"
BY_HAND: Final = "transfer:"
BY_STATEMENT: Final = "statement:"
_LARGEST: Final = 10**15


@dataclass(frozen=True, slots=True)
class Marked:
    """What the operator says of a transfer: without an amount it is what was open. `currency` guards against another
    one; `may_overpay` says that more than is open is no slip."""

    received_on: dt.date
    amount_minor: int | None = None
    currency: str | None = None
    reference: str = ""
    may_overpay: bool = False


async def mark_paid(database: Database, billing: Billing, invoice_id: UUID, marked: Marked, author: Author) -> Payment:
    """Write down a transfer that came for an invoice; the same request, or the same transfer, again changes nothing.

    A transfer with a reference is the same where reference, amount and day are. Raises `invoiceNotFound`,
    `invoiceNotOpen`, `currencyMismatch`, `invalidAmount`, `paymentTooLarge`, `invalidText` and `idempotencyConflict`.
    """
    reference = check_text(marked.reference.strip(), field="reference", longest=500, may_be_empty=True)
    workspace_id = author.workspace_id

    async def work(conn: Connection) -> Payment:
        async def make() -> Mapping[str, Any]:
            invoice = await invoices.lock(conn, workspace_id, invoice_id)
            transfer = Transfer(_amount(invoice, marked), marked.received_on, reference)
            key = BY_HAND + (_digest(invoice_id, transfer) if reference else str(author.ids.new(author.now)))
            known = await store.by_key(conn, workspace_id, key)
            if known is None:
                _check_open(invoice, transfer, marked)
                known = await receive_in(
                    conn, billing, invoice, transfer, key, actor=author.actor, now=author.now, ids=author.ids
                )
            return {"paymentId": str(known.id)}

        await payments.lock_workspace(conn, workspace_id, author.now, author.ids)
        answer = await once(conn, author.request, author.now, make)
        return await store.lock(conn, workspace_id, UUID(answer["paymentId"]))

    return await database.run(work)


async def receive_in(
    conn: Connection,
    billing: Billing,
    invoice: Invoice,
    transfer: Transfer,
    key: str,
    *,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> Payment:
    """Money came for a locked invoice; what follows is in this transaction. The caller holds the workspace's lock.

    Raises `invoiceNotOpen` for a draft and for one that was voided.
    """
    if invoice.status in (DRAFT, VOID) or invoice.kind != "invoice":
        raise TallystickError(
            "invoiceNotOpen",
            "Nothing is to be paid on this invoice.",
            id=str(invoice.id),
            number=invoice.number,
            status=invoice.status,
        )
    payment = Payment(
        workspace_id=invoice.workspace_id,
        id=ids.new(now),
        invoice_id=invoice.id,
        provider=PROVIDER,
        purpose="purchase" if invoice.purpose == "purchase" else "invoice",
        key=key,
        status=SUCCEEDED,
        amount_minor=transfer.amount_minor,
        currency=invoice.currency,
        created_at=now,
        updated_at=now,
        ref=transfer.reference or None,
        finished_at=now,
        received_on=transfer.received_on,
    )
    await store.insert(conn, payment)
    await audit.record(
        conn,
        "payment.received",
        workspace_id=invoice.workspace_id,
        actor=actor,
        now=now,
        ids=ids,
        invoice=str(invoice.id),
        number=invoice.number,
        amount=transfer.amount_minor,
        currency=invoice.currency,
        receivedOn=transfer.received_on.isoformat(),
        reference=transfer.reference,
    )
    await payments.arrived_in(conn, billing, invoice, payment, now=now, ids=ids)
    return payment


def open_of(invoice: Invoice) -> int:
    """What is still owed on an invoice, written off or not."""
    return max(invoice.total_minor - invoice.credited_minor - invoice.paid_minor, 0)


def _amount(invoice: Invoice, marked: Marked) -> int:
    if marked.currency is not None and marked.currency.lower() != invoice.currency:
        raise TallystickError(
            "currencyMismatch",
            f"This invoice is in {invoice.currency.upper()}; there is no exchange.",
            currency=marked.currency,
            expected=invoice.currency,
        )
    amount = open_of(invoice) if marked.amount_minor is None else marked.amount_minor
    if marked.amount_minor is not None and not 0 < amount < _LARGEST:
        raise TallystickError("invalidAmount", "amount must be above zero, in minor units.", field="amount")
    return amount


def _check_open(invoice: Invoice, transfer: Transfer, marked: Marked) -> None:
    """A slip of the hand must not become money: what is paid already takes more only when that is meant."""
    owed = open_of(invoice)
    if not transfer.amount_minor or (invoice.status == PAID and not marked.may_overpay):
        raise TallystickError(
            "invoiceNotOpen",
            "Nothing is to be paid on this invoice any more.",
            id=str(invoice.id),
            number=invoice.number,
            status=invoice.status,
        )
    if transfer.amount_minor > owed and not marked.may_overpay:
        raise TallystickError(
            "paymentTooLarge",
            "This is more than is open on the invoice; say allowOverpayment if it is what came.",
            amount=transfer.amount_minor,
            open=owed,
            currency=invoice.currency,
        )


def _digest(invoice_id: UUID, transfer: Transfer) -> str:
    said = f"{invoice_id}|{transfer.reference}|{transfer.amount_minor}|{transfer.received_on.isoformat()}"
    return sha256(said.encode()).hexdigest()[:32]
