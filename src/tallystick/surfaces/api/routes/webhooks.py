"""Webhooks: endpoints that facts are posted to, and the log of what was posted (row E10).

All of it is by the machine's time, also for a workspace with a test clock: the receivers are real.
"""

import datetime as dt
from typing import Any, Final
from uuid import UUID

from tallystick.domain.identity.rights import BILLING_READ, BILLING_WRITE
from tallystick.domain.telling.facts import KINDS
from tallystick.domain.telling.webhooks import Endpoint, secret_text, webhook_id
from tallystick.domain.times import check_time
from tallystick.flows import webhooks as flow
from tallystick.flows.budgets import Author
from tallystick.queries import webhooks as queries
from tallystick.queries.webhooks import DeliveryFilter, ShownEndpoint
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import webhooks as wire
from tallystick.wire.identity import Page

ROUTES = Routes("Webhooks")

_ALL: Final = "/v1/webhooks"
_ONE: Final = "/v1/webhooks/{uuid}"
_DELIVERY: Final = "/v1/webhook-deliveries/{uuid}"
_READ: Final = requires(BILLING_READ)
_WRITE: Final = requires(BILLING_WRITE)


@ROUTES.post(_ALL, _WRITE, idempotent=True, errors=("invalidText", "invalidUrl", "tooManyWebhooks", "unknownFactKind"))
async def create_webhook(call: Call, body: wire.CreateWebhook) -> wire.WebhookSecretAnswer:
    """Have facts posted to an address, signed by the Standard Webhooks scheme. The secret is shown this once."""
    author = _author(call, body)
    secret = secret_text(call.new_secret(author.request))
    endpoint = await flow.create(
        call.runtime.database,
        flow.NewEndpoint(body.url, body.description, body.kinds, body.enabled),
        author,
        secret=secret,
        allowed=call.runtime.webhook_hosts,
        most=call.runtime.settings.webhook_endpoints_max,
    )
    return _with_secret(endpoint, secret)


@ROUTES.get(_ALL, _READ)
async def list_webhooks(call: Call, query: Page) -> wire.WebhooksAnswer:
    """A page of the workspace's endpoints, oldest first."""
    found = await queries.page(call.runtime.database, call.workspace_id, limit=query.limit, offset=query.offset)
    return wire.WebhooksAnswer(webhooks=[_on_wire(endpoint) for endpoint in found])


@ROUTES.get("/v1/webhook-kinds", _READ)
async def list_webhook_kinds(call: Call) -> wire.FactKindsAnswer:
    """Every kind of fact that an endpoint may ask for, with a sentence on each."""
    return wire.FactKindsAnswer(
        kinds=[wire.FactKind(kind=kind.name, topic=kind.topic, about=kind.about) for kind in KINDS.values()]
    )


@ROUTES.get(_ONE, _READ, errors=("webhookNotFound",))
async def get_webhook(call: Call, uuid: UUID) -> wire.WebhookAnswer:
    """One endpoint."""
    return wire.WebhookAnswer(webhook=_on_wire(await queries.one(call.runtime.database, call.workspace_id, uuid)))


@ROUTES.put(_ONE, _WRITE, idempotent=True, errors=("invalidText", "invalidUrl", "unknownFactKind", "webhookNotFound"))
async def change_webhook(call: Call, uuid: UUID, body: wire.ChangeWebhook) -> wire.WebhookAnswer:
    """Change where facts go, which of them, or whether at all.

    Disabling lets die what waits; facts that happen meanwhile do not go there. Enabling clears what failed before.
    """
    endpoint = await flow.change(
        call.runtime.database,
        uuid,
        flow.Changes(body.url, body.description, body.kinds, body.enabled),
        _author(call, {"uuid": uuid, "body": body}),
        allowed=call.runtime.webhook_hosts,
    )
    return wire.WebhookAnswer(webhook=_on_wire(endpoint))


@ROUTES.delete(_ONE, _WRITE, idempotent=True, errors=("webhookNotFound",))
async def delete_webhook(call: Call, uuid: UUID) -> wire.WebhookAnswer:
    """Delete an endpoint: nothing goes there any more, its secret is forgotten. One that is deleted stays so."""
    endpoint = await flow.delete(call.runtime.database, uuid, _author(call, {"uuid": uuid}))
    return wire.WebhookAnswer(webhook=_on_wire(endpoint))


@ROUTES.post(f"{_ONE}/rotate", _WRITE, idempotent=True, errors=("webhookNotFound",))
async def rotate_webhook_secret(call: Call, uuid: UUID) -> wire.WebhookSecretAnswer:
    """Give an endpoint a new secret, shown this once. For `TALLY_WEBHOOK_OVERLAP_HOURS` the old one signs beside it."""
    author = _author(call, {"uuid": uuid})
    secret = secret_text(call.new_secret(author.request))
    endpoint = await flow.rotate(
        call.runtime.database,
        uuid,
        author,
        secret=secret,
        overlap=dt.timedelta(hours=call.runtime.settings.webhook_overlap_hours),
    )
    return _with_secret(endpoint, secret)


@ROUTES.post(f"{_ONE}/test", _WRITE, idempotent=True, errors=("webhookDisabled", "webhookNotFound"))
async def send_webhook_test(call: Call, uuid: UUID) -> wire.DeliveryAnswer:
    """Queue a fact of kind `webhook.test` for this endpoint, whatever kinds it asks for."""
    delivery_id = await flow.test(call.runtime.database, uuid, _author(call, {"uuid": uuid}), at=call.now)
    return await _delivery(call, delivery_id)


@ROUTES.get(f"{_ONE}/deliveries", _READ, errors=("invalidTime", "webhookNotFound"))
async def list_webhook_deliveries(call: Call, uuid: UUID, query: wire.DeliveryList) -> wire.DeliveriesAnswer:
    """A page of an endpoint's deliveries, newest first."""
    wanted = DeliveryFilter(
        status=query.status,
        kind=query.kind,
        since=check_time(query.since, field="since") if query.since else None,
        until=check_time(query.until, field="until") if query.until else None,
    )
    found = await queries.deliveries(
        call.runtime.database, call.workspace_id, uuid, wanted, limit=query.limit, offset=query.offset
    )
    return wire.DeliveriesAnswer(deliveries=[wire.Delivery(**_fields(delivery)) for delivery in found])


@ROUTES.post(
    f"{_ONE}/replay",
    _WRITE,
    status=200,
    idempotent=True,
    errors=("invalidTime", "webhookDisabled", "webhookNotFound"),
)
async def replay_webhook(call: Call, uuid: UUID, body: wire.ReplayDeliveries) -> wire.ReplayAnswer:
    """Send again what was queued for an endpoint since an instant, with the same `webhook-id`s."""
    replayed = await flow.replay_since(
        call.runtime.database,
        uuid,
        _author(call, {"uuid": uuid, "body": body}),
        since=check_time(body.since, field="since"),
        dead_only=body.which == "dead",
    )
    return wire.ReplayAnswer(replayed=replayed)


@ROUTES.get(_DELIVERY, _READ, errors=("webhookDeliveryNotFound",))
async def get_webhook_delivery(call: Call, uuid: UUID) -> wire.DeliveryAnswer:
    """One delivery with what is posted and every attempt at it."""
    return await _delivery(call, uuid)


@ROUTES.post(
    f"{_DELIVERY}/replay",
    _WRITE,
    status=200,
    idempotent=True,
    errors=("webhookDeliveryNotFound", "webhookDisabled", "webhookNotFound"),
)
async def replay_webhook_delivery(call: Call, uuid: UUID) -> wire.DeliveryAnswer:
    """Send one delivery again, whatever became of it, with the same `webhook-id`; one that waits is tried at once."""
    await flow.replay(call.runtime.database, uuid, _author(call, {"uuid": uuid}))
    return await _delivery(call, uuid)


def _author(call: Call, body: object) -> Author:
    request = call.request_key(call.workspace_id, body)
    return Author(call.workspace_id, call.principal.actor, request, call.received_at, call.ids)


async def _delivery(call: Call, delivery_id: UUID) -> wire.DeliveryAnswer:
    found = await queries.delivery(call.runtime.database, call.workspace_id, delivery_id)
    attempts = [
        wire.Attempt(
            number=one.number,
            at=one.at,
            milliseconds=one.milliseconds,
            status_code=one.status_code,
            error=one.error,
            answer=one.answer,
        )
        for one in found.attempts
    ]
    return wire.DeliveryAnswer(
        delivery=wire.WholeDelivery(**_fields(found.delivery), payload=found.payload, attempts=attempts)
    )


def _fields(delivery: queries.Delivery) -> dict[str, Any]:
    return {
        "uuid": delivery.id,
        "webhook_uuid": delivery.endpoint_id,
        "webhook_id": webhook_id(delivery.fact_id),
        "fact_uuid": delivery.fact_id,
        "kind": delivery.kind,
        "happened_at": delivery.fact_at,
        "status": delivery.status,
        "attempts_count": delivery.attempts,
        "status_code": delivery.status_code,
        "error": delivery.error,
        "next_at": delivery.next_at if delivery.status == "queued" else None,
        "created_at": delivery.created_at,
        "finished_at": delivery.finished_at,
    }


def _with_secret(endpoint: Endpoint, secret: str) -> wire.WebhookSecretAnswer:
    """Shown when it is the one that was just made: not where another token made it with the same key."""
    shown = secret if endpoint.secret == secret else None
    return wire.WebhookSecretAnswer(webhook=wire.WebhookWithSecret(**_shown(endpoint), secret=shown))


def _on_wire(endpoint: Endpoint | ShownEndpoint) -> wire.Webhook:
    return wire.Webhook(**_shown(endpoint))


def _shown(endpoint: Endpoint | ShownEndpoint) -> dict[str, Any]:
    return {
        "uuid": endpoint.id,
        "url": endpoint.url,
        "description": endpoint.description,
        "kinds": list(endpoint.kinds),
        "enabled": endpoint.is_enabled,
        "disabled_because": endpoint.disabled_because,
        "failing_since": endpoint.failing_since,
        "previous_secret_until": endpoint.previous_until,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    }
