"""Payments, payment methods, billing details and bank statements on the wire. Money is in minor units."""

import datetime as dt
from typing import Literal
from uuid import UUID

from msgspec import UNSET, UnsetType

from tallystick.wire.identity import Page, Wire

PaymentStatus = Literal["created", "processing", "action_required", "succeeded", "failed", "canceled"]


class CreditCard(Wire):
    brand: str
    last4: str
    exp_month: int | None
    exp_year: int | None


class CreditCardAnswer(Wire):
    """`creditCard` is absent where no card is on file."""

    credit_card: CreditCard | UnsetType = UNSET


class PortalSession(Wire):
    url: str


class PortalSessionAnswer(Wire):
    portal_session: PortalSession


class SetupIntent(Wire):
    """`publishableKey`, ours, is the provider's key for browsers, where the operator set it."""

    client_secret: str
    publishable_key: str | None = None


class SetupIntentAnswer(Wire):
    setup_intent: SetupIntent


class PutPaymentMethod(Wire):
    payment_method_id: str


class PaymentMethod(Wire):
    """What is on file: a card, or a bank account, which has no expiry."""

    kind: Literal["card", "bank"]
    brand: str
    last4: str
    exp_month: int | None
    exp_year: int | None


class PaymentMethodAnswer(Wire):
    payment_method: PaymentMethod | None


class PaymentRefund(Wire):
    uuid: UUID
    status: Literal["created", "succeeded", "failed"]
    amount: int
    reason: str
    created_at: dt.datetime
    finished_at: dt.datetime | None


class PaymentRefundAnswer(Wire):
    refund: PaymentRefund


class Payment(Wire):
    """`receivedOn` and `reference` are those of a bank transfer; `actionUrl` is where its owner confirms it."""

    uuid: UUID
    invoice_uuid: UUID | None
    invoice_number: str | None
    provider: str
    purpose: Literal["invoice", "purchase", "topup"]
    status: PaymentStatus
    amount: int
    refunded_amount: int
    disputed_amount: int
    currency: str
    method: PaymentMethod | None
    error_code: str | None
    error_message: str | None
    action_url: str | None
    reference: str | None
    received_on: dt.date | None
    created_at: dt.datetime
    finished_at: dt.datetime | None


class PaymentAnswer(Wire):
    payment: Payment


class PaymentsAnswer(Wire):
    payments: list[Payment]


class PaymentList(Page):
    invoice_uuid: UUID | None = None


class MarkPaid(Wire):
    """`amount` left out is all that is open; `date` is the bank's day, today where it is left out. A transfer with a
    `reference` is known by it, its amount and its day: told again it counts once."""

    amount: int | None = None
    currency: str | None = None
    date: dt.date | None = None
    reference: str = ""
    allow_overpayment: bool = False


class CreateRefund(Wire):
    """`amount` left out is all that is still there."""

    reason: str
    amount: int | None = None


class BillingAddress(Wire):
    line1: str = ""
    line2: str = ""
    city: str = ""
    postal_code: str = ""
    region: str = ""


class BillingAccount(Wire):
    """Who pays, as invoices show it. `currency` is fixed by the first invoice."""

    workspace_uuid: UUID
    legal_name: str
    email: str | None
    address: BillingAddress
    country: str | None
    tax_id: str | None
    purchase_order: str | None
    locale: str
    currency: str | None
    provider: Literal["offline", "stripe"]
    payment_method: PaymentMethod | None


class BillingAccountAnswer(Wire):
    account: BillingAccount


class PutBillingAccount(Wire):
    """What is left out stays; an empty text, or null, empties a field. An address is replaced whole."""

    legal_name: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    address: BillingAddress | UnsetType | None = UNSET
    country: str | UnsetType | None = UNSET
    tax_id: str | UnsetType | None = UNSET
    purchase_order: str | UnsetType | None = UNSET
    locale: str | UnsetType = UNSET


class StatementOptions(Wire):
    """For CSV alone: which column holds what, by its heading. `currency` is a column, or three letters for all lines;
    `dateFormat` a pattern such as `%d.%m.%Y`, without it days are ISO 8601; `decimal` is `.` or `,`."""

    date: str = "date"
    amount: str = "amount"
    reference: str = "reference"
    currency: str = "currency"
    counterparty: str | None = None
    bank_ref: str | None = None
    date_format: str | None = None
    decimal: str = "."
    delimiter: str | None = None


class BankTransaction(Wire):
    """A line of a statement. `invoiceUuid` null: it waits for a person, and `note` says why."""

    id: str
    date: dt.date
    amount: int
    currency: str
    reference: str
    counterparty: str
    workspace_uuid: UUID | None
    invoice_uuid: UUID | None
    payment_uuid: UUID | None
    note: str


class BankTransactionAnswer(Wire):
    transaction: BankTransaction


class BankTransactionsAnswer(Wire):
    transactions: list[BankTransaction]


class StatementAnswer(Wire):
    """What became of a statement: lines that are new, those imported before, those that pay an invoice by now and those
    that wait; `ignored` counts lines that are no money that came: outgoing, pending, reversal."""

    imported: int
    known: int
    matched: int
    unmatched: int
    ignored: dict[str, int]
    transactions: list[BankTransaction]


class MatchTransaction(Wire):
    workspace_uuid: UUID
    invoice_uuid: UUID
