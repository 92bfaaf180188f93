"""The subscription of a workspace, with the fields of a public client library, and what changes it."""

from typing import Final

from tallystick.domain.billing.subscriptions import public_plan
from tallystick.domain.identity.rights import BILLING_READ, BILLING_WRITE
from tallystick.domain.metering.metrics import CREDITS
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.flows import due, entitlements, lifecycle, plan_changes
from tallystick.flows.budgets import Author
from tallystick.flows.plan_changes import Changed, Wanted
from tallystick.queries import subscriptions
from tallystick.queries.subscriptions import Pending, ShownSubscription
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import Guard, requires
from tallystick.wire import billing as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Billing")

_AT: Final = "/v1/billing/subscriptions"
_WRITER: Final = requires(BILLING_WRITE)
_OPERATOR: Final = Guard("operator", in_workspace=True)
_STRIPE: Final = "stripe"


@ROUTES.get(_AT, requires(BILLING_READ), errors=("subscriptionNotFound",))
async def get_subscription(call: Call) -> wire.SubscriptionAnswer:
    """The workspace's plan, its period and its counts of credits."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    return await _answer(call)


@ROUTES.put(
    f"{_AT}/plan",
    _WRITER,
    idempotent=True,
    answers={200: (wire.SubscriptionAnswer, wire.ChangePreviewAnswer)},
    errors=(
        "currencyMismatch",
        "invalidAmount",
        "paymentMethodNotFound",
        "subscriptionAlreadyInUpdateState",
        "subscriptionNotElligible",
        "subscriptionNotFound",
    ),
)
async def change_plan(
    call: Call, body: wire.ChangePlan, query: wire.ChangePlanQuery
) -> wire.SubscriptionAnswer | wire.ChangePreviewAnswer:
    """Change the plan: an upgrade at once with proration, a downgrade with the period's end (rule M25).

    With `preview` nothing is changed: the answer says line by line what it would cost today.
    """
    wanted = Wanted(
        plan=body.plan,
        credits=None if body.credits_count is None else body.credits_count.nano,
        cadence=body.cadence,
        is_operator=call.principal.is_operator,
    )
    runtime = call.runtime
    if query.preview:
        found = await plan_changes.preview(runtime.database, runtime.billing, _author(call), wanted)
        return wire.ChangePreviewAnswer(preview=_preview(found))
    await plan_changes.change_plan(runtime.database, runtime.billing, _author(call, body), wanted)
    return await _answer(call)


@ROUTES.delete(f"{_AT}/plan", _WRITER, idempotent=True, errors=("subscriptionNotFound",))
async def revoke_change(call: Call) -> wire.SubscriptionAnswer:
    """Take back a downgrade or the end that was to come with the period's end."""
    await lifecycle.revoke_change(call.runtime.database, _author(call, {}))
    return await _answer(call)


@ROUTES.post(
    f"{_AT}/cancel",
    _WRITER,
    status=200,
    idempotent=True,
    errors=(
        "invalidTransition",
        "subscriptionAlreadyInUpdateState",
        "subscriptionNotElligible",
        "subscriptionNotFound",
    ),
)
async def cancel_subscription(call: Call) -> wire.SubscriptionAnswer:
    """End the subscription with its period, revocable until then; from then on the workspace is on Free."""
    await lifecycle.cancel(call.runtime.database, _author(call, {}))
    return await _answer(call)


@ROUTES.post(
    f"{_AT}/trial",
    _WRITER,
    status=200,
    idempotent=True,
    errors=("subscriptionNotElligible", "subscriptionNotFound", "trialUsed"),
)
async def start_trial(call: Call, body: wire.StartTrial | None) -> wire.SubscriptionAnswer:
    """Try a plan, once; at its end it goes on where there is something to pay with, else new runs are paused."""
    asked = body or wire.StartTrial()
    runtime = call.runtime
    await lifecycle.begin_trial(runtime.database, runtime.billing, _author(call, asked), plan=asked.plan)
    return await _answer(call)


@ROUTES.post(
    f"{_AT}/pause",
    _OPERATOR,
    status=200,
    idempotent=True,
    errors=("invalidText", "invalidTransition", "subscriptionNotFound"),
)
async def pause_subscription(call: Call, body: wire.Reasoned) -> wire.SubscriptionAnswer:
    """Refuse new work until it is resumed; nothing else is changed or stopped."""
    await lifecycle.pause(call.runtime.database, _author(call, body), reason=_reason(body.reason))
    return await _answer(call)


@ROUTES.post(
    f"{_AT}/resume",
    _OPERATOR,
    status=200,
    idempotent=True,
    errors=("invalidText", "invalidTransition", "subscriptionNotFound"),
)
async def resume_subscription(call: Call, body: wire.Reasoned) -> wire.SubscriptionAnswer:
    """End a pause at once, also that of a trial which ended unpaid."""
    await lifecycle.resume(call.runtime.database, _author(call, body), reason=_reason(body.reason))
    return await _answer(call)


@ROUTES.put(
    f"{_AT}/creditsOverageBehaviors",
    _WRITER,
    idempotent=True,
    errors=("invalidUnit", "subscriptionNotEnterprise", "subscriptionNotFound"),
)
async def put_overage_behaviors(call: Call, body: wire.OverageBehaviors) -> wire.SubscriptionAnswer:
    """Whether work goes on beyond the credits, on Enterprise (rule M12)."""
    wanted = [{"unit": one.unit, "action": one.action} for one in body.credits_overage_behaviors]
    await entitlements.set_overage_behaviors(call.runtime.database, _author(call, body), wanted)
    return await _answer(call)


@ROUTES.put(
    f"{_AT}/overageCap",
    _WRITER,
    idempotent=True,
    errors=("invalidAmount", "subscriptionNotElligible", "subscriptionNotFound"),
)
async def put_overage_cap(call: Call, body: wire.OverageCap) -> wire.SubscriptionAnswer:
    """How far beyond its credits the workspace may go in one period; invoiced in arrears (rule M12)."""
    cap = None if body.credits is None else entitlements.check_cap(body.credits.nano)
    await entitlements.set_overage_cap(call.runtime.database, _author(call, body), cap)
    return await _answer(call)


def _author(call: Call, body: object = None) -> Author:
    request = None if body is None else call.request_key(call.workspace_id, body)
    return Author(call.workspace_id, call.principal.actor, request, call.now, call.ids)


def _reason(text: str) -> str:
    return check_text(text, field="reason", longest=LONGEST_DESCRIPTION)


async def _answer(call: Call) -> wire.SubscriptionAnswer:
    found = await subscriptions.subscription(call.runtime.database, call.workspace_id)
    return wire.SubscriptionAnswer(subscription=on_wire(found, provider=call.runtime.settings.payment_provider))


def on_wire(found: ShownSubscription, *, provider: str = "offline") -> wire.Subscription:
    """`provider` is that of accounts to come."""
    collector = found.provider or provider
    return wire.Subscription(
        uuid=found.id,
        workspace_uuid=found.workspace_id,
        provider=collector,
        customer_stripe_id=found.customer_ref if collector == _STRIPE else None,
        customer_orb_id=None,
        subscription_stripe_id=None,
        subscription_status=found.status,
        plan=public_plan(found.plan),
        plan_key=found.plan,
        plan_version_uuid=found.plan_version_id,
        plan_name=found.plan_name,
        cadence=found.cadence,
        fixed_price=found.price_minor,
        currency=found.currency,
        conversion_rate=1,
        subscription_available_credits_count=Credits(found.counts.available),
        subscription_credits_used_count=Credits(found.counts.used),
        additional_available_credits_count=Credits(found.counts.additional),
        has_credits=found.has_credits,
        has_pending_change=found.pending is not None,
        future_change=None if found.pending is None else _future(found.pending),
        topup=None
        if found.top_up is None
        else wire.TopUp(credits_count=Credits(found.top_up.credits), threshold=Credits(found.top_up.threshold)),
        credits_overage_behaviors=[wire.OverageBehavior(unit=CREDITS, action="allow" if found.goes_beyond else "deny")],
        credits_consumption_behaviors=[],
        overage_cap=None if found.overage_cap is None else Credits(found.overage_cap),
        has_payment_method=found.has_method,
        trial_ends_at=found.trial_ends_at,
        trial_used=found.trial_used_at is not None,
        start_at=found.started_at,
        period_start_at=found.period.start,
        reset_at=found.period.end,
        end_at=found.period.end if found.pending and found.pending.kind == "cancel" else found.ended_at,
        created_at=found.started_at,
        updated_at=found.updated_at,
    )


def _future(pending: Pending) -> wire.FutureChange:
    plan = pending.plan or "free"
    return wire.FutureChange(
        change=pending.kind,  # type: ignore[arg-type]
        effective_at=pending.effective_at,
        requested_at=pending.asked_at,
        plan=public_plan(plan),
        plan_key=plan,
        plan_version_uuid=pending.plan_version_id,
        cadence=pending.cadence,
        fixed_price=pending.price_minor,
        currency=pending.currency,
        credits_count=None if pending.included_credits is None else Credits(pending.included_credits),
    )


def _preview(found: Changed) -> wire.Preview:
    plan, invoice = found.plan, found.invoice
    return wire.Preview(
        when=found.when,
        effective_at=found.effective_at,
        plan_key=plan.plan,
        plan_version_uuid=plan.id,
        plan_name=plan.name,
        cadence=plan.cadence,
        fixed_price=plan.price_minor,
        currency=plan.currency,
        lines=[
            wire.PreviewLine(
                description=line.description,
                amount=line.amount_minor,
                period_start=line.period_start,
                period_end=line.period_end,
            )
            for line in found.lines
        ],
        net=invoice.net_minor if invoice else None,
        tax=invoice.tax_minor if invoice else None,
        total=invoice.total_minor if invoice else None,
        credits=Credits(found.credits),
        tool_runs=Credits(found.tool_runs),
    )
