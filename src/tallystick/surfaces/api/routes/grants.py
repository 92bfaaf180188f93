"""Grants given, ended and corrected by the operator, always with a reason on the record."""

import datetime as dt
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec import UNSET, UnsetType

from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS, Grant, GrantTerms
from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.domain.times import check_time
from tallystick.flows import adjustments, due, grants
from tallystick.flows.adjustments import Correction
from tallystick.flows.budgets import Author
from tallystick.queries import balances
from tallystick.queries import grants as queries
from tallystick.settings import Settings
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR, requires
from tallystick.surfaces.api.routes.balances import on_wire as balance_on_wire
from tallystick.wire import identity as wire
from tallystick.wire import operations
from tallystick.wire.amounts import Credits

ROUTES = Routes("Grants")

_UNITS: Final[dict[wire.UnitName, str]] = {"credits": CREDITS, "toolRuns": TOOL_RUNS}
_NAMES: Final[dict[str, wire.UnitName]] = {unit: name for name, unit in _UNITS.items()}


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


@ROUTES.get("/v1/grants", requires(BILLING_READ))
async def list_grants(call: Call, query: operations.GrantList) -> operations.GrantsAnswer:
    """A page of the workspace's grants, the newest first, with what is left of each."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await queries.grants(
        call.runtime.database, call.workspace_id, ended=query.include_ended, limit=query.limit, offset=query.offset
    )
    return operations.GrantsAnswer(grants=[grant_on_wire(call.workspace_id, grant) for grant in found])


@ROUTES.post(
    "/v1/grants/{id}/expire",
    OPERATOR,
    status=200,
    idempotent=True,
    errors=("grantEnded", "grantNotFound", "invalidText", "workspaceNotFound"),
)
async def expire_grant(call: Call, id: UUID, body: operations.ExpireGrant) -> wire.GrantAnswer:  # noqa: A002
    """End a grant now, with a reason on the record; what open holds rely on of it stays for their settles alone."""
    author = _author(call, body.workspace_uuid, body)
    reason = check_text(body.reason, field="reason", longest=LONGEST_DESCRIPTION)
    grant = await adjustments.expire_grant(call.runtime.database, id, reason, author)
    return wire.GrantAnswer(grant=grant_on_wire(body.workspace_uuid, grant))


@ROUTES.post(
    "/v1/credits/adjust",
    OPERATOR,
    idempotent=True,
    errors=(
        "adjustmentTooLarge",
        "balanceOutOfRange",
        "invalidAmount",
        "invalidExpiry",
        "invalidPriority",
        "invalidText",
        "invalidTime",
        "workspaceNotFound",
    ),
)
async def adjust_credits(call: Call, body: operations.Adjust) -> operations.Adjusted:
    """Correct a balance of credits or tool runs either way, with a reason on the record."""
    author = _author(call, body.workspace_uuid, body)
    correction = Correction(
        unit=_UNITS[body.unit],
        amount=body.amount.nano,
        reason=check_text(body.reason, field="reason", longest=LONGEST_DESCRIPTION),
        key=str(call.ids.new(call.now)),
        expires_at=None if body.expires_at is None else check_time(body.expires_at, field="expiresAt"),
        priority=body.priority,
        allow_negative=body.allow_negative,
    )
    grant = await adjustments.adjust(call.runtime.database, correction, author)
    found = await balances.balances(call.runtime.database, body.workspace_uuid)
    return operations.Adjusted(
        grant=grant_on_wire(body.workspace_uuid, grant) if grant else None,
        balances=[balance_on_wire(balance) for balance in found],
    )


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
        remaining=Credits(grant.remaining),
        expired=Credits(grant.expired),
        source=grant.source,
        priority=grant.priority,
        reason=grant.reason,
        starts_at=grant.starts_at,
        expires_at=grant.expires_at,
        ended_at=grant.ended_at,
        created_at=grant.created_at,
    )


def _author(call: Call, workspace_id: UUID, body: object) -> Author:
    """Who acts on a workspace that the body names."""
    return Author(workspace_id, call.principal.actor, call.request_key(workspace_id, body), call.now, call.ids)


def _expiry(
    given: dt.datetime | UnsetType | None, source: str, settings: Settings, now: dt.datetime
) -> dt.datetime | None:
    """The end that a request names, or the shipped one of the source (rule M13)."""
    if isinstance(given, dt.datetime):
        return check_time(given, field="expiresAt")
    if given is UNSET and source in ("free", "purchase"):
        return now + dt.timedelta(days=settings.free_days if source == "free" else settings.purchase_days)
    return None
