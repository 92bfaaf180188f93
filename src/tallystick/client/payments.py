"""Calls about payment: what is on file, what was paid, who pays, and for operators transfers, statements, refunds.

Money is in minor units (cents) beside its currency.
"""

import datetime as dt
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from tallystick.client.replies import Call
from tallystick.wire import payments as wire
from tallystick.wire.amounts import answer_decoder, encode

T = TypeVar("T")

Given = str | UnsetType | None
"""A text to set; None or an empty one empties the field, left out it stays."""

_JSON: Final = "application/json"
_SUBSCRIPTIONS: Final = "/v1/billing/subscriptions"


def credit_card() -> Call[wire.CreditCardAnswer]:
    """The card on file: `{"creditCard": {"brand", "last4", "expMonth", "expYear"}}`, without the key where there is
    none."""
    return _get(f"{_SUBSCRIPTIONS}/creditCard", wire.CreditCardAnswer)


def create_portal_session() -> Call[wire.PortalSessionAnswer]:
    """The address of a page where payment is seen and changed, good for some minutes."""
    return _send("POST", f"{_SUBSCRIPTIONS}/portalSessions", wire.PortalSessionAnswer, {})


def create_setup_intent() -> Call[wire.SetupIntentAnswer]:
    """A client secret with which a browser puts a card or bank account on file."""
    return _send("POST", f"{_SUBSCRIPTIONS}/setupIntent", wire.SetupIntentAnswer, {})


def put_payment_method(payment_method_id: str) -> Call[wire.PaymentMethodAnswer]:
    """Make a method that the provider knows the one on file."""
    body = wire.PutPaymentMethod(payment_method_id=payment_method_id)
    return _send("PUT", f"{_SUBSCRIPTIONS}/paymentMethod", wire.PaymentMethodAnswer, body)


def payments(
    *, invoice_uuid: UUID | None = None, limit: int | None = None, offset: int | None = None
) -> Call[wire.PaymentsAnswer]:
    """A page of the workspace's payments, the newest first; of one invoice with `invoice_uuid`."""
    return _get("/v1/payments", wire.PaymentsAnswer, invoiceUuid=invoice_uuid, limit=limit, offset=offset)


def billing_account() -> Call[wire.BillingAccountAnswer]:
    """Who pays: what invoices say of the buyer, and what is on file."""
    return _get("/v1/billing/account", wire.BillingAccountAnswer)


def put_billing_account(
    *,
    legal_name: Given = UNSET,
    email: Given = UNSET,
    address: wire.BillingAddress | UnsetType | None = UNSET,
    country: Given = UNSET,
    tax_id: Given = UNSET,
    purchase_order: Given = UNSET,
    locale: str | UnsetType = UNSET,
) -> Call[wire.BillingAccountAnswer]:
    """Change what invoices from now on say of the buyer; what is left out stays, an address is replaced whole."""
    body = wire.PutBillingAccount(
        legal_name=legal_name,
        email=email,
        address=address,
        country=country,
        tax_id=tax_id,
        purchase_order=purchase_order,
        locale=locale,
    )
    return _send("PUT", "/v1/billing/account", wire.BillingAccountAnswer, body)


def mark_paid(
    invoice_uuid: UUID | str,
    *,
    amount: int | None = None,
    currency: str | None = None,
    date: dt.date | None = None,
    reference: str = "",
    allow_overpayment: bool = False,
    idempotency_key: str | None = None,
) -> Call[wire.PaymentAnswer]:
    """For operators: write down a bank transfer for an invoice; without an `amount` it is all that is open."""
    body = wire.MarkPaid(
        amount=amount, currency=currency, date=date, reference=reference, allow_overpayment=allow_overpayment
    )
    path = f"/v1/invoices/{quote(str(invoice_uuid), safe='')}/payments"
    return _send("POST", path, wire.PaymentAnswer, body, idempotency_key)


def refund_payment(
    payment_uuid: UUID | str, *, reason: str, amount: int | None = None, idempotency_key: str | None = None
) -> Call[wire.PaymentRefundAnswer]:
    """For operators: give a part of a payment back, or without an `amount` all that is still there."""
    body = wire.CreateRefund(reason=reason, amount=amount)
    path = f"/v1/payments/{quote(str(payment_uuid), safe='')}/refunds"
    return _send("POST", path, wire.PaymentRefundAnswer, body, idempotency_key)


def import_statement(
    content: bytes, media_type: str, options: wire.StatementOptions | None = None
) -> Call[wire.StatementAnswer]:
    """For operators: import a bank statement, `application/xml` (CAMT.053) or `text/csv` with a mapping in `options`.

    The same lines again change nothing.
    """
    chosen = msgspec.to_builtins(options) if options is not None else {}
    query = {name: str(value) for name, value in chosen.items() if value is not None}
    decoder = _decoder(wire.StatementAnswer)
    return Call(
        "POST", "/v1/statements", decoder, query=query, body=content, headers={"content-type": media_type}, patience=120
    )


def bank_transactions(*, limit: int | None = None, offset: int | None = None) -> Call[wire.BankTransactionsAnswer]:
    """For operators: lines of statements that pay no invoice yet, the newest day first."""
    return _get("/v1/bank-transactions", wire.BankTransactionsAnswer, limit=limit, offset=offset)


def match_bank_transaction(
    transaction_id: str, *, workspace_uuid: UUID, invoice_uuid: UUID
) -> Call[wire.BankTransactionAnswer]:
    """For operators: say which invoice a line of a statement pays."""
    body = wire.MatchTransaction(workspace_uuid=workspace_uuid, invoice_uuid=invoice_uuid)
    path = f"/v1/bank-transactions/{quote(transaction_id, safe='')}/match"
    return _send("POST", path, wire.BankTransactionAnswer, body)


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _get(path: str, shape: type[T], **query: object) -> Call[T]:
    given: Mapping[str, str] = {name: str(value) for name, value in query.items() if value is not None}
    return Call("GET", path, cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape))), query=given)


def _send(method: str, path: str, shape: type[T], body: object, idempotency_key: str | None = None) -> Call[T]:
    headers = {"content-type": _JSON}
    if idempotency_key is not None:
        headers["idempotency-key"] = idempotency_key
    decoder = cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape)))
    return Call(method, path, decoder, body=encode(body), headers=headers)
