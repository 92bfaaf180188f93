"""Calls about webhooks: endpoints, and the log of what was posted to them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import msgspec

from tallystick.client.replies import Call
from tallystick.wire import webhooks as wire
from tallystick.wire.amounts import answer_decoder, encode

T = TypeVar("T")

_AT: Final = "/v1/webhooks"


def create_webhook(
    url: str,
    *,
    description: str = "",
    kinds: Sequence[str] = (),
    enabled: bool = True,
    idempotency_key: str | None = None,
) -> Call[wire.WebhookSecretAnswer]:
    """Have facts posted to `url`, of these kinds or of all; the answer holds the secret that signs them, once."""
    body = wire.CreateWebhook(url=url, description=description, kinds=list(kinds), enabled=enabled)
    return _call("POST", _AT, wire.WebhookSecretAnswer, body, idempotency_key)


def webhooks(*, limit: int | None = None, offset: int | None = None) -> Call[wire.WebhooksAnswer]:
    """A page of the workspace's endpoints, oldest first, without their secrets."""
    return _call("GET", _AT, wire.WebhooksAnswer, query={"limit": limit, "offset": offset})


def webhook_kinds() -> Call[wire.FactKindsAnswer]:
    """Every kind of fact that an endpoint may ask for, with a sentence on each."""
    return _call("GET", "/v1/webhook-kinds", wire.FactKindsAnswer)


def webhook(uuid: UUID | str) -> Call[wire.WebhookAnswer]:
    """One endpoint."""
    return _call("GET", _path(uuid), wire.WebhookAnswer)


def change_webhook(
    uuid: UUID | str,
    *,
    url: str | None = None,
    description: str | None = None,
    kinds: Sequence[str] | None = None,
    enabled: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[wire.WebhookAnswer]:
    """Change where facts go, which of them, or whether at all; what is None stays."""
    wanted = None if kinds is None else list(kinds)
    body = wire.ChangeWebhook(url=url, description=description, kinds=wanted, enabled=enabled)
    return _call("PUT", _path(uuid), wire.WebhookAnswer, body, idempotency_key)


def delete_webhook(uuid: UUID | str, *, idempotency_key: str | None = None) -> Call[wire.WebhookAnswer]:
    """Delete an endpoint; one that is deleted stays so."""
    return _call("DELETE", _path(uuid), wire.WebhookAnswer, idempotency_key=idempotency_key)


def rotate_webhook_secret(uuid: UUID | str, *, idempotency_key: str | None = None) -> Call[wire.WebhookSecretAnswer]:
    """Give an endpoint a new secret, shown once; for a while the old one signs beside it."""
    return _call("POST", f"{_path(uuid)}/rotate", wire.WebhookSecretAnswer, idempotency_key=idempotency_key)


def send_webhook_test(uuid: UUID | str, *, idempotency_key: str | None = None) -> Call[wire.DeliveryAnswer]:
    """Queue a fact of kind `webhook.test` for one endpoint."""
    return _call("POST", f"{_path(uuid)}/test", wire.DeliveryAnswer, idempotency_key=idempotency_key)


def webhook_deliveries(
    uuid: UUID | str,
    *,
    status: wire.DeliveryStatus | None = None,
    kind: str | None = None,
    since: dt.datetime | str | None = None,
    until: dt.datetime | str | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Call[wire.DeliveriesAnswer]:
    """A page of an endpoint's deliveries, newest first; `since` and `until` are of their making, half-open."""
    query = {"status": status, "kind": kind, "since": since, "until": until, "limit": limit, "offset": offset}
    return _call("GET", f"{_path(uuid)}/deliveries", wire.DeliveriesAnswer, query=query)


def webhook_delivery(uuid: UUID | str) -> Call[wire.DeliveryAnswer]:
    """One delivery with what is posted and every attempt at it."""
    return _call("GET", f"/v1/webhook-deliveries/{quote(str(uuid), safe='')}", wire.DeliveryAnswer)


def replay_webhook_delivery(uuid: UUID | str, *, idempotency_key: str | None = None) -> Call[wire.DeliveryAnswer]:
    """Send one delivery again, whatever became of it, with the same `webhook-id`."""
    path = f"/v1/webhook-deliveries/{quote(str(uuid), safe='')}/replay"
    return _call("POST", path, wire.DeliveryAnswer, idempotency_key=idempotency_key)


def replay_webhook(
    uuid: UUID | str,
    since: dt.datetime | str,
    *,
    which: wire.ReplayedDeliveries = "dead",
    idempotency_key: str | None = None,
) -> Call[wire.ReplayAnswer]:
    """Send again what was queued for an endpoint since then: what is dead, or `all` that has ended."""
    body = {"since": since, "which": which}
    return _call("POST", f"{_path(uuid)}/replay", wire.ReplayAnswer, body, idempotency_key)


def _path(uuid: UUID | str) -> str:
    return f"{_AT}/{quote(str(uuid), safe='')}"


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _call(
    method: str,
    path: str,
    shape: type[T],
    body: object = None,
    idempotency_key: str | None = None,
    query: Mapping[str, object] | None = None,
) -> Call[T]:
    decoder = cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape)))
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    given = {
        name: value.isoformat() if isinstance(value, dt.datetime) else str(value)
        for name, value in (query or {}).items()
        if value is not None
    }
    if body is None:
        return Call(method, path, decoder, query=given, headers=headers)
    headers["content-type"] = "application/json"
    return Call(method, path, decoder, query=given, body=encode(body), headers=headers)
