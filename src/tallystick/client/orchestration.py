"""Calls about workflows, runs and batches, and those of a runner."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import msgspec

from tallystick.client.replies import Call
from tallystick.wire import orchestration as wire
from tallystick.wire.amounts import answer_decoder, encode

T = TypeVar("T")

_AT: Final = "/v1/orchestration"


def put_workflow(workflow: UUID | str, definition: wire.PutWorkflow | Mapping[str, Any]) -> Call[wire.WorkflowAnswer]:
    """Say what a play or tool, named by uuid or key, runs from now on."""
    return _call("PUT", f"/workflows/{quote(str(workflow), safe='')}", wire.WorkflowAnswer, definition)


def workflow(workflow: UUID | str) -> Call[wire.WorkflowAnswer]:
    """What a workflow runs, by its uuid or key."""
    return _call("GET", f"/workflows/{quote(str(workflow), safe='')}", wire.WorkflowAnswer)


def create_run(
    workflow_uuid: UUID | str,
    data: Mapping[str, Any],
    *,
    nodes: Sequence[Any] | None = None,
    idempotency_key: str | None = None,
) -> Call[wire.RunAnswer]:
    """Ask for one run of a tool; with `nodes` it runs those. Refused with 402 where the gate says no."""
    body: dict[str, Any] = {"workflowUuid": str(workflow_uuid), "data": data}
    if nodes is not None:
        body["nodes"] = list(nodes)
    return _call("POST", "/runs", wire.RunAnswer, body, idempotency_key=idempotency_key)


def run(uuid: UUID | str) -> Call[wire.RunDetails]:
    """One run with its executions, and what its nodes gave."""
    return _call("GET", f"/runs/{quote(str(uuid), safe='')}", wire.RunDetails)


def runs(
    *,
    workflow_uuid: UUID | str | None = None,
    batch_uuid: UUID | str | None = None,
    status: str | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Call[wire.RunsAnswer]:
    """A page of the workspace's runs, newest first."""
    given = {"workflowUuid": workflow_uuid, "batchUuid": batch_uuid, "status": status, "limit": limit, "offset": offset}
    return _call("POST", "/runs/list", wire.RunsAnswer, {name: v for name, v in given.items() if v is not None})


def cancel_runs(*uuids: UUID | str) -> Call[wire.RunsCancelled]:
    """Cancel runs; one that a runner has is `cancelling` until it lets go."""
    return _call("POST", "/runs/cancel", wire.RunsCancelled, {"uuids": [str(uuid) for uuid in uuids]})


def create_batch(
    workflow_uuid: UUID | str, data: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None
) -> Call[wire.BatchAnswer]:
    """Ask for one run for each record."""
    body = {"workflowUuid": str(workflow_uuid), "data": list(data)}
    return _call("POST", "/batches", wire.BatchAnswer, body, idempotency_key=idempotency_key)


def batch(uuid: UUID | str) -> Call[wire.BatchAnswer]:
    """How far a batch is, and what it has cost."""
    return _call("GET", f"/batches/{quote(str(uuid), safe='')}", wire.BatchAnswer)


def batches(
    *,
    workflow_uuid: UUID | str | None = None,
    status: str | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Call[wire.BatchesAnswer]:
    """A page of the workspace's batches, newest first."""
    given = {"workflowUuid": workflow_uuid, "status": status, "limit": limit, "offset": offset}
    query = {name: str(value) for name, value in given.items() if value is not None}
    return Call("GET", f"{_AT}/batches/list", _decoder(wire.BatchesAnswer), query=query)


def cancel_batch(uuid: UUID | str) -> Call[wire.BatchAnswer]:
    """Cancel what has not begun, and ask runners to let go of the rest."""
    return _call("POST", f"/batches/{quote(str(uuid), safe='')}/cancel", wire.BatchAnswer)


def claim_runs(runner: str, *, limit: int = 1, lease_seconds: int = 60) -> Call[wire.ClaimAnswer]:
    """For runners: take runs that wait, or whose runner was lost; an operator's token takes any workspace's."""
    body = wire.ClaimRuns(runner=runner, limit=limit, lease_seconds=lease_seconds)
    return _call("POST", "/runs/claim", wire.ClaimAnswer, body)


def report_execution(
    run_uuid: UUID | str, execution_uuid: UUID | str, report: wire.ReportExecution
) -> Call[wire.ExecutionAnswer]:
    """For runners: how an execution stands; `cancelling` asks the runner to stop."""
    path = f"/runs/{quote(str(run_uuid), safe='')}/executions/{quote(str(execution_uuid), safe='')}"
    return _call("PUT", path, wire.ExecutionAnswer, report)


def send_heartbeat(run_uuid: UUID | str, lease: str, *, lease_seconds: int = 60) -> Call[wire.HeartbeatAnswer]:
    """For runners: keep the lease; `cancelling` asks the runner to stop."""
    body = wire.Heartbeat(lease=lease, lease_seconds=lease_seconds)
    return _call("POST", f"/runs/{quote(str(run_uuid), safe='')}/heartbeat", wire.HeartbeatAnswer, body)


def finish_run(run_uuid: UUID | str, ending: wire.FinishRun) -> Call[wire.RunAnswer]:
    """For runners: say how a run ended, and give up its lease."""
    return _call("POST", f"/runs/{quote(str(run_uuid), safe='')}/finish", wire.RunAnswer, ending)


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _call(
    method: str, path: str, shape: type[T], body: object = None, *, idempotency_key: str | None = None
) -> Call[T]:
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    if body is None:
        return Call(method, f"{_AT}{path}", _decoder(cast(Any, shape)), headers=headers)
    headers["content-type"] = "application/json"
    return Call(method, f"{_AT}{path}", _decoder(cast(Any, shape)), body=encode(body), headers=headers)
