"""`tally billing banners | widget`: what a platform shows on top of its pages."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.output import Table, listed

if TYPE_CHECKING:
    from tallystick.client.replies import Call

_BANNERS: Final = listed("banners", "id", "kind", "unit", "percent", "removable", "message")


def _widget_rows(answer: Any) -> list[list[object]]:
    widget = answer["widget"]
    figures = ("remaining", "total", "used", "usedPercent", "held", "state", "expiresAt")
    return [[name, *(widget[name][figure] for figure in figures)] for name in ("credits", "toolRuns")]


_WIDGET: Final = Table(("balance", "remaining", "total", "used", "usedPercent", "held", "state", "ends"), _widget_rows)


def add_commands(app: typer.Typer) -> None:
    """Make them commands of `tally billing`."""
    client_command(app, "banners", table=_BANNERS)(banners)
    client_command(app, "widget", table=_WIDGET)(widget)


def banners(
    dismiss: Annotated[str | None, typer.Option("--dismiss", metavar="ID", help="Put this one away first.")] = None,
) -> "Call[Any]":
    """Print the current banners that you did not put away, the most pressing first.

    \b
    Examples:
      tally billing banners --format table
      tally billing banners --dismiss credits.50.1
    """
    from tallystick.client import operations

    return operations.banners() if dismiss is None else operations.dismiss_banner(dismiss)


def widget() -> "Call[Any]":
    """Print what the credit-usage widget shows.

    \b
    Example:
      tally billing widget --format table
    """
    from tallystick.client import operations

    return operations.widget()
