"""Which run code is in, tools that meter themselves, cancelled tasks, forks and the end of a program."""

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tallystick.client import AsyncClient, Client, RefusedError, current_run
from tests.client.colours import POLICY, QUICK
from tests.client.gateway import Gateway
from tests.client.test_runs import money, statuses, until
from tests.serving import Shop


@pytest.fixture
def client(shop: Shop) -> Iterator[Client]:
    with Client(shop.base_url, shop.token, retrying=QUICK, runs=POLICY) as client:
        yield client


@pytest.fixture
async def later(shop: Shop) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(shop.base_url, shop.token, retrying=QUICK, runs=POLICY) as client:
        yield client


def tool_calls(shop: Shop) -> dict[str, int]:
    return shop.one(
        "SELECT count(*) AS calls, count(*) FILTER (WHERE status = 'error') AS errors, "
        "count(DISTINCT run) AS runs FROM usage_event WHERE workspace_id = %(workspace)s AND type = 'tool.call'"
    )


def test_the_run_is_that_of_the_code_around_it_and_nests(client: Client) -> None:
    assert current_run() is None
    with client.run(workflow="outer", estimate=1) as outer:
        assert current_run() is outer
        with client.run(workflow="inner", estimate=1) as inner:
            assert current_run() is inner
        with outer.reserve(credits=1) as call:
            assert current_run() is call
        assert current_run() is outer
    assert current_run() is None


def test_a_thread_has_a_run_when_its_context_is_copied(client: Client) -> None:
    with client.run(workflow="w", estimate=1) as run, ThreadPoolExecutor(2) as pool:
        assert pool.submit(current_run).result() is None
        assert pool.submit(contextvars.copy_context().run, current_run).result() is run


async def test_tasks_and_threads_of_asyncio_have_the_run_that_they_were_begun_in(
    later: AsyncClient, shop: Shop
) -> None:
    async def work(number: int) -> None:
        async with later.run(run=f"run-{number}", workflow="w", estimate=1) as run:

            async def step() -> None:
                await asyncio.sleep(0)
                assert current_run() is run
                run.record("direct.charge", quantity="0.1")

            def blocking() -> None:
                assert current_run() is run
                run.record("direct.charge", quantity="0.1")

            await asyncio.gather(step(), step(), asyncio.to_thread(blocking))

    await asyncio.gather(*(work(number) for number in range(20)))
    assert shop.one(
        "SELECT count(*) AS events, count(DISTINCT run) AS runs FROM usage_event WHERE workspace_id = %(workspace)s"
    ) == {"events": 60, "runs": 20}
    assert money(shop) == (69, 0)


def test_usage_reported_to_the_run_within_a_reservation_is_paid_by_it(client: Client, shop: Shop) -> None:
    with client.run(workflow="w", estimate=5) as run:
        with run.reserve(credits=10):
            run.record("direct.charge", quantity=8)
        assert (run.left, run.spent, money(shop)) == (5, 8, (67, 5))


def test_a_metered_function_is_a_tool_call_of_the_run_around_it(client: Client, shop: Shop) -> None:
    @client.tool(connector="crm", integration="hubspot", action="search")
    def search(name: str) -> str:
        """Find somebody."""
        if not name:
            raise ValueError("whom?")
        return name.title()

    assert (search("ada"), search.__name__, search.__doc__) == ("Ada", "search", "Find somebody.")
    assert tool_calls(shop)["calls"] == 0
    with client.run(workflow="w", estimate=1, tool_runs=2):
        assert search("ada") == "Ada"
        with pytest.raises(ValueError, match="whom"):
            search("")
    assert tool_calls(shop) == {"calls": 2, "errors": 1, "runs": 1}
    assert money(shop, "toolRuns") == (9_998, 0)


async def test_a_metered_coroutine_is_a_tool_call_also_when_it_is_cancelled(later: AsyncClient, shop: Shop) -> None:
    @later.tool()
    async def web_search(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "found"

    @later.tool(tool="blocking")
    def blocking() -> int:
        return 7

    async with later.run(workflow="w", estimate=1, tool_runs=3):
        assert await web_search(0) == "found"
        assert await asyncio.to_thread(blocking) == 7
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await web_search(60)
    assert tool_calls(shop) == {"calls": 3, "errors": 1, "runs": 1}
    with Client(shop.base_url, shop.token) as client:
        assert {tool.name for tool in client.tools().tools} == {"web_search", "blocking"}


def test_a_tool_is_metered_in_the_run_of_its_own_client(client: Client, shop: Shop) -> None:
    @client.tool(tool="search")
    def search() -> None:
        pass

    with Client(shop.base_url, shop.token) as other:
        with client.run(run="mine", workflow="w", tool_runs=1), other.run(run="other", workflow="w", estimate=1):
            search()
        with other.run(workflow="w", estimate=1):
            search()
    assert shop.one("SELECT run FROM usage_event WHERE workspace_id = %(workspace)s") == {"run": "mine"}


def test_a_generator_is_no_tool(client: Client) -> None:
    with pytest.raises(TypeError, match="generator"):

        @client.tool()
        def numbers() -> Iterator[int]:
            yield 1


async def test_a_cancelled_task_settles_what_it_used_before_it_ends(later: AsyncClient, shop: Shop) -> None:
    used = asyncio.Event()

    async def work() -> None:
        async with later.run(workflow="w", estimate=5) as run:
            run.record("direct.charge", quantity=2)
            used.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await used.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (statuses(shop), money(shop)) == (["settled"], (73, 0))


async def test_a_task_cancelled_again_while_it_settles_is_settled_behind_its_back(shop: Shop, gateway: Gateway) -> None:
    client = AsyncClient(gateway.url, shop.token, retrying=QUICK, runs=POLICY)
    used = asyncio.Event()

    async def work() -> None:
        async with client.run(workflow="w", estimate=5) as run:
            run.record("direct.charge", quantity=2)
            used.set()

    gateway.open.set()
    task = asyncio.create_task(work())
    await used.wait()
    gateway.open.clear()
    await asyncio.to_thread(until, lambda: len(gateway.posts) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert money(shop) == (75, 5)
    gateway.open.set()
    await client.aclose()
    assert (statuses(shop), money(shop)) == (["settled"], (73, 0))


async def test_a_task_cancelled_while_its_hold_is_placed_leaves_nothing_set_aside(shop: Shop, gateway: Gateway) -> None:
    client = AsyncClient(gateway.url, shop.token, retrying=QUICK, runs=POLICY)
    gateway.open.clear()

    async def work() -> None:
        async with client.run(workflow="w", estimate=5):
            pytest.fail("the run began")

    task = asyncio.create_task(work())
    await asyncio.to_thread(until, lambda: len(gateway.posts) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gateway.open.set()
    await client.aclose()
    assert (statuses(shop), money(shop)) == (["voided"], (75, 0))


async def test_many_tasks_and_cancellations_at_once_leave_nothing_set_aside(later: AsyncClient, shop: Shop) -> None:
    async def work(number: int) -> str:
        try:
            async with later.run(workflow="w", estimate=3) as run:
                run.record("direct.charge", quantity=1)
                await asyncio.sleep(0.001 * number)
                return "done"
        except RefusedError:
            return "refused"

    tasks = [asyncio.create_task(work(number)) for number in range(50)]
    await asyncio.sleep(0.05)
    for task in tasks[::3]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await later.aclose()
    spent, held = 75 - money(shop)[0], money(shop)[1]
    assert held == 0
    assert spent == shop.events()["events"] >= outcomes.count("done")


ENDINGS = {
    "a thread that is still in its run": """
import threading, time
client = Client(url, token)
def work():
    with client.run(workflow="w", estimate=5) as run:
        run.record("direct.charge", quantity=1)
        used.set()
        time.sleep(60)
used = threading.Event()
threading.Thread(target=work, daemon=True).start()
used.wait()
""",
    "an exit within a run": """
client = Client(url, token)
with client.run(workflow="w", estimate=5) as run:
    run.record("direct.charge", quantity=1)
    sys.exit()
""",
    "a loop that is stopped": """
import asyncio
client = AsyncClient(url, token)
async def work():
    run = client.run(workflow="w", estimate=5)
    await run.__aenter__()
    run.record("direct.charge", quantity=1)
asyncio.run(work())
""",
    "a forked child": """
import os
client = Client(url, token)
with client.run(workflow="w", estimate=5) as run:
    run.record("direct.charge", quantity="0.5")
    child = os.fork()
    run.record("direct.charge", quantity="0.25")
    if child:
        os.waitpid(child, 0)
        assert run.left == 5 and not run.has_ended
    else:
        assert run.has_ended
client.close()
if not child:
    os._exit(0)
""",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_at_the_end_of_a_program_runs_have_told_what_they_used(shop: Shop, ending: str) -> None:
    code = "import sys\nfrom tallystick.client import Client, AsyncClient\n_, url, token = sys.argv\n" + ENDINGS[ending]
    program = [sys.executable, "-W", "error::RuntimeWarning", "-c", code, shop.base_url, shop.token]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert money(shop)[0] == 74


def test_a_run_used_by_many_threads_while_it_ends_loses_nothing(client: Client, shop: Shop) -> None:
    begun = threading.Barrier(9)

    def use(run: object) -> None:
        begun.wait(20)
        for _ in range(25):
            run.record("direct.charge", quantity="0.01")  # type: ignore[attr-defined]

    with client.run(workflow="w", estimate=5) as run:
        threads = [threading.Thread(target=use, args=(run,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        begun.wait(20)
    for thread in threads:
        thread.join(20)
    client.flush()
    assert (shop.events()["events"], money(shop)) == (200, (73, 0))
