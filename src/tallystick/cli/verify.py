"""`tally verify`: every figure that is stored twice, derived again and compared."""

import dataclasses
import datetime as dt
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.database import reached
from tallystick.cli.operator import uuid
from tallystick.cli.root import new_app
from tallystick.cli.server import Home, configured, run

if TYPE_CHECKING:
    from tallystick.domain.differences import Difference, Figure

verify_app = new_app("Compare events, charges, ledger, balances and rollups, and name each difference.")


@verify_app.command("verify")
def verify(
    workspace_uuid: Annotated[str | None, typer.Option("--workspace-uuid", help="Only this workspace.")] = None,
    home: Home = None,
) -> None:
    """Compare events, charges, ledger, balances and rollups, and name each difference by id and amount.

    It reads the database directly, changes nothing, and may run while the server works. The exit status is 1 when
    there is any difference.

    \b
    Example:
      tally verify
    """
    from tallystick.queries import verify as verifying

    wanted = uuid(workspace_uuid, "--workspace-uuid") if workspace_uuid else None
    written = _Written()

    async def work() -> None:
        async with reached(configured(home=home)) as runtime:
            kept = dt.timedelta(days=runtime.settings.hourly_rollup_days)
            checked = verifying.Checked()
            with _Counting(checked) as counting:
                await verifying.verify(
                    runtime.database,
                    written.add,
                    hours_since=runtime.clock.now() - kept,
                    workspace_id=wanted,
                    checked=checked,
                    progress=counting.show,
                )
            written.end(dataclasses.asdict(checked))

    run(work())
    raise typer.Exit(1 if written.count else 0)


class _Written:
    """One JSON object, written as the differences come: there may be more of them than fit into memory."""

    def __init__(self) -> None:
        self.count = 0
        self._begun = time.monotonic()

    def add(self, difference: "Difference") -> None:
        from tallystick.wire.amounts import encode

        sys.stdout.write(",\n" if self.count else '{\n  "differences": [\n')
        shown = {
            "code": difference.code,
            "workspaceUuid": difference.workspace_id,
            "ids": {_camel(name): value for name, value in difference.ids.items()},
            "figures": [_shown(figure) for figure in difference.figures],
        }
        sys.stdout.write(f"    {encode(shown).decode()}")
        self.count += 1

    def end(self, checked: dict[str, int]) -> None:
        from tallystick.wire.amounts import encode

        beginning = "\n  ],\n" if self.count else '{\n  "differences": [],\n'
        clean = "false" if self.count else "true"
        sys.stdout.write(f'{beginning}  "count": {self.count},\n  "checked": {encode(checked).decode()},\n')
        sys.stdout.write(f'  "clean": {clean},\n  "seconds": {time.monotonic() - self._begun:.1f}\n}}\n')
        sys.stdout.flush()


class _Counting:
    """How far the check is, on one line of a terminal."""

    def __init__(self, checked: Any) -> None:
        self._checked = checked
        self._is_terminal = sys.stderr.isatty()

    def __enter__(self) -> "_Counting":
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            sys.stderr.write("\r\033[K")

    def show(self) -> None:
        if self._is_terminal:
            done = self._checked
            sys.stderr.write(f"\rVerifying: {done.workspaces:,} workspaces, {done.events:,} events checked")
            sys.stderr.flush()


def _shown(figure: "Figure") -> dict[str, Any]:
    return {
        "name": _camel(figure.name),
        "expected": _value(figure, figure.expected),
        "found": _value(figure, figure.found),
    }


def _value(figure: "Figure", value: object) -> object:
    """Amounts as decimals with all their digits, everything else in a form that JSON has."""
    from decimal import Decimal

    from tallystick.wire.amounts import Credits

    if figure.nano and isinstance(value, int):
        return Credits(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return value.hex()
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
