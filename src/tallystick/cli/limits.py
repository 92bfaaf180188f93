"""`tally limits`: at which balance deployments are refused, people are told, and deployments stop."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.output import Table
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

limits_app = new_app("Spending limits of a workspace.")


def _rows(answer: Any) -> list[list[object]]:
    return [
        [name, value, "installation" if answer["own"][name] is None else "workspace"]
        for name, value in answer["limits"].items()
    ]


_TABLE = Table(("limit", "value", "of"), _rows)


@client_command(limits_app, "get", table=_TABLE)
def get_limits() -> "Call[Any]":
    """Print the limits that count for the workspace, and which of them are its own.

    \b
    Example:
      tally limits get --format table
    """
    from tallystick.client import operations

    return operations.limits()


@client_command(limits_app, "set", table=_TABLE, as_operator=True)
def set_limits(
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")],
    deploy_threshold: Annotated[
        str | None, typer.Option("--deploy-threshold", help="Credits below which new deployments are refused.")
    ] = None,
    low_limit: Annotated[
        str | None, typer.Option("--low-limit", help="Credits at which people are told that deployments go on.")
    ] = None,
    negative_limit: Annotated[
        str | None, typer.Option("--negative-limit", help="Credits, below zero, at which deployments stop.")
    ] = None,
    fine_tune_minimum: Annotated[
        str | None, typer.Option("--fine-tune-minimum", help="Credits of which a fine-tuning job needs more.")
    ] = None,
    comply_seconds: Annotated[
        str | None, typer.Option("--comply-seconds", help="Seconds that the platform has for stopping.")
    ] = None,
) -> "Call[Any]":
    """For operators: change limits of one workspace; `default` leaves one to the installation.

    \b
    Examples:
      tally limits set --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --negative-limit -50 --reason "contract"
      tally limits set --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --negative-limit default --reason "ended"
    """
    from tallystick.client import operations

    return operations.put_limits(
        reason=reason,
        deploy_threshold=_given(deploy_threshold),
        low_limit=_given(low_limit),
        negative_limit=_given(negative_limit),
        fine_tune_minimum=_given(fine_tune_minimum),
        comply_seconds=_seconds(comply_seconds),
    )


def _given(text: str | None) -> Any:
    from msgspec import UNSET

    return UNSET if text is None else None if text == "default" else text


def _seconds(text: str | None) -> Any:
    given = _given(text)
    if not isinstance(given, str):
        return given
    if not given.isdecimal():
        raise typer.BadParameter(f"{given!r} is not a whole number.", param_hint="--comply-seconds")
    return int(given)
