"""What the life of a subscription tells (row E10); the shape of every such fact."""

import datetime as dt
from typing import Any
from uuid import UUID

from tallystick.domain.billing.plans import PlanVersion
from tallystick.domain.billing.subscriptions import LiveTerms
from tallystick.domain.billing.told import account_fact, instant
from tallystick.domain.telling.facts import Fact


def life_fact(kind: str, workspace_id: UUID, terms: LiveTerms, at: dt.datetime, **more: Any) -> Fact:
    """A fact about a subscription as it is from `at` on; told once an instant of each kind."""
    data = {
        "subscriptionUuid": str(terms.subscription_id),
        "status": terms.status,
        "plan": short(terms.plan),
        "periodStart": instant(terms.period.start),
        "periodEnd": instant(terms.period.end),
        "trialEndsAt": instant(terms.trial_ends_at),
    }
    return account_fact(workspace_id, kind, at, at.isoformat(), **(data | more))


def short(plan: PlanVersion) -> dict[str, Any]:
    """A plan version as facts and answers name it; the price in minor units."""
    return {
        "uuid": str(plan.id),
        "plan": plan.plan,
        "version": plan.version,
        "name": plan.name,
        "cadence": plan.cadence,
        "price": plan.price_minor,
        "currency": plan.currency,
    }
