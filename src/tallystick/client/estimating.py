"""What a run will probably use, from what past ones did. Pure: a run does the I/O."""

import contextlib
from typing import Final
from uuid import UUID

from tallystick.client import costs, hold_calls
from tallystick.client.asking import Rules, Steps, ask
from tallystick.client.delivery import Retrying
from tallystick.client.errors import ApiError
from tallystick.client.leases import CREDITS, TOOL_RUNS

PERCENTILES: Final = ("p50", "p90", "mean")
"""What `estimate` may name instead of an amount."""

_KINDS: Final = {"workflow": ("play", "tool"), "agent": ("agent",)}


def estimate(names: dict[str, str], percentile: str, rules: Rules, retrying: Retrying) -> Steps[dict[str, int]]:
    """Nano-units by unit of past runs of the workflow and agent named; empty where there are none."""
    uuids: dict[str, str] = {}
    for name in _KINDS.keys() & names.keys():
        uuid = yield from _uuid(name, names[name], rules, retrying)
        if uuid is None:
            return {}
        uuids[name] = uuid
    call = costs.estimate(workflow_uuid=uuids.get("workflow"), agent_uuid=uuids.get("agent"))
    answer = yield from ask(call, rules, retrying)
    found = {CREDITS: answer.credits, TOOL_RUNS: answer.tool_runs}
    return {unit: getattr(spread, percentile).nano for unit, spread in found.items() if spread is not None}


def _uuid(name: str, text: str, rules: Rules, retrying: Retrying) -> Steps[str | None]:
    """The UUID of a workflow or agent that is known by its key; None when the server has not seen it yet."""
    with contextlib.suppress(ValueError):
        return str(UUID(text))
    known = rules.uuids.get((name, text))
    if known is not None:
        return known
    for kind in _KINDS[name]:
        try:
            found = (yield from ask(hold_calls.resource(kind, text), rules, retrying)).resource
        except ApiError as error:
            if error.status != 404:
                raise
            continue
        rules.uuids[name, text] = str(found.uuid)
        return str(found.uuid)
    return None
