"""Automatic top-up: when it buys, and when it does not (row D4).

It buys when all grants together hold less than the threshold, once at a time, and never more on a UTC day than its
cap. After a failure it is stopped, its owner is told, and it waits for a new payment method or for being switched on.
"""

from dataclasses import replace
from typing import Literal

from tallystick.domain.billing.accounts import Account, TopUp
from tallystick.domain.billing.purchases import PurchaseTerms, check_credits
from tallystick.kernel.credits import MAX_NANO, format_credits
from tallystick.kernel.errors import TallystickError

Wanted = Literal["off", "stopped", "enough", "inFlight", "noMethod", "otherCurrency", "capReached", "buy"]


def switched_on(
    account: Account, *, credits_: int, threshold: int, daily_cap: int | None, terms: PurchaseTerms
) -> Account:
    """The account with top-up on: nano-credits to buy, below which balance, and how many a day at most.

    `daily_cap` None leaves it to the operator's. Raises `invalidAmount`, `currencyMismatch`, and
    `paymentMethodNotFound` with nothing on file to charge.
    """
    check_credits(credits_, terms)
    if not 0 <= threshold <= MAX_NANO:
        raise TallystickError("invalidAmount", "The threshold must not be below zero.", field="threshold")
    cap = cap_of(daily_cap, terms)
    if credits_ > cap:
        raise TallystickError(
            "invalidAmount",
            f"Automatic top-up buys at most {format_credits(cap)} credits a day.",
            field="creditsCount",
            value=format_credits(credits_),
            dailyCap=format_credits(cap),
        )
    if not _can_charge(account):
        raise TallystickError("paymentMethodNotFound", "There is no payment method on file: add one first.")
    if account.currency not in (None, terms.currency):
        raise TallystickError(
            "currencyMismatch",
            f"Credits are sold in {terms.currency.upper()}, this workspace's invoices are in another currency.",
            currency=terms.currency,
            expected=account.currency,
        )
    return replace(account, top_up=TopUp("on", credits_, threshold, daily_cap))


def switched_off(account: Account) -> Account:
    """The account with top-up off; what was chosen is kept for the next time."""
    return replace(account, top_up=replace(account.top_up, state="off", error=None))


def stopped(account: Account, error: str) -> Account:
    """The account after a failed attempt; one that was switched off meanwhile stays so."""
    if account.top_up.state != "on":
        return account
    return replace(account, top_up=replace(account.top_up, state="stopped", error=error))


def cap_of(daily_cap: int | None, terms: PurchaseTerms) -> int:
    """Nano-credits a UTC day: the operator's, or the account's own where that is lower."""
    return terms.daily_cap if daily_cap is None else min(daily_cap, terms.daily_cap)


def decide(
    account: Account, terms: PurchaseTerms, *, posted: int, is_pending: bool, bought_today: int, renewed_method: bool
) -> Wanted:
    """What is to be done now. `posted` is the balance of all grants together, `bought_today` what automatic purchases
    of this UTC day that did not fail come to; `renewed_method`: the one on file is newer than the failure."""
    top_up = account.top_up
    if top_up.state == "off" or top_up.credits is None or top_up.threshold is None:
        return "off"
    if top_up.state == "stopped" and not renewed_method:
        return "stopped"
    if posted >= top_up.threshold:
        return "enough"
    if is_pending:
        return "inFlight"
    if not _can_charge(account):
        return "noMethod"
    if account.currency not in (None, terms.currency):
        return "otherCurrency"
    if bought_today + top_up.credits > cap_of(top_up.daily_cap, terms):
        return "capReached"
    return "buy"


def _can_charge(account: Account) -> bool:
    """Whether something is on file that is charged with nobody there; a transfer is made by somebody."""
    return account.provider != "offline" and account.method is not None
