"""Billing accounts: who pays for a workspace, from where, and with what (rows D7, D11; rules M24, M28)."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

ProviderName = Literal["offline", "stripe"]
MethodKind = Literal["card", "bank"]

TOPUP_STATES: Final = ("off", "on", "stopped")
"""`stopped`: it failed, its owner was told, and it waits for a new method or for being switched on again."""


@dataclass(frozen=True, slots=True)
class Address:
    line1: str = ""
    line2: str = ""
    city: str = ""
    postal_code: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """A card or a bank account on file: nothing that would let anybody pay with it.

    `id` is the provider's; a bank account has no expiry.
    """

    id: str
    kind: MethodKind
    brand: str
    last4: str
    exp_month: int | None = None
    exp_year: int | None = None


@dataclass(frozen=True, slots=True)
class TopUp:
    """Automatic top-up: below `threshold`, `credits` are bought; nano-credits, `daily_cap` of them a UTC day."""

    state: str = "off"
    credits: int | None = None
    threshold: int | None = None
    daily_cap: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """`country` is ISO 3166-1 alpha-2, `currency` ISO 4217 in lower case and fixed by the first invoice (rule M28).

    `trial_used_at` says when the one trial was begun (rule M23).
    """

    workspace_id: UUID
    legal_name: str = ""
    email: str | None = None
    address: Address = field(default_factory=Address)
    country: str | None = None
    tax_id: str | None = None
    purchase_order: str | None = None
    locale: str = "en"
    currency: str | None = None
    provider: ProviderName = "offline"
    customer_ref: str | None = None
    method: Method | None = None
    method_at: dt.datetime | None = None
    trial_used_at: dt.datetime | None = None
    top_up: TopUp = field(default_factory=TopUp)
