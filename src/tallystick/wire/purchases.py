"""Bought credits on the wire: purchases, what they would cost, automatic top-up, and what was earned by them."""

import datetime as dt
from typing import Literal
from uuid import UUID

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Page, Wire

PurchaseStatus = Literal["pending", "paid", "failed", "refunded", "charged_back"]


class BuyCredits(Wire):
    """Whole credits, within the operator's bounds."""

    credits: Credits


class BuyQuery(Wire):
    """`preview`: only say what it would cost."""

    preview: bool = False


class Transfer(Wire):
    """How to pay by bank transfer: the `reference` to write on it, and by when; `account` is where it goes."""

    reference: str
    due_at: dt.datetime | None
    account: str | None


class Purchase(Wire):
    """Money in minor units of `currency`; `unitPrice` a credit's, with decimals. The grant is there once it is paid.

    `actionUrl` is where its owner confirms the payment, `transfer` how to pay it, where either is awaited.
    `refundedCredits` went back for `refunded`, tax included. `error` says why it failed.
    """

    uuid: UUID
    workspace_uuid: UUID
    status: PurchaseStatus
    automatic: bool
    credits: Credits
    unit_price: Credits
    price: int
    tax: int
    total: int
    currency: str
    invoice_uuid: UUID | None
    invoice_number: str | None
    grant_uuid: UUID | None
    expires_at: dt.datetime | None
    refunded_credits: Credits
    refunded: int
    action_url: str | None
    transfer: Transfer | None
    error: str | None
    created_at: dt.datetime
    finished_at: dt.datetime | None


class PurchaseAnswer(Wire):
    purchase: Purchase


class PurchasesAnswer(Wire):
    purchases: list[Purchase]


class PurchaseList(Page):
    """`status`: only those that stand so."""

    status: PurchaseStatus | None = None


class TaxRow(Wire):
    """`rate` in percent."""

    name: str
    country: str
    rate: Credits
    amount: int
    reason: str


class Quote(Wire):
    """What credits would cost now; nothing is bought."""

    credits: Credits
    unit_price: Credits
    price: int
    tax: int
    total: int
    currency: str
    taxes: list[TaxRow]
    expires_in_days: int


class QuoteAnswer(Wire):
    preview: Quote


class RefundPurchase(Wire):
    """`credits` left out: all that is unused and not held."""

    workspace_uuid: UUID
    reason: str
    credits: Credits | None = None


class PutTopUp(Wire):
    """Below `threshold`, `creditsCount` credits are bought; at most `dailyCap` on a UTC day, the operator's without."""

    enabled: bool
    credits_count: Credits | None = None
    threshold: Credits | None = None
    daily_cap: Credits | None = None


class ShownTopUp(Wire):
    """`state` `stopped`: an attempt failed, see `error`; it waits for a new payment method or being switched on again.

    `boughtToday` counts against `dailyCap`, both of the current UTC day.
    """

    state: Literal["off", "on", "stopped"]
    credits_count: Credits | None
    threshold: Credits | None
    daily_cap: Credits
    bought_today: Credits
    error: str | None


class TopUpAnswer(Wire):
    topup: ShownTopUp


class CheckoutSession(Wire):
    """A page on which credits are bought; the link is signed and good for some minutes."""

    url: str


class CheckoutSessionAnswer(Wire):
    checkout_session: CheckoutSession


class RevenueQuery(Wire):
    """UTC days, both counted; left out, the current month and the eleven before."""

    from_: str | None = None
    to: str | None = None


class RevenueMonth(Wire):
    """A UTC month of one currency, in minor units net of tax.

    `sold` came in for credits, `recognised` was earned by their use, `breakage` by their expiry, `refunded` was
    credited, `chargedBack` taken back by banks; `deferred` is what is still owed in credits at its end:
    deferred before + sold − recognised − breakage − refunded − chargedBack.
    """

    month: str
    currency: str
    sold: int
    recognised: int
    breakage: int
    refunded: int
    charged_back: int
    deferred: int
    tax: int


class RevenueAnswer(Wire):
    months: list[RevenueMonth]
