"""What the outside is told of money: one shape for every fact about an invoice, a payment, a subscription (row E10).

A fact's id comes from what makes it one, so that a transaction that is tried again tells the same. Money is in minor
units beside its `currency`; of a payment method only what a receipt shows.
"""

import datetime as dt
from typing import Any
from uuid import UUID

from tallystick.domain.billing.accounts import Method
from tallystick.domain.billing.invoices import Invoice
from tallystick.domain.billing.payments import Payment
from tallystick.domain.telling.facts import Fact, derived_id


def invoice_fact(invoice: Invoice, kind: str, at: dt.datetime, *parts: str, **more: Any) -> Fact:
    """A fact about an invoice or credit note as it stands then; told once of it, or once for each of `parts`.

    `more` is added to its data: camelCase, instants as text.
    """
    data = {
        "invoiceUuid": str(invoice.id),
        "number": invoice.number,
        "purpose": invoice.purpose,
        "status": invoice.status,
        "currency": invoice.currency,
        "amount": invoice.total_minor,
        "taxAmount": invoice.tax_minor,
        "openAmount": invoice.open_minor,
        "issuedAt": instant(invoice.issued_at),
        "dueAt": instant(invoice.due_at),
        "periodStart": instant(invoice.period_start),
        "periodEnd": instant(invoice.period_end),
        "correctsUuid": str(invoice.corrects) if invoice.corrects else None,
        "reason": invoice.reason or None,
    }
    return Fact(
        invoice.workspace_id,
        derived_id(invoice.workspace_id, kind, str(invoice.id), *parts),
        kind,
        at,
        data | more,
    )


def payment_fact(
    payment: Payment, kind: str, at: dt.datetime, *parts: str, invoice: Invoice | None = None, **more: Any
) -> Fact:
    """A fact about a payment as it stands then, and the invoice that it is for; once, or once for each of `parts`.

    Of a failed one `more` says `nextAttemptAt` and `stopsAt` (domain/billing/dunning.py).
    """
    data = {
        "paymentUuid": str(payment.id),
        "purpose": payment.purpose,
        "status": payment.status,
        "provider": payment.provider,
        "currency": payment.currency,
        "amount": payment.amount_minor,
        "refundedAmount": payment.refunded_minor,
        "disputedAmount": payment.disputed_minor,
        "method": shown_method(payment.method),
        "errorCode": payment.error_code,
        "errorMessage": payment.error_message,
        "actionUrl": payment.action_url,
        "invoiceUuid": str(payment.invoice_id) if payment.invoice_id else None,
        "invoiceNumber": invoice.number if invoice else None,
    }
    return Fact(
        payment.workspace_id,
        derived_id(payment.workspace_id, kind, str(payment.id), *parts),
        kind,
        at,
        data | more,
    )


def account_fact(workspace_id: UUID, kind: str, at: dt.datetime, *parts: str, **data: Any) -> Fact:
    """A fact about a subscription, an account or its method: once for each of `parts`, such as the instant."""
    return Fact(workspace_id, derived_id(workspace_id, kind, *parts), kind, at, data)


def shown_method(method: Method | None) -> dict[str, Any] | None:
    """A method as people know it: `Visa 4242, 04/2027`."""
    if method is None:
        return None
    return {
        "kind": method.kind,
        "brand": method.brand,
        "last4": method.last4,
        "expMonth": method.exp_month,
        "expYear": method.exp_year,
    }


def instant(at: dt.datetime | None) -> str | None:
    """An instant as facts write it."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")
