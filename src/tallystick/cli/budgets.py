"""`tally billing budgets | gate`: the workspace's own caps, and whether something may start."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.output import Table, listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

budgets_app = new_app("The workspace's own caps: per run, day or month.")

_FIELDS: Final = ("name", "uuid", "scope", "subject", "per", "unit", "amount", "spent", "held")


def _gate_rows(answer: Any) -> list[list[object]]:
    return [
        ["allowed", answer["allowed"]],
        *([f"remaining {unit}", left] for unit, left in answer["remaining"].items()),
    ]


_LIST: Final = listed("budgets", *_FIELDS)
_GATE: Final = Table(("field", "value"), _gate_rows)

Uuid = Annotated[str, typer.Argument(help="The budget's UUID, from `tally billing budgets list`.")]
IdempotencyKey = Annotated[
    str | None, typer.Option("--idempotency-key", help="Repeating a command with the same key changes nothing more.")
]


def add_commands(app: typer.Typer) -> None:
    """Make them commands of `tally billing`."""
    app.add_typer(budgets_app, name="budgets")
    client_command(app, "gate", table=_GATE)(gate)


@client_command(budgets_app, "create")
def create_budget(
    name: Annotated[str, typer.Option("--name", help="What it is called; a refusal tells it.")],
    scope: Annotated[str, typer.Option("--scope", help="workspace, project, user, workflow, agent or apiKey.")],
    per: Annotated[str, typer.Option("--per", help="run, day or month (UTC).")],
    amount: Annotated[str, typer.Option("--amount", help="The cap, a decimal with at most nine places.")],
    unit: Annotated[str, typer.Option("--unit", help="credits or toolRuns.")] = "credits",
    subject: Annotated[
        str | None, typer.Option("--subject", help="Whom it caps, by uuid or key, or the API key; else each by itself.")
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Cap what one of a scope, or each of it, may use. What its window holds already counts from the start.

    \b
    Examples:
      tally billing budgets create --name "Runaway runs" --scope workspace --per run --amount 25
      tally billing budgets create --name Writer --scope agent --subject writer --per day --amount 100
    """
    from tallystick.client import budgets

    given: dict[str, Any] = {"scope": scope, "per": per, "unit": unit}
    return budgets.create_budget(name, amount=amount, subject=subject, idempotency_key=idempotency_key, **given)


@client_command(budgets_app, "list", table=_LIST)
def list_budgets(
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many, 1 to 1,000.")] = None,
    offset: Annotated[int | None, typer.Option("--offset", help="Leave out so many first.")] = None,
) -> "Call[Any]":
    """Print the budgets, oldest first, with what the current window of each has spent and held.

    \b
    Example:
      tally billing budgets list --format table
    """
    from tallystick.client import budgets

    return budgets.budgets(limit=limit, offset=offset)


@client_command(budgets_app, "get")
def get_budget(uuid: Uuid) -> "Call[Any]":
    """Print one budget.

    \b
    Example:
      tally billing budgets get 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import budgets

    return budgets.budget(uuid)


@client_command(budgets_app, "change")
def change_budget(
    uuid: Uuid,
    name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    amount: Annotated[str | None, typer.Option("--amount", help="Another cap; how far it is used stays.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Give a budget another name or amount, at once.

    \b
    Example:
      tally billing budgets change 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --amount 250
    """
    from tallystick.client import budgets

    return budgets.change_budget(uuid, name=name, amount=amount, idempotency_key=idempotency_key)


@client_command(budgets_app, "delete")
def delete_budget(uuid: Uuid) -> "Call[Any]":
    """End a budget; it caps nothing any more.

    \b
    Example:
      tally billing budgets delete 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import budgets

    return budgets.delete_budget(uuid)


def gate(
    action: Annotated[str, typer.Option("--action", help="run, tool, deploy or fineTune.")],
    amount: Annotated[str | None, typer.Option("--amount", help="Credits it needs; for a tool, tool runs.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="The run, as its events name it.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="The agent, by uuid or key.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="The play or tool, by uuid or key.")] = None,
    project: Annotated[str | None, typer.Option("--project", help="The project, by uuid or key.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="The end user, by uuid or key.")] = None,
    api_key: Annotated[str | None, typer.Option("--api-key", help="The API key, as events name it.")] = None,
) -> "Call[Any]":
    """Ask whether something may start, without holding; the exit status is 3 when it may not.

    \b
    Examples:
      tally billing gate --action run --amount 2.5 --agent writer
      tally billing gate --action deploy
    """
    from tallystick.client import budgets

    chosen: Any = action
    return budgets.gate(
        chosen,
        amount=amount,
        run=run,
        agent=agent,
        workflow=workflow,
        project=project,
        user=user,
        api_key=api_key,
    )
