"""`tally clock | jobs`: the time of workspaces with a test clock, and how background work goes."""

import datetime as dt
import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.access import instant
from tallystick.cli.commands import BaseUrl, OutputFormat, Token, client_command, connect
from tallystick.cli.operator import uuid
from tallystick.cli.output import Format, listed, print_answer
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

clock_app = new_app("For operators: test clocks, on which a workspace's months pass in seconds.")
jobs_app = new_app("For operators: the background work, and what waits for it.")

_JOBS: Final = listed("jobs", "name", "late", "running", "everySeconds", "wellAt", "failures", "done", "error")
_AT_ONCE: Final = dt.timedelta(days=180)
"""How far one request moves a clock: ten years may take a minute, longer than clients and proxies wait."""
_SPAN: Final = re.compile(r"\+(?P<count>\d{1,9})(?P<unit>[wdhms])")
_UNITS: Final = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}

Whose = Annotated[str, typer.Option("--workspace-uuid", help="Workspace whose clock it is.")]


@client_command(clock_app, "get", as_operator=True)
def get_clock(workspace_uuid: Whose) -> "Call[Any]":
    """Print what time it is for a workspace.

    \b
    Example:
      tally clock get --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import calls

    return calls.clock(uuid(workspace_uuid, "--workspace-uuid"))


@clock_app.command("advance")
def advance_clock(
    to: Annotated[str, typer.Argument(help="Instant with a zone, or by how much: +31d, +12h, +90m, +30s, +2w.")],
    workspace_uuid: Whose,
    token: Token = None,
    base_url: BaseUrl = None,
    format: OutputFormat = Format.json,  # noqa: A002 - the option's name
) -> None:
    """Move a test clock forward; what is due until then happens in order of time.

    Where it was cut off, the same instant again goes on.

    \b
    Examples:
      tally clock advance +31d --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e
      tally clock advance 2026-05-01T00:00:00Z --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import calls

    whose = uuid(workspace_uuid, "--workspace-uuid")
    span = _span(to)
    target = None if span is not None else instant(to, "TO")
    with connect(token=token, base_url=base_url, workspace_uuid=None, as_operator=True) as client:
        at = client.send(calls.clock(whose)).clock.at
        if span is not None:
            target = _after(at, span, to)
        if target is None:
            raise AssertionError("either is given")
        while at + _AT_ONCE < target:
            at = client.send(calls.advance_clock(whose, at + _AT_ONCE)).clock.at
        answer = client.send_raw(calls.advance_clock(whose, target))
    print_answer(answer, format, None, {})


def _span(text: str) -> dt.timedelta | None:
    """By how much, None for an instant. Wrong usage when it begins like one and is none."""
    if not text.startswith("+"):
        return None
    found = _SPAN.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no span of time such as +31d, +12h, +90m, +30s or +2w.", param_hint="TO")
    try:
        return dt.timedelta(**{_UNITS[found["unit"]]: int(found["count"])})
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long.", param_hint="TO") from None


def _after(at: dt.datetime, span: dt.timedelta, text: str) -> dt.datetime:
    try:
        return at + span
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long.", param_hint="TO") from None


@jobs_app.callback()
def jobs() -> None:
    pass


@client_command(jobs_app, "list", table=_JOBS, as_operator=True)
def list_jobs() -> "Call[Any]":
    """Print the background work there is: how each job goes, and which is late.

    \b
    Example:
      tally jobs list --format table
    """
    from tallystick.client import calls

    return calls.jobs()
