"""`tally billing estimate | simulate`: what work will cost, and what it would have cost otherwise."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import BaseUrl, Token, WorkspaceUuid, client_command, connect
from tallystick.cli.output import Table, print_json

if TYPE_CHECKING:
    from tallystick.client import Client
    from tallystick.client.replies import Call

NOT_ENOUGH: Final = 3
_FIGURES: Final = ("mean", "p50", "p90")

WorkflowUuid = Annotated[str | None, typer.Option("--workflow-uuid", help="The play or tool.")]
AgentUuid = Annotated[str | None, typer.Option("--agent-uuid", help="Only past runs that this agent took part in.")]
Records = Annotated[int | None, typer.Option("--records", min=1, help="How many records will be run.")]
SampleData = Annotated[
    Path | None, typer.Option("--sample-data", help="Records to run first: a JSON object, a list of them, or NDJSON.")
]
Samples = Annotated[int | None, typer.Option("--samples", min=1, max=100, help="How many of them to run; else one.")]
First = Annotated[str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="First UTC day of past runs.")]
Last = Annotated[str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="Last UTC day, counted too.")]
By = Annotated[str, typer.Option("--by", help="mean, p50 or p90: the figure that the balance has to cover.")]
Monitor = Annotated[str | None, typer.Option("--monitor", help="Follow this batch to its end instead.")]


def add_commands(app: typer.Typer) -> None:
    """Make them commands of `tally billing`."""
    app.command("estimate")(estimate)
    client_command(app, "simulate", table=Table(("", "before", "after", "saved"), _simulated_rows))(simulate)


def estimate(
    workflow_uuid: WorkflowUuid = None,
    agent_uuid: AgentUuid = None,
    records: Records = None,
    sample_data: SampleData = None,
    samples: Samples = None,
    from_: First = None,
    to: Last = None,
    by: By = "mean",
    monitor: Monitor = None,
    workspace_uuid: WorkspaceUuid = None,
    token: Token = None,
    base_url: BaseUrl = None,
) -> None:
    """Project what so many records will cost, from past runs or from samples, and compare with the balance.

    The exit status is 3 when the balance does not cover it. With --sample-data the samples are really run, and cost
    what they cost. --monitor shows how far a batch is, and its running cost.

    \b
    Examples:
      tally billing estimate --workflow-uuid 6e8a2c1e-53a5-4b1f-9a0e-0f3b8a6f1c11 --records 500
      tally billing estimate --workflow-uuid 6e8a2c1e-53a5-4b1f-9a0e-0f3b8a6f1c11 --records 500 --sample-data rows.jsonl
      tally billing estimate --monitor 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    if by not in _FIGURES:
        raise typer.BadParameter(f"{by!r} is not one of {', '.join(_FIGURES)}.", param_hint="--by")
    if monitor is None and (records is None or (workflow_uuid is None and agent_uuid is None)):
        raise typer.BadParameter("--records and --workflow-uuid or --agent-uuid are needed.", param_hint="--records")
    if sample_data is not None and workflow_uuid is None:
        raise typer.BadParameter("samples need --workflow-uuid.", param_hint="--sample-data")
    rows = _records_of(sample_data, samples or 1) if sample_data is not None else []
    with connect(token=token, base_url=base_url, workspace_uuid=workspace_uuid) as client:
        if monitor is not None:
            status = _follow(client, monitor)
        else:
            runs = _run_samples(client, workflow_uuid or "", rows) if rows else []
            past = {} if runs else {"workflow_uuid": workflow_uuid, "agent_uuid": agent_uuid, "from_": from_, "to": to}
            status = _project(client, runs, past, records or 1, by)
    raise typer.Exit(status)


def simulate(
    run_uuid: Annotated[str | None, typer.Option("--run-uuid", help="One past run.")] = None,
    batch_uuid: Annotated[str | None, typer.Option("--batch-uuid", help="The runs of a batch.")] = None,
    workflow_uuid: Annotated[str | None, typer.Option("--workflow-uuid", help="The runs of a play or tool.")] = None,
    from_: First = None,
    to: Last = None,
    language_model: Annotated[str | None, typer.Option("--language-model", help="Every model call by this.")] = None,
    max_steps: Annotated[
        int | None, typer.Option("--max-steps", min=0, help="At most so many tool calls of an agent in a run.")
    ] = None,
    filter_node: Annotated[
        str | None, typer.Option("--filter-node", help="This filter, by slug or uuid, before everything else.")
    ] = None,
    no_fallback: Annotated[
        bool, typer.Option("--no-fallback", help="Runs end at the first node that failed for good.")
    ] = False,
) -> "Call[Any]":
    """Print what past runs would have cost with one or several levers, and what that saves.

    Runs are one, those of a batch, or those of a workflow, by default of the last 30 days. Nothing is run or charged.

    \b
    Examples:
      tally billing simulate --batch-uuid 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --language-model gpt-4o-mini
      tally billing simulate --workflow-uuid 6e8a2c1e-53a5-4b1f-9a0e-0f3b8a6f1c11 --max-steps 3 --format table
    """
    if sum(one is not None for one in (run_uuid, batch_uuid, workflow_uuid)) != 1:
        raise typer.BadParameter("name one of --run-uuid, --batch-uuid, --workflow-uuid.", param_hint="--run-uuid")
    from tallystick.client import costs
    from tallystick.wire.estimates import Levers

    levers = Levers(
        language_model=language_model, max_steps=max_steps, filter_node=filter_node, no_fallback=no_fallback
    )
    return costs.simulate(levers, run=run_uuid, batch=batch_uuid, workflow_uuid=workflow_uuid, from_=from_, to=to)


def _simulated_rows(answer: Any) -> list[list[object]]:
    found = answer["simulation"]
    rows = [
        [f"{line['category']} {unit}", *(line[name][key] for name in ("before", "after", "saved"))]
        for line in found["lines"]
        for unit, key in (("credits", "credits"), ("tool runs", "toolRuns"))
        if line["before"][key] or line["after"][key]
    ]
    rows += [[f"{one['lever']} alone", "", "", one["saved"]["credits"]] for one in found["levers"]]
    for unit, key in (("tool runs", "toolRuns"), ("credits", "credits")):
        rows.append([f"all {unit}", *(found[name][key] for name in ("before", "after", "saved"))])
    return rows


def _project(client: "Client", runs: list[str], past: dict[str, Any], records: int, by: str) -> int:
    """Print the projection; the exit status."""
    import msgspec

    from tallystick.client import costs
    from tallystick.kernel.errors import TallystickError
    from tallystick.wire.amounts import encode

    call = costs.estimate(runs=runs, records=records, **past)
    raw = client.send_raw(call)
    found = call.decoder.decode(raw)
    if found.projection is None:
        raise TallystickError(
            "noSamples", "There are no past runs to learn from; --sample-data FILE runs some first.", samples=0
        )
    shown: dict[str, Any] = dict(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]))
    if runs:
        shown["sampleRuns"] = runs
    print_json(encode(shown))
    needed = found.projection
    covered = all(getattr(unit.covered, by) for unit in (needed.credits, needed.tool_runs))
    return 0 if covered else NOT_ENOUGH


def _records_of(path: Path, most: int) -> list[Any]:
    """The first records of a file."""
    import msgspec

    text = path.read_bytes()
    try:
        try:
            found = msgspec.json.decode(text)
        except msgspec.DecodeError:
            found = msgspec.json.Decoder().decode_lines(text)
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"{path} holds no JSON: {error}.", param_hint="--sample-data") from None
    rows = found if isinstance(found, list) else [found]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise typer.BadParameter(f"{path} must hold one JSON object or more.", param_hint="--sample-data")
    return rows[:most]


def _run_samples(client: "Client", workflow_uuid: str, rows: list[Any]) -> list[str]:
    """Run the workflow on each record and wait for the end of all; their uuids."""
    from tallystick.cli.waiting import follow
    from tallystick.client import ApiError, orchestration

    try:
        made = [client.send_raw(orchestration.create_run(workflow_uuid, rows[0]))]
    except ApiError as error:
        if error.reason != "playNotCompatible":
            raise
        # A play runs in batches only.
        batch = client.send_raw(orchestration.create_batch(workflow_uuid, rows))
        follow(client, "batch", batch)
        uuid = orchestration.batch("").decoder.decode(batch).batch.uuid
        return [str(run.uuid) for run in client.send(orchestration.runs(batch_uuid=uuid, limit=1000)).runs]
    made += [client.send_raw(orchestration.create_run(workflow_uuid, row)) for row in rows[1:]]
    decoder = orchestration.create_run("", {}).decoder
    for answer in made:
        follow(client, "run", answer)
    return [str(decoder.decode(answer).run.uuid) for answer in made]


def _follow(client: "Client", batch_uuid: str) -> int:
    """Show how far a batch is until it ends, and print it; the exit status."""
    from tallystick.cli.waiting import exit_status, follow
    from tallystick.client import orchestration

    answer = follow(client, "batch", client.send_raw(orchestration.batch(batch_uuid)))
    print_json(answer)
    return exit_status("batch", answer)
