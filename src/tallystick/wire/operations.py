"""What operators do by hand, on the wire: corrections, grants ended early, limits, and the audit log of it all."""

import datetime as dt
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from tallystick.wire.amounts import Credits
from tallystick.wire.billing import Balance
from tallystick.wire.identity import Grant, Page, UnitName, Wire


class Adjust(Wire):
    """`amount` above zero is given as a grant of the source adjustment, which never ends unless told; below zero it is
    taken off grants in burn order, never more than is available unless `allowNegative`."""

    workspace_uuid: UUID
    unit: UnitName
    amount: Credits
    reason: str
    expires_at: dt.datetime | None = None
    priority: int | None = None
    allow_negative: bool = False


class Adjusted(Wire):
    """`grant` is what was given, null where something was taken back."""

    grant: Grant | None
    balances: list[Balance]


class ExpireGrant(Wire):
    workspace_uuid: UUID
    reason: str


class GrantList(Page):
    include_ended: bool = False


class GrantsAnswer(Wire):
    grants: list[Grant]


class Limits(Wire):
    """In credits on what is posted, `fineTuneMinimum` on what is available (rule M16)."""

    deploy_threshold: Credits
    low_limit: Credits
    negative_limit: Credits
    fine_tune_minimum: Credits
    comply_seconds: int


class OwnLimits(Wire):
    """Null where the installation's counts."""

    deploy_threshold: Credits | None
    low_limit: Credits | None
    negative_limit: Credits | None
    fine_tune_minimum: Credits | None
    comply_seconds: int | None


class PutLimits(Wire):
    """What is left out stays; null leaves a limit to the installation."""

    reason: str
    deploy_threshold: Credits | UnsetType | None = UNSET
    low_limit: Credits | UnsetType | None = UNSET
    negative_limit: Credits | UnsetType | None = UNSET
    fine_tune_minimum: Credits | UnsetType | None = UNSET
    comply_seconds: Annotated[int, msgspec.Meta(ge=1, le=604_800)] | UnsetType | None = UNSET


class LimitsAnswer(Wire):
    """`limits` are those that count, `own` those of the workspace itself."""

    limits: Limits
    own: OwnLimits


class AuditQuery(Page):
    """`action` whole or what stands before its dot, as `credits`; from `since` on, before `until`."""

    action: str | None = None
    actor: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


class AuditEntry(Wire):
    """`workspaceUuid` is null for what concerns no single workspace."""

    uuid: UUID
    workspace_uuid: UUID | None
    at: dt.datetime
    actor: str
    action: str
    reason: str
    details: dict[str, Any]


class AuditAnswer(Wire):
    """The newest entry first."""

    entries: list[AuditEntry]
