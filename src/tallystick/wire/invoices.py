"""Invoices and credit notes on the wire. Money is in minor units beside its `currency`."""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Wire

InvoiceStatus = Literal["draft", "issued", "paid", "past_due", "void", "uncollectible"]
InvoiceKind = Literal["invoice", "credit_note"]


class SubscriptionInvoice(Wire):
    """`amount` is the total in minor units, taxes included; from `number` on the fields are ours.

    `dueDate` is null where nothing was ever to be paid by a day.
    """

    id: UUID
    is_paid: bool
    currency: str
    amount: int
    due_date: dt.datetime | None
    url: str
    number: str
    status: InvoiceStatus
    period_start: dt.datetime | None
    period_end: dt.datetime | None
    pdf_url: str


class SubscriptionInvoicesAnswer(Wire):
    invoices: list[SubscriptionInvoice]


class AllOrPage(Wire):
    """Everything, or where `limit` is given at most so many after the first `offset`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    offset: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0


class InvoicesQuery(AllOrPage):
    kind: InvoiceKind | None = None
    status: InvoiceStatus | None = None


class Address(Wire):
    line1: str
    line2: str
    postal_code: str
    city: str
    region: str


class Party(Wire):
    """Seller or buyer, as they were when it was issued."""

    name: str
    address: Address
    country: str
    tax_id: str | None
    email: str | None
    reference: str | None


class Tax(Wire):
    """`category` is that of EN 16931: S standard, Z zero, E exempt, AE reverse charge, O outside the scope.

    `rate` is in percent, `reason` says why nothing is charged.
    """

    category: str
    name: str
    country: str
    rate: Decimal
    base: int
    amount: int
    reason: str | None


class Line(Wire):
    """`unitPrice` is in minor units with its decimals, `amount` net of tax; of usage, `credits` is what paid for it."""

    position: int
    kind: str
    description: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: int
    tax_category: str
    tax_rate: Decimal
    credits: Credits | None
    period_start: dt.datetime | None
    period_end: dt.datetime | None
    details: dict[str, Any]


class Usage(Wire):
    """Usage behind the lines; `agentUuid` is null where it was no agent's. `periodStart` is null for what was used
    before the first period."""

    period_start: dt.datetime | None
    category: str
    agent_uuid: UUID | None
    agent_name: str | None
    events: int
    quantity: Decimal
    credits: Credits
    tool_runs: Credits


class PaidBy(Wire):
    """One attempt at paying it, or money that came."""

    uuid: UUID
    status: str
    provider: str
    amount: int
    refunded_amount: int
    currency: str
    error_message: str | None
    created_at: dt.datetime
    finished_at: dt.datetime | None


class Invoice(Wire):
    """An invoice or a credit note, whose amounts are what it takes off. `openAmount` is what is still to be paid.

    `number` is null until it is issued; a draft's amounts are known by then.
    """

    id: UUID
    number: str | None
    kind: InvoiceKind
    purpose: str
    status: InvoiceStatus
    is_paid: bool
    currency: str
    amount: int
    net_amount: int
    tax_amount: int
    paid_amount: int
    credited_amount: int
    open_amount: int
    period_start: dt.datetime | None
    period_end: dt.datetime | None
    issued_at: dt.datetime | None
    due_date: dt.datetime | None
    paid_at: dt.datetime | None
    closed_at: dt.datetime | None
    corrects_id: UUID | None
    reason: str | None
    created_at: dt.datetime
    url: str | None
    pdf_url: str | None


class InvoiceInFull(Invoice):
    """The same with all that it rests on."""

    seller: Party | None
    buyer: Party | None
    lines: list[Line]
    taxes: list[Tax]
    usage: list[Usage]
    payments: list[PaidBy]
    credit_notes: list[Invoice]


class InvoicesAnswer(Wire):
    invoices: list[Invoice]


class InvoiceAnswer(Wire):
    invoice: InvoiceInFull


class Upcoming(Wire):
    """What the next invoice would be if nothing more were used; it is issued some time after the period's end."""

    currency: str
    amount: int
    net_amount: int
    tax_amount: int
    period_start: dt.datetime
    period_end: dt.datetime
    issued_after: dt.datetime
    lines: list[Line]
    taxes: list[Tax]


class UpcomingAnswer(Wire):
    invoice: Upcoming


class WithReason(Wire):
    workspace_uuid: UUID
    reason: str


class CreditLine(Wire):
    """`amount`, net, of the line at `position`."""

    position: int
    amount: int


class CreditInvoice(Wire):
    """A gross `amount`, or net ones of `lines`; neither takes all that is left."""

    workspace_uuid: UUID
    reason: str
    amount: int | None = None
    lines: list[CreditLine] | None = None


class CustomLine(Wire):
    """`quantity` and `unitPrice`, in minor units, are decimals with at most nine places."""

    description: str
    unit_price: Credits
    quantity: Credits = msgspec.field(default_factory=lambda: Credits(1_000_000_000))
    unit: str = ""
    period_start: dt.datetime | None = None
    period_end: dt.datetime | None = None


class CreateInvoice(Wire):
    """An invoice over amounts that a contract names; taxes come on top."""

    workspace_uuid: UUID
    lines: list[CustomLine]
    currency: str | None = None
    due_at: dt.datetime | None = None
    reason: str = ""
