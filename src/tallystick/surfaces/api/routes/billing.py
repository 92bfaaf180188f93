"""The subscription of a workspace, with the fields of a public client library."""

from typing import Final

from tallystick.domain.billing.subscriptions import overage_action, public_plan
from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.metering.metrics import CREDITS
from tallystick.flows import due
from tallystick.queries import subscriptions
from tallystick.queries.subscriptions import ShownSubscription
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import billing as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Billing")

_PROVIDER: Final = "offline"


@ROUTES.get("/v1/billing/subscriptions", requires(BILLING_READ), errors=("subscriptionNotFound",))
async def get_subscription(call: Call) -> wire.SubscriptionAnswer:
    """The workspace's plan, its period and its counts of credits."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await subscriptions.subscription(call.runtime.database, call.workspace_id)
    return wire.SubscriptionAnswer(subscription=on_wire(found))


def on_wire(found: ShownSubscription) -> wire.Subscription:
    return wire.Subscription(
        uuid=found.id,
        workspace_uuid=found.workspace_id,
        provider=_PROVIDER,
        customer_stripe_id=None,
        customer_orb_id=None,
        subscription_stripe_id=None,
        subscription_status=found.status,
        plan=public_plan(found.plan),
        plan_key=found.plan,
        cadence=found.cadence,
        fixed_price=found.price_minor,
        currency=found.currency,
        conversion_rate=1,
        subscription_available_credits_count=Credits(found.counts.available),
        subscription_credits_used_count=Credits(found.counts.used),
        additional_available_credits_count=Credits(found.counts.additional),
        has_credits=found.has_credits,
        has_pending_change=False,
        future_change=None,
        topup=None,
        credits_overage_behaviors=[wire.OverageBehavior(unit=CREDITS, action=overage_action(found.at_zero))],
        credits_consumption_behaviors=[],
        start_at=found.started_at,
        period_start_at=found.period.start,
        reset_at=found.period.end,
        end_at=found.ended_at,
        created_at=found.started_at,
        updated_at=found.updated_at,
    )
