"""How much is set aside before a call, by what is known; and a server that executes what it is asked for itself."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tallystick.client import AsyncClient
from tallystick.client import orchestration as calls
from tallystick.runner.metering import Experience
from tests.runner.conftest import EXECUTION, NANO, Bench, chat, http, node
from tests.runner.outside import Endpoint
from tests.runner.test_crashes import server_process
from tests.serving import TALLY, Shop, environment


@pytest.mark.parametrize(
    ("charges", "expected"),
    [([], None), ([5], 5), ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 10), ([1] * 9 + [100] * 1, 100), ([1] * 19 + [100], 1)],
)
def test_what_is_expected_is_what_nine_of_ten_calls_do_not_exceed(charges: list[int], expected: int | None) -> None:
    experience = Experience()
    for charge in charges:
        experience.learn("here", charge)
    assert experience.expect("here") == expected
    assert experience.expect("there") is None


def test_what_was_long_ago_is_forgotten() -> None:
    experience = Experience()
    for charge in [100] * 50 + [1] * 50:
        experience.learn("here", charge)
    assert experience.expect("here") == 1


def holds(bench: Bench) -> list[tuple[int, int, int, str]]:
    with psycopg.connect(bench.shop.database_url) as conn:
        return conn.execute(
            "SELECT asked_credits, asked_tool_runs, settled_credits, status FROM hold "
            "WHERE workspace_id = %s ORDER BY created_at, id",
            [bench.shop.uuid],
        ).fetchall()


async def test_a_hold_is_what_its_node_says_else_what_such_calls_cost_lately_else_the_setting(
    bench: Bench, web_url: str
) -> None:
    workflow = await bench.workflow(
        chat("ask", "Well?", "known"),
        chat("known", "Well?", "look", config={"estimate": "0.75"}),
        http("look", f"{web_url}/echo"),
    )
    async with bench.running(hold_credits=3 * NANO):
        for _ in range(2):
            run = (await bench.client.send(calls.create_run(workflow, {}))).run.uuid
            assert (await bench.ended(run)).status == "success"
    spoken = next(charge["credits"] for charge in bench.charges() if charge["type"] == "llm.tokens")
    assert holds(bench) == [
        (3 * NANO, 0, spoken, "settled"),
        (3 * NANO // 4, 0, spoken, "settled"),
        (0, NANO, NANO // 2, "settled"),
        (spoken, 0, spoken, "settled"),
        (3 * NANO // 4, 0, spoken, "settled"),
        (NANO // 2, NANO, NANO // 2, "settled"),
    ]


async def test_a_call_that_nobody_answered_gives_its_hold_back(bench: Bench) -> None:
    run = await bench.run(http("look", "http://127.0.0.1:9/nobody", config={"estimate": "2"}))
    assert run.reason == "connectorUnreachable"
    assert holds(bench) == [(2 * NANO, NANO, 0, "voided")]


async def test_calls_of_a_batch_wait_for_each_other_s_holds_where_the_money_is_there(bench: Bench) -> None:
    """75 credits are there, 16 calls want 40 each set aside and cost next to nothing."""
    workflow = await bench.workflow(chat("ask", "Number {{ data.n }}?", config={"estimate": "40"}))
    batch = (await bench.client.send(calls.create_batch(workflow, [{"n": n} for n in range(16)]))).batch
    async with bench.running(hold_wait_seconds=20, concurrency=8):
        batch = await bench.batch_ended(batch.uuid)
    assert (batch.status, batch.executed_runs_count, batch.failed_runs_count) == ("success", 16, 0)
    assert {status for *_, status in holds(bench)} == {"settled"}


@pytest.fixture
def own_database(server_url: str) -> Iterator[str]:
    """A database without any other test's runs, which a server's own runner would take."""
    name = f"tally_runner_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield psycopg.conninfo.make_conninfo(server_url, dbname=name)
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def test_a_server_executes_the_runs_of_all_its_workspaces_itself(
    own_database: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    import json
    import subprocess

    env = environment(tmp_path, own_database) | {"TALLY_RUNNER_POLL_MILLISECONDS": "20"}
    made = subprocess.run([*TALLY, "operator", "create-token", "--name", "t"], env=env, capture_output=True, check=True)
    operator = json.loads(made.stdout)["token"]
    told = env | {"TALLY_RUNNER": "true", "TALLY_MODEL_BASE_URL": endpoint.base_url}
    with server_process(told, 0) as (process, url):
        async with AsyncClient(url, operator) as client:
            shops = [await client.create_workspace("Shop", key=f"shop-{number}") for number in range(2)]
        for made_shop in shops:
            token: Any = made_shop.admin_token
            async with AsyncClient(url, token) as client:
                shop = Shop(url, made_shop.workspace.uuid, "shop", token, own_database)
                bench = Bench(shop, client, endpoint)
                run = await bench.ended(await bench.start(node("one", "set"), data={}))
                assert (run.status, run.credits_used_count.nano) == ("success", EXECUTION)
        process.terminate()
        assert process.wait(20) == 0
