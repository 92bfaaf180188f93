"""Money that goes back: refunds by the operator, and what a bank takes back after all (rows D6, D11; rule M26).

A refund is written down, asked for outside of any transaction under its own id, and recorded, as a charge is. What is
given back of money that was owed is taken off the invoice by a credit note in the same transaction; what was paid too
much needs none. Nothing goes back twice, and never more than came.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tallystick.domain.billing import dunning
from tallystick.domain.billing.credit_notes import CREDITED
from tallystick.domain.billing.invoices import PAID, Invoice
from tallystick.domain.billing.payments import SUCCEEDED, Outcome, Payment, Refund
from tallystick.domain.billing.told import instant, invoice_fact, payment_fact
from tallystick.domain.telling import facts
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.flows import invoicing, payments, purchases
from tallystick.flows.billing import Billing
from tallystick.flows.budgets import Author
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, invoices
from tallystick.store import facts as told
from tallystick.store import payments as store
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once


@dataclass(frozen=True, slots=True)
class _Begun:
    payment: Payment
    refund: Refund


async def refund(
    database: Database,
    billing: Billing,
    payment_id: UUID,
    author: Author,
    *,
    amount_minor: int | None = None,
    reason: str,
) -> Refund:
    """Give back a part of a payment, in minor units, or without an amount all that we still have of it.

    What was owed is taken off its invoice by a credit note; credits that were bought are given back where they were
    sold (flows/buying.py), not here. Raises `paymentNotFound`, `refundTooLarge`, `paymentNotRefundable`, `invalidText`,
    `idempotencyConflict`, and `paymentProviderUnavailable`: then it is on the record and asked for again by itself.
    """
    check_text(reason, field="reason", longest=LONGEST_DESCRIPTION)

    async def begin(conn: Connection) -> _Begun:
        async def make() -> Mapping[str, Any]:
            return {"refundId": str(await _begin(conn, payment_id, author, amount_minor, reason))}

        await payments.lock_workspace(conn, author.workspace_id, author.now, author.ids)
        answer = await once(conn, author.request, author.now, make)
        payment = await store.lock(conn, author.workspace_id, payment_id)
        found = await store.refunds(conn, author.workspace_id, payment_id)
        return _Begun(payment, next(one for one in found if str(one.id) == answer["refundId"]))

    begun = await database.run(begin)
    if begun.refund.status != "created":
        return begun.refund
    return await _ask(database, billing, begun, now=author.now, ids=author.ids)


async def refund_in(
    conn: Connection, payment: Payment, amount_minor: int, *, reason: str, actor: str, now: dt.datetime, ids: Ids
) -> Refund:
    """Write a refund of a locked payment down; `finish` asks for it once this transaction is committed.

    Raises `refundTooLarge` and `paymentNotRefundable`.
    """
    earlier = await store.refunds(conn, payment.workspace_id, payment.id)
    pending = sum(one.amount_minor for one in earlier if one.status == "created")
    if payment.status != SUCCEEDED:
        raise TallystickError(
            "paymentNotRefundable", "Nothing came by this payment.", id=str(payment.id), status=payment.status
        )
    refundable = payment.refundable_minor - pending
    if not 0 < amount_minor <= refundable:
        raise TallystickError(
            "refundTooLarge",
            "No more can be given back than came and was not given back yet.",
            amount=amount_minor,
            refundable=refundable,
            currency=payment.currency,
        )
    made = Refund(
        workspace_id=payment.workspace_id,
        id=ids.new(now),
        payment_id=payment.id,
        status="created",
        amount_minor=amount_minor,
        reason=reason,
        created_by=actor,
        created_at=now,
    )
    await store.insert_refund(conn, made)
    payment.next_at, payment.updated_at = now + payments.LOOK_AGAIN, now
    await store.save(conn, payment)
    await audit.record(
        conn,
        "payment.refunded",
        workspace_id=payment.workspace_id,
        actor=actor,
        now=now,
        ids=ids,
        reason=reason,
        payment=str(payment.id),
        amount=amount_minor,
        currency=payment.currency,
    )
    return made


async def finish(
    database: Database, billing: Billing, workspace_id: UUID, payment_id: UUID, *, now: dt.datetime, ids: Ids
) -> Payment:
    """Ask again for the refunds of a payment whose provider perhaps never heard of them. Safe to repeat.

    Raises `paymentNotFound` and `paymentProviderUnavailable`.
    """

    async def read(conn: Connection) -> tuple[Payment, list[Refund]]:
        payment = await store.lock(conn, workspace_id, payment_id)
        waiting = [one for one in await store.refunds(conn, workspace_id, payment_id) if one.status == "created"]
        payment.next_at = now + payments.LOOK_AGAIN if waiting else None
        await store.save(conn, payment)
        return payment, waiting

    payment, waiting = await database.run(read)
    for one in waiting:
        await _ask(database, billing, _Begun(payment, one), now=now, ids=ids)
    return payment


async def refunded(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    payment_id: UUID,
    total_minor: int,
    *,
    now: dt.datetime,
    ids: Ids,
) -> Payment:
    """A provider told that so much of a payment was given back in all; less than is known changes nothing.

    Raises `paymentNotFound`.
    """

    async def work(conn: Connection) -> Payment:
        await payments.lock_workspace(conn, workspace_id, now, ids)
        return await refunded_in(conn, billing, workspace_id, payment_id, total_minor, now=now, ids=ids)

    return await database.run(work)


async def refunded_in(
    conn: Connection,
    billing: Billing,
    workspace_id: UUID,
    payment_id: UUID,
    total_minor: int,
    *,
    now: dt.datetime,
    ids: Ids,
) -> Payment:
    """`refunded`, inside a transaction of the caller's that has locked the workspace's balances."""
    if total_minor > 0:
        # What was given back had come: where that was not told yet, it is known now.
        await payments.record_in(conn, billing, workspace_id, payment_id, Outcome(SUCCEEDED), now=now, ids=ids)
    invoice, payment = await _lock(conn, workspace_id, payment_id)
    await _give_back(conn, billing, invoice, payment, total_minor, reason="given back", now=now, ids=ids)
    return payment


async def disputed(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    payment_id: UUID,
    disputed_minor: int,
    *,
    now: dt.datetime,
    ids: Ids,
) -> Payment:
    """How much of a payment a bank holds back just now, in minor units: all, a part, or after it was won, nothing.

    It is a state, so telling it twice changes nothing. Raises `paymentNotFound`.
    """

    async def work(conn: Connection) -> Payment:
        await payments.lock_workspace(conn, workspace_id, now, ids)
        return await disputed_in(conn, billing, workspace_id, payment_id, disputed_minor, now=now, ids=ids)

    return await database.run(work)


async def disputed_in(
    conn: Connection,
    billing: Billing,
    workspace_id: UUID,
    payment_id: UUID,
    disputed_minor: int,
    *,
    now: dt.datetime,
    ids: Ids,
) -> Payment:
    """`disputed`, inside a transaction of the caller's that has locked the workspace's balances."""
    if disputed_minor > 0:
        # What is disputed had come: where that was not told yet, it is known now.
        await payments.record_in(conn, billing, workspace_id, payment_id, Outcome(SUCCEEDED), now=now, ids=ids)
    invoice, payment = await _lock(conn, workspace_id, payment_id)
    held = min(max(disputed_minor, 0), payment.amount_minor)
    if held != payment.disputed_minor:
        await took_back_in(conn, billing, invoice, payment, held, now=now, ids=ids)
    return payment


async def took_back_in(
    conn: Connection,
    billing: Billing,
    invoice: Invoice | None,
    payment: Payment,
    held_minor: int,
    *,
    now: dt.datetime,
    ids: Ids,
) -> None:
    """A bank holds `held_minor` of a locked payment back: its invoice is owed again, and bought credits are taken back.

    Less than before means that it gave some of it again. The caller holds the workspace's lock.
    """
    moved = held_minor - payment.disputed_minor
    payment.disputed_minor, payment.updated_at = held_minor, now
    await store.save(conn, payment)
    if invoice is not None and invoice.purpose == "purchase":
        await _of_purchase(conn, billing, invoice, payment, moved, now=now, ids=ids)
    elif invoice is not None:
        invoice.paid_minor -= moved
        invoice.updated_at = now
        if moved < 0 and invoice.status in payments.PAYABLE and payments.is_covered(invoice):
            await payments.paid_in(conn, invoice, now=now, ids=ids)
        else:
            await _owed_again(conn, billing, invoice, now)
    if moved > 0:
        fact = payment_fact(payment, facts.PAYMENT_DISPUTED, now, str(held_minor), invoice=invoice)
        await told.record(conn, [fact], now)


async def _of_purchase(
    conn: Connection, billing: Billing, invoice: Invoice, payment: Payment, moved: int, *, now: dt.datetime, ids: Ids
) -> None:
    """Bought credits go with their money, so nothing is owed for them; won back, they are granted on a new invoice."""
    invoice.paid_minor -= moved
    invoice.updated_at = now
    await invoices.save(conn, invoice)
    if moved > 0:
        await purchases.charged_back_in(conn, billing, invoice, payment, now=now, ids=ids)
        return
    again = await purchases.revived_in(conn, billing, invoice, payment, now=now, ids=ids)
    if again is not None:
        invoice.paid_minor -= payment.amount_minor
        await invoices.save(conn, invoice)
        payment.invoice_id = again.id
        await store.save(conn, payment)
        again.paid_minor += payment.amount_minor
        await payments.paid_in(conn, again, now=now, ids=ids, payment=payment)


async def _owed_again(conn: Connection, billing: Billing, invoice: Invoice, now: dt.datetime) -> None:
    if invoice.status == PAID and not payments.is_covered(invoice):
        invoice.move("takeBack", now)
        invoice.paid_at = invoice.closed_at = None
        case = await payments.case_of(conn, billing, invoice)
        invoice.next_at = dunning.next_at(case, billing.dunning, now)
        stops_at = instant(dunning.stops_at(case, billing.dunning))
        fact = invoice_fact(invoice, facts.INVOICE_PAST_DUE, now, instant(now) or "", attempted=True, stopsAt=stops_at)
        await told.record(conn, [fact], now)
    await invoices.save(conn, invoice)


async def _begin(conn: Connection, payment_id: UUID, author: Author, amount_minor: int | None, reason: str) -> UUID:
    invoice, payment = await _lock(conn, author.workspace_id, payment_id)
    pending = [one for one in await store.refunds(conn, author.workspace_id, payment_id) if one.status == "created"]
    rest = payment.refundable_minor - sum(one.amount_minor for one in pending)
    wanted = rest if amount_minor is None else amount_minor
    if invoice is not None and invoice.purpose == "purchase" and _of_what_is_owed(invoice, wanted):
        raise TallystickError(
            "paymentNotRefundable",
            "It paid for credits: give those back, and their money goes with them.",
            id=str(payment.id),
            status=payment.status,
        )
    made = await refund_in(conn, payment, wanted, reason=reason, actor=author.actor, now=author.now, ids=author.ids)
    return made.id


async def _ask(database: Database, billing: Billing, begun: _Begun, *, now: dt.datetime, ids: Ids) -> Refund:
    """Ask the provider, outside of any transaction, and write down what it says."""
    payment, asked = begun.payment, begun.refund
    provider = billing.provider(payment.provider)
    outcome = await provider.refund(payment, asked.amount_minor, key=f"refund:{asked.id}")

    async def work(conn: Connection) -> Refund:
        await payments.lock_workspace(conn, payment.workspace_id, now, ids)
        return await _finished_in(conn, billing, begun, outcome, now=now, ids=ids)

    return await database.run(work)


async def _finished_in(
    conn: Connection, billing: Billing, begun: _Begun, outcome: Outcome, *, now: dt.datetime, ids: Ids
) -> Refund:
    invoice, payment = await _lock(conn, begun.payment.workspace_id, begun.payment.id)
    every = await store.refunds(conn, payment.workspace_id, payment.id)
    asked = next(one for one in every if one.id == begun.refund.id)
    if asked.status != "created":
        return asked
    done = replace(
        asked,
        status="succeeded" if outcome.status == SUCCEEDED else "failed",
        ref=outcome.ref,
        error_message=outcome.error_message,
        finished_at=now,
    )
    await store.save_refund(conn, done)
    every = [done if one.id == done.id else one for one in every]
    if not any(one.status == "created" for one in every):
        payment.next_at = None
    ours = sum(one.amount_minor for one in every if one.status == "succeeded")
    await store.save(conn, payment)
    await _give_back(conn, billing, invoice, payment, ours, reason=done.reason, now=now, ids=ids)
    return done


async def _give_back(
    conn: Connection,
    billing: Billing,
    invoice: Invoice | None,
    payment: Payment,
    total_minor: int,
    *,
    reason: str,
    now: dt.datetime,
    ids: Ids,
) -> None:
    """So much of a locked payment was given back in all; what was owed of it is taken off the invoice with it."""
    total = min(total_minor, payment.amount_minor)
    moved = total - payment.refunded_minor
    if moved <= 0:
        return
    payment.refunded_minor, payment.updated_at = total, now
    await store.save(conn, payment)
    if invoice is not None:
        owed = _of_what_is_owed(invoice, moved)
        invoice.paid_minor -= moved
        invoice.updated_at = now
        # Also of one that a dispute reopened meanwhile: in whatever order the two are told, as much stays owed.
        if owed and invoice.status in CREDITED and invoice.purpose != "purchase":
            await invoicing.credit_in(conn, billing, invoice, amount_minor=owed, reason=reason, now=now, ids=ids)
            await payments.settled_in(conn, invoice.workspace_id, now=now, ids=ids)
        else:
            await invoices.save(conn, invoice)
        if invoice.purpose == "purchase":
            await purchases.paid_out_in(conn, payment, moved, now=now, ids=ids)
    fact = payment_fact(payment, facts.PAYMENT_REFUNDED, now, str(total), invoice=invoice, refunded=moved)
    await told.record(conn, [fact], now)


def _of_what_is_owed(invoice: Invoice, amount_minor: int) -> int:
    """The part of `amount_minor` that was not paid too much."""
    return max(amount_minor - payments.overpaid(invoice), 0)


async def _lock(conn: Connection, workspace_id: UUID, payment_id: UUID) -> tuple[Invoice | None, Payment]:
    invoice_id = await store.invoice_of(conn, workspace_id, payment_id)
    invoice = None if invoice_id is None else await invoices.lock(conn, workspace_id, invoice_id)
    return invoice, await store.lock(conn, workspace_id, payment_id)
