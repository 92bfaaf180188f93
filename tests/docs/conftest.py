"""A running demo, and a terminal beside it, for every page whose commands are run."""

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg
import pytest

from tallystick.kernel.clock import SystemClock
from tests.docs.blocks import Reader

START_SECONDS = 120
NEAR_MIDNIGHT = dt.timedelta(seconds=40)


@pytest.fixture(scope="package")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A terminal beside `tally demo` in a new home, on a free port; SIGTERM has to end it cleanly."""
    folder = tmp_path_factory.mktemp("tour")
    home = folder / "home"
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TALLY_HOME": str(home), "TALLY_LOG_LEVEL": "error"}
    server = subprocess.Popen(
        [sys.executable, "-m", "tallystick", "demo", "--port", "0"], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + START_SECONDS
        while not (home / "demo.json").is_file():
            assert server.poll() is None, "the demo ended before it answered"
            assert time.monotonic() < until, f"no demo.json after {START_SECONDS} seconds"
            time.sleep(0.05)
        told = json.loads((home / "demo.json").read_text(encoding="utf-8"))
        _wait_past_midnight()
        terminal = Reader(folder, told["baseUrl"], TALLY_HOME=str(home))
        try:
            yield terminal
        finally:
            terminal.close()
    finally:
        server.terminate()
        ended = server.wait(30)
    assert ended == 0


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    """A database with nothing in it, not even our schema."""
    name = f"tally_guide_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield psycopg.conninfo.make_conninfo(server_url, dbname=name)
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _wait_past_midnight() -> None:
    """The tour asks for today, UTC; it must not end on another day than it began."""
    now = SystemClock().now()
    midnight = dt.datetime.combine(now.date() + dt.timedelta(days=1), dt.time(), dt.UTC)
    if midnight - now < NEAR_MIDNIGHT:
        time.sleep((midnight - now).total_seconds() + 1)
