"""Balances: the figures that widgets, banners and pages share (rule M18)."""

from typing import Final

from tallystick.domain.credits.balances import Shown
from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS
from tallystick.domain.identity.rights import BILLING_READ
from tallystick.flows import due
from tallystick.kernel.credits import NANO
from tallystick.queries import balances
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import billing as wire
from tallystick.wire.amounts import Credits
from tallystick.wire.identity import UnitName

ROUTES = Routes("Balances")

_NAMES: Final[dict[str, UnitName]] = {CREDITS: "credits", TOOL_RUNS: "toolRuns"}
_HUNDREDTH: Final = NANO // 100


@ROUTES.get("/v1/balances", requires(BILLING_READ))
async def get_balances(call: Call) -> wire.BalancesAnswer:
    """Both balances of the workspace: credits, then tool runs."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await balances.balances(call.runtime.database, call.workspace_id)
    return wire.BalancesAnswer(balances=[on_wire(balance) for balance in found])


def on_wire(balance: Shown) -> wire.Balance:
    return wire.Balance(
        unit=_NAMES[balance.unit],
        granted=Credits(balance.granted),
        used=Credits(balance.used),
        used_percent=Credits(balance.used_hundredths * _HUNDREDTH),
        posted=Credits(balance.posted),
        held=Credits(balance.held),
        available=Credits(balance.available),
        state=balance.state,
    )
