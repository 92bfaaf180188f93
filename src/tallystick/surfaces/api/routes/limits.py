"""Spending limits of a workspace, set by the operator (rule M16)."""

from typing import Final

from msgspec import UNSET

from tallystick.domain.credits import limits as domain
from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.flows import limits
from tallystick.flows.budgets import Author
from tallystick.queries import limits as queries
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import Guard, requires
from tallystick.wire import operations as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Limits")

_AMOUNTS: Final = ("deploy_threshold", "low_limit", "negative_limit", "fine_tune_minimum")


@ROUTES.get("/v1/limits", requires(BILLING_READ))
async def get_limits(call: Call) -> wire.LimitsAnswer:
    """At which balance new deployments are refused, people are told, and deployments stop."""
    return _on_wire(*await queries.of_workspace(call.runtime.database, call.workspace_id))


@ROUTES.put(
    "/v1/limits", Guard("operator", in_workspace=True), errors=("invalidAmount", "invalidLimits", "invalidText")
)
async def put_limits(call: Call, body: wire.PutLimits) -> wire.LimitsAnswer:
    """Change limits of one workspace: deployThreshold ≥ lowLimit ≥ 0 > negativeLimit."""
    changes: dict[str, int | None] = {}
    for name in (*_AMOUNTS, "comply_seconds"):
        value = getattr(body, name)
        if value is not UNSET:
            changes[name] = value.nano if isinstance(value, Credits) else value
    reason = check_text(body.reason, field="reason", longest=LONGEST_DESCRIPTION)
    author = Author(call.workspace_id, call.principal.actor, None, call.now, call.ids)
    return _on_wire(*await limits.put_own(call.runtime.database, changes, reason, author))


def _on_wire(counting: domain.Limits, own: domain.OwnLimits) -> wire.LimitsAnswer:
    own_amounts = {name: getattr(own, name) for name in _AMOUNTS}
    return wire.LimitsAnswer(
        limits=wire.Limits(
            **{name: Credits(getattr(counting, name)) for name in _AMOUNTS}, comply_seconds=counting.comply_seconds
        ),
        own=wire.OwnLimits(
            **{name: None if value is None else Credits(value) for name, value in own_amounts.items()},
            comply_seconds=own.comply_seconds,
        ),
    )
