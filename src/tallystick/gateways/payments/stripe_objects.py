"""What Stripe's objects say, in our words: payment intents, methods, and why a payment failed."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tallystick.domain.billing.accounts import Account, Method
from tallystick.domain.billing.payments import (
    ACTION_REQUIRED,
    CANCELED,
    CREATED,
    FAILED,
    PROCESSING,
    SUCCEEDED,
    Outcome,
)

Object = Mapping[str, Any]

WORKSPACE: Final = "tallystick_workspace"
PAYMENT: Final = "tallystick_payment"
INVOICE: Final = "tallystick_invoice"
PAGE: Final = "tallystick_page"
"""Names in Stripe's metadata: what of ours an object belongs to."""

AUTHENTICATION_REQUIRED: Final = "authentication_required"

_STATUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "succeeded": SUCCEEDED,
        "processing": PROCESSING,
        "requires_capture": PROCESSING,
        "requires_action": ACTION_REQUIRED,
        "canceled": CANCELED,
        "requires_confirmation": CREATED,
        "requires_payment_method": CREATED,
    }
)

_REFUND_STATUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "succeeded": SUCCEEDED,
        "pending": PROCESSING,
        "requires_action": PROCESSING,
        "failed": FAILED,
        "canceled": CANCELED,
    }
)

_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        AUTHENTICATION_REQUIRED: "The bank wants this payment to be confirmed by the cardholder.",
        "payment_intent_authentication_failure": "The payment was not confirmed with the bank.",
        "expired_card": "The card has expired.",
        "incorrect_cvc": "The card's security code is wrong.",
        "insufficient_funds": "There is not enough money on the account.",
        "card_velocity_exceeded": "The card has reached its limit.",
        "withdrawal_count_limit_exceeded": "The card has reached its limit.",
        "currency_not_supported": "The card can't pay in this currency.",
        "card_not_supported": "The card can't be used for this kind of payment.",
        "processing_error": "The card could not be charged because of an error at the bank.",
        "issuer_not_available": "The bank could not be reached.",
        "amount_too_small": "The amount is below the least that can be charged.",
        "amount_too_large": "The amount is above the most that can be charged.",
        "resource_missing": "The payment method is no longer known to Stripe.",
        "debit_not_authorized": "The bank debit was not authorized by the account's holder.",
        "account_closed": "The bank account is closed.",
        "bank_account_restricted": "The bank account takes no debits.",
        "refer_to_customer": "The account's holder objected to the debit.",
        "charge_already_refunded": "This payment was refunded before.",
        "charge_disputed": "This payment is disputed and can't be refunded.",
    }
)
"""For people, by decline code or code. Why a card is said to be lost, stolen or a fraud is not for them."""

_TAKEN: Final = ("needs_response", "under_review", "lost")
_DECLINED: Final = "The card was declined."
_REFUSED: Final = "The payment was refused."
_LONGEST_CODE: Final = 100


def details_of(account: Account, name: str) -> dict[str, Any]:
    """A customer's parameters: who they are, where, and their language. What is not known is emptied."""
    address = account.address
    return {
        "name": account.legal_name or name,
        "email": account.email or "",
        "address": {
            "line1": address.line1,
            "line2": address.line2,
            "city": address.city,
            "postal_code": address.postal_code,
            "state": address.region,
            "country": account.country or "",
        },
        "preferred_locales": [account.locale],
    }


def outcome_of(intent: Object) -> Outcome:
    """How a payment intent stands. One that waits for another method has failed if it was tried, else it was not yet
    asked for; on a page it only ends when the page does."""
    status, error = _STATUSES.get(str(intent.get("status")), CREATED), intent.get("last_payment_error")
    if status == CREATED and error and not is_on_page(intent):
        return failure(error, ref=str(intent["id"]))
    url = _action_url(intent.get("next_action") or {}) if status == ACTION_REQUIRED else None
    method = intent.get("payment_method")
    return Outcome(
        status,
        ref=str(intent["id"]),
        action_url=url,
        method=method_of(method) if isinstance(method, Mapping) else None,
    )


def is_on_page(intent: Object) -> bool:
    """Whether its customer pays it on a page of Stripe's, and after a refusal may try another card there."""
    return PAGE in (intent.get("metadata") or {})


def needs_authentication(intent: Object) -> bool:
    """Whether only the customer can go on: the bank refused the charge because nobody was there to confirm it."""
    error = intent.get("last_payment_error") or {}
    return (
        not is_on_page(intent)
        and intent.get("status") == "requires_payment_method"
        and AUTHENTICATION_REQUIRED
        in (
            error.get("code"),
            error.get("decline_code"),
        )
    )


def failure(error: Object, *, ref: str | None = None) -> Outcome:
    """A failed payment, by what Stripe says of it: the decline code where the bank gave one, and a sentence."""
    general, declined = error.get("code"), error.get("decline_code")
    code = str(declined or general or "declined")[:_LONGEST_CODE]
    fallback = _DECLINED if general == "card_declined" or error.get("type") == "card_error" else _REFUSED
    sentence = _SENTENCES.get(code) or _SENTENCES.get(str(general)) or fallback
    return Outcome(FAILED, ref=ref, error_code=code, error_message=sentence)


def refund_outcome(refund: Object) -> Outcome:
    """How a refund stands."""
    status = _REFUND_STATUSES.get(str(refund.get("status")), PROCESSING)
    reason = refund.get("failure_reason")
    sentence = "The refund did not reach the account." if status == FAILED else None
    return Outcome(status, ref=str(refund["id"]), error_code=str(reason) if reason else None, error_message=sentence)


def method_of(found: Object) -> Method:
    """A payment method as it is shown: a card with its expiry, everything else as a bank account."""
    kind = str(found.get("type", ""))
    details: Object = found.get(kind) or {}
    if kind == "card":
        return Method(
            id=str(found["id"]),
            kind="card",
            brand=str(details.get("brand") or "card"),
            last4=str(details.get("last4") or ""),
            exp_month=details.get("exp_month"),
            exp_year=details.get("exp_year"),
        )
    brand = details.get("bank_name") or kind
    return Method(id=str(found["id"]), kind="bank", brand=str(brand), last4=str(details.get("last4") or ""))


def disputed_minor(disputes: list[Object]) -> int:
    """What disputes have taken back and not given back, in minor units; inquiries take nothing."""
    return sum(
        int(one["amount"]) for one in disputes if one.get("status") in ("needs_response", "under_review", "lost")
    )


def id_of(named: Any) -> str | None:
    """The id of something that is there as an id or, expanded, as itself."""
    if isinstance(named, Mapping):
        named = named.get("id")
    return str(named) if named else None


def _action_url(action: Object) -> str | None:
    kind = str(action.get("type", ""))
    details: Object = action.get(kind) or {}
    url = details.get("url") or details.get("hosted_verification_url") or details.get("hosted_instructions_url")
    return str(url) if url else None
