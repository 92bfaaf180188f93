"""The gate: may this start? Asked without holding (rows B2, E1; rules M10, M12, M16)."""

from typing import Final

from tallystick.domain.credits.gates import REASONS
from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS
from tallystick.domain.identity.rights import BILLING_READ, HOLDS_WRITE
from tallystick.flows import due
from tallystick.kernel.credits import NANO, parse_credits
from tallystick.queries import standing
from tallystick.queries.standing import Asked, Situation
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import holds as wire
from tallystick.wire.amounts import Credits
from tallystick.wire.identity import UnitName

ROUTES = Routes("Gates")

_NAMES: Final[dict[str, UnitName]] = {CREDITS: "credits", TOOL_RUNS: "toolRuns"}


@ROUTES.get("/v1/gate", requires(HOLDS_WRITE, BILLING_READ), errors=(*REASONS, "invalidAmount", "invalidKey"))
async def get_gate(call: Call, query: wire.GateQuery) -> wire.GateAnswer:
    """Whether a run, a tool call, a deployment or a fine-tuning job may start; 402 says what stands in its way.

    Nothing is set aside: two who ask at once may both be told yes, where a hold is given to one. `amount` is in
    credits, for a tool in tool runs; what else is named says which budgets stand over it.
    """
    default = NANO if query.action == "tool" else 0
    amount = default if query.amount is None else parse_credits(query.amount)
    asked = Asked(query.run, query.agent, query.workflow, query.project, query.user, query.api_key)
    found = await _situation(call, asked)
    if found.is_due:
        await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
        found = await _situation(call, asked)
    found.decide(query.action, amount).check()
    return wire.GateAnswer(
        allowed=True,
        reason=None,
        message="",
        details={},
        remaining={_NAMES[unit]: Credits(funds.posted - funds.held) for unit, funds in sorted(found.funds.items())},
    )


async def _situation(call: Call, asked: Asked) -> Situation:
    runtime = call.runtime
    return await standing.situation(runtime.database, call.workspace_id, now=call.now, asked=asked)
