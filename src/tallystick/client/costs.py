"""Calls about what runs cost: receipts, refunds, estimates, simulations."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec

from tallystick.client.replies import Call
from tallystick.wire import estimates, receipts
from tallystick.wire.amounts import answer_decoder, encode

_JSON: Final = {"content-type": "application/json"}


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def receipt(run: UUID | str) -> Call[receipts.ReceiptAnswer]:
    """What a run came to, as events name it: every charge with its price and its arithmetic."""
    return Call("GET", f"/v1/runs/{quote(str(run), safe='')}/receipt", _decoder(receipts.ReceiptAnswer))


def refund_run(run: UUID | str, *, reason: str, idempotency_key: str | None = None) -> Call[receipts.RefundAnswer]:
    """For operators: take back every charge of a run that still stands."""
    headers = dict(_JSON)
    if idempotency_key is not None:
        headers["idempotency-key"] = idempotency_key
    body = encode(receipts.RefundRun(reason=reason))
    path = f"/v1/runs/{quote(str(run), safe='')}/refund"
    return Call("POST", path, _decoder(receipts.RefundAnswer), body=body, headers=headers)


def estimate(
    *,
    workflow_uuid: UUID | str | None = None,
    agent_uuid: UUID | str | None = None,
    from_: str | None = None,
    to: str | None = None,
    runs: Sequence[UUID | str] = (),
    records: int | None = None,
) -> Call[estimates.EstimateAnswer]:
    """What past runs came to each, or those that are named; with `records` what so many more will."""
    given = {"workflowUuid": workflow_uuid, "agentUuid": agent_uuid, "from": from_, "to": to, "records": records}
    pairs = [(name, str(value)) for name, value in given.items() if value is not None]
    pairs += [("runs[]", str(run)) for run in runs]
    path = f"/v1/estimates?{urlencode(pairs)}" if pairs else "/v1/estimates"
    return Call("GET", path, _decoder(estimates.EstimateAnswer))


def simulate(
    levers: estimates.Levers | Mapping[str, Any],
    *,
    run: UUID | str | None = None,
    batch: UUID | str | None = None,
    workflow_uuid: UUID | str | None = None,
    from_: str | None = None,
    to: str | None = None,
) -> Call[estimates.SimulationAnswer]:
    """What past runs would have cost with other levers: one run, a batch, or a workflow's between two days."""
    given = {"run": run, "batch": batch, "workflowUuid": workflow_uuid, "from": from_, "to": to}
    body = {name: str(value) for name, value in given.items() if value is not None} | {"levers": levers}
    return Call("POST", "/v1/simulations", _decoder(estimates.SimulationAnswer), body=encode(body), headers=_JSON)
