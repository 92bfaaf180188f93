"""P10: `tally verify` over a million events of 200 workspaces and 90 days, booked through the product's own door."""

import asyncio
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, keep
from benchmarks.ingest import BATCH, WORKSPACES, batches, make_workspaces, send
from benchmarks.server import environment, serving

SPAN = dt.timedelta(days=90)
AT_ONCE = 100
"""Batches that are made, and then sent."""


def fill(home: Path, events: int) -> int:
    """Book so many events; how many there are."""
    count = max(events // BATCH, 1)
    with serving(home=home) as server:
        making = batches(make_workspaces(server), count, seed=4, span=SPAN)
        while bodies := [body for body, _ in zip(making, range(AT_ONCE), strict=False)]:
            asyncio.run(send(server, bodies))
    return count * BATCH


def seconds(home: Path) -> float:
    """One verification of everything in `home`. Raises RuntimeError when it finds a difference."""
    begun = time.perf_counter()
    command = [str(Path(sys.executable).with_name("tally")), "verify"]
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=False)
    taken = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"tally verify ended with {done.returncode}: {(done.stdout + done.stderr)[:500]}")
    json.loads(done.stdout)
    return taken


def run(events: int) -> None:
    """Measure over so many events, and say what that is for a million."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as temporary:
        home = Path(temporary) / "home"
        booked = fill(home, events)
        # The first one reads what a start has not in memory.
        times = [seconds(home) for _ in range(3)]
    best = sorted(times)[1]
    keep(
        "verify",
        [
            Figure(
                "P10",
                "tally verify, a million events",
                best * 1_000_000 / booked,
                "s",
                60,
                10,
                smaller_is_better=True,
                note=f"{best:,.1f} s over {booked:,} events, the first time {times[0]:,.1f} s",
            )
        ],
        events=booked,
        workspaces=WORKSPACES,
        days=SPAN.days,
    )
