"""P8: how long `tally --help` takes against a Python that does nothing."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import Figure, keep

RUNS = 25


def seconds(command: list[str]) -> float:
    """One run of a command, its output thrown away. Raises CalledProcessError."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def run(_: int) -> None:
    """Run the installed command and the bare Python in turn, so that a busy moment of the machine meets both."""
    ours = [str(Path(sys.executable).with_name("tally")), "--help"]
    bare = [sys.executable, "-c", "pass"]
    # The first runs write compiled modules and fill the file cache.
    for command in (ours, bare, ours, bare):
        seconds(command)
    pairs = [(seconds(ours), seconds(bare)) for _ in range(RUNS)]
    help_, nothing = (statistics.median(times) for times in zip(*pairs, strict=True))
    keep(
        "help",
        [
            Figure(
                "P8",
                "tally --help ÷ python -c pass",
                help_ / nothing,
                "×",
                12,
                8,
                smaller_is_better=True,
                note=f"{help_ * 1000:,.0f} ms against {nothing * 1000:,.0f} ms",
            )
        ],
        runs=RUNS,
    )
