"""`tally billing holds | credits`: what is set aside for work that runs, and what the balances have."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.output import Table, listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

holds_app = new_app("Amounts set aside for work that runs.")


def _rows(answer: Any) -> list[list[object]]:
    return [
        [
            hold["id"],
            hold["status"],
            hold["run"] or "",
            *_both(hold["open"]),
            *_both(hold["settled"]),
            hold["expiresAt"],
        ]
        for hold in answer["holds"]
    ]


def _both(amounts: Any) -> list[object]:
    return [amounts["credits"], amounts["toolRuns"]]


_LIST: Final = Table(
    ("id", "status", "run", "credits", "tool runs", "settled credits", "settled tool runs", "expires"), _rows
)
BALANCES: Final = listed("balances", "unit", "granted", "used", "usedPercent", "posted", "held", "available", "state")

Id = Annotated[str, typer.Argument(help="The hold's id, from `tally billing holds list`.")]
IdempotencyKey = Annotated[
    str | None, typer.Option("--idempotency-key", help="Repeating a command with the same key changes nothing more.")
]


def add_commands(app: typer.Typer) -> None:
    """Make them commands of `tally billing`."""
    app.add_typer(holds_app, name="holds")


@client_command(holds_app, "list", table=_LIST)
def list_holds(
    status: Annotated[str | None, typer.Option("--status", help="held, settled, voided or expired.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Only those of this run.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many, 1 to 1,000.")] = None,
    offset: Annotated[int | None, typer.Option("--offset", help="Leave out so many first.")] = None,
) -> "Call[Any]":
    """Print the holds, newest first.

    \b
    Example:
      tally billing holds list --status held --format table
    """
    from tallystick.client import hold_calls

    return hold_calls.holds(status=status, run=run, limit=limit, offset=offset)


@client_command(holds_app, "get")
def get_hold(id: Id) -> "Call[Any]":  # noqa: A002 - the name it has in the help
    """Print one hold, and the balances.

    \b
    Example:
      tally billing holds get 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import hold_calls

    return hold_calls.hold(id)


@client_command(holds_app, "void")
def void_hold(id: Id, idempotency_key: IdempotencyKey = None) -> "Call[Any]":  # noqa: A002 - as above
    """Release a hold whose work will not come, such as one that a lost process left behind.

    \b
    Example:
      tally billing holds void 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import hold_calls

    return hold_calls.void_hold(id, idempotency_key=idempotency_key)


def show_credits() -> "Call[Any]":
    """Print both balances: what was granted and used, what is held, and what is available.

    \b
    Example:
      tally billing credits show --format table
    """
    from tallystick.client import calls

    return calls.balances()
