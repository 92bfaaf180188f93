"""Calls about bought credits: buying, automatic top-up, and for operators refunds and what was earned."""

import datetime as dt
from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import msgspec

from tallystick.client.calls import Amount, Day
from tallystick.client.replies import Call
from tallystick.kernel.credits import parse_credits
from tallystick.wire import billing
from tallystick.wire import purchases as wire
from tallystick.wire.amounts import Credits, answer_decoder, encode

T = TypeVar("T")

_JSON: Final = "application/json"


def buy_credits(credits_: Amount, *, idempotency_key: str | None = None) -> Call[wire.PurchaseAnswer]:
    """Buy credits with the method on file; they are granted when the payment has succeeded.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = wire.BuyCredits(credits=_credits(credits_))
    return _send("POST", "/v1/purchases", wire.PurchaseAnswer, body, idempotency_key)


def preview_credits(credits_: Amount) -> Call[wire.QuoteAnswer]:
    """What credits would cost now, with tax. Raises `TallystickError` with the code `invalidAmount`."""
    body = wire.BuyCredits(credits=_credits(credits_))
    call = _send("POST", "/v1/purchases", wire.QuoteAnswer, body)
    return Call("POST", call.path, call.decoder, query={"preview": "true"}, body=call.body, headers=call.headers)


def purchases(
    *, status: str | None = None, limit: int | None = None, offset: int | None = None
) -> Call[wire.PurchasesAnswer]:
    """A page of the workspace's purchases, the newest first."""
    return _get("/v1/purchases", wire.PurchasesAnswer, status=status, limit=limit, offset=offset)


def purchase(purchase_uuid: UUID | str) -> Call[wire.PurchaseAnswer]:
    """One purchase."""
    return _get(f"/v1/purchases/{quote(str(purchase_uuid), safe='')}", wire.PurchaseAnswer)


def create_credits_checkout_session() -> Call[wire.CheckoutSessionAnswer]:
    """The address of a page on which credits are bought, good for some minutes."""
    return _send("POST", "/v1/billing/subscriptions/creditsCheckoutSessions", wire.CheckoutSessionAnswer, {})


def refund_purchase(
    purchase_uuid: UUID | str,
    workspace_uuid: UUID,
    *,
    reason: str,
    credits_: Amount | None = None,
    idempotency_key: str | None = None,
) -> Call[wire.PurchaseAnswer]:
    """Give back credits that were not used, all of them without a number. For operators."""
    some = None if credits_ is None else _credits(credits_)
    body = wire.RefundPurchase(workspace_uuid=workspace_uuid, reason=reason, credits=some)
    path = f"/v1/purchases/{quote(str(purchase_uuid), safe='')}/refund"
    return _send("POST", path, wire.PurchaseAnswer, body, idempotency_key)


def set_topup(
    credits_count: Amount, threshold: Amount, *, daily_cap: Amount | None = None
) -> Call[billing.SubscriptionAnswer]:
    """Have `credits_count` credits bought whenever the balance is below `threshold`, at most `daily_cap` a UTC day.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = wire.PutTopUp(
        enabled=True,
        credits_count=_credits(credits_count),
        threshold=_credits(threshold),
        daily_cap=None if daily_cap is None else _credits(daily_cap),
    )
    return _send("PUT", "/v1/billing/subscriptions/topup", billing.SubscriptionAnswer, body)


def switch_topup_off() -> Call[billing.SubscriptionAnswer]:
    """Buy nothing any more by itself."""
    return _send("PUT", "/v1/billing/subscriptions/topup", billing.SubscriptionAnswer, wire.PutTopUp(enabled=False))


def topup() -> Call[wire.TopUpAnswer]:
    """Automatic top-up: its figures, what it bought today, and why it stopped where it did."""
    return _get("/v1/billing/topup", wire.TopUpAnswer)


def revenue(from_: Day | None = None, to: Day | None = None) -> Call[wire.RevenueAnswer]:
    """What bought credits came to, by UTC month and currency; without a range this month and eleven before.

    For operators.
    """
    return _get("/v1/revenue", wire.RevenueAnswer, **{"from": from_, "to": to})


def _credits(value: Amount) -> Credits:
    return Credits(parse_credits(value, field="credits", signed=True))


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _get(path: str, shape: type[T], **query: object) -> Call[T]:
    given = {
        name: value.isoformat() if isinstance(value, dt.date) else str(value)
        for name, value in query.items()
        if value is not None
    }
    return Call("GET", path, cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape))), query=given)


def _send(method: str, path: str, shape: type[T], body: object, idempotency_key: str | None = None) -> Call[T]:
    headers = {"content-type": _JSON}
    if idempotency_key is not None:
        headers["idempotency-key"] = idempotency_key
    decoder = cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape)))
    return Call(method, path, decoder, body=encode(body), headers=headers)
