"""Invoices and credit notes: what is owed, what it rests on, and what an operator does about it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from tallystick.domain.billing import closing
from tallystick.domain.billing.documents import UsedBy
from tallystick.domain.billing.invoices import PAID, Invoice, Line, Party, Tax
from tallystick.domain.billing.payments import Payment
from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.times import check_time
from tallystick.flows import documents, due, invoices
from tallystick.flows.invoices import Asked, CustomLine
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.periods import Period
from tallystick.queries import invoices as queries
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR, requires
from tallystick.wire import invoices as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Invoices")

_PATH: Final = "/v1/invoices"
_CHANGE: Final = ("invalidText", "invoiceNotFound", "invoiceNotOpen")


@ROUTES.get("/v1/billing/subscriptions/invoices", requires(BILLING_READ))
async def list_subscription_invoices(call: Call, query: wire.AllOrPage) -> wire.SubscriptionInvoicesAnswer:
    """Every issued invoice of the workspace, the newest first; a page of them where `limit` is given."""
    found = await queries.invoices(
        call.runtime.database,
        call.workspace_id,
        limit=query.limit,
        offset=query.offset,
        kind="invoice",
        issued=True,
    )
    urls = await _urls(call, found)
    return wire.SubscriptionInvoicesAnswer(invoices=[_short(call, invoice, urls) for invoice in found])


@ROUTES.get(_PATH, requires(BILLING_READ))
async def list_invoices(call: Call, query: wire.InvoicesQuery) -> wire.InvoicesAnswer:
    """Invoices, drafts and credit notes, the newest first; all of them unless `limit` is given."""
    found = await queries.invoices(
        call.runtime.database,
        call.workspace_id,
        limit=query.limit,
        offset=query.offset,
        kind=query.kind,
        status=query.status,
    )
    urls = await _urls(call, found)
    return wire.InvoicesAnswer(invoices=[wire.Invoice(**_fields(call, invoice, urls)) for invoice in found])


@ROUTES.get(f"{_PATH}/upcoming", requires(BILLING_READ), errors=("subscriptionNotFound",))
async def get_upcoming_invoice(call: Call) -> wire.UpcomingAnswer:
    """What the next invoice would be if nothing more were used."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    billing = call.runtime.billing
    found = await queries.upcoming(
        call.runtime.database,
        call.workspace_id,
        seller=billing.seller,
        taxes=billing.taxes,
        currency=billing.settings.currency.lower(),
        grace=billing.grace,
    )
    return wire.UpcomingAnswer(
        invoice=wire.Upcoming(
            currency=found.currency,
            amount=found.net_minor + found.tax_minor,
            net_amount=found.net_minor,
            tax_amount=found.tax_minor,
            period_start=found.period.start,
            period_end=found.period.end,
            issued_after=found.issued_at,
            lines=[_line(line) for line in found.lines],
            taxes=[_tax(tax) for tax in found.taxes],
        )
    )


@ROUTES.get(f"{_PATH}/{{id}}", requires(BILLING_READ), errors=("invoiceNotFound",))
async def get_invoice(call: Call, id: UUID) -> wire.InvoiceAnswer:  # noqa: A002
    """One invoice or credit note: lines, the usage behind them, taxes, payments, and what corrects it."""
    return await _answer(call, call.workspace_id, id)


@ROUTES.post(
    _PATH,
    OPERATOR,
    idempotent=True,
    errors=(
        "currencyMismatch",
        "invalidAmount",
        "invalidExpiry",
        "invalidText",
        "invalidTime",
        "invoiceCustomNotAllowed",
        "subscriptionNotFound",
    ),
)
async def create_invoice(call: Call, body: wire.CreateInvoice) -> wire.InvoiceAnswer:
    """Issue an invoice over custom amounts to a workspace with a contract (Enterprise)."""
    await call.turn_to(body.workspace_uuid)
    made = await invoices.custom(
        call.runtime.database,
        call.runtime.billing,
        body.workspace_uuid,
        [_custom_line(line) for line in body.lines],
        _asked(call, body.workspace_uuid, body, body.reason),
        currency=body.currency,
        due_at=None if body.due_at is None else check_time(body.due_at, field="dueAt"),
        now=call.now,
        ids=call.ids,
    )
    return await _answer(call, body.workspace_uuid, made.id)


@ROUTES.post(f"{_PATH}/{{id}}/void", OPERATOR, status=200, errors=(*_CHANGE, "paymentUnderWay"))
async def void_invoice(call: Call, id: UUID, body: wire.WithReason) -> wire.InvoiceAnswer:  # noqa: A002
    """Void an invoice on which nothing was paid: nothing is owed by it any more, and its number stays."""
    await call.turn_to(body.workspace_uuid)
    asked = _asked(call, body.workspace_uuid, None, body.reason)
    await invoices.void(call.runtime.database, body.workspace_uuid, id, asked, now=call.now, ids=call.ids)
    return await _answer(call, body.workspace_uuid, id)


@ROUTES.post(f"{_PATH}/{{id}}/uncollectible", OPERATOR, status=200, errors=_CHANGE)
async def write_off_invoice(call: Call, id: UUID, body: wire.WithReason) -> wire.InvoiceAnswer:  # noqa: A002
    """Write an invoice off: nobody asks for it any more, though it may still be paid."""
    await call.turn_to(body.workspace_uuid)
    asked = _asked(call, body.workspace_uuid, None, body.reason)
    await invoices.give_up(call.runtime.database, body.workspace_uuid, id, asked, now=call.now, ids=call.ids)
    return await _answer(call, body.workspace_uuid, id)


@ROUTES.post(
    f"{_PATH}/{{id}}/credit",
    OPERATOR,
    idempotent=True,
    errors=(*_CHANGE, "creditExceedsInvoice", "invalidAmount"),
)
async def credit_invoice(call: Call, id: UUID, body: wire.CreditInvoice) -> wire.InvoiceAnswer:  # noqa: A002
    """Issue a credit note for an invoice; answers the note. The tax goes back at the rates it was charged at."""
    await call.turn_to(body.workspace_uuid)
    lines = None if body.lines is None else {line.position: line.amount for line in body.lines}
    if lines is not None and len(lines) != len(body.lines or ()):
        raise TallystickError("invalidAmount", "A line of the invoice is named twice.", field="lines")
    note = await invoices.credit(
        call.runtime.database,
        call.runtime.billing,
        body.workspace_uuid,
        id,
        _asked(call, body.workspace_uuid, [str(id), body], body.reason),
        amount_minor=body.amount,
        lines=lines,
        now=call.now,
        ids=call.ids,
    )
    return await _answer(call, body.workspace_uuid, note.id)


async def _answer(call: Call, workspace_id: UUID, invoice_id: UUID) -> wire.InvoiceAnswer:
    found = await queries.invoice(call.runtime.database, workspace_id, invoice_id)
    invoice = found.invoice
    urls = await _urls(call, [invoice, *found.notes])
    return wire.InvoiceAnswer(
        invoice=wire.InvoiceInFull(
            **_fields(call, invoice, urls),
            seller=_party(invoice.seller),
            buyer=_party(invoice.buyer),
            lines=[_line(line) for line in found.lines],
            taxes=[_tax(tax) for tax in invoice.taxes],
            usage=[_usage(used) for used in found.used],
            payments=[_payment(payment) for payment in found.payments],
            credit_notes=[wire.Invoice(**_fields(call, note, urls)) for note in found.notes],
        )
    )


def _asked(call: Call, workspace_id: UUID, body: object, reason: str) -> Asked:
    request = None if body is None else call.request_key(workspace_id, body)
    return Asked(call.principal.actor, reason, request)


async def _urls(call: Call, found: Sequence[Invoice]) -> Mapping[UUID, str]:
    """Where a browser finds each of these invoices of one workspace without a login, for those that are issued."""
    issued = [invoice.id for invoice in found if invoice.number]
    if not issued:
        return {}
    runtime = call.runtime
    made = await documents.links_to(
        runtime.database, runtime.billing, found[0].workspace_id, issued, now=call.received_at, ids=call.ids
    )
    return {one: link.url for one, link in made.items()}


def _short(call: Call, invoice: Invoice, urls: Mapping[UUID, str]) -> wire.SubscriptionInvoice:
    fields = _fields(call, invoice, urls)
    return wire.SubscriptionInvoice(**{name: fields[name] for name in wire.SubscriptionInvoice.__struct_fields__})


def _fields(call: Call, invoice: Invoice, urls: Mapping[UUID, str]) -> dict[str, Any]:
    base = call.runtime.billing.public_url
    return {
        "id": invoice.id,
        "number": invoice.number,
        "kind": invoice.kind,
        "purpose": invoice.purpose,
        "status": invoice.status,
        "is_paid": invoice.kind == "invoice" and invoice.status == PAID,
        "currency": invoice.currency,
        "amount": invoice.total_minor,
        "net_amount": invoice.net_minor,
        "tax_amount": invoice.tax_minor,
        "paid_amount": invoice.paid_minor,
        "credited_amount": invoice.credited_minor,
        "open_amount": invoice.open_minor,
        "period_start": invoice.period_start,
        "period_end": invoice.period_end,
        "issued_at": invoice.issued_at,
        "due_date": invoice.due_at,
        "paid_at": invoice.paid_at,
        "closed_at": invoice.closed_at,
        "corrects_id": invoice.corrects,
        "reason": invoice.reason or None,
        "created_at": invoice.created_at,
        "url": urls.get(invoice.id),
        "pdf_url": f"{base}/v1/invoices/{invoice.id}/pdf" if invoice.number else None,
    }


def _party(party: Party | None) -> wire.Party | None:
    if party is None:
        return None
    address = party.address
    return wire.Party(
        name=party.name,
        address=wire.Address(
            line1=address.line1,
            line2=address.line2,
            postal_code=address.postal_code,
            city=address.city,
            region=address.region,
        ),
        country=party.country,
        tax_id=party.tax_id,
        email=party.email,
        reference=party.reference,
    )


def _line(line: Line) -> wire.Line:
    return wire.Line(
        position=line.position,
        kind=line.kind,
        description=line.description,
        quantity=line.quantity,
        unit=line.unit,
        unit_price=line.unit_price,
        amount=line.amount_minor,
        tax_category=line.tax_category,
        tax_rate=_percent(line.tax_rate_ppm),
        credits=None if line.credits is None else Credits(line.credits),
        period_start=line.period_start,
        period_end=line.period_end,
        details=dict(line.details),
    )


def _tax(tax: Tax) -> wire.Tax:
    return wire.Tax(
        category=tax.category,
        name=tax.name,
        country=tax.country,
        rate=_percent(tax.rate_ppm),
        base=tax.base_minor,
        amount=tax.amount_minor,
        reason=tax.reason or None,
    )


def _usage(used: UsedBy) -> wire.Usage:
    return wire.Usage(
        period_start=_known(used.period_start),
        category=used.category,
        agent_uuid=used.agent_id,
        agent_name=used.agent or None,
        events=used.events,
        quantity=used.quantity,
        credits=Credits(used.credits),
        tool_runs=Credits(used.tool_runs),
    )


def _payment(payment: Payment) -> wire.PaidBy:
    return wire.PaidBy(
        uuid=payment.id,
        status=payment.status,
        provider=payment.provider,
        amount=payment.amount_minor,
        refunded_amount=payment.refunded_minor,
        currency=payment.currency,
        error_message=payment.error_message,
        created_at=payment.created_at,
        finished_at=payment.finished_at,
    )


def _custom_line(line: wire.CustomLine) -> CustomLine:
    period = None
    if line.period_start is not None and line.period_end is not None:
        start, end = (check_time(at, field="lines") for at in (line.period_start, line.period_end))
        period = Period(start, end)
    return CustomLine(line.description, line.quantity.nano, line.unit_price.nano, line.unit, period)


def _known(period_start: dt.datetime) -> dt.datetime | None:
    return None if period_start == closing.BEFORE else period_start


def _percent(ppm: int) -> Decimal:
    """Parts per million as percent, with no more decimals than there are."""
    return closing.units(ppm * 100_000)
