"""What an operator does with invoices: void, write off, credit, and invoices over amounts of a contract (row D6, M28).

Each is one transaction with a reason in the audit log; an issued invoice is never edited.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tallystick.domain.billing import closing
from tallystick.domain.billing.invoices import DRAFT, Invoice, Line, new_line
from tallystick.domain.billing.payments import PROCESSING
from tallystick.domain.billing.told import invoice_fact
from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.telling.facts import INVOICE_UNCOLLECTIBLE, INVOICE_VOIDED
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.flows import due, invoicing, payments, purchases
from tallystick.flows.billing import Billing
from tallystick.kernel.credits import divide_half_even
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.kernel.periods import Period
from tallystick.store import audit, facts, idempotency, invoices, ledger, subscriptions
from tallystick.store import payments as attempts
from tallystick.store.database import Connection, Database

LINES_MOST: Final = 100
"""Lines of one custom invoice."""
AMOUNT_MOST: Final = 10**14
"""Minor units that one line may come to."""
_NANO: Final = 10**9


@dataclass(frozen=True, slots=True)
class CustomLine:
    """A line over an agreed amount: `quantity` and `unit_price` in units of 10⁻⁹, the price in those of minor units."""

    description: str
    quantity: int
    unit_price: int
    unit: str = ""
    period: Period | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a change of an invoice, why, and under which key."""

    actor: str
    reason: str
    request: RequestKey | None = None


async def void(
    database: Database, workspace_id: UUID, invoice_id: UUID, asked: Asked, *, now: dt.datetime, ids: Ids
) -> Invoice:
    """Nothing is to be paid for it any more; its number stays. What it held up goes on, a purchase is given up.

    Done again it changes nothing. Raises `invoiceNotFound`, `invoiceNotOpen` (also where something was paid: that
    takes a credit note), `paymentUnderWay` and `invalidText`.
    """
    reason = check_text(asked.reason, field="reason", longest=LONGEST_DESCRIPTION)

    async def work(conn: Connection) -> Invoice:
        invoice = await _lock(conn, workspace_id, invoice_id, now, ids)
        if invoice.status == "void":
            return invoice
        if invoice.paid_minor or invoice.kind != "invoice":
            raise _not_open(invoice, "Something was paid on it: issue a credit note.")
        if any(one.status == PROCESSING for one in await attempts.of_invoice(conn, workspace_id, invoice_id)):
            raise TallystickError("paymentUnderWay", "A payment is under way: wait for it.", id=str(invoice_id))
        was_draft = invoice.status == DRAFT
        if await purchases.failed_in(conn, invoice, error=reason, now=now, ids=ids) is None or not _is_void(invoice):
            invoice.move("void", now)
            invoice.closed_at, invoice.next_at, invoice.reason = now, None, reason
            await invoices.save(conn, invoice)
            if not was_draft:
                await facts.record(conn, [invoice_fact(invoice, INVOICE_VOIDED, now)], now)
        await _record(conn, "invoice.voided", invoice, asked, now, ids)
        await payments.settled_in(conn, workspace_id, now=now, ids=ids)
        return invoice

    return await database.run(work)


async def give_up(
    database: Database, workspace_id: UUID, invoice_id: UUID, asked: Asked, *, now: dt.datetime, ids: Ids
) -> Invoice:
    """Write an invoice off: it is not asked for any more, though it may still be paid. Nothing resumes by it.

    Done again it changes nothing. Raises `invoiceNotFound`, `invoiceNotOpen` and `invalidText`.
    """
    reason = check_text(asked.reason, field="reason", longest=LONGEST_DESCRIPTION)

    async def work(conn: Connection) -> Invoice:
        invoice = await _lock(conn, workspace_id, invoice_id, now, ids)
        if invoice.status == "uncollectible":
            return invoice
        invoice.move("giveUp", now)
        invoice.closed_at, invoice.next_at, invoice.reason = now, None, reason
        await invoices.save(conn, invoice)
        await facts.record(conn, [invoice_fact(invoice, INVOICE_UNCOLLECTIBLE, now)], now)
        await _record(conn, "invoice.uncollectible", invoice, asked, now, ids)
        return invoice

    return await database.run(work)


async def credit(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    invoice_id: UUID,
    asked: Asked,
    *,
    amount_minor: int | None = None,
    lines: Mapping[int, int] | None = None,
    now: dt.datetime,
    ids: Ids,
) -> Invoice:
    """Issue a credit note: a gross amount, net amounts of lines by position, or all that is left of the invoice.

    A repeat under the same key answers the first note. What was paid beyond what is left stays to be given back.
    Raises `invoiceNotFound`, `invoiceNotOpen`, `creditExceedsInvoice`, `invalidAmount`, `invalidText` and
    `idempotencyConflict`.
    """
    reason = check_text(asked.reason, field="reason", longest=LONGEST_DESCRIPTION)

    async def work(conn: Connection) -> Invoice:
        invoice = await _lock(conn, workspace_id, invoice_id, now, ids)

        async def make() -> Mapping[str, str]:
            if invoice.purpose == "purchase":
                # Credits and their money go together: what is credited is what comes back of them.
                raise TallystickError(
                    "invoiceNotOpen",
                    "It is for credits: void it while it is unpaid, or give the credits back, which credits it.",
                    id=str(invoice.id),
                    number=invoice.number,
                    status=invoice.status,
                )
            note = await invoicing.credit_in(
                conn, billing, invoice, amount_minor=amount_minor, lines=lines, reason=reason, now=now, ids=ids
            )
            await _record(conn, "invoice.credited", note, asked, now, ids)
            await payments.settled_in(conn, workspace_id, now=now, ids=ids)
            return {"invoiceId": str(note.id)}

        answer = await idempotency.once(conn, asked.request, now, make)
        return await invoices.find(conn, workspace_id, UUID(answer["invoiceId"]))

    return await database.run(work)


async def custom(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    lines: Sequence[CustomLine],
    asked: Asked,
    *,
    currency: str | None = None,
    due_at: dt.datetime | None = None,
    now: dt.datetime,
    ids: Ids,
) -> Invoice:
    """Issue an invoice over agreed amounts; for contracts alone, which is what Enterprise is.

    A repeat under the same key answers the first invoice. Raises `invoiceCustomNotAllowed`, `subscriptionNotFound`,
    `currencyMismatch`, `invalidAmount`, `invalidText`, `invalidExpiry` and `idempotencyConflict`.
    """
    reason = check_text(asked.reason, field="reason", longest=LONGEST_DESCRIPTION, may_be_empty=True)
    if not 0 < len(lines) <= LINES_MOST:
        raise TallystickError("invalidAmount", f"An invoice has 1 to {LINES_MOST} lines.", field="lines")
    if due_at is not None and due_at < now:
        raise TallystickError("invalidExpiry", "dueAt must lie in the future.", field="dueAt")
    made = [_line(line) for line in lines]

    async def work(conn: Connection) -> Invoice:
        books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
        terms = await subscriptions.live_terms(conn, workspace_id)
        if terms is None:
            raise TallystickError("subscriptionNotFound", "This workspace has no subscription.")
        if terms.plan.plan != "enterprise":
            raise TallystickError(
                "invoiceCustomNotAllowed", "Only a contract (Enterprise) has invoices over custom amounts."
            )

        async def make() -> Mapping[str, str]:
            invoice = await invoicing.issue_now(
                conn,
                billing,
                workspace_id,
                "custom",
                made,
                now=now,
                ids=ids,
                reason=reason,
                due_at=due_at,
                currency=(currency or terms.plan.currency).lower(),
                subscription_id=terms.subscription_id,
            )
            await _record(conn, "invoice.issued", invoice, asked, now, ids)
            return {"invoiceId": str(invoice.id)}

        answer = await idempotency.once(conn, asked.request, now, make)
        await ledger.save_books(conn, books, now)
        return await invoices.find(conn, workspace_id, UUID(answer["invoiceId"]))

    return await database.run(work)


def _line(line: CustomLine) -> Line:
    amount = divide_half_even(line.quantity * line.unit_price, _NANO * _NANO)
    if abs(amount) > AMOUNT_MOST or line.quantity <= 0:
        raise TallystickError("invalidAmount", "A line's quantity or amount is out of range.", field="lines")
    return new_line(
        "custom",
        check_text(line.description, field="description"),
        amount,
        quantity=closing.units(line.quantity),
        unit=check_text(line.unit, field="unit", may_be_empty=True),
        unit_price=closing.units(line.unit_price),
        period_start=line.period.start if line.period else None,
        period_end=line.period.end if line.period else None,
    )


async def _lock(conn: Connection, workspace_id: UUID, invoice_id: UUID, now: dt.datetime, ids: Ids) -> Invoice:
    await payments.lock_workspace(conn, workspace_id, now, ids)
    return await invoices.lock(conn, workspace_id, invoice_id)


async def _record(conn: Connection, action: str, invoice: Invoice, asked: Asked, now: dt.datetime, ids: Ids) -> None:
    await audit.record(
        conn,
        action,
        workspace_id=invoice.workspace_id,
        actor=asked.actor,
        now=now,
        ids=ids,
        reason=asked.reason,
        invoiceUuid=str(invoice.id),
        number=invoice.number,
        currency=invoice.currency,
        amount=invoice.total_minor,
        correctsUuid=str(invoice.corrects) if invoice.corrects else None,
    )


def _is_void(invoice: Invoice) -> bool:
    return invoice.status == "void"


def _not_open(invoice: Invoice, sentence: str) -> TallystickError:
    return TallystickError("invoiceNotOpen", sentence, id=str(invoice.id), number=invoice.number, status=invoice.status)
