"""Runs while the server and its database are killed under them: charged once, and nothing is left set aside."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tallystick.client import Batching, Client, Retrying, RunPolicy
from tallystick.kernel.credits import NANO
from tests.client.colours import MakeClient
from tests.mortal import Server

THREADS, RUNS, STEPS = 4, 5, 3
KILLS = 2
PATIENT = RunPolicy(Retrying(attempts=300, first=0.02, longest=0.3), Batching(max_events=3, linger=0.05))


def tally(server: Server, *words: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    done = subprocess.run(
        [sys.executable, "-m", "tallystick", *words],
        env=kept | {"TALLY_HOME": str(server.home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "home", tmp_path / "server.log")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_runs_go_on_over_kills_of_the_server_and_of_its_database(make_client: MakeClient, server: Server) -> None:
    operator = json.loads(tally(server, "operator", "create-token", "--name", "tests"))["token"]
    with Client(server.url, operator) as admin:
        token = admin.create_workspace("Survivor").admin_token
    client = make_client(server.url, token, runs=PATIENT, retrying=Retrying(attempts=300, longest=0.3))
    done: list[str] = []

    def work() -> None:
        for _ in range(RUNS):
            with client.run(workflow="w", estimate="0.4", tool_runs=1) as run:
                for _ in range(STEPS):
                    run.record("direct.charge", quantity="0.1")
                    time.sleep(0.01)
                with run.reserve(credits="0.1") as call:
                    call.record("direct.charge", quantity="0.1")
                run.tool(tool="search")
            done.append(run.id)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    runs = THREADS * RUNS
    for number in range(KILLS):
        while len(done) < runs * (number + 1) // (KILLS + 2) and any(thread.is_alive() for thread in threads):
            time.sleep(0.01)
        if number % 2:
            server.kill()
            server.start()
        else:
            server.kill_postgres()
    for thread in threads:
        thread.join(120)
    client.flush(60)
    assert len(done) == runs
    with Client(server.url, str(token)) as reader:
        balances = {balance.unit: balance for balance in reader.balances().balances}
    spent = Decimal("0.1") * (STEPS + 1) * runs
    assert Decimal(balances["credits"].posted.nano) / NANO == 75 - spent
    assert balances["toolRuns"].posted.nano == (10_000 - runs) * NANO
    assert [balance.held.nano for balance in balances.values()] == [0, 0]
    assert tally(server, "verify")
