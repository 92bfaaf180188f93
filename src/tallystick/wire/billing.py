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


class Subscription(Wire):
    """`fixedPrice` is in minor units; remaining included credits are available - used, and may be negative.

    The three counts are rule M22's. `planKey`, `currency` and the period are ours, the other fields those of a public
    client library; what has no use yet holds its empty value.
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
    cadence: str
    fixed_price: int
    currency: str
    conversion_rate: int
    subscription_available_credits_count: Credits
    subscription_credits_used_count: Credits
    additional_available_credits_count: Credits
    has_credits: bool
    has_pending_change: bool
    future_change: dict[str, Any] | None
    topup: dict[str, Any] | None
    credits_overage_behaviors: list[OverageBehavior]
    credits_consumption_behaviors: list[dict[str, Any]]
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
