"""`tally audit`: who changed what of money and rights, when and why."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.access import instant
from tallystick.cli.commands import client_command
from tallystick.cli.output import listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

audit_app = new_app("The audit log: every change of money or rights.")

_ENTRIES: Final = listed("entries", "at", "actor", "action", "reason", "workspaceUuid")


@audit_app.callback()
def audit() -> None:
    pass


@client_command(audit_app, "list", table=_ENTRIES)
def list_entries(
    action: Annotated[
        str | None, typer.Option("--action", help="Whole, as credits.adjusted, or what stands before its dot.")
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Who did it, as entries name them.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="From this instant on.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before this instant.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many, 1 to 1,000.")] = None,
    offset: Annotated[int | None, typer.Option("--offset", help="Leave out so many first.")] = None,
) -> "Call[Any]":
    """Print a page of the log, the newest entry first; for an operator who names no workspace, of all of them.

    \b
    Example:
      tally audit list --action credits --since 2026-03-01T00:00:00Z --format table
    """
    from tallystick.client import operations

    return operations.audit_entries(
        action=action,
        actor=actor,
        since=instant(since, "--since"),
        until=instant(until, "--until"),
        limit=limit,
        offset=offset,
    )
