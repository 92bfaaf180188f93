"""Plans and entitlements on the wire."""

import datetime as dt
from typing import Any, Literal
from uuid import UUID

import msgspec

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Wire

Cadence = Literal["monthly", "quarterly", "semi_annual", "annual"]


class Plan(Wire):
    """`price` in minor units of `currency` per cadence; `runQuota` null: runs are not counted.

    `overagePrice` is in minor units a credit, null: the list price; `trialDays` null: as the installation has it. A
    plan with a `workspaceUuid` is that workspace's contract.
    """

    uuid: UUID
    plan: str
    version: int
    name: str
    cadence: str
    price: int
    currency: str
    included_credits: Credits
    included_tool_runs: Credits
    run_quota: int | None
    at_zero: str
    rollover_share_ppm: int
    features: dict[str, Any]
    overage_price: Credits | None
    trial_days: int | None
    workspace_uuid: UUID | None
    created_at: dt.datetime
    retired_at: dt.datetime | None


class PlansAnswer(Wire):
    plans: list[Plan]


class PlanAnswer(Wire):
    plan: Plan


class AddPlan(Wire):
    """A version to add; with `workspaceUuid` a contract, whose plan is `enterprise`. `price` in minor units."""

    plan: str
    name: str
    price: int
    cadence: Cadence = "monthly"
    currency: str = "usd"
    included_credits: Credits | None = None
    included_tool_runs: Credits | None = None
    run_quota: int | None = None
    at_zero: Literal["deny", "invoice"] = "deny"
    rollover_share_ppm: int = 0
    features: dict[str, Any] = msgspec.field(default_factory=dict)
    overage_price: Credits | None = None
    trial_days: int | None = None
    workspace_uuid: UUID | None = None
    reason: str = ""


class RetirePlan(Wire):
    reason: str


class MigratePlan(Wire):
    """`workspaceUuids` left out: every workspace on an older version of the same plan and cadence."""

    reason: str
    workspace_uuids: list[UUID] | None = None


class Migrated(Wire):
    """How many workspaces are on the version from their next period on."""

    plan: Plan
    migrated: int


class Entitlement(Wire):
    """`value` is a limit (null: without one), a flag or a word. `enforcedBy` gate: refused here; platform: yours to
    enforce. `used` is what is counted in the open period, null where nothing is."""

    key: str
    value: Any
    enforced_by: Literal["gate", "platform"]
    used: Any


class EntitlementsAnswer(Wire):
    plan: Plan
    entitlements: list[Entitlement]
