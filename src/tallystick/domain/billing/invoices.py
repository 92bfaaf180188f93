"""Invoices and credit notes: their lines, their sums and their states (row D6; rule M28).

A draft is written when a period ends and issued after the grace. What is issued never changes but in how far it is
paid; a mistake is mended by a credit note. The states are a table; a transition that is not in it is refused with
`invoiceNotOpen`.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID

from tallystick.domain.billing.accounts import Account, Address
from tallystick.kernel.errors import TallystickError

InvoiceKind = Literal["invoice", "credit_note"]
Purpose = Literal["period", "change", "purchase", "custom", "closing", "correction"]
LineKind = Literal["plan", "proration", "usage", "adjustment", "overage", "credits", "custom", "refund"]

DRAFT: Final = "draft"
ISSUED: Final = "issued"
PAID: Final = "paid"
PAST_DUE: Final = "past_due"
VOID: Final = "void"
UNCOLLECTIBLE: Final = "uncollectible"

TRANSITIONS: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        (DRAFT, "issue"): ISSUED,
        (DRAFT, "void"): VOID,
        (ISSUED, "pay"): PAID,
        (ISSUED, "fallDue"): PAST_DUE,
        (ISSUED, "void"): VOID,
        (ISSUED, "giveUp"): UNCOLLECTIBLE,
        (PAST_DUE, "pay"): PAID,
        (PAST_DUE, "void"): VOID,
        (PAST_DUE, "giveUp"): UNCOLLECTIBLE,
        # Money may still come for what was written off.
        (UNCOLLECTIBLE, "pay"): PAID,
        (PAID, "takeBack"): PAST_DUE,
    }
)
"""(status, what is asked) → status. `takeBack`: a payment was disputed or bounced after all."""

OPEN: Final = frozenset({ISSUED, PAST_DUE})


@dataclass(frozen=True, slots=True)
class Party:
    """Seller or buyer as an invoice shows it; `country` is ISO 3166-1 alpha-2, `tax_id` with its prefix (DE…)."""

    name: str
    address: Address = field(default_factory=Address)
    country: str = ""
    tax_id: str | None = None
    email: str | None = None
    reference: str | None = None
    """The buyer's purchase order."""


def buyer_of(account: Account, name: str, email: str | None) -> Party:
    """Who an invoice goes to, as they are now; the workspace's name and e-mail stand in where nothing else is said."""
    return Party(
        name=account.legal_name or name,
        address=account.address,
        country=account.country or "",
        tax_id=account.tax_id,
        email=account.email or email,
        reference=account.purchase_order,
    )


@dataclass(frozen=True, slots=True)
class Tax:
    """One row of the tax breakdown. `category` is that of EN 16931: S standard, Z zero, E exempt, AE reverse charge, O
    outside the scope.

    `rate_ppm` in parts per million (19 % is 190,000), amounts in minor units. `reason`: why nothing is charged.
    """

    category: str
    rate_ppm: int
    base_minor: int
    amount_minor: int
    country: str
    name: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """`unit_price` is in minor units with up to nine decimals, `amount_minor` is net of tax; what is given back on an
    invoice is negative, what a credit note takes off is positive.

    An empty `tax_category` waits for being taxed (domain/billing/taxes.py); `new_line` makes such a one.

    `credits` is what usage came to, in nano-credits, at no money where credits paid for it (rule M28). `period_start`
    and `period_end` name the time that a line is for. `details` is JSON: planVersionId, category, grantId, …
    """

    position: int
    kind: LineKind
    description: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount_minor: int
    tax_category: str
    tax_rate_ppm: int
    credits: int | None = None
    period_start: dt.datetime | None = None
    period_end: dt.datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def new_line(
    kind: LineKind,
    description: str,
    amount_minor: int,
    *,
    quantity: Decimal | int = 1,
    unit: str = "",
    unit_price: Decimal | None = None,
    **more: Any,
) -> Line:
    """A line to be taxed, its place to be given (`numbered`). Without a `unit_price` one is worth the amount."""
    price = Decimal(amount_minor) if unit_price is None else unit_price
    return Line(0, kind, description, Decimal(quantity), unit, price, amount_minor, "", 0, **more)


def numbered(lines: Iterable[Line]) -> tuple[Line, ...]:
    """The lines with places from 1."""
    return tuple(replace(line, position=place) for place, line in enumerate(lines, 1))


@dataclass(frozen=True, slots=True)
class Used:
    """Usage behind an invoice: of a period, category and agent (the nil UUID where none), in nano-units."""

    period_start: dt.datetime
    category: str
    agent_id: UUID
    events: int
    quantity: Decimal
    credits: int
    tool_runs: int


@dataclass(slots=True)
class Invoice:
    """An invoice or credit note while its workspace is locked; amounts in minor units of `currency`.

    A credit note's amounts are positive: what it takes off. `charged_through` is the watermark of the charges it lists:
    those up to this id that were used before `period_end` are on this invoice or an earlier one. `next_at` is when
    something is to be done with it: issuing a draft, collecting an open one.
    """

    workspace_id: UUID
    id: UUID
    kind: InvoiceKind
    purpose: Purpose
    status: str
    currency: str
    created_at: dt.datetime
    updated_at: dt.datetime
    series: str | None = None
    number: str | None = None
    period_start: dt.datetime | None = None
    period_end: dt.datetime | None = None
    subscription_id: UUID | None = None
    issued_at: dt.datetime | None = None
    due_at: dt.datetime | None = None
    paid_at: dt.datetime | None = None
    closed_at: dt.datetime | None = None
    net_minor: int = 0
    tax_minor: int = 0
    total_minor: int = 0
    paid_minor: int = 0
    credited_minor: int = 0
    taxes: tuple[Tax, ...] = ()
    seller: Party | None = None
    buyer: Party | None = None
    corrects: UUID | None = None
    reason: str = ""
    charged_through: UUID | None = None
    attempts: int = 0
    next_at: dt.datetime | None = None

    @property
    def open_minor(self) -> int:
        """What is still to be paid; nothing of a draft, of one that is closed, and of a credit note."""
        if self.kind == "credit_note" or self.status not in OPEN:
            return 0
        return max(self.total_minor - self.credited_minor - self.paid_minor, 0)

    def move(self, asked: str, now: dt.datetime) -> None:
        """Take the transition `asked`. Raises `invoiceNotOpen`."""
        following = TRANSITIONS.get((self.status, asked))
        if following is None:
            raise TallystickError(
                "invoiceNotOpen",
                f"The invoice is {self.status.replace('_', ' ')}: it can't be changed that way.",
                id=str(self.id),
                number=self.number,
                status=self.status,
            )
        self.status, self.updated_at = following, now
