"""The subscription and the balances on the wire."""

import datetime as dt
from typing import Any, Literal
from uuid import UUID

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import UnitName, Wire

OverageAction = Literal["deny", "allow"]


class OverageBehavior(Wire):
    """What happens beyond the balance of a unit of usage metrics."""

    unit: str
    action: OverageAction


class OverageBehaviors(Wire):
    credits_overage_behaviors: list[OverageBehavior]


class OverageCap(Wire):
    """Credits beyond the balance in one period, invoiced in arrears; null: as the plan has it by itself."""

    credits: Credits | None


class FutureChange(Wire):
    """What comes at `effectiveAt`, the period's end: another plan (`downgrade`, `migration`), or with `cancel` Free.

    Of a plan `fixedPrice` is in minor units, `creditsCount` what it includes.
    """

    change: Literal["downgrade", "cancel", "migration"]
    effective_at: dt.datetime
    requested_at: dt.datetime
    plan: Literal["self-serve", "enterprise"]
    plan_key: str
    plan_version_uuid: UUID | None
    cadence: str | None
    fixed_price: int | None
    currency: str | None
    credits_count: Credits | None


class TopUp(Wire):
    """Automatic top-up that is on."""

    credits_count: Credits
    threshold: Credits


class ChangePlan(Wire):
    """What is wanted, each left out where it may stay or be any: the credits that the plan includes, its cadence, and
    ours, its key; `self-serve` is any but Enterprise."""

    credits_count: Credits | None = None
    cadence: str | None = None
    plan: str | None = None


class ChangePlanQuery(Wire):
    """`preview`: only say what the change would do."""

    preview: bool = False


class PreviewLine(Wire):
    """`amount` in minor units, net of tax; below zero what comes off."""

    description: str
    amount: int
    period_start: dt.datetime | None
    period_end: dt.datetime | None


class Preview(Wire):
    """What a change of plan would do: `when` now, periodEnd, or unchanged. Amounts of today's invoice in minor units;
    null where none is made today. `credits` and `toolRuns` are what would be given at once."""

    when: Literal["now", "periodEnd", "unchanged"]
    effective_at: dt.datetime | None
    plan_key: str
    plan_version_uuid: UUID
    plan_name: str
    cadence: str
    fixed_price: int
    currency: str
    lines: list[PreviewLine]
    net: int | None
    tax: int | None
    total: int | None
    credits: Credits
    tool_runs: Credits


class ChangePreviewAnswer(Wire):
    preview: Preview


class StartTrial(Wire):
    plan: str = "pro"


class Reasoned(Wire):
    reason: str


class CloseWorkspace(Wire):
    """`boughtCredits`: what becomes of the rest of those that were paid for."""

    bought_credits: Literal["refund", "forfeit"]
    reason: str


class Closed(Wire):
    """What a closing did: holds voided, deployments stopped, credits forfeited or given back, the last invoice."""

    workspace_uuid: UUID
    closed_at: dt.datetime
    holds_voided: int
    deployments_stopped: int
    credits_forfeited: Credits
    refunded: int
    currency: str
    invoice_uuid: UUID | None


class Subscription(Wire):
    """`fixedPrice` is in minor units; remaining included credits are available - used, and may be negative.

    The three counts are rule M22's. `planKey`, `planVersionUuid`, `currency`, the period, the trial, `hasPaymentMethod`
    and the overage cap are ours, the other fields those of a public client library; what has no use for us holds its
    empty value.
    """

    uuid: UUID
    workspace_uuid: UUID
    provider: str
    customer_stripe_id: str | None
    customer_orb_id: str | None
    subscription_stripe_id: str | None
    subscription_status: str
    plan: Literal["self-serve", "enterprise"]
    plan_key: str
    plan_version_uuid: UUID
    plan_name: str
    cadence: str
    fixed_price: int
    currency: str
    conversion_rate: int
    subscription_available_credits_count: Credits
    subscription_credits_used_count: Credits
    additional_available_credits_count: Credits
    has_credits: bool
    has_pending_change: bool
    future_change: FutureChange | None
    topup: TopUp | None
    credits_overage_behaviors: list[OverageBehavior]
    credits_consumption_behaviors: list[dict[str, Any]]
    overage_cap: Credits | None
    has_payment_method: bool
    trial_ends_at: dt.datetime | None
    trial_used: bool
    start_at: dt.datetime
    period_start_at: dt.datetime
    reset_at: dt.datetime
    end_at: dt.datetime | None
    created_at: dt.datetime
    updated_at: dt.datetime


class SubscriptionAnswer(Wire):
    subscription: Subscription


class Balance(Wire):
    """`granted` is the allocation since the last reset, `usedPercent` its used share with two decimals (rule M18)."""

    unit: UnitName
    granted: Credits
    used: Credits
    used_percent: Credits
    posted: Credits
    held: Credits
    available: Credits
    state: Literal["healthy", "moderate", "low", "exhausted"]


class BalancesAnswer(Wire):
    balances: list[Balance]
