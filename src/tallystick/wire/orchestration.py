"""Workflows, runs, executions and batches on the wire, and what a runner says and is told."""

import datetime as dt
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Page, Wire

RunStatus = Literal["idle", "pending", "running", "success", "error", "cancelling", "cancelled", "skipped"]
BatchStatus = Literal["pending", "running", "success", "error", "cancelling", "cancelled"]
ExecutionStatus = Literal["running", "success", "error", "cancelled", "skipped"]
FinishedStatus = Literal["success", "error", "cancelled", "skipped"]
NodeKind = Literal["native", "connector", "tool", "agent"]
WorkflowKind = Literal["play", "tool"]

Slug = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Text = Annotated[str, msgspec.Meta(max_length=2_000)]
LeaseSeconds = Annotated[int, msgspec.Meta(ge=1, le=3_600)]


class NodeRetry(Wire):
    """How often a failed node is tried in all; `initialInterval` in milliseconds, then times `backoffCoefficient`."""

    maximum_attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    initial_interval: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] = 1_000
    backoff_coefficient: Annotated[float, msgspec.Meta(ge=1, le=100)] = 2.0


class Node(Wire):
    """One node of a workflow. Its output goes to each of `childrenUuids`.

    When it has failed for good, `fallbackOnFailure` false ends the run in `error`; true goes on to `fallbackChildUuid`,
    or to the children where none is named.
    """

    uuid: UUID
    slug: Slug
    kind: NodeKind
    action_slug: Slug | None = None
    integration_slug: Slug | None = None
    connector_uuid: UUID | None = None
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    children_uuids: list[UUID] = msgspec.field(default_factory=list)
    fallback_on_failure: bool = False
    fallback_child_uuid: UUID | None = None
    retry: NodeRetry | None = None


class PutWorkflow(Wire, forbid_unknown_fields=True):
    """What a play or tool runs from now on; a run that was made before keeps the nodes it was made with.

    `maxSteps` bounds the tool calls of an agent in one run; `concurrencyLimit` is how many runs may go on at once, null
    for any number. While `isEnabled` is false, runs wait. `name`, `kind` (a new one is a tool) and `isEnabled` stay as
    they are where they are left out.
    """

    nodes: list[Node]
    name: Slug | None = None
    kind: WorkflowKind | None = None
    is_enabled: bool | None = None
    max_steps: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    concurrency_limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None


class WorkflowDefinition(Wire):
    """A workflow with its newest release; `releaseUuid` changes with `nodes` and `maxSteps`."""

    uuid: UUID
    kind: WorkflowKind
    name: str
    is_enabled: bool
    concurrency_limit: int | None
    release_uuid: UUID
    version: int
    max_steps: int | None
    nodes: list[Node]
    created_at: dt.datetime
    updated_at: dt.datetime


class WorkflowAnswer(Wire):
    workflow: WorkflowDefinition


class CreateRun(Wire):
    """`data` is the record, an object; `nodes` run in place of the workflow's own."""

    workflow_uuid: UUID
    data: Any = msgspec.field(default_factory=dict)
    nodes: list[Node] | None = None


class Execution(Wire):
    """One node in one run. `creditsUsedCount` is what its provider cost: executions and storage are not in it."""

    uuid: UUID
    node_uuid: UUID
    node_slug: str
    node_kind: str
    node_action_slug: str | None
    node_child_index: int | None
    next_node_uuid: UUID | None
    status: ExecutionStatus
    attempt: int
    title: str
    error_message: str | None
    credits_used_count: Credits
    started_at: dt.datetime | None
    updated_at: dt.datetime
    finished_at: dt.datetime | None


class Run(Wire, kw_only=True):
    """`idle` waits for its turn in a batch, `pending` for a runner. `reason` says why it was skipped, or failed.

    `creditsUsedCount` is everything charged for the run. `nodes` is null unless the run was made with its own. What has
    no use yet holds its empty value.
    """

    uuid: UUID
    workspace_uuid: UUID
    workflow_uuid: UUID
    release_uuid: UUID
    batch_uuid: UUID | None
    status: RunStatus
    reason: str | None
    error_message: str | None
    data: Any
    nodes: Any
    output: Any
    credits_used_count: Credits
    executions: list[Execution]
    user_uuid: UUID | None = None
    record_id: str | None = None
    record_title: str | None = None
    context_s3_filename: str | None = msgspec.field(default=None, name="contextS3Filename")
    computed_configs_s3_filename: str | None = msgspec.field(default=None, name="computedConfigsS3Filename")
    trace_uuid: UUID | None = None
    parent_uuid: UUID | None = None
    parent_node_uuid: UUID | None = None
    parent_batch_uuid: UUID | None = None
    parent_agent_uuid: UUID | None = None
    parent_chat_uuid: UUID | None = None
    parent_message_uuid: UUID | None = None
    is_group_parent: bool = False
    created_at: dt.datetime
    updated_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    deleted_at: dt.datetime | None = None


class RunAnswer(Wire):
    run: Run


class RunDetails(Wire):
    """`runContext` is the output of each node by its slug, `runComputedConfigs` what its config came to."""

    run: Run
    run_context: dict[str, Any]
    run_computed_configs: dict[str, Any]


class ListRuns(Page):
    """Runs of the workspace, newest first, that fit everything that is given."""

    workflow_uuid: UUID | None = None
    batch_uuid: UUID | None = None
    status: RunStatus | None = None


class RunsAnswer(Wire):
    runs: list[Run]


class CancelRuns(Wire):
    """One run or several."""

    uuid: UUID | None = None
    uuids: Annotated[list[UUID], msgspec.Meta(max_length=1_000)] = msgspec.field(default_factory=list)


class RunsCancelled(Wire):
    """The runs as they are now; one that a runner has is `cancelling` until it lets go. `run` is the first of them."""

    run: Run
    runs: list[Run]


class CreateBatch(Wire):
    """One run of the workflow for each record of `data`."""

    workflow_uuid: UUID
    data: Any = msgspec.field(default_factory=list)


class Batch(Wire):
    """`executedRunsCount` counts the runs that have ended, however; `failedRunsCount` those of them in `error`.

    `creditsUsedCount` is everything charged for its runs. `reason` and `errorMessage` say why runs were skipped.
    """

    uuid: UUID
    workspace_uuid: UUID
    workflow_uuid: UUID
    release_uuid: UUID
    status: BatchStatus
    runs_status: Literal["healthy", "unhealthy"]
    runs_count: int
    executed_runs_count: int
    failed_runs_count: int
    skipped_runs_count: int
    cancelled_runs_count: int
    credits_used_count: Credits
    reason: str | None
    error_message: str | None
    created_at: dt.datetime
    updated_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


class BatchAnswer(Wire):
    batch: Batch


class ListBatches(Page):
    """Batches of the workspace, newest first, that fit everything that is given."""

    workflow_uuid: UUID | None = None
    status: BatchStatus | None = None


class BatchesAnswer(Wire):
    batches: list[Batch]


class ClaimRuns(Wire):
    """A runner asks for work: at most `limit` runs, each its own for `leaseSeconds` unless it sends a heartbeat."""

    runner: Slug
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    lease_seconds: LeaseSeconds = 60


class TaskExecution(Wire):
    """What an earlier holder of the run reported of a node; `running`: it was never told how it ended."""

    uuid: UUID
    node_uuid: UUID
    attempt: int
    status: ExecutionStatus
    output: Any
    error: str | None
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


class Task(Wire):
    """A run to execute. `workflow` holds the nodes to run. Every report names `lease`, which nobody else has. With a
    `clock`, that of its workspace, usage is reported at that time."""

    run: Run
    workflow: WorkflowDefinition
    data: Any
    executions: list[TaskExecution]
    lease: str
    lease_expires_at: dt.datetime
    clock: dt.datetime | None = None


class ClaimAnswer(Wire):
    tasks: list[Task]


class ReportExecution(Wire):
    """How an execution stands; sent again it changes nothing. A higher `attempt` begins it anew."""

    node_uuid: UUID
    status: ExecutionStatus
    lease: str
    attempt: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    title: Text = ""
    output: Any = None
    error: Text | None = None
    computed_config: dict[str, Any] | None = None
    child_index: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    next_node_uuid: UUID | None = None
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None


class ExecutionAnswer(Wire):
    """`cancelling`: stop, and finish the run as `cancelled`."""

    cancelling: bool


class Heartbeat(Wire):
    """The runner is still at it: its lease lasts `leaseSeconds` from now."""

    lease: str
    lease_seconds: LeaseSeconds = 60


class HeartbeatAnswer(Wire):
    """`cancelling`: stop, and finish the run as `cancelled`."""

    cancelling: bool
    lease_expires_at: dt.datetime


class FinishRun(Wire):
    """How the run ended. `reason` is a code, such as that of the gate that refused it; `error` a sentence."""

    status: FinishedStatus
    lease: str
    reason: Slug | None = None
    error: Text | None = None
    output: Any = None
