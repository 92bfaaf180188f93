"""Webhooks of Stripe: who signed, and what is told, in our words.

What came in a webhook is a picture of some earlier moment, and webhooks come late, twice and in any order. So of
everything whose end can't be told from its picture alone, the picture is taken anew before it counts.
"""

import datetime as dt
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, cast

import stripe
from stripe import WebhookSignature

from tallystick.domain.billing.payments import CANCELED, FAILED, PROCESSING, SUCCEEDED, Outcome, Told
from tallystick.gateways.payments.stripe_calls import KeyTaken, Refused, ask, misconfigured
from tallystick.gateways.payments.stripe_objects import (
    Object,
    disputed_minor,
    id_of,
    method_of,
    needs_authentication,
    outcome_of,
)
from tallystick.kernel.errors import TallystickError

TOLERANCE: Final = dt.timedelta(minutes=5)
"""How old, or how far ahead of our clock, a signature may be."""

_MOST: Final = 100
_LONGEST_ID: Final = 255


def read(body: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], now: dt.datetime) -> Told:
    """Check and understand a webhook that came at `now`. Any of the secrets may have signed it.

    Raises `invalidSignature`, and `invalidWebhook` where what was signed is not a webhook as Stripe writes them.
    """
    _check(
        body, next((value for name, value in headers.items() if name.lower() == "stripe-signature"), ""), secrets, now
    )
    try:
        event = json.loads(body)
        return _understood(event)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError):
        raise TallystickError("invalidWebhook", "This is not a webhook as Stripe writes them.") from None


async def missed(client: stripe.StripeClient, since: dt.datetime) -> list[Told]:
    """The events of interest from `since` on that were not delivered to every endpoint, the oldest first."""
    found: list[Told] = []
    last: str | None = None
    more = True
    while more:
        wanted: dict[str, Any] = {
            "created": {"gte": int(since.timestamp())},
            "delivery_success": False,
            "limit": _MOST,
        } | ({"starting_after": last} if last else {})
        try:
            page = await ask("list events", client.v1.events.list_async(cast(Any, wanted)))
        except (Refused, KeyTaken) as refused:
            raise misconfigured(str(refused)) from None
        found += [_understood(event) for event in page["data"] if event["type"] in _READERS]
        more = bool(page.get("has_more")) and bool(page["data"])
        last = page["data"][-1]["id"] if page["data"] else None
    return found[::-1]


async def refreshed(client: stripe.StripeClient, told: Told) -> Told:
    """What was told, as it stands by now. What is not there anymore is `other`."""
    reader = _REFRESHED.get(told.kind)
    if reader is None or told.ref is None:
        return told
    try:
        return await reader(client, told, told.ref)
    except Refused as refused:
        if refused.code == "resource_missing":
            return replace(told, kind="other")
        raise misconfigured(refused.code) from None
    except KeyTaken as taken:
        raise misconfigured(str(taken)) from None


def _check(body: bytes, header: str, secrets: tuple[str, ...], now: dt.datetime) -> None:
    """Raises `invalidSignature`. Its age is reckoned by the time at which it came here."""
    refused = TallystickError("invalidSignature", "The webhook is not signed with a secret of ours, or too long ago.")
    for secret in secrets:
        try:
            WebhookSignature.verify_header(body, header, secret)
        except (stripe.SignatureVerificationError, UnicodeError):
            continue
        signed = next(part[2:] for part in header.split(",") if part.startswith("t="))
        if abs(now.timestamp() - int(signed)) <= TOLERANCE.total_seconds():
            return
    raise refused


def _understood(event: Object) -> Told:
    told = Told(
        id=_text(event["id"]),
        kind="other",
        at=dt.datetime.fromtimestamp(int(event["created"]), dt.UTC),
        type=_text(event["type"]),
    )
    reader = _READERS.get(told.type)
    return told if reader is None else reader(told, event["data"]["object"], event["data"])


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID or "\0" in value:
        raise ValueError("an id or a type is a short text")
    return value


def _metadata(found: Object) -> Mapping[str, str]:
    return {str(name): str(value) for name, value in (found.get("metadata") or {}).items()}


def _payment(told: Told, intent: Object, _: Object) -> Told:
    return replace(
        told,
        kind="payment",
        ref=_text(intent["id"]),
        customer_ref=id_of(intent.get("customer")),
        outcome=outcome_of(intent),
        metadata=_metadata(intent),
    )


def _refund(told: Told, found: Object, _: Object) -> Told:
    """Of a charge or of a refund: how much there is of it in all is asked for."""
    return replace(
        told, kind="refund", ref=id_of(found.get("payment_intent")), customer_ref=id_of(found.get("customer"))
    )


def _dispute(told: Told, dispute: Object, _: Object) -> Told:
    return replace(told, kind="dispute", ref=id_of(dispute.get("payment_intent")))


def _set_up(told: Told, intent: Object, _: Object) -> Told:
    return replace(
        told, kind="method", ref=id_of(intent.get("payment_method")), customer_ref=id_of(intent.get("customer"))
    )


def _attached(told: Told, method: Object, _: Object) -> Told:
    return replace(
        told, kind="method", ref=_text(method["id"]), customer_ref=id_of(method.get("customer")), fits="none"
    )


def _updated(told: Told, method: Object, _: Object) -> Told:
    return replace(
        told, kind="method", ref=_text(method["id"]), customer_ref=id_of(method.get("customer")), fits="same"
    )


def _detached(told: Told, method: Object, data: Object) -> Told:
    """Whose it was stands in what changed; by now it is nobody's."""
    before = data.get("previous_attributes") or {}
    return replace(told, kind="method_removed", ref=_text(method["id"]), customer_ref=id_of(before.get("customer")))


def _customer(told: Told, customer: Object, data: Object) -> Told:
    """Only another method by default, as it is chosen on the portal, is of interest."""
    before = data.get("previous_attributes") or {}
    chosen = id_of((customer.get("invoice_settings") or {}).get("default_payment_method"))
    if "invoice_settings" not in before or chosen is None:
        return told
    return replace(told, kind="method", ref=chosen, customer_ref=_text(customer["id"]))


def _checkout(status: str | None) -> Callable[[Told, Object, Object], Told]:
    def read_session(told: Told, session: Object, _: Object) -> Told:
        return replace(
            told,
            kind="checkout",
            ref=_text(session["id"]),
            customer_ref=id_of(session.get("customer")),
            outcome=_session_outcome(session, status),
            amount_minor=session.get("amount_total"),
            metadata=_metadata(session),
        )

    return read_session


def _session_outcome(session: Object, status: str | None) -> Outcome:
    """How the payment of a session stands; `ref` is the payment's own id."""
    if session.get("payment_status") == "paid":
        status = SUCCEEDED
    elif status is None:
        status = PROCESSING
    sentence = "The purchase was not paid." if status in (FAILED, CANCELED) else None
    return Outcome(status, ref=id_of(session.get("payment_intent")), error_message=sentence)


_READERS: Final[Mapping[str, Callable[[Told, Object, Object], Told]]] = MappingProxyType(
    {
        "payment_intent.succeeded": _payment,
        "payment_intent.processing": _payment,
        "payment_intent.payment_failed": _payment,
        "payment_intent.requires_action": _payment,
        "payment_intent.canceled": _payment,
        "charge.refunded": _refund,
        "charge.refund.updated": _refund,
        "refund.created": _refund,
        "refund.updated": _refund,
        "refund.failed": _refund,
        "charge.dispute.created": _dispute,
        "charge.dispute.updated": _dispute,
        "charge.dispute.closed": _dispute,
        "charge.dispute.funds_withdrawn": _dispute,
        "charge.dispute.funds_reinstated": _dispute,
        "setup_intent.succeeded": _set_up,
        "payment_method.attached": _attached,
        "payment_method.updated": _updated,
        "payment_method.automatically_updated": _updated,
        "payment_method.detached": _detached,
        "customer.updated": _customer,
        "checkout.session.completed": _checkout(None),
        "checkout.session.async_payment_succeeded": _checkout(SUCCEEDED),
        "checkout.session.async_payment_failed": _checkout(FAILED),
        "checkout.session.expired": _checkout(CANCELED),
    }
)

TYPES: Final = tuple(_READERS)
"""What an endpoint at Stripe should be told of; everything else is `other`."""


async def _payment_now(client: stripe.StripeClient, told: Told, ref: str) -> Told:
    """Success is final. Of anything else the payment may be past it, or still be on the way to its authentication,
    which whoever asked for it goes on with."""
    if told.outcome is not None and told.outcome.status == SUCCEEDED:
        return told
    intent = await ask("look", client.v1.payment_intents.retrieve_async(ref))
    if needs_authentication(intent):
        return replace(told, kind="other")
    return replace(told, outcome=outcome_of(intent))


async def _refund_now(client: stripe.StripeClient, told: Told, ref: str) -> Told:
    """All that was given back, less what did not arrive."""
    intent = await ask("look", client.v1.payment_intents.retrieve_async(ref, {"expand": ["latest_charge"]}))
    charge = intent.get("latest_charge") or {}
    return replace(
        told,
        amount_minor=int(charge.get("amount_refunded") or 0),
        customer_ref=id_of(intent.get("customer")),
        metadata=_metadata(intent),
    )


async def _dispute_now(client: stripe.StripeClient, told: Told, ref: str) -> Told:
    """All that disputes have taken; none of it left means that they were won."""
    disputes = await ask("disputes", client.v1.disputes.list_async({"payment_intent": ref, "limit": _MOST}))
    intent = await ask("look", client.v1.payment_intents.retrieve_async(ref))
    taken = disputed_minor(disputes["data"])
    return replace(
        told,
        kind="dispute" if taken else "dispute_won",
        amount_minor=taken,
        customer_ref=id_of(intent.get("customer")),
        metadata=_metadata(intent),
    )


async def _method_now(client: stripe.StripeClient, told: Told, ref: str) -> Told:
    """As it is shown now, if it is still its customer's."""
    found = await ask("find method", client.v1.payment_methods.retrieve_async(ref))
    if id_of(found.get("customer")) != told.customer_ref:
        return replace(told, kind="other")
    return replace(told, method=method_of(found))


async def _removed_now(client: stripe.StripeClient, told: Told, ref: str) -> Told:
    found = await ask("find method", client.v1.payment_methods.retrieve_async(ref))
    return replace(told, kind="other") if id_of(found.get("customer")) else told


async def _checkout_now(client: stripe.StripeClient, told: Told, ref: str) -> Told:
    """With the quantity that was chosen on the page."""
    session = await ask("checkout", client.v1.checkout.sessions.retrieve_async(ref, {"expand": ["line_items"]}))
    lines = (session.get("line_items") or {}).get("data") or []
    return replace(
        told,
        amount_minor=session.get("amount_total"),
        quantity=sum(int(line.get("quantity") or 0) for line in lines),
        outcome=_session_outcome(session, told.outcome.status if told.outcome else None),
    )


_REFRESHED: Final[Mapping[str, Callable[[stripe.StripeClient, Told, str], Awaitable[Told]]]] = MappingProxyType(
    {
        "payment": _payment_now,
        "refund": _refund_now,
        "dispute": _dispute_now,
        "method": _method_now,
        "method_removed": _removed_now,
        "checkout": _checkout_now,
    }
)
