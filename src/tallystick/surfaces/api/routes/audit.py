"""The audit log: every change of money or rights, with who, when and why."""

import datetime as dt

from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.texts import check_text
from tallystick.domain.times import check_time
from tallystick.queries import audit
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import operations as wire

ROUTES = Routes("Audit log")


@ROUTES.get("/v1/audit", requires(BILLING_READ, in_workspace=False), errors=("invalidText", "invalidTime"))
async def list_audit_entries(call: Call, query: wire.AuditQuery) -> wire.AuditAnswer:
    """A page of the log, the newest entry first; an operator who names no workspace sees that of all."""
    wanted = audit.Wanted(
        action=_text(query.action, "action"),
        actor=_text(query.actor, "actor"),
        since=_instant(query.since, "since"),
        until=_instant(query.until, "until"),
    )
    found = await audit.entries(
        call.runtime.database, call.principal.workspace_id, wanted, limit=query.limit, offset=query.offset
    )
    return wire.AuditAnswer(
        entries=[
            wire.AuditEntry(
                uuid=entry.id,
                workspace_uuid=entry.workspace_id,
                at=entry.at,
                actor=entry.actor,
                action=entry.action,
                reason=entry.reason,
                details=dict(entry.details),
            )
            for entry in found
        ]
    )


def _text(given: str | None, field: str) -> str | None:
    return None if given is None else check_text(given, field=field)


def _instant(given: dt.datetime | None, field: str) -> dt.datetime | None:
    return None if given is None else check_time(given, field=field)
