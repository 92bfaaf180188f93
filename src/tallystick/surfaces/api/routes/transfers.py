"""What operators do about money: transfers written down, statements imported, lines matched, refunds."""

from typing import Final
from uuid import UUID

from tallystick.domain.billing import statements as lines
from tallystick.domain.billing.payments import Refund
from tallystick.flows import reversals, statements, transfers
from tallystick.flows.budgets import Author
from tallystick.flows.transfers import Marked
from tallystick.kernel.errors import TallystickError
from tallystick.queries import payments as queries
from tallystick.queries.payments import ShownPayment
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR, Guard
from tallystick.surfaces.api.routes.payments import payment_on_wire
from tallystick.wire import payments as wire
from tallystick.wire.identity import Page

ROUTES = Routes("Transfers and refunds")

_ON_WORKSPACE: Final = Guard("operator", in_workspace=True)
_CONTENT: Final = ("application/xml", "text/xml", "text/csv")


@ROUTES.post(
    "/v1/invoices/{id}/payments",
    _ON_WORKSPACE,
    idempotent=True,
    errors=("currencyMismatch", "invalidAmount", "invoiceNotFound", "invoiceNotOpen", "paymentTooLarge"),
)
async def create_payment(call: Call, id: UUID, body: wire.MarkPaid) -> wire.PaymentAnswer:  # noqa: A002
    """Write down a bank transfer that came for an invoice: a part of it, all, or with `allowOverpayment` more."""
    marked = Marked(
        received_on=body.date or call.now.date(),
        amount_minor=body.amount,
        currency=body.currency,
        reference=body.reference,
        may_overpay=body.allow_overpayment,
    )
    payment = await transfers.mark_paid(
        call.runtime.database, call.runtime.billing, id, marked, _author(call, {"invoice": str(id)}, body)
    )
    found = await queries.payments(call.runtime.database, call.workspace_id, invoice_id=id, limit=1_000, offset=0)
    shown = next((one for one in found if one.payment.id == payment.id), ShownPayment(payment, None))
    return wire.PaymentAnswer(payment=payment_on_wire(shown))


@ROUTES.post(
    "/v1/payments/{uuid}/refunds",
    _ON_WORKSPACE,
    idempotent=True,
    errors=(
        "creditExceedsInvoice",
        "paymentNotFound",
        "paymentNotRefundable",
        "paymentProviderMisconfigured",
        "paymentProviderUnavailable",
        "refundTooLarge",
    ),
)
async def create_refund(call: Call, uuid: UUID, body: wire.CreateRefund) -> wire.PaymentRefundAnswer:
    """Give a part of a payment back, or all of it; what was owed is taken off its invoice by a credit note."""
    refund = await reversals.refund(
        call.runtime.database,
        call.runtime.billing,
        uuid,
        _author(call, {"payment": str(uuid)}, body),
        amount_minor=body.amount,
        reason=body.reason,
    )
    return wire.PaymentRefundAnswer(refund=_refund_on_wire(refund))


@ROUTES.post(
    "/v1/statements",
    OPERATOR,
    status=200,
    consumes=dict.fromkeys(_CONTENT, str),
    errors=("invalidStatement",),
    largest_body="request_bytes_max",
)
async def import_statement(call: Call, query: wire.StatementOptions, body: bytes) -> wire.StatementAnswer:
    """Import a bank statement, CAMT.053 or CSV: lines that name an invoice pay it, the others wait for a person.

    The same lines again change nothing.
    """
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    report = await statements.import_file(
        call.runtime.database,
        call.runtime.billing,
        body,
        media_type,
        _columns(query),
        actor=call.principal.actor,
        now=call.received_at,
        ids=call.ids,
    )
    done = sum(one.invoice_id is not None for one in report.lines)
    return wire.StatementAnswer(
        imported=report.imported,
        known=report.known,
        matched=done,
        unmatched=len(report.lines) - done,
        ignored=dict(report.ignored),
        transactions=[_transaction_on_wire(one) for one in report.lines],
    )


@ROUTES.get("/v1/bank-transactions", OPERATOR)
async def list_bank_transactions(call: Call, query: Page) -> wire.BankTransactionsAnswer:
    """A page of the lines of statements that pay no invoice yet, the newest day first."""
    found = await queries.unmatched(call.runtime.database, limit=query.limit, offset=query.offset)
    return wire.BankTransactionsAnswer(transactions=[_transaction_on_wire(one) for one in found])


@ROUTES.post(
    "/v1/bank-transactions/{id}/match",
    OPERATOR,
    status=200,
    errors=(
        "bankTransactionMatched",
        "bankTransactionNotFound",
        "currencyMismatch",
        "invoiceNotFound",
        "invoiceNotOpen",
        "workspaceNotFound",
    ),
)
async def match_bank_transaction(
    call: Call,
    id: str,  # noqa: A002
    body: wire.MatchTransaction,
) -> wire.BankTransactionAnswer:
    """Say which invoice a line of a statement pays, whatever it names."""
    done = await statements.match_by_hand(
        call.runtime.database,
        call.runtime.billing,
        id,
        body.workspace_uuid,
        body.invoice_uuid,
        actor=call.principal.actor,
        now=call.received_at,
        ids=call.ids,
    )
    return wire.BankTransactionAnswer(transaction=_transaction_on_wire(done))


def _author(call: Call, named: dict[str, str], body: object) -> Author:
    """Who acts, by a request that is the same only for the same thing in the path."""
    request = call.request_key(call.workspace_id, [named, body])
    return Author(call.workspace_id, call.principal.actor, request, call.now, call.ids)


def _columns(query: wire.StatementOptions) -> lines.Columns:
    if query.decimal not in (".", ","):
        raise TallystickError("invalidStatement", "decimal is . or ,", place="the mapping")
    return lines.Columns(
        date=query.date,
        amount=query.amount,
        reference=query.reference,
        currency=query.currency,
        counterparty=query.counterparty,
        bank_ref=query.bank_ref,
        date_format=query.date_format,
        decimal=query.decimal,
        delimiter=query.delimiter,
    )


def _refund_on_wire(refund: Refund) -> wire.PaymentRefund:
    return wire.PaymentRefund(
        uuid=refund.id,
        status=refund.status,
        amount=refund.amount_minor,
        reason=refund.reason,
        created_at=refund.created_at,
        finished_at=refund.finished_at,
    )


def _transaction_on_wire(one: lines.BankTransaction) -> wire.BankTransaction:
    return wire.BankTransaction(
        id=one.id,
        date=one.line.booked_on,
        amount=one.line.amount_minor,
        currency=one.line.currency,
        reference=one.line.reference,
        counterparty=one.line.counterparty,
        workspace_uuid=one.workspace_id,
        invoice_uuid=one.invoice_id,
        payment_uuid=one.payment_id,
        note=one.note,
    )
