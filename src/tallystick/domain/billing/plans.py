"""Plan versions: what a plan costs and includes. A version never changes; a new one is added beside it (row D1)."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid5

from tallystick.domain.billing.money import PPM
from tallystick.domain.texts import check_text
from tallystick.kernel.credits import MAX_NANO, NANO
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.periods import MONTHS

_NAMESPACE: Final = UUID("5f3b5a0e-6f0d-5c1e-9a55-7a111c4b0001")

FREE: Final = "free"
PRO: Final = "pro"
ENTERPRISE: Final = "enterprise"
AT_ZERO: Final = ("deny", "invoice")

_KEY: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_CURRENCY: Final = re.compile(r"[a-z]{3}")
_FEATURE: Final = re.compile(r"[a-z][a-zA-Z0-9]{0,39}")
_MOST_MINOR: Final = 10**12
_MOST_FEATURES: Final = 50
_MOST_TRIAL_DAYS: Final = 366


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """Price in minor units of `currency` per cadence; included credits and tool runs in nano-units per period.

    `at_zero` is rule M12's; `run_quota` is None where runs are not counted. A version with a `workspace_id` is that
    workspace's contract. `overage_price` is in 10⁻⁹ minor units a credit; `trial_days` how long it may be tried, once,
    None where the installation says so.
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
    trial_days: int | None = None
    retired_at: dt.datetime | None = None

    def included(self, unit: str) -> int:
        """Nano-units of `unit` that one period includes."""
        return self.included_credits if unit == "credits" else self.included_tool_runs

    def trial(self, days: int) -> int:
        """Days that it may be tried; `days` is the installation's word, for plans sold to everybody at a price."""
        if self.trial_days is not None:
            return self.trial_days
        return days if self.price_minor and not is_enterprise(self) else 0


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
    _shipped(FREE, "Free", run_quota=1_000, features={"workspaces": 1, "support": "community"}),
    _shipped(
        PRO,
        "Pro",
        price_minor=9_900,
        included_credits=10_000 * NANO,
        included_tool_runs=100_000 * NANO,
        run_quota=100_000,
        features={"workspaces": None, "support": "email", "integrations": "all"},
    ),
    _shipped(
        ENTERPRISE,
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


def is_enterprise(plan: PlanVersion) -> bool:
    """Whether its terms are a contract's: custom amounts, overage without an end."""
    return plan.plan == ENTERPRISE


def months(plan: PlanVersion) -> int:
    """Length of its periods."""
    return MONTHS[plan.cadence]


def check_version(plan: PlanVersion) -> PlanVersion:
    """The version itself. Raises `invalidPlan`, naming the field, and `invalidText`."""
    check_text(plan.name, field="name")
    limits: tuple[tuple[str, bool, str], ...] = (
        ("plan", _KEY.fullmatch(plan.plan) is not None, "must be 1 to 40 of a-z, 0-9 and -, a letter first"),
        ("cadence", plan.cadence in MONTHS, f"must be one of {', '.join(MONTHS)}"),
        ("currency", _CURRENCY.fullmatch(plan.currency) is not None, "must be an ISO 4217 code in lower case"),
        ("price", 0 <= plan.price_minor <= _MOST_MINOR, f"must be 0 to {_MOST_MINOR} minor units"),
        ("includedCredits", 0 <= plan.included_credits <= MAX_NANO, "must not be negative"),
        ("includedToolRuns", 0 <= plan.included_tool_runs <= MAX_NANO, "must not be negative"),
        ("runQuota", plan.run_quota is None or 0 <= plan.run_quota < 2**53, "must not be negative"),
        ("atZero", plan.at_zero in AT_ZERO, "must be deny or invoice"),
        ("overagePrice", plan.overage_price is None or 0 <= plan.overage_price <= MAX_NANO, "must not be negative"),
        ("rolloverSharePpm", 0 <= plan.rollover_share_ppm <= PPM, f"must be 0 to {PPM}"),
        (
            "trialDays",
            plan.trial_days is None or 0 <= plan.trial_days <= _MOST_TRIAL_DAYS,
            f"must be 0 to {_MOST_TRIAL_DAYS}",
        ),
        (
            "features",
            _are_features(plan.features),
            "must be names in camelCase with true, false, null, a text or count",
        ),
        ("workspaceUuid", plan.workspace_id is None or is_enterprise(plan), "belongs to contracts: plan enterprise"),
    )
    for name, is_right, must in limits:
        if not is_right:
            raise TallystickError("invalidPlan", f"{name} {must}.", field=name)
    return plan


def same_terms(one: PlanVersion, other: PlanVersion) -> bool:
    """Whether two versions say the same, whenever and under whichever number."""
    ignored = {"id", "version", "created_at", "retired_at"}
    names = [name for name in PlanVersion.__dataclass_fields__ if name not in ignored]
    return all(getattr(one, name) == getattr(other, name) for name in names)


def offered(versions: Iterable[PlanVersion], workspace_id: UUID | None) -> list[PlanVersion]:
    """What a workspace may choose from: of each plan and cadence the newest that is not retired, and its own contracts.

    By plan and cadence. Where it has contracts of a plan they stand in place of what everybody is offered of it.
    """
    found: dict[tuple[str, int], PlanVersion] = {}
    open_to_it = [one for one in versions if one.retired_at is None and one.workspace_id in (None, workspace_id)]
    contracted = {one.plan for one in open_to_it if one.workspace_id is not None}
    for one in sorted(open_to_it, key=lambda one: one.version):
        if one.workspace_id is not None or one.plan not in contracted:
            found[one.plan, months(one)] = one
    return [found[key] for key in sorted(found)]


def _are_features(features: Mapping[str, Any]) -> bool:
    if len(features) > _MOST_FEATURES:
        return False
    return all(
        _FEATURE.fullmatch(name) is not None
        and (
            value is None
            or isinstance(value, bool)
            or (isinstance(value, int) and 0 <= value < 2**53)
            or (isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable())
        )
        for name, value in features.items()
    )
