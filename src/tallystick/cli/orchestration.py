"""`tally orchestration`: plays and tools, what they run, runs and batches."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import BaseUrl, OutputFormat, Token, WorkspaceUuid, client_command, connect
from tallystick.cli.discovery import play_app, tool_app
from tallystick.cli.output import Format, Table, listed, print_answer
from tallystick.cli.receipts import add_receipt
from tallystick.cli.root import new_app
from tallystick.cli.waiting import exit_status, follow

if TYPE_CHECKING:
    from tallystick.client.replies import Call

orchestration_app = new_app("Workflows, runs and batches.")
workflow_app = new_app("What plays and tools run.")
run_app = new_app("Single passes of a workflow.")
batch_app = new_app("Runs of a workflow over many records.")
orchestration_app.add_typer(play_app, name="play")
orchestration_app.add_typer(tool_app, name="tool")
orchestration_app.add_typer(workflow_app, name="workflow")
orchestration_app.add_typer(run_app, name="run")
orchestration_app.add_typer(batch_app, name="batch")
add_receipt(run_app)

WorkflowUuid = Annotated[str, typer.Option("--workflow-uuid", help="The play or tool.")]
Wait = Annotated[
    bool, typer.Option("--wait-until-finished", help="Wait for its end; the exit status says how it ended.")
]
IdempotencyKey = Annotated[str | None, typer.Option("--idempotency-key", help="The same key makes it once only.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, max=1000, help="At most so many; else 100.")]
Offset = Annotated[int | None, typer.Option("--offset", min=0, help="After so many.")]

_RUNS: Final = ("uuid", "status", "reason", "batchUuid", "creditsUsedCount", "createdAt", "finishedAt")
_BATCHES: Final = ("uuid", "status", "runsCount", "executedRunsCount", "failedRunsCount", "creditsUsedCount")


def _run_rows(answer: Any) -> list[list[object]]:
    run = answer["run"]
    executions = [[f"node {one['nodeSlug']}", _of_node(one)] for one in run["executions"]]
    return [*([name, run[name]] for name in (*_RUNS, "errorMessage", "output")), *executions]


def _of_node(execution: Mapping[str, Any]) -> str:
    error = execution["errorMessage"]
    credits_used = execution["creditsUsedCount"]
    return f"{execution['status']}, {credits_used} credits{f', {error}' if error else ''}"


def _node_rows(answer: Any) -> list[list[object]]:
    names = ("slug", "kind", "integrationSlug", "actionSlug", "fallbackOnFailure")
    return [[node.get(name) for name in names] for node in answer["workflow"]["nodes"]]


_RUN: Final = Table(("field", "value"), _run_rows)
_NODES: Final = Table(("node", "kind", "integration", "action", "fallback"), _node_rows)


@client_command(workflow_app, "put", table=_NODES)
def put_workflow(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON with nodes, and name, kind, maxSteps and so on.")],
    workflow: Annotated[
        str | None, typer.Option("--workflow-uuid", help="The play or tool, by uuid or key; else the file's `key`.")
    ] = None,
) -> "Call[Any]":
    """Store what a play or tool runs from now on; one that is not there is made.

    \b
    Example:
      tally orchestration workflow put qualify.json --workflow-uuid qualify-lead
    """
    from tallystick.client import orchestration

    definition = _json_of(file.read_text(encoding="utf-8"), str(file))
    if not isinstance(definition, dict):
        raise typer.BadParameter(f"{file} holds no object.", param_hint="FILE")
    key = workflow or definition.get("key")
    if not isinstance(key, str):
        raise typer.BadParameter("name the play or tool, here or as `key` in the file.", param_hint="--workflow-uuid")
    body = {name: value for name, value in definition.items() if name != "key"}
    return orchestration.put_workflow(key, body)


@client_command(workflow_app, "get", table=_NODES)
def get_workflow(
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="The play or tool, by uuid or key.")],
) -> "Call[Any]":
    """Print what a play or tool runs.

    \b
    Example:
      tally orchestration workflow get qualify-lead --format table
    """
    from tallystick.client import orchestration

    return orchestration.workflow(workflow)


@run_app.command("create")
def create_run(
    workflow_uuid: WorkflowUuid,
    data: Annotated[str, typer.Option("--data", metavar="JSON", help="The record, an object; - reads stdin.")] = "{}",
    nodes: Annotated[
        Path | None, typer.Option("--nodes", metavar="FILE", help="JSON list of nodes to run in place of its own.")
    ] = None,
    idempotency_key: IdempotencyKey = None,
    wait_until_finished: Wait = False,
    workspace_uuid: WorkspaceUuid = None,
    token: Token = None,
    base_url: BaseUrl = None,
    format: OutputFormat = Format.json,  # noqa: A002 - the option's name
) -> None:
    """Run a tool on one record, and print the run; refused where the balance is at zero, with exit status 3.

    \b
    Examples:
      tally orchestration run create --workflow-uuid 6e8a2c1e-53a5-4b1f-9a0e-0f3b8a6f1c11 --data '{"name": "Ann"}'
      tally orchestration run create --workflow-uuid 6e8a2c1e-53a5-4b1f-9a0e-0f3b8a6f1c11 --wait-until-finished
    """
    from tallystick.client import orchestration

    record = _json_of(sys.stdin.read() if data == "-" else data, "--data")
    graph = None if nodes is None else _json_of(nodes.read_text(encoding="utf-8"), str(nodes))
    if graph is not None and not isinstance(graph, list):
        raise typer.BadParameter(f"{nodes} holds no list of nodes.", param_hint="--nodes")
    with connect(token=token, base_url=base_url, workspace_uuid=workspace_uuid) as client:
        call = orchestration.create_run(workflow_uuid, record, nodes=graph, idempotency_key=idempotency_key)
        answer = client.send_raw(call)
        if wait_until_finished:
            answer = follow(client, "run", answer)
    print_answer(answer, format, _RUN)
    raise typer.Exit(exit_status("run", answer) if wait_until_finished else 0)


@client_command(run_app, "get", table=_RUN)
def get_run(
    uuid: Annotated[str | None, typer.Argument(metavar="UUID", help="The run.")] = None,
    run_uuid: Annotated[str | None, typer.Option("--run-uuid", help="The same as an option.")] = None,
) -> "Call[Any]":
    """Print a run with its executions, and what its nodes gave.

    \b
    Example:
      tally orchestration run get 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import orchestration

    return orchestration.run(_one(uuid, run_uuid, "--run-uuid"))


@client_command(run_app, "list", table=listed("runs", *_RUNS))
def list_runs(
    workflow_uuid: Annotated[str | None, typer.Option("--workflow-uuid", help="Only of this play or tool.")] = None,
    batch_uuid: Annotated[str | None, typer.Option("--batch-uuid", help="Only of this batch.")] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status", help="Only idle, pending, running, success, error, cancelling, cancelled or skipped ones."
        ),
    ] = None,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print a page of runs, newest first.

    \b
    Example:
      tally orchestration run list --status error --format table
    """
    from tallystick.client import orchestration

    return orchestration.runs(
        workflow_uuid=workflow_uuid, batch_uuid=batch_uuid, status=status, limit=limit, offset=offset
    )


@client_command(run_app, "cancel", table=listed("runs", *_RUNS))
def cancel_run(
    uuids: Annotated[list[str], typer.Argument(metavar="UUID...", help="The runs.")],
) -> "Call[Any]":
    """Cancel runs; one that a runner has is `cancelling` until it lets go.

    \b
    Example:
      tally orchestration run cancel 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import orchestration

    return orchestration.cancel_runs(*uuids)


@batch_app.command("create")
def create_batch(
    workflow_uuid: WorkflowUuid,
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON", help="The records, a list of objects; - reads stdin.")
    ] = None,
    data_file: Annotated[
        Path | None, typer.Option("--data-file", metavar="FILE", help="The records: a JSON list, or one object a line.")
    ] = None,
    idempotency_key: IdempotencyKey = None,
    wait_until_finished: Wait = False,
    workspace_uuid: WorkspaceUuid = None,
    token: Token = None,
    base_url: BaseUrl = None,
    format: OutputFormat = Format.json,  # noqa: A002 - the option's name
) -> None:
    """Run a play or tool on many records, and print the batch.

    \b
    Example:
      tally orchestration batch create --workflow-uuid 6e8a2c1e-53a5-4b1f-9a0e-0f3b8a6f1c11 --data-file leads.jsonl
    """
    from tallystick.client import orchestration

    if (data is None) == (data_file is None):
        raise typer.BadParameter("give the records by --data or by --data-file.", param_hint="--data")
    if data_file is not None:
        records = _records_of(data_file.read_text(encoding="utf-8"), str(data_file))
    else:
        records = _records_of(sys.stdin.read() if data == "-" else data or "", "--data")
    with connect(token=token, base_url=base_url, workspace_uuid=workspace_uuid) as client:
        call = orchestration.create_batch(workflow_uuid, records, idempotency_key=idempotency_key)
        answer = client.send_raw(call)
        if wait_until_finished:
            answer = follow(client, "batch", answer)
    print_answer(answer, format)
    raise typer.Exit(exit_status("batch", answer) if wait_until_finished else 0)


@client_command(batch_app, "get")
def get_batch(
    uuid: Annotated[str | None, typer.Argument(metavar="UUID", help="The batch.")] = None,
    batch_uuid: Annotated[str | None, typer.Option("--batch-uuid", help="The same as an option.")] = None,
) -> "Call[Any]":
    """Print how far a batch is, and what it has cost.

    \b
    Example:
      tally orchestration batch get 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import orchestration

    return orchestration.batch(_one(uuid, batch_uuid, "--batch-uuid"))


@client_command(batch_app, "list", table=listed("batches", *_BATCHES, "createdAt", "finishedAt"))
def list_batches(
    workflow_uuid: Annotated[str | None, typer.Option("--workflow-uuid", help="Only of this play or tool.")] = None,
    status: Annotated[
        str | None,
        typer.Option("--status", help="Only pending, running, success, error, cancelling or cancelled ones."),
    ] = None,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print a page of batches, newest first.

    \b
    Example:
      tally orchestration batch list --format table
    """
    from tallystick.client import orchestration

    return orchestration.batches(workflow_uuid=workflow_uuid, status=status, limit=limit, offset=offset)


@client_command(batch_app, "cancel")
def cancel_batch(
    uuid: Annotated[str, typer.Argument(metavar="UUID", help="The batch.")],
) -> "Call[Any]":
    """Cancel a batch: what has not begun ends at once, runners are asked to let go of the rest.

    \b
    Example:
      tally orchestration batch cancel 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import orchestration

    return orchestration.cancel_batch(uuid)


def _one(given: str | None, option: str | None, name: str) -> str:
    """What is named, as an argument or as an option."""
    found = given or option
    if found is None:
        raise typer.BadParameter("say which one.", param_hint=name)
    return found


def _json_of(text: str, where: str) -> Any:
    """The value of a JSON text, numbers with all their digits."""
    from decimal import Decimal

    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise typer.BadParameter(f"{where} holds no JSON: {error}.", param_hint=where) from None


def _records_of(text: str, where: str) -> list[Any]:
    """A JSON list, or one JSON value a line."""
    if text.lstrip().startswith("["):
        found = _json_of(text, where)
        return list(found)
    return [_json_of(line, where) for line in text.splitlines() if line.strip()]
