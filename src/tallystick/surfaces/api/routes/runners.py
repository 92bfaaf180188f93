"""What a runner asks and reports; any program with `runs:write` may be one (row A13)."""

import datetime as dt
from typing import Final
from uuid import UUID

from tallystick.domain.identity.rights import RUNS_WRITE
from tallystick.domain.runs.states import lease_lost, read_lease
from tallystick.domain.times import check_time
from tallystick.flows import claims
from tallystick.queries import runs as queries
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.surfaces.api.runs import run_on_wire, task_on_wire, text_or_none
from tallystick.wire import orchestration as wire

ROUTES = Routes("Runners")

_AT: Final = "/v1/orchestration/runs"
# An operator's runner works for every workspace: the lease says which.
_RUNNER: Final = requires(RUNS_WRITE, in_workspace=False)
_LARGEST: Final = "request_bytes_max"


@ROUTES.post(f"{_AT}/claim", _RUNNER, status=200)
async def claim_runs(call: Call, body: wire.ClaimRuns) -> wire.ClaimAnswer:
    """For runners: take runs that wait, and those whose runner was lost; an operator's takes any workspace's."""
    leases = await claims.claim(
        call.runtime.database,
        claims.Claimant(body.runner, body.limit, body.lease_seconds),
        workspace_id=call.principal.workspace_id,
        now=call.received_at,
        ids=call.ids,
    )
    tasks: list[wire.Task] = []
    for workspace_id in dict.fromkeys(lease.workspace_id for lease in leases):
        ours = [lease for lease in leases if lease.workspace_id == workspace_id]
        found, releases = await queries.tasks(call.runtime.database, workspace_id, [lease.run_id for lease in ours])
        tasks += [
            task_on_wire(shown, releases[shown.run.release_id], lease) for shown, lease in zip(found, ours, strict=True)
        ]
    return wire.ClaimAnswer(tasks=tasks)


@ROUTES.put(
    f"{_AT}/{{uuid}}/executions/{{execution}}",
    _RUNNER,
    largest_body=_LARGEST,
    errors=(
        "executionNotOpen",
        "invalidData",
        "invalidTime",
        "leaseLost",
        "nodesNotFound",
        "runNotFound",
        "runNotOpen",
    ),
)
async def put_execution(call: Call, uuid: UUID, execution: UUID, body: wire.ReportExecution) -> wire.ExecutionAnswer:
    """For runners: how an execution stands, with its output once it has one. Sent again, it changes nothing."""
    workspace_id, lease = _lease(call, uuid, body.lease)
    told = claims.Report(
        execution_id=execution,
        node_id=body.node_uuid,
        attempt=body.attempt,
        status=body.status,
        title=body.title,
        output=text_or_none(body.output),
        error_message=body.error,
        computed_config=text_or_none(body.computed_config),
        child_index=body.child_index,
        next_node_id=body.next_node_uuid,
        started_at=_instant(body.started_at, "startedAt"),
        finished_at=_instant(body.finished_at, "finishedAt"),
    )
    cancelling = await claims.report(
        call.runtime.database, uuid, lease, told, workspace_id=workspace_id, now=call.received_at
    )
    return wire.ExecutionAnswer(cancelling=cancelling)


@ROUTES.post(f"{_AT}/{{uuid}}/heartbeat", _RUNNER, status=200, errors=("leaseLost", "runNotFound", "runNotOpen"))
async def send_heartbeat(call: Call, uuid: UUID, body: wire.Heartbeat) -> wire.HeartbeatAnswer:
    """For runners: keep the lease of a run."""
    workspace_id, lease = _lease(call, uuid, body.lease)
    cancelling, until = await claims.heartbeat(
        call.runtime.database, uuid, lease, seconds=body.lease_seconds, workspace_id=workspace_id, now=call.received_at
    )
    return wire.HeartbeatAnswer(cancelling=cancelling, lease_expires_at=until)


@ROUTES.post(
    f"{_AT}/{{uuid}}/finish",
    _RUNNER,
    status=200,
    largest_body=_LARGEST,
    errors=("leaseLost", "runNotFound", "runNotOpen"),
)
async def finish_run(call: Call, uuid: UUID, body: wire.FinishRun) -> wire.RunAnswer:
    """For runners: say how a run ended. Sent again, it changes nothing."""
    workspace_id, lease = _lease(call, uuid, body.lease)
    ending = claims.Ending(body.status, body.reason, body.error, text_or_none(body.output))
    await claims.finish(call.runtime.database, uuid, lease, ending, workspace_id=workspace_id, now=call.received_at)
    return wire.RunAnswer(run=run_on_wire(await queries.run(call.runtime.database, workspace_id, uuid)))


def _instant(value: dt.datetime | None, field: str) -> dt.datetime | None:
    return None if value is None else check_time(value, field=field)


def _lease(call: Call, run_id: UUID, text: str) -> tuple[UUID, UUID]:
    """The workspace that a lease is about, if the caller's token may work there, and the lease itself."""
    found = read_lease(text)
    if found is None:
        raise lease_lost(run_id)
    principal = call.principal
    if principal.workspace_id is not None and principal.workspace_id != found[0]:
        raise lease_lost(run_id)
    return principal.within(found[0]).workspace_id or found[0], found[1]
