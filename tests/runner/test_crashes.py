"""Runners and servers that die in the middle: a run goes on where it was, and everything is charged exactly once."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tallystick.client import AsyncClient
from tallystick.client import orchestration as calls
from tests.runner.conftest import NANO, Bench, chat, http, node, path_of
from tests.runner.outside import Endpoint, Web
from tests.runner.test_runs import TOOL, types
from tests.serving import TALLY, House

LEASE_SECONDS = 3


@contextmanager
def runner_process(house: House, bench: Bench) -> Iterator[subprocess.Popen[bytes]]:
    """`tally runner` for one workspace; killed at the end where it still lives."""
    env = house.environment(
        TALLY_MODEL_BASE_URL=bench.endpoint.base_url,
        TALLY_RUNNER_ALLOWED_HOSTS="127.0.0.1",
        TALLY_RUNNER_LEASE_SECONDS=str(LEASE_SECONDS),
        TALLY_RUNNER_POLL_MILLISECONDS="20",
    )
    command = [*TALLY, "runner", "--base-url", bench.shop.base_url, "--token", bench.shop.token]
    process = subprocess.Popen(command, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def ids(bench: Bench) -> list[str]:
    return [charge["source_id"] for charge in bench.charges()]


async def nothing_is_held(bench: Bench) -> bool:
    return all(balance.held.nano == 0 for balance in (await bench.client.balances()).balances)


async def test_a_runner_killed_in_the_middle_is_followed_by_one_that_charges_nothing_twice(
    house: House, bench: Bench, web: Web, web_url: str
) -> None:
    tool = {**TOOL, "config": {"url": f"{web_url}/slow/3", "method": "POST", "estimate": "0.5"}}
    config = {"model": "tally-small", "prompt": "[[steps 4]]", "tools": [tool], "estimate": "0.1"}
    with bench.endpoint.logged() as asked:
        uuid = await bench.start(
            chat("first", "Begin."),
            node("scout", "answer", config, "last", kind="agent", integrationSlug="local"),
            http("last", f"{web_url}/echo"),
            chat("before", "Before all.", "first") | {"childrenUuids": [str(_uuid("first")), str(_uuid("scout"))]},
        )
        with runner_process(house, bench) as process:
            # In its third call for the agent, after two that were paid for and are known to nobody else.
            await asyncio.to_thread(web.slow.wait, 20)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        assert path_of(await bench.get(uuid)) == "before:success first:success scout:running"
        with runner_process(house, bench) as process:
            run = await bench.ended(uuid)
            process.terminate()
            assert process.wait(20) == 0
    assert (run.status, path_of(run)) == ("success", "before:success first:success scout:success last:success")
    assert run.executions and all(one.attempt == 1 for one in run.executions)
    # Two nodes were done once; the agent began anew, and saw other answers than the first time.
    assert len(asked) == 2 + 3 + 5
    assert web.requests.count("/slow/3") == 3 + 4
    assert types(bench) == [*["llm.tokens"] * 7, *["orchestration.execution"] * 4, *["tool.call"] * 5]
    assert len(set(ids(bench))) == 16
    used = sum(charge["credits"] for charge in bench.charges())
    assert run.credits_used_count.nano == used
    money, tool_runs = (await bench.client.balances()).balances
    assert (money.used.nano, tool_runs.used.nano) == (used, 5 * NANO)
    assert await nothing_is_held(bench)


async def test_an_agent_that_failed_in_between_and_then_lost_its_runner_is_charged_once(
    house: House, bench: Bench, web: Web, web_url: str
) -> None:
    tool = {**TOOL, "config": {"url": f"{web_url}/slow/2", "method": "POST", "estimate": "0.5"}}
    prompt = "[[steps 3]] [[fail 503 first 1]]"
    config = {"model": "tally-small", "prompt": prompt, "tools": [tool], "estimate": "0.1"}
    retry = {"maximumAttempts": 20, "initialInterval": 1, "backoffCoefficient": 1}
    uuid = await bench.start(node("scout", "answer", config, kind="agent", integrationSlug="local", retry=retry))
    with runner_process(house, bench) as process:
        await asyncio.to_thread(web.slow.wait, 20)
        process.kill()
        process.wait(10)
    before = (await bench.get(uuid)).executions[0].attempt
    with runner_process(house, bench):
        run = await bench.ended(uuid)
    assert (run.status, run.output["steps"]) == ("success", 3)
    assert run.executions[0].attempt > before > 1
    assert types(bench) == [*["llm.tokens"] * 4, "orchestration.execution", *["tool.call"] * 3]
    assert web.requests.count("/slow/2") == 2 + 3


async def test_a_batch_whose_runner_is_killed_again_and_again_costs_what_it_would_have_cost(
    house: House, bench: Bench, web_url: str
) -> None:
    tool = {**TOOL, "config": {"url": f"{web_url}/echo", "method": "POST", "body": {"q": "{{ arguments.query }}"}}}
    config = {"model": "tally-small", "prompt": "Number {{ data.n }}. [[steps 3]]", "tools": [tool], "estimate": "0.1"}
    nodes = (
        node("scout", "answer", config, "keep", kind="agent", integrationSlug="local"),
        node("keep", "insert", {"table": "answers", "records": [{"text": "{{ nodes.scout.text }}"}]}),
    )
    records = [{"n": n} for n in range(12)]
    workflow = await bench.workflow(*nodes)
    batch = (await bench.client.send(calls.create_batch(workflow, records))).batch.uuid
    seen = 0
    for _ in range(2):
        with runner_process(house, bench) as process:
            async with asyncio.timeout(20):
                while (charged := len(ids(bench))) < seen + 9:
                    await asyncio.sleep(0.01)
            seen = charged
            process.kill()
            process.wait(10)
    async with bench.running(lease_seconds=LEASE_SECONDS):
        found = await bench.batch_ended(batch)
        assert (found.status, found.executed_runs_count, found.failed_runs_count) == ("success", 12, 0)
        assert types(bench) == [
            *["llm.tokens"] * 48,
            *["orchestration.execution"] * 24,
            *["storage.records"] * 12,
            *["tool.call"] * 36,
        ]
        used = sum(charge["credits"] for charge in bench.charges())
        undisturbed = (await bench.client.send(calls.create_batch(workflow, records))).batch.uuid
        again = await bench.batch_ended(undisturbed)
    assert found.credits_used_count.nano == used == again.credits_used_count.nano


def _uuid(slug: str) -> Any:
    from tests.runner.conftest import uuid_of

    return uuid_of(slug)


async def test_a_runner_that_slept_over_its_lease_finds_its_run_done_and_charges_nothing(
    house: House, bench: Bench, web: Web, web_url: str
) -> None:
    uuid = await bench.start(http("slow", f"{web_url}/slow/1", "after"), chat("after", "Go on."))
    with runner_process(house, bench) as sleeper:
        await asyncio.to_thread(web.slow.wait, 20)
        sleeper.send_signal(signal.SIGSTOP)
        web.go_on.set()
        async with bench.running():
            run = await bench.ended(uuid)
        assert (run.status, path_of(run)) == ("success", "slow:success after:success")
        charged = bench.charges()
        sleeper.send_signal(signal.SIGCONT)
        sleeper.terminate()
        assert sleeper.wait(20) == 0
    assert web.requests == ["/slow/1"] * 2
    assert bench.charges() == charged
    assert types(bench) == ["llm.tokens", *["orchestration.execution"] * 2, "tool.call"]
    assert await bench.get(uuid) == run
    assert await nothing_is_held(bench)


async def test_a_runner_told_to_end_leaves_its_run_to_the_next_at_once(bench: Bench, web: Web, web_url: str) -> None:
    uuid = await bench.start(http("slow", f"{web_url}/slow/1", "after"), chat("after", "Go on."))
    async with bench.running(lease_seconds=60) as runner:
        await asyncio.to_thread(web.slow.wait, 10)
        runner.stop()
        web.go_on.set()
    assert path_of(await bench.get(uuid)) == "slow:success"
    async with bench.running():
        run = await bench.ended(uuid)
    assert (run.status, path_of(run)) == ("success", "slow:success after:success")
    assert web.requests == ["/slow/1"]
    assert types(bench) == ["llm.tokens", *["orchestration.execution"] * 2, "tool.call"]


async def test_a_run_survives_the_server_s_death(house: House, endpoint: Endpoint, web: Web, web_url: str) -> None:
    env = house.environment()
    with server_process(env, 0) as (process, url):
        shop = house.shop()
        async with AsyncClient(url, shop.token) as client:
            bench = Bench(type(shop)(url, shop.uuid, shop.key, shop.token, shop.database_url), client, endpoint)
            uuid = await bench.start(http("slow", f"{web_url}/slow/1", "after"), chat("after", "Go on."))
            async with bench.running(lease_seconds=60):
                await asyncio.to_thread(web.slow.wait, 10)
                process.kill()
                process.wait(10)
                web.go_on.set()
                await asyncio.sleep(0.3)
                with server_process(env, int(url.rpartition(":")[2])):
                    run = await bench.ended(uuid)
                    assert (run.status, path_of(run)) == ("success", "slow:success after:success")
                    assert types(bench) == ["llm.tokens", *["orchestration.execution"] * 2, "tool.call"]
                    assert web.requests == ["/slow/1"]
                    assert await nothing_is_held(bench)


@contextmanager
def server_process(env: dict[str, str], port: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    process = subprocess.Popen([*TALLY, "serve", "--port", str(port)], env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        text = b""
        while not text.rstrip().endswith(b"}"):
            text += (line := process.stdout.readline())
            assert line, "the server ended before it answered"
        yield process, json.loads(text)["baseUrl"]
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        process.wait(20)
        process.stdout.close()
