"""The `tally` command. This module and `root` are all that `tally --help` loads beside Typer: keep them light.

Whatever happens becomes an exit status, and a JSON object on stdout where something failed: 0 done, 1 failed or
refused, 2 wrong usage, 3 not enough, 4 server unreachable.
"""

import os
import sys
from typing import Final

import typer

from tallystick.cli.root import root_command

FAILED: Final = 1
USAGE: Final = 2


def run() -> None:
    """The entry point of the installed command."""
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone (`tally … | head`): nothing is wrong and nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILED
    sys.exit(status)


def main(arguments: list[str]) -> int:
    """Run one command; the exit status."""
    try:
        status = root_command().main(arguments, prog_name="tally", standalone_mode=False)
    except typer.Abort:
        return FAILED
    except typer.TyperException as error:
        return _tell_usage(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence of a command line
        if _is_broken_pipe(error):
            raise BrokenPipeError from None
        return _tell(error)
    return status if isinstance(status, int) else 0


def _is_broken_pipe(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return error.subgroup(BrokenPipeError) is not None
    return isinstance(error, BrokenPipeError)


def _tell_usage(error: typer.TyperException) -> int:
    """Usage text for people on stderr, the object for programs on stdout."""
    show = getattr(error, "show", None)
    if show is not None:
        show(sys.stderr)
    message = error.format_message().strip() if type(error).__name__ != "NoArgsIsHelpError" else "Missing command."
    from tallystick.cli.failures import print_error

    print_error(message, "usage", {})
    return USAGE


def _tell(error: Exception) -> int:
    from tallystick.cli.failures import tell

    return tell(error)


if __name__ == "__main__":
    run()
