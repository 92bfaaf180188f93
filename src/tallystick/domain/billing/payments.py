"""Payments: one attempt at getting money, how it stands, and what a payment provider can do (rows D7, D11; rule M24).

A payment is written down before the provider is asked, under a key that the provider knows it by: asked again after a
crash, it answers with what it made before. What the provider says later changes only how the payment stands, and only
forward, however often and in whatever order it is said.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, Protocol
from uuid import UUID

from tallystick.domain.billing.accounts import Account, Method

PaymentPurpose = Literal["invoice", "purchase", "topup"]

CREATED: Final = "created"
PROCESSING: Final = "processing"
ACTION_REQUIRED: Final = "action_required"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
CANCELED: Final = "canceled"

RANKS: Final[Mapping[str, int]] = MappingProxyType(
    {CREATED: 0, ACTION_REQUIRED: 1, PROCESSING: 2, CANCELED: 3, FAILED: 4, SUCCEEDED: 5}
)
"""A payment only goes to a higher rank, and no two have the same: in whatever order and however often things are told,
it ends where the highest stands. Success stands over failure: a customer may repair a failed attempt with the
provider."""

UNFINISHED: Final = frozenset({CREATED, ACTION_REQUIRED, PROCESSING})
"""Where money may still come: nothing else is asked for on the same invoice meanwhile."""

BAD: Final = frozenset({CANCELED, FAILED})


@dataclass(slots=True)
class Payment:
    """`amount_minor` and what of it was refunded or disputed, in minor units; `key` is ours, `ref` the provider's.

    `received_on` is the bank's day of a transfer, whose `ref` is what its sender wrote.
    """

    workspace_id: UUID
    id: UUID
    invoice_id: UUID | None
    provider: str
    purpose: PaymentPurpose
    key: str
    status: str
    amount_minor: int
    currency: str
    created_at: dt.datetime
    updated_at: dt.datetime
    ref: str | None = None
    refunded_minor: int = 0
    disputed_minor: int = 0
    method: Method | None = None
    error_code: str | None = None
    error_message: str | None = None
    action_url: str | None = None
    finished_at: dt.datetime | None = None
    next_at: dt.datetime | None = None
    received_on: dt.date | None = None

    @property
    def is_unfinished(self) -> bool:
        """Whether money may still come by it."""
        return self.status in UNFINISHED

    @property
    def refundable_minor(self) -> int:
        """What of it we still have."""
        if self.status != SUCCEEDED:
            return 0
        return max(self.amount_minor - self.refunded_minor - self.disputed_minor, 0)

    def takes(self, status: str) -> bool:
        """Whether `status` is news: further than what is known."""
        return RANKS[status] > RANKS[self.status]


@dataclass(frozen=True, slots=True)
class Refund:
    """Money being given back, in minor units; `created` means that its provider was perhaps asked and perhaps not."""

    workspace_id: UUID
    id: UUID
    payment_id: UUID
    status: Literal["created", "succeeded", "failed"]
    amount_minor: int
    reason: str
    created_by: str
    created_at: dt.datetime
    ref: str | None = None
    error_message: str | None = None
    finished_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A bank transfer that came: minor units, the bank's day, and what its sender wrote."""

    amount_minor: int
    received_on: dt.date
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a provider says that a payment stands: a status of `RANKS`, its own id of it, and why it failed."""

    status: str
    ref: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    action_url: str | None = None
    method: Method | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A provider's webhook, understood. `kind` is one of `TOLD`; `ref` the provider's id of what it is about.

    `outcome` comes with `payment` and `checkout`, `method` with `method`, `amount_minor` is the whole refunded or
    disputed so far, or what a checkout came to with tax; `quantity` is what was chosen there. `type` is the provider's
    own word for it. `fits` says which account a method is for: `any` puts it on file, `none` where there is none yet,
    `same` where it is the one on file.
    """

    id: str
    kind: str
    at: dt.datetime
    type: str = ""
    ref: str | None = None
    customer_ref: str | None = None
    outcome: Outcome | None = None
    method: Method | None = None
    amount_minor: int | None = None
    quantity: int | None = None
    fits: Literal["any", "none", "same"] = "any"
    metadata: Mapping[str, str] = field(default_factory=dict)


TOLD: Final = ("payment", "refund", "dispute", "dispute_won", "method", "method_removed", "checkout", "other")


@dataclass(frozen=True, slots=True)
class Checkout:
    """What is to be bought on a page of the provider's; `metadata` comes back with what is told of it.

    Where it is not `is_adjustable`, its quantity was chosen before, and the page takes exactly this much.
    """

    description: str
    credits: int
    unit_minor: int
    currency: str
    success_url: str
    cancel_url: str
    metadata: Mapping[str, str]
    is_adjustable: bool = True


class Provider(Protocol):
    """A payment provider. Every call may be made again with the same `key` and then does nothing twice.

    Raises `paymentProviderUnavailable` where it can't be known whether something was done: ask again later. What it
    refuses for good is an `Outcome` of `failed`, or a named error of the method.
    """

    @property
    def name(self) -> str:
        """`offline`, `stripe`."""

    async def customer(self, account: Account, *, name: str, key: str) -> str:
        """Make or bring up to date the customer; its id."""

    async def setup_intent(self, customer_ref: str, *, key: str) -> str:
        """A client secret with which a browser adds a card or bank account. Raises `failedToCreateSetupIntent`."""

    async def attach(self, customer_ref: str, method_id: str, *, key: str) -> Method:
        """Make a method the one on file. Raises `paymentMethodNotFound`."""

    async def charge(self, payment: Payment, customer_ref: str, method: Method, *, description: str) -> Outcome:
        """Charge the method on file, nobody being there to click. `payment.key` is the idempotency key."""

    async def look(self, payment: Payment) -> Outcome | None:
        """How a payment stands; None where the provider never heard of it."""

    async def cancel(self, payment: Payment) -> Outcome | None:
        """Give up an attempt that is not finished, so that no money comes by it later; how it stands then: it may have
        succeeded meanwhile. None where the provider never heard of it."""

    async def refund(self, payment: Payment, amount_minor: int, *, key: str) -> Outcome:
        """Give so much back."""

    async def checkout(self, customer_ref: str, wanted: Checkout, *, key: str) -> str:
        """The address of a page to buy on."""

    async def portal(self, customer_ref: str, return_url: str) -> str:
        """The address of a page where the customer sees and changes payment."""

    def read_webhook(self, body: bytes, headers: Mapping[str, str], now: dt.datetime) -> Told:
        """Check and understand a webhook. Raises `invalidSignature`, `invalidWebhook`."""

    async def missed(self, since: dt.datetime) -> list[Told]:
        """What was told from `since` on, the machine's time, and did not reach us; the oldest first.

        Raises `paymentProviderUnavailable`."""

    async def refresh(self, told: Told) -> Told:
        """What was told, as it stands by now: a webhook may be old. Raises `paymentProviderUnavailable`."""

    async def close(self) -> None:
        """Close its connections."""
