"""Entitlements: what a plan lets a workspace do, and who sees to it (row D1; rules M10, M12, M27).

Those that our gates know are enforced here; every other feature of a plan version is told to the platform, which
enforces it itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from tallystick.domain.billing.plans import PlanVersion, is_enterprise
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError

EnforcedBy = Literal["gate", "platform"]

WORKSPACES: Final = "workspaces"
RUNS: Final = "runs"
CREDITS: Final = "credits"
TOOL_RUNS: Final = "toolRuns"
OVERAGE_CAP: Final = "overageCap"
OVERAGE: Final = "creditsOverage"
CUSTOM_INVOICES: Final = "customInvoices"

GATED: Final = (WORKSPACES, RUNS, CREDITS, TOOL_RUNS, OVERAGE_CAP, OVERAGE, CUSTOM_INVOICES)
"""Enforced by our gates; any other is the platform's."""

PLATFORM: Final = ("support", "integrations", "sso", "scim", "privateCloud")
"""Told to the platform of every plan, also where a version says nothing of them."""


@dataclass(frozen=True, slots=True)
class Used:
    """What is counted: workspaces that its owners own at most, runs started, credits and tool runs used in the period.

    Amounts are nano-units.
    """

    workspaces: int
    runs: int
    credits: int
    tool_runs: int


@dataclass(frozen=True, slots=True)
class Entitlement:
    """`value` is a limit (None: without one), a flag or a word; `used` is what is counted, else None."""

    key: str
    value: Any
    enforced_by: EnforcedBy
    used: Any = None


def entitlements(plan: PlanVersion, used: Used, *, free_workspaces: int) -> list[Entitlement]:
    """All of a plan version, by key. `free_workspaces` is how many a person may own on Free alone (rule M27)."""
    values: dict[str, tuple[Any, Any]] = {
        WORKSPACES: (workspaces_allowed([plan], free_workspaces), used.workspaces),
        RUNS: (plan.run_quota, used.runs),
        CREDITS: (_units(plan.included_credits), _units(used.credits)),
        TOOL_RUNS: (_units(plan.included_tool_runs), _units(used.tool_runs)),
        OVERAGE_CAP: (allows(plan, OVERAGE_CAP), None),
        OVERAGE: (allows(plan, OVERAGE), None),
        CUSTOM_INVOICES: (allows(plan, CUSTOM_INVOICES), None),
    }
    found = [Entitlement(key, value, "gate", counted) for key, (value, counted) in values.items()]
    told = dict.fromkeys(PLATFORM, False) | {k: v for k, v in plan.features.items() if k not in values}
    found += [Entitlement(key, value, "platform") for key, value in told.items()]
    return sorted(found, key=lambda one: one.key)


def allows(plan: PlanVersion, key: str) -> bool:
    """Whether a plan has what is yes or no. A cap on overage may be set where something is paid for (rule M12)."""
    if key == OVERAGE_CAP:
        return plan.price_minor > 0 or is_enterprise(plan)
    if key in (OVERAGE, CUSTOM_INVOICES):
        return is_enterprise(plan)
    return bool(plan.features.get(key, False))


def check_allows(plan: PlanVersion, key: str) -> None:
    """Raises `subscriptionNotEnterprise` for what only Enterprise has, `subscriptionNotElligible` for the rest."""
    if allows(plan, key):
        return
    if key in (OVERAGE, CUSTOM_INVOICES):
        raise TallystickError(
            "subscriptionNotEnterprise",
            "Only Enterprise has that; contact sales.",
            entitlement=key,
            plan=plan.plan,
        )
    raise TallystickError(
        "subscriptionNotElligible", "This plan does not have that; upgrade it.", entitlement=key, plan=plan.plan
    )


def workspaces_allowed(plans: Iterable[PlanVersion], free_workspaces: int) -> int | None:
    """How many workspaces somebody may own who owns some on these plans; None without end (rule M27).

    The most generous plan counts; who owns none yet may own as many as on Free.
    """
    allowed = free_workspaces
    for plan in plans:
        value = plan.features.get(WORKSPACES, None if plan.price_minor else free_workspaces)
        if value is None:
            return None
        allowed = max(allowed, int(value))
    return allowed


def _units(nano: int) -> Decimal:
    return Decimal(format_credits(nano))
