"""`python -m benchmarks.soak [BAR…]`: the long forms of the tests of trust, bounded in count and in time.

SOAK_ROUNDS sets how long they are (100,000 operations of R1, 200 kills of R2, 100 of R3), SOAK_MINUTES when
a test that is still running has failed (60).
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, keep

ROOT = Path(__file__).parent.parent
MINUTES = 60


@dataclass(frozen=True)
class Long:
    """A test that has a long form: `variable` tells it how many `rounds` of what, `most` of them unless told."""

    bar: str
    name: str
    test: str
    variable: str
    rounds: str
    most: int


TESTS = (
    Long("R1", "holds", "tests/flows/test_holds_survive.py", "TALLY_TEST_OPERATIONS", "operations", 100_000),
    Long("R2", "exactly-once ingest", "tests/flows/test_exactly_once.py", "TALLY_TEST_KILLS", "kills", 200),
    Long("R3", "running time", "tests/flows/test_running_survives.py", "TALLY_TEST_KILLS", "kills", 100),
)


def passes(test: Long, rounds: int, seconds: float) -> bool:
    """Run it, its output to ours. Whatever it started ends with it when the time is over."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.test],
        cwd=ROOT,
        env=os.environ | {test.variable: str(rounds)},
        stdout=sys.stderr,
        start_new_session=True,
    )
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        print(f"{test.bar}: not done after {seconds / 60:g} minutes", file=sys.stderr)
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main(bars: list[str]) -> int:
    """Exit status 0 when all passed."""
    asked = os.environ.get("SOAK_ROUNDS")
    minutes = float(os.environ.get("SOAK_MINUTES", MINUTES))
    known = {test.bar for test in TESTS}
    if unknown := sorted(set(bars) - known):
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    figures = []
    for test in TESTS:
        if bars and test.bar not in bars:
            continue
        rounds = int(asked) if asked else test.most
        begun = time.monotonic()
        failures = 0 if passes(test, rounds, minutes * 60) else 1
        note = f"{time.monotonic() - begun:,.0f} s"
        name = f"{test.name}, {rounds:,} {test.rounds}"
        figures.append(Figure(test.bar, name, failures, "failures", 0, 0, smaller_is_better=True, note=note))
    keep("soak", figures, minutes=minutes)
    return 1 if any(figure.value for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
