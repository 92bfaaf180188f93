"""The money side of bought credits (rule M26): what a purchase has become so far, in minor units.

Everything is a function of how the purchase and its grant stand, and what is booked is what that gives now less what
was booked before: nothing drifts, cents add up, and a sweep may run at any time, twice, or late. Debit is positive:
cash in, less what is owed for it (`deferred`, `tax`, `refunds` not yet paid out) and what was earned (`revenue` of
credits used, `breakage` of credits that expired), is zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.domain.billing.purchases import CHARGED_BACK, PAID, REFUNDED, Purchase
from tallystick.kernel.credits import divide_half_even

ACCOUNTS: Final = ("cash", "deferred", "revenue", "breakage", "tax", "refunds")

CAUSES: Final = ("purchase", "use", "expiry", "refund", "payout", "chargeback")
"""Why money moved between accounts: paid, used, expired, credited, given back, taken back by the bank."""


@dataclass(frozen=True, slots=True)
class Burnt:
    """What became of a grant, in nano-credits: used by events, and ended unused."""

    used: int = 0
    expired: int = 0


def recognised(purchase: Purchase, burnt: Burnt) -> tuple[int, int, int]:
    """(revenue, breakage, deferred) in minor units: what was paid and not refunded, over credits not taken back.

    Cumulative: what `used` and what `used + expired` credits are worth is each rounded once, half-even, so that the
    last credit completes the price to the cent.
    """
    price, credits_ = purchase.price_minor - purchase.refunded_minor, purchase.credits - purchase.taken
    revenue = _worth(price, burnt.used, credits_)
    gone = _worth(price, burnt.used + burnt.expired, credits_)
    return revenue, gone - revenue, price - gone


def refund_of(purchase: Purchase, burnt: Burnt, credits_: int) -> int:
    """Minor units, net of tax, for `credits_` nano-credits that are unused and go back; the last ones take all that is
    left. `credits_` is above zero and at most what is unused."""
    _, _, deferred = recognised(purchase, burnt)
    rest = purchase.credits - purchase.taken - burnt.used - burnt.expired
    return deferred if credits_ == rest else divide_half_even(deferred * credits_, rest)


def stand(purchase: Purchase, burnt: Burnt, paid_out: int = 0) -> Mapping[str, int]:
    """What every account holds of a purchase. `paid_out` of its refunds, tax included, has reached the customer.

    Nothing before it is paid; nothing, too, once the bank took the money back: what was used is owed in credits then.
    """
    held = dict.fromkeys(ACCOUNTS, 0)
    if purchase.status not in (PAID, REFUNDED):
        return held
    revenue, breakage, deferred = recognised(purchase, burnt)
    owed = purchase.refunded_minor + purchase.refunded_tax_minor - paid_out
    return {
        "cash": purchase.total_minor - paid_out,
        "deferred": -deferred,
        "revenue": -revenue,
        "breakage": -breakage,
        "tax": purchase.refunded_tax_minor - purchase.tax_minor,
        "refunds": -owed,
    }


def movement(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What has to be booked to come from one standing to another; the accounts that stay are left out.

    Every standing sums to zero, so this does.
    """
    moved = {account: after[account] - before[account] for account in ACCOUNTS if after[account] != before[account]}
    if sum(moved.values()):
        raise AssertionError(f"an unbalanced movement of money: {moved}")
    return moved


def is_settled(purchase: Purchase, burnt: Burnt) -> bool:
    """Whether nothing of a purchase is deferred any more, or ever will be without a return."""
    return purchase.status == CHARGED_BACK or burnt.used + burnt.expired + purchase.taken == purchase.credits


def _worth(minor: int, part: int, whole: int) -> int:
    return divide_half_even(minor * part, whole) if whole else minor
