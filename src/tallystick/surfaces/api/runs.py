"""Workflows, runs and batches as answers; JSON that we only keep goes through as text, every digit as it came."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tallystick.domain.runs.states import Execution, lease_text
from tallystick.domain.runs.workflows import Workflow
from tallystick.flows.claims import Lease
from tallystick.queries.runs import ShownBatch, ShownRun
from tallystick.wire import orchestration as wire
from tallystick.wire.amounts import Credits, answer_decoder, encode

_NODES: Final = answer_decoder(list[wire.Node])


def text_of(value: Any) -> str:
    """A JSON value as text."""
    return encode(value).decode()


def text_or_none(value: Any) -> str | None:
    """The same, None for null."""
    return None if value is None else text_of(value)


def raw(text: str | None) -> Any:
    """JSON text as a part of an answer, every digit as it came."""
    return None if text is None else msgspec.Raw(text.encode())


def workflow_on_wire(workflow: Workflow, nodes: str | None = None) -> wire.WorkflowDefinition:
    return wire.WorkflowDefinition(
        uuid=workflow.id,
        kind="play" if workflow.kind == "play" else "tool",
        name=workflow.name,
        is_enabled=workflow.is_enabled,
        concurrency_limit=workflow.concurrency_limit,
        release_uuid=workflow.release_id,
        version=workflow.version,
        max_steps=workflow.max_steps,
        nodes=_NODES.decode(nodes or workflow.nodes),
        created_at=workflow.created_at,
        updated_at=workflow.updated_at,
    )


def run_on_wire(shown: ShownRun) -> wire.Run:
    run = shown.run
    return wire.Run(
        uuid=run.id,
        workspace_uuid=run.workspace_id,
        workflow_uuid=run.workflow_id,
        release_uuid=run.release_id,
        batch_uuid=run.batch_id,
        status=run.status,  # type: ignore[arg-type]
        reason=run.reason,
        error_message=run.error_message,
        data=raw(run.data),
        nodes=raw(run.nodes),
        output=raw(run.output),
        credits_used_count=Credits(shown.used.credits),
        executions=[_execution(shown, execution) for execution in shown.executions],
        created_at=run.created_at,
        updated_at=run.updated_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
    )


def _execution(shown: ShownRun, execution: Execution) -> wire.Execution:
    return wire.Execution(
        uuid=execution.id,
        node_uuid=execution.node_id,
        node_slug=execution.node_slug,
        node_kind=execution.node_kind,
        node_action_slug=execution.node_action,
        node_child_index=execution.child_index,
        next_node_uuid=execution.next_node_id,
        status=execution.status,  # type: ignore[arg-type]
        attempt=execution.attempt,
        title=execution.title,
        error_message=execution.error_message,
        credits_used_count=Credits(shown.credits_of(execution)),
        started_at=execution.started_at,
        updated_at=execution.updated_at,
        finished_at=execution.finished_at,
    )


def task_on_wire(shown: ShownRun, workflow: Workflow, lease: Lease) -> wire.Task:
    return wire.Task(
        run=run_on_wire(shown),
        workflow=workflow_on_wire(workflow, shown.run.nodes),
        data=raw(shown.run.data),
        executions=_known(shown.executions),
        lease=lease_text(lease.workspace_id, lease.lease),
        lease_expires_at=lease.expires_at,
        clock=lease.clock_at,
    )


def _known(executions: Sequence[Execution]) -> list[wire.TaskExecution]:
    return [
        wire.TaskExecution(
            uuid=one.id,
            node_uuid=one.node_id,
            attempt=one.attempt,
            status=one.status,  # type: ignore[arg-type]
            output=raw(one.output),
            error=one.error_message,
            started_at=one.started_at,
            finished_at=one.finished_at,
        )
        for one in executions
    ]


def batch_on_wire(shown: ShownBatch) -> wire.Batch:
    batch = shown.batch
    return wire.Batch(
        uuid=batch.id,
        workspace_uuid=batch.workspace_id,
        workflow_uuid=batch.workflow_id,
        release_uuid=batch.release_id,
        status=batch.status,  # type: ignore[arg-type]
        runs_status="unhealthy" if batch.failed else "healthy",
        runs_count=batch.runs,
        executed_runs_count=batch.executed,
        failed_runs_count=batch.failed,
        skipped_runs_count=batch.skipped,
        cancelled_runs_count=batch.cancelled,
        credits_used_count=Credits(shown.credits),
        reason=batch.reason,
        error_message=batch.error_message,
        created_at=batch.created_at,
        updated_at=batch.updated_at,
        started_at=batch.started_at,
        finished_at=batch.finished_at,
    )
