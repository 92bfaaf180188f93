"""Bought credits: what they cost, and the states of a purchase (row D4; rule M26).

A purchase is pending until its payment succeeded; the credits are granted then, never before. The states are a table;
a transition that is not in it is refused with `purchaseNotOpen`.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Literal
from uuid import UUID

from tallystick.kernel.credits import NANO, divide_half_even, format_credits
from tallystick.kernel.errors import TallystickError

TaxAt = Literal["purchase", "use"]

PENDING: Final = "pending"
PAID: Final = "paid"
FAILED: Final = "failed"
REFUNDED: Final = "refunded"
CHARGED_BACK: Final = "charged_back"

TRANSITIONS: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        (PENDING, "pay"): PAID,
        (PENDING, "fail"): FAILED,
        (PAID, "refund"): REFUNDED,
        (PAID, "chargeBack"): CHARGED_BACK,
        (REFUNDED, "chargeBack"): CHARGED_BACK,
    }
)
"""(status, what is asked) → status. `refund` is the last one of a purchase, after which nothing of it is left."""


@dataclass(frozen=True, slots=True)
class PurchaseTerms:
    """What the operator's settings say of bought credits.

    `unit_price` in minor units of `currency` a credit, with decimals; `least` and `most` credits of one purchase and
    `daily_cap` of automatic ones on a UTC day in nano-credits; they expire after `days`.
    """

    unit_price: Decimal
    currency: str
    least: int
    most: int
    days: int
    daily_cap: int
    tax_at: TaxAt = "purchase"


@dataclass(slots=True)
class Purchase:
    """One purchase while its workspace is locked; `credits`, `taken` and `recognised_*` in nano-credits.

    `price_minor` is net of tax, and both were computed once, when it was asked for. `taken` is what was given back
    for `refunded_minor` and `refunded_tax_minor`. `recognised_used` and `recognised_expired` are what had become of
    its grant by the ledger's transaction `recognised_seq`, which is as far as its money side goes; with `tax_at`
    `use`, `taxed_minor` of what was used stood on an invoice already.
    """

    workspace_id: UUID
    id: UUID
    is_automatic: bool
    status: str
    credits: int
    price_minor: int
    tax_minor: int
    currency: str
    unit_price: Decimal
    tax_at: TaxAt
    day: dt.date
    expires_days: int
    created_by: str
    created_at: dt.datetime
    invoice_id: UUID | None = None
    payment_id: UUID | None = None
    grant_id: UUID | None = None
    taken: int = 0
    refunded_minor: int = 0
    refunded_tax_minor: int = 0
    taxed_minor: int = 0
    recognised_seq: int = 0
    recognised_used: int = 0
    recognised_expired: int = 0
    error: str | None = None
    finished_at: dt.datetime | None = None

    @property
    def total_minor(self) -> int:
        """Price and tax."""
        return self.price_minor + self.tax_minor

    def move(self, asked: str, now: dt.datetime) -> None:
        """Take the transition `asked`. Raises `purchaseNotOpen`."""
        following = TRANSITIONS.get((self.status, asked))
        if following is None:
            raise TallystickError(
                "purchaseNotOpen",
                f"The purchase is {self.status.replace('_', ' ')}: that can't be done with it.",
                id=str(self.id),
                status=self.status,
            )
        self.status, self.finished_at = following, now


def price_of(credits_: int, unit_price: Decimal) -> int:
    """Minor units for `credits_` nano-credits at `unit_price` minor units a credit, rounded once, half-even."""
    numerator, denominator = unit_price.as_integer_ratio()
    return divide_half_even(credits_ * numerator, NANO * denominator)


def check_credits(credits_: int, terms: PurchaseTerms) -> None:
    """Raises `invalidAmount` unless it is a whole number of credits that one purchase may have."""
    if credits_ % NANO or not terms.least <= credits_ <= terms.most:
        raise TallystickError(
            "invalidAmount",
            f"One buys {format_credits(terms.least)} to {format_credits(terms.most)} whole credits at once.",
            field="credits",
            value=format_credits(credits_),
            least=format_credits(terms.least),
            most=format_credits(terms.most),
        )
