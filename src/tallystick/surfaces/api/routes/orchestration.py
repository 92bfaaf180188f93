"""Workflows, runs and batches: said, asked for, looked at and cancelled (row A13)."""

from typing import Final
from uuid import UUID

from tallystick.domain.identity.rights import BILLING_READ, RESOURCES_READ, RESOURCES_WRITE, RUNS_WRITE
from tallystick.domain.runs.states import check_record, check_records
from tallystick.flows import runs, workflows
from tallystick.kernel.errors import TallystickError
from tallystick.queries import runs as queries
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.surfaces.api.runs import batch_on_wire, raw, run_on_wire, text_of, workflow_on_wire
from tallystick.wire import orchestration as wire

ROUTES = Routes("Orchestration")

_AT: Final = "/v1/orchestration"
_WORKFLOW: Final = f"{_AT}/workflows/{{key:path}}"
_WRITE: Final = requires(RUNS_WRITE)
_READ: Final = requires(RUNS_WRITE, BILLING_READ)
_LARGEST: Final = "request_bytes_max"
_GRAPH: Final = ("invalidData", "nodesNotFound", "rootNodeNotFound")
_REFUSED: Final = ("budgetExceeded", "notEnoughCredits", "pastDue", "runQuotaReached", "trialEnded")


@ROUTES.put(
    _WORKFLOW,
    requires(RESOURCES_WRITE),
    answers={200: wire.WorkflowAnswer, 201: wire.WorkflowAnswer},
    errors=(*_GRAPH, "invalidKey", "resourceKindConflict", "tooManyResources"),
)
async def put_workflow(call: Call, key: str, body: wire.PutWorkflow) -> Reply:
    """Say what a play or tool runs; it is made if it is not there. Sent again, it changes nothing."""
    definition = workflows.Definition(
        nodes=text_of(body.nodes),
        name=body.name,
        kind=body.kind,
        is_enabled=body.is_enabled,
        max_steps=body.max_steps,
        concurrency_limit=body.concurrency_limit,
    )
    stored, made = await workflows.put(
        call.runtime.database, key, definition, workspace_id=call.workspace_id, now=call.now, ids=call.ids
    )
    return Reply(wire.WorkflowAnswer(workflow=workflow_on_wire(stored)), status=201 if made else 200)


@ROUTES.get(
    _WORKFLOW,
    requires(RUNS_WRITE, RESOURCES_READ, BILLING_READ),
    errors=("invalidKey", "nodesNotFound", "workflowNotFound"),
)
async def get_workflow(call: Call, key: str) -> wire.WorkflowAnswer:
    """What a workflow runs."""
    return wire.WorkflowAnswer(
        workflow=workflow_on_wire(await queries.workflow(call.runtime.database, call.workspace_id, key))
    )


@ROUTES.post(
    f"{_AT}/runs",
    _WRITE,
    idempotent=True,
    errors=(*_GRAPH, *_REFUSED, "concurrencyLimitReached", "playNotCompatible", "workflowNotFound"),
)
async def create_run(call: Call, body: wire.CreateRun) -> wire.RunAnswer:
    """Ask for one run of a tool. It waits for a runner, unless the gate refuses it."""
    check_record(body.data)
    new = runs.NewRun(body.workflow_uuid, text_of(body.data), None if body.nodes is None else text_of(body.nodes))
    run_id = await runs.create(
        call.runtime.database,
        new,
        workspace_id=call.workspace_id,
        request=call.request_key(call.workspace_id, body),
        now=call.now,
        ids=call.ids,
    )
    return wire.RunAnswer(run=run_on_wire(await queries.run(call.runtime.database, call.workspace_id, run_id)))


@ROUTES.get(f"{_AT}/runs/{{uuid}}", _READ, errors=("runNotFound",))
async def get_run(call: Call, uuid: UUID) -> wire.RunDetails:
    """One run with its executions, and what its nodes gave."""
    shown = await queries.run(call.runtime.database, call.workspace_id, uuid)
    return wire.RunDetails(
        run=run_on_wire(shown),
        run_context={one.node_slug: raw(one.output) for one in shown.executions if one.output is not None},
        run_computed_configs={
            one.node_slug: raw(one.computed_config) for one in shown.executions if one.computed_config is not None
        },
    )


@ROUTES.post(f"{_AT}/runs/list", _READ, status=200)
async def list_runs(call: Call, body: wire.ListRuns) -> wire.RunsAnswer:
    """A page of the workspace's runs, newest first, those of one batch in its order."""
    found = await queries.runs(
        call.runtime.database,
        call.workspace_id,
        workflow_id=body.workflow_uuid,
        batch_id=body.batch_uuid,
        status=body.status,
        limit=body.limit,
        offset=body.offset,
    )
    return wire.RunsAnswer(runs=[run_on_wire(shown) for shown in found])


@ROUTES.post(f"{_AT}/runs/cancel", _WRITE, status=200, errors=("invalidData", "runNotFound"))
async def cancel_runs(call: Call, body: wire.CancelRuns) -> wire.RunsCancelled:
    """Cancel runs. What no runner has ends at once, a runner is asked to let go, what has ended stays as it is."""
    wanted = list(dict.fromkeys([*([body.uuid] if body.uuid else []), *body.uuids]))
    if not wanted:
        raise TallystickError("invalidData", "Name the runs to cancel by uuid or uuids.", field="uuids")
    await runs.cancel(call.runtime.database, wanted, workspace_id=call.workspace_id, now=call.received_at)
    found = await queries.several(call.runtime.database, call.workspace_id, wanted)
    shown = [run_on_wire(one) for one in found]
    return wire.RunsCancelled(run=shown[0], runs=shown)


@ROUTES.post(
    f"{_AT}/batches",
    _WRITE,
    idempotent=True,
    largest_body=_LARGEST,
    errors=("concurrencyLimitReached", "invalidData", "nodesNotFound", "workflowNotFound", *_REFUSED),
)
async def create_batch(call: Call, body: wire.CreateBatch) -> wire.BatchAnswer:
    """Ask for one run for each record. Each passes the gate when its turn has come, or is skipped, saying why."""
    check_records(body.data)
    batch_id = await runs.create_batch(
        call.runtime.database,
        body.workflow_uuid,
        [text_of(record) for record in body.data],
        workspace_id=call.workspace_id,
        request=call.request_key(call.workspace_id, body),
        now=call.now,
        ids=call.ids,
    )
    return await _batch_answer(call, batch_id)


@ROUTES.get(f"{_AT}/batches/list", _READ)
async def list_batches(call: Call, query: wire.ListBatches) -> wire.BatchesAnswer:
    """A page of the workspace's batches, newest first."""
    found = await queries.batches(
        call.runtime.database,
        call.workspace_id,
        workflow_id=query.workflow_uuid,
        status=query.status,
        limit=query.limit,
        offset=query.offset,
    )
    return wire.BatchesAnswer(batches=[batch_on_wire(shown) for shown in found])


@ROUTES.get(f"{_AT}/batches/{{uuid}}", _READ, errors=("batchNotFound",))
async def get_batch(call: Call, uuid: UUID) -> wire.BatchAnswer:
    """How far a batch is, and what it has cost."""
    return await _batch_answer(call, uuid)


@ROUTES.post(f"{_AT}/batches/{{uuid}}/cancel", _WRITE, status=200, errors=("batchNotFound",))
async def cancel_batch(call: Call, uuid: UUID) -> wire.BatchAnswer:
    """Cancel a batch: what has not begun ends at once, runners are asked to let go of the rest."""
    await runs.cancel_batch(call.runtime.database, uuid, workspace_id=call.workspace_id, now=call.received_at)
    return await _batch_answer(call, uuid)


async def _batch_answer(call: Call, batch_id: UUID) -> wire.BatchAnswer:
    return wire.BatchAnswer(
        batch=batch_on_wire(await queries.batch(call.runtime.database, call.workspace_id, batch_id))
    )
