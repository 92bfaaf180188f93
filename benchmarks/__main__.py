"""`python -m benchmarks [NAME…]`: measure all, or those named, one line a figure and a JSON file each."""

import argparse
import importlib
import os
import sys

NAMES = ("ingest", "holds", "usage", "verify", "invoices", "start", "help")
"""Each is a module with `run(events)`."""
EVENTS = 3_000_000
LARGEST = {"verify": 1_000_000}
"""What is enough for a figure, or what its bar asks for."""


def main(arguments: list[str]) -> int:
    """Exit status 0 when everything could be measured, whatever the figures say; 1 when something failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure speed.", epilog="BENCH_EVENTS sets the volume."
    )
    # Not as choices: argparse would refuse an empty list.
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; all when none is given")
    names = parser.parse_args(arguments).names or list(NAMES)
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    events = int(os.environ.get("BENCH_EVENTS", EVENTS))
    if events < 1_000:
        parser.error("BENCH_EVENTS must be at least 1000")
    failed = [name for name in names if not _measured(name, min(events, LARGEST.get(name, events)))]
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measured(name: str, events: int) -> bool:
    """Whether it could be measured; a failure is told and does not keep the others from being measured."""
    try:
        importlib.import_module(f"benchmarks.{name}").run(events)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
