"""Stripe tells what became of payments. No token: what is signed with the endpoint's secret comes from Stripe."""

from typing import Final

from tallystick.flows import provider_events
from tallystick.kernel.errors import TallystickError
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import ANYONE
from tallystick.wire.providers import WebhookHeard

ROUTES = Routes("Stripe")

_LARGEST: Final = 256 * 1024


@ROUTES.post(
    "/v1/providers/stripe/webhooks",
    ANYONE,
    status=200,
    consumes={"application/json": dict},
    errors=(
        "invalidSignature",
        "invalidWebhook",
        "notFound",
        "paymentProviderMisconfigured",
        "paymentProviderUnavailable",
    ),
    largest_body=_LARGEST,
)
async def hear_stripe(call: Call, body: bytes) -> WebhookHeard:
    """The address of a webhook endpoint at Stripe; each event counts once.

    What is of no interest, or of nobody here, is answered 200 too. An answer of 503 asks Stripe to send it again.
    """
    billing = call.runtime.billing
    if "stripe" not in billing.providers:
        raise TallystickError("notFound", "Stripe is not set up here.")
    provider = billing.provider("stripe")
    told = provider.read_webhook(body, call.request.headers, call.received_at)
    outcome = await provider_events.hear(
        call.runtime.database, billing, provider, told, now=call.received_at, ids=call.ids
    )
    return WebhookHeard(outcome=outcome)
