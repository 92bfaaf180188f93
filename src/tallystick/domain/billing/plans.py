"""Plan versions: what a plan costs and includes. A version never changes; a new one is added beside it (row D1)."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid5

from tallystick.kernel.credits import NANO

_NAMESPACE: Final = UUID("5f3b5a0e-6f0d-5c1e-9a55-7a111c4b0001")


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """Price in minor units of `currency` per cadence; included credits and tool runs in nano-units per period.

    `at_zero` is rule M12's; `run_quota` is None where runs are not counted. A version with a `workspace_id` is that
    workspace's contract. `overage_price` is in 10⁻⁹ minor units a credit; `trial_days` how long it may be tried, once.
    """

    id: UUID
    plan: str
    version: int
    name: str
    cadence: str
    price_minor: int
    currency: str
    included_credits: int
    included_tool_runs: int
    run_quota: int | None
    at_zero: str
    rollover_share_ppm: int
    created_at: dt.datetime
    features: dict[str, Any] = field(default_factory=dict)
    workspace_id: UUID | None = None
    overage_price: int | None = None
    trial_days: int = 0
    retired_at: dt.datetime | None = None

    def included(self, unit: str) -> int:
        """Nano-units of `unit` that one period includes."""
        return self.included_credits if unit == "credits" else self.included_tool_runs


_EPOCH = dt.datetime(1, 1, 1, tzinfo=dt.UTC)


def _shipped(plan: str, name: str, **terms: Any) -> PlanVersion:
    base: dict[str, Any] = {
        "cadence": "monthly",
        "price_minor": 0,
        "currency": "usd",
        "included_credits": 0,
        "included_tool_runs": 0,
        "run_quota": None,
        "at_zero": "deny",
        "rollover_share_ppm": 0,
    }
    return PlanVersion(
        id=uuid5(_NAMESPACE, f"{plan}:1"), plan=plan, version=1, name=name, created_at=_EPOCH, **(base | terms)
    )


SHIPPED: Final = (
    _shipped("free", "Free", run_quota=1_000, features={"workspaces": 1, "support": "community"}),
    _shipped(
        "pro",
        "Pro",
        price_minor=9_900,
        included_credits=10_000 * NANO,
        included_tool_runs=100_000 * NANO,
        run_quota=100_000,
        features={"workspaces": None, "support": "email", "integrations": "all"},
    ),
    _shipped(
        "enterprise",
        "Enterprise",
        at_zero="invoice",
        features={
            "workspaces": None,
            "support": "dedicated",
            "integrations": "all",
            "sso": True,
            "scim": True,
            "privateCloud": True,
        },
    ),
)
"""The plans a fresh installation has (rules.md, Shown figures). Enterprise is by contract."""
