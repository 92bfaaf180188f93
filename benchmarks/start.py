"""P7: from starting `tally demo` to its first usage query answered with a total above zero."""

import datetime as dt
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.figures import Figure, keep
from benchmarks.server import environment

FRESH_RUNS = 3
LATER_RUNS = 5


@contextmanager
def demo(home: Path) -> Iterator[dict[str, Any]]:
    """`tally demo` on a free port; what stands in its `demo.json`, once it prints it. Ended by its process id."""
    command = [str(Path(sys.executable).with_name("tally")), "demo", "--home", str(home), "--port", "0"]
    process = subprocess.Popen(
        command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        text = ""
        while process.stdout is not None and (line := process.stdout.readline()):
            text += line
            if line.startswith("}"):
                break
        if not text:
            raise RuntimeError("the demo did not start")
        yield json.loads(text)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def total_usage(credentials: dict[str, Any]) -> Any:
    """`totalUsage` of the last 90 days, as the demo's admin sees it."""
    today = dt.datetime.now(dt.UTC).date()
    request = Request(
        f"{credentials['baseUrl']}/v1/billing/usage/metrics?from={today - dt.timedelta(days=89)}&to={today}",
        headers={"authorization": f"Bearer {credentials['adminToken']}"},
    )
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)["totalUsage"]


def seconds(home: Path) -> float:
    """One start. Raises RuntimeError when the first answer has a total of nothing."""
    begun = time.perf_counter()
    with demo(home) as credentials:
        if total_usage(credentials) <= 0:
            raise RuntimeError("the demo's first usage query was answered with a total of nothing")
        return time.perf_counter() - begun


def run(_: int) -> None:
    """Start the demo on fresh homes, and again on one that exists."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as temporary:
        homes = [Path(temporary) / f"home-{n}" for n in range(FRESH_RUNS)]
        fresh = [seconds(home) for home in homes]
        later = [seconds(homes[0]) for _ in range(LATER_RUNS)]
    keep(
        "start",
        [
            Figure(
                "P7",
                "tally demo to the first usage answer, home that exists",
                statistics.median(later),
                "s",
                10,
                3,
                smaller_is_better=True,
                note=f"the slowest of {LATER_RUNS}: {max(later):.1f} s",
            ),
            Figure(
                "P7",
                "tally demo to the first usage answer, fresh home",
                statistics.median(fresh),
                "s",
                60,
                20,
                smaller_is_better=True,
                note=f"the slowest of {FRESH_RUNS}: {max(fresh):.1f} s",
            ),
        ],
        freshRuns=FRESH_RUNS,
        laterRuns=LATER_RUNS,
    )
