"""Calls about plans, entitlements, and the life of a subscription."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal, TypeVar, cast
from uuid import UUID

import msgspec

from tallystick.client.calls import Amount
from tallystick.client.replies import Call
from tallystick.kernel.credits import parse_credits
from tallystick.wire import billing
from tallystick.wire import plans as wire
from tallystick.wire.amounts import Credits, answer_decoder, encode

T = TypeVar("T")

_AT: Final = "/v1/billing/subscriptions"


def plans() -> Call[wire.PlansAnswer]:
    """What the workspace may choose, its contract, and the version that it is on; for operators without a workspace
    every version."""
    return _call("GET", "/v1/plans", wire.PlansAnswer)


def add_plan(
    plan: str,
    name: str,
    price: int,
    *,
    cadence: wire.Cadence = "monthly",
    currency: str = "usd",
    included_credits: Amount = 0,
    included_tool_runs: Amount = 0,
    run_quota: int | None = None,
    at_zero: Literal["deny", "invoice"] = "deny",
    rollover_share_ppm: int = 0,
    features: Mapping[str, Any] | None = None,
    overage_price: Amount | None = None,
    trial_days: int | None = None,
    workspace_uuid: UUID | None = None,
    reason: str = "",
) -> Call[wire.PlanAnswer]:
    """For operators: a version of a plan, or with `workspace_uuid` a contract. `price` and `overage_price` (a credit)
    in minor units.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = wire.AddPlan(
        plan=plan,
        name=name,
        price=price,
        cadence=cadence,
        currency=currency,
        included_credits=_credits(included_credits),
        included_tool_runs=_credits(included_tool_runs),
        run_quota=run_quota,
        at_zero=at_zero,
        rollover_share_ppm=rollover_share_ppm,
        features=dict(features or {}),
        overage_price=None if overage_price is None else _credits(overage_price),
        trial_days=trial_days,
        workspace_uuid=workspace_uuid,
        reason=reason,
    )
    return _call("POST", "/v1/plans", wire.PlanAnswer, body)


def retire_plan(uuid: UUID, *, reason: str) -> Call[wire.PlanAnswer]:
    """For operators: offer a version to nobody new."""
    return _call("POST", f"/v1/plans/{uuid}/retire", wire.PlanAnswer, wire.RetirePlan(reason=reason))


def migrate_plan(uuid: UUID, *, reason: str, workspace_uuids: Sequence[UUID] | None = None) -> Call[wire.Migrated]:
    """For operators: put workspaces on older versions of a plan on this one, from their next period on."""
    chosen = None if workspace_uuids is None else list(workspace_uuids)
    body = wire.MigratePlan(reason=reason, workspace_uuids=chosen)
    return _call("POST", f"/v1/plans/{uuid}/migrate", wire.Migrated, body)


def entitlements() -> Call[wire.EntitlementsAnswer]:
    """What the plan lets the workspace do, and who sees to it."""
    return _call("GET", "/v1/entitlements", wire.EntitlementsAnswer)


def change_plan(
    *,
    plan: str | None = None,
    credits_count: Amount | None = None,
    cadence: str | None = None,
    idempotency_key: str | None = None,
) -> Call[billing.SubscriptionAnswer]:
    """Change the plan: up at once with proration, down with the period's end.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    return _call(
        "PUT",
        f"{_AT}/plan",
        billing.SubscriptionAnswer,
        _wanted(plan, credits_count, cadence),
        idempotency_key=idempotency_key,
    )


def preview_plan(
    *, plan: str | None = None, credits_count: Amount | None = None, cadence: str | None = None
) -> Call[billing.ChangePreviewAnswer]:
    """What the same change would do, line by line; nothing is changed.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = _wanted(plan, credits_count, cadence)
    return _call("PUT", f"{_AT}/plan", billing.ChangePreviewAnswer, body, query={"preview": "true"})


def revoke_change(*, idempotency_key: str | None = None) -> Call[billing.SubscriptionAnswer]:
    """Take back what was to come with the period's end."""
    return _call("DELETE", f"{_AT}/plan", billing.SubscriptionAnswer, idempotency_key=idempotency_key)


def cancel_subscription(*, idempotency_key: str | None = None) -> Call[billing.SubscriptionAnswer]:
    """End the subscription with its period; then the workspace is on Free."""
    return _call("POST", f"{_AT}/cancel", billing.SubscriptionAnswer, idempotency_key=idempotency_key)


def start_trial(*, plan: str = "pro", idempotency_key: str | None = None) -> Call[billing.SubscriptionAnswer]:
    """Try a plan, once."""
    body = billing.StartTrial(plan=plan)
    return _call("POST", f"{_AT}/trial", billing.SubscriptionAnswer, body, idempotency_key=idempotency_key)


def pause_subscription(*, reason: str, idempotency_key: str | None = None) -> Call[billing.SubscriptionAnswer]:
    """For operators: refuse new work until it is resumed."""
    body = billing.Reasoned(reason=reason)
    return _call("POST", f"{_AT}/pause", billing.SubscriptionAnswer, body, idempotency_key=idempotency_key)


def resume_subscription(*, reason: str, idempotency_key: str | None = None) -> Call[billing.SubscriptionAnswer]:
    """For operators: end a pause at once."""
    body = billing.Reasoned(reason=reason)
    return _call("POST", f"{_AT}/resume", billing.SubscriptionAnswer, body, idempotency_key=idempotency_key)


def put_overage_cap(
    credits_count: Amount | None, *, idempotency_key: str | None = None
) -> Call[billing.SubscriptionAnswer]:
    """How far beyond its credits the workspace may go in a period; None: as the plan has it.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = billing.OverageCap(credits=None if credits_count is None else _credits(credits_count))
    return _call("PUT", f"{_AT}/overageCap", billing.SubscriptionAnswer, body, idempotency_key=idempotency_key)


def put_overage_behaviors(
    action: billing.OverageAction, *, idempotency_key: str | None = None
) -> Call[billing.SubscriptionAnswer]:
    """Whether work goes on beyond the credits, on Enterprise."""
    behavior = billing.OverageBehavior(unit="billing.credits", action=action)
    body = billing.OverageBehaviors(credits_overage_behaviors=[behavior])
    path = f"{_AT}/creditsOverageBehaviors"
    return _call("PUT", path, billing.SubscriptionAnswer, body, idempotency_key=idempotency_key)


def close_workspace(
    workspace_uuid: UUID,
    *,
    bought_credits: Literal["refund", "forfeit"],
    reason: str,
) -> Call[billing.Closed]:
    """For operators: close a workspace for good; its ledger and invoices are kept."""
    body = billing.CloseWorkspace(bought_credits=bought_credits, reason=reason)
    path = f"/v1/workspaces/{workspace_uuid}/close"
    return _call("POST", path, billing.Closed, body)


def _wanted(plan: str | None, credits_count: Amount | None, cadence: str | None) -> billing.ChangePlan:
    wanted = None if credits_count is None else _credits(credits_count)
    return billing.ChangePlan(plan=plan, credits_count=wanted, cadence=cadence)


def _credits(value: Amount) -> Credits:
    return Credits(parse_credits(value))


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _call(
    method: str,
    path: str,
    shape: type[T],
    body: object = None,
    *,
    query: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Call[T]:
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    decoder = cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape)))
    if body is None:
        return Call(method, path, decoder, headers=headers)
    headers["content-type"] = "application/json"
    return Call(method, path, decoder, query=dict(query or {}), body=encode(body), headers=headers)
