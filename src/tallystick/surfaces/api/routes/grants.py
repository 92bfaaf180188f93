"""Grants given by the operator, at a workspace's birth or later, always with a reason on the record."""

import datetime as dt
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec import UNSET, UnsetType

from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS, Grant, GrantTerms
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.domain.times import check_time
from tallystick.flows import grants
from tallystick.settings import Settings
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR
from tallystick.wire import identity as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Grants")

_UNITS: Final[dict[wire.UnitName, str]] = {"credits": CREDITS, "toolRuns": TOOL_RUNS}
_NAMES: Final[dict[str, wire.UnitName]] = {unit: name for name, unit in _UNITS.items()}
_PURCHASE_DAYS: Final = 365


@ROUTES.post(
    "/v1/grants",
    OPERATOR,
    idempotent=True,
    errors=("invalidAmount", "invalidExpiry", "invalidPriority", "invalidTime", "workspaceNotFound"),
)
async def create_grant(call: Call, body: wire.CreateGrant) -> wire.GrantAnswer:
    """Give credits or tool runs to a workspace."""
    expires_at = _expiry(body.expires_at, body.source, call.runtime.settings, call.now)
    terms = GrantTerms(
        unit=_UNITS[body.unit],
        amount=body.amount.nano,
        source=body.source,
        key=str(call.ids.new(call.now)),
        expires_at=expires_at,
        priority=body.priority,
        reason=check_text(body.reason, field="reason", longest=LONGEST_DESCRIPTION),
    )
    grant = await grants.issue_once(
        call.runtime.database,
        terms,
        workspace_id=body.workspace_uuid,
        request=call.request_key(body.workspace_uuid, body),
        now=call.now,
        ids=call.ids,
        actor=call.principal.actor,
    )
    return wire.GrantAnswer(grant=grant_on_wire(body.workspace_uuid, grant))


def birth_terms(requested: Sequence[wire.GrantRequest], settings: Settings, now: dt.datetime) -> tuple[GrantTerms, ...]:
    """The grants that a new workspace's maker asks for in place of the free ones."""
    return tuple(
        GrantTerms(
            unit=_UNITS[wanted.unit],
            amount=wanted.amount.nano,
            source="free",
            key=f"birth:{position}",
            expires_at=_expiry(wanted.expires_at, "free", settings, now),
            priority=wanted.priority,
            reason="given at birth",
        )
        for position, wanted in enumerate(requested)
    )


def grant_on_wire(workspace_id: UUID, grant: Grant) -> wire.Grant:
    return wire.Grant(
        uuid=grant.id,
        workspace_uuid=workspace_id,
        unit=_NAMES[grant.unit],
        amount=Credits(grant.amount),
        source=grant.source,
        priority=grant.priority,
        reason=grant.reason,
        starts_at=grant.starts_at,
        expires_at=grant.expires_at,
        created_at=grant.created_at,
    )


def _expiry(
    given: dt.datetime | UnsetType | None, source: str, settings: Settings, now: dt.datetime
) -> dt.datetime | None:
    """The end that a request names, or the shipped one of the source (rule M13)."""
    if isinstance(given, dt.datetime):
        return check_time(given, field="expiresAt")
    if given is UNSET and source in ("free", "purchase"):
        return now + dt.timedelta(days=settings.free_days if source == "free" else _PURCHASE_DAYS)
    return None
