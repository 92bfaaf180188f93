"""Webhook endpoints and their deliveries on the wire."""

import datetime as dt
from typing import Literal
from uuid import UUID

import msgspec

from tallystick.wire.identity import Page, Wire

DeliveryStatus = Literal["queued", "delivered", "dead"]
ReplayedDeliveries = Literal["dead", "all"]


class CreateWebhook(Wire):
    """`kinds` empty or left out: facts of every kind."""

    url: str
    description: str = ""
    kinds: list[str] = msgspec.field(default_factory=list)
    enabled: bool = True


class ChangeWebhook(Wire):
    """What is left out stays."""

    url: str | None = None
    description: str | None = None
    kinds: list[str] | None = None
    enabled: bool | None = None


class Webhook(Wire):
    """`previousSecretUntil` is how long the secret before the last rotation signs too, `failingSince` the first failed
    attempt after the last that succeeded."""

    uuid: UUID
    url: str
    description: str
    kinds: list[str]
    enabled: bool
    disabled_because: Literal["asked", "gone"] | None
    failing_since: dt.datetime | None
    previous_secret_until: dt.datetime | None
    created_at: dt.datetime
    updated_at: dt.datetime


class WebhookWithSecret(Webhook):
    """An endpoint with its `secret`, which is shown once; null when another token repeats the request."""

    secret: str | None


class WebhookAnswer(Wire):
    webhook: Webhook


class WebhookSecretAnswer(Wire):
    webhook: WebhookWithSecret


class WebhooksAnswer(Wire):
    webhooks: list[Webhook]


class FactKind(Wire):
    """`about` is a sentence; `topic` is what members choose their mails by."""

    kind: str
    topic: Literal["credits", "deployments", "billing"]
    about: str


class FactKindsAnswer(Wire):
    kinds: list[FactKind]


class DeliveryList(Page):
    """`since` and `until` are of the deliveries' making, half-open."""

    status: DeliveryStatus | None = None
    kind: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


class Delivery(Wire):
    """`webhookId` is the header that names the fact. `nextAt` is null once it has ended; `statusCode` and `error` are
    of the last attempt, null while that is made."""

    uuid: UUID
    webhook_uuid: UUID
    webhook_id: str
    fact_uuid: UUID
    kind: str
    happened_at: dt.datetime
    status: DeliveryStatus
    attempts_count: int
    status_code: int | None
    error: str | None
    next_at: dt.datetime | None
    created_at: dt.datetime
    finished_at: dt.datetime | None


class Attempt(Wire):
    """`answer` is the first 1,024 bytes of what the receiver answered, as text."""

    number: int
    at: dt.datetime
    milliseconds: int
    status_code: int | None
    error: str | None
    answer: str


class WholeDelivery(Delivery):
    """`payload` is the body that is posted, character for character as it is signed."""

    payload: str
    attempts: list[Attempt]


class DeliveryAnswer(Wire):
    delivery: WholeDelivery


class DeliveriesAnswer(Wire):
    deliveries: list[Delivery]


class ReplayDeliveries(Wire):
    """`which`: only those that are dead, or also those that arrived."""

    since: dt.datetime
    which: ReplayedDeliveries = "dead"


class ReplayAnswer(Wire):
    replayed: int
