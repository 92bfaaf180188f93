"""What is recorded is charged once, whatever the network does; what the server does not take is named. Both colours."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tallystick.client import AsyncClient, Batching, BufferFullError, Client, EventProblem, RecordingError, Retrying
from tallystick.kernel.credits import NANO
from tests.client.gateway import LOSE_ANSWER, LOSE_REQUEST, PASS, Answer, Gateway
from tests.serving import Shop

QUICK = Retrying(first=0.005, longest=0.02)


class Loop:
    """An AsyncClient driven from here, on a loop in another thread."""

    def __init__(self, make: Callable[[], AsyncClient]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

        async def begin() -> AsyncClient:
            return make()

        self._client = self._wait(begin())

    def _wait(self, work: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def record(self, type_: str, /, **fields: Any) -> str:
        event_id: str = self._wait(self._client.record(type_, **fields))
        return event_id

    def flush(self, timeout: float | None = None) -> None:
        self._wait(self._client.flush(timeout))

    def close(self, timeout: float | None = 10.0) -> None:
        self._wait(self._client.aclose(timeout))

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


Recorder = Client | Loop
Make = Callable[..., Recorder]


@pytest.fixture(params=["threads", "asyncio"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Recorder] = []

    def one(base_url: str, token: str, **options: Any) -> Recorder:
        options = {"retrying": QUICK, "batching": Batching(linger=0.01), **options}
        recorder: Recorder
        if request.param == "threads":
            recorder = Client(base_url, token, **options)
        else:
            recorder = Loop(lambda: AsyncClient(base_url, token, **options))
        made.append(recorder)
        return recorder

    yield one
    for recorder in made:
        with contextlib.suppress(RecordingError):
            recorder.close(0.1)
        if isinstance(recorder, Loop):
            recorder.end()


def test_fields_arrive_under_their_names_and_are_priced(make: Make, shop: Shop) -> None:
    recorder = make(shop.base_url, shop.token)
    recorder.record("llm.tokens", model="gpt-4o", input_tokens=1200, cached_input_tokens=1024, output_tokens=45)
    recorder.record("direct.charge", quantity="0.000000001", data={"ticket": "T-1"})
    recorder.flush()
    booked = shop.events()
    assert (booked["events"], booked["tokens_in"], booked["tokens_out"]) == (2, 1200, 45)
    assert booked["credits"] > 1


def test_every_event_is_charged_once_through_lost_requests_lost_answers_and_refusals(
    make: Make, shop: Shop, gateway: Gateway
) -> None:
    gateway.script.extend(
        [
            LOSE_REQUEST,
            LOSE_ANSWER,
            Answer(503, b'{"errorMessage":"no","reason":"databaseUnavailable","details":{}}', {"retry-after": "0"}),
            Answer(429),
            LOSE_ANSWER,
            Answer(502),
            Answer(200, b"<html>captive portal</html>"),
            PASS,
            LOSE_ANSWER,
        ]
    )
    recorder = make(gateway.url, shop.token, batching=Batching(max_events=7, linger=0))
    ids = {recorder.record("direct.charge", quantity=2) for _ in range(60)}
    recorder.flush()
    booked = shop.events()
    assert len(ids) == 60
    assert (booked["events"], booked["credits"]) == (60, 120 * NANO)
    assert len(gateway.posts) >= 60 // 7 + 8


def test_a_batch_that_is_too_large_is_halved_until_it_fits(make: Make, shop: Shop, gateway: Gateway) -> None:
    gateway.script.extend([Answer(413), Answer(413), PASS])
    recorder = make(gateway.url, shop.token)
    for _ in range(9):
        recorder.record("direct.charge", quantity=1)
    recorder.flush()
    assert shop.events()["events"] == 9


def test_rejected_and_conflicting_events_are_told_and_raised_once_and_the_good_ones_kept(
    make: Make, shop: Shop
) -> None:
    told: list[EventProblem] = []
    recorder = make(shop.base_url, shop.token, on_problem=told.append)
    recorder.record("direct.charge", quantity=1, id="first")
    recorder.flush()
    recorder.record("direct.charge", quantity=1)
    recorder.record("no.such.type", id="odd")
    recorder.record("direct.charge", quantity=2, id="first")
    with pytest.raises(RecordingError) as caught:
        recorder.flush()
    kinds = {(problem.id, problem.kind) for problem in caught.value.problems}
    assert kinds == {("odd", "rejected"), ("first", "conflict")}
    assert caught.value.count == 2
    assert sorted(problem.id for problem in told) == ["first", "odd"]
    assert b'"no.such.type"' in next(problem.body for problem in told if problem.id == "odd")
    assert shop.events()["credits"] == 2 * NANO
    recorder.flush()


def test_a_refused_token_names_every_event_and_is_not_tried_again(make: Make, shop: Shop, gateway: Gateway) -> None:
    recorder = make(gateway.url, "tally_wrong")
    ids = [recorder.record("direct.charge", quantity=1) for _ in range(3)]
    with pytest.raises(RecordingError) as caught:
        recorder.flush()
    assert [(problem.id, problem.kind, problem.reason) for problem in caught.value.problems] == [
        (event_id, "unsent", "unauthorized") for event_id in ids
    ]
    assert len(gateway.posts) <= 3


def test_after_the_last_attempt_events_are_named_not_forgotten(make: Make, shop: Shop, gateway: Gateway) -> None:
    gateway.script.extend([LOSE_REQUEST] * 3)
    recorder = make(gateway.url, shop.token, retrying=Retrying(attempts=3, first=0.001))
    recorder.record("direct.charge", quantity=1, id="lost")
    with pytest.raises(RecordingError) as caught:
        recorder.flush()
    assert [(p.id, p.kind, p.reason) for p in caught.value.problems] == [("lost", "unsent", "serverUnreachable")]


def test_recording_waits_for_room_and_then_says_that_there_is_none(make: Make, shop: Shop, gateway: Gateway) -> None:
    gateway.open.clear()
    recorder = make(gateway.url, shop.token, batching=Batching(linger=0, max_pending=3, full_timeout=0.05))
    for _ in range(3):
        recorder.record("direct.charge", quantity=1)
    with pytest.raises(BufferFullError):
        recorder.record("direct.charge", quantity=1)
    gateway.open.set()
    recorder.flush()
    recorder.record("direct.charge", quantity=1)
    recorder.flush()
    assert shop.events()["events"] == 4


def test_a_flush_that_takes_too_long_says_so_and_the_sending_goes_on(make: Make, shop: Shop, gateway: Gateway) -> None:
    gateway.open.clear()
    recorder = make(gateway.url, shop.token)
    recorder.record("direct.charge", quantity=1)
    with pytest.raises(TimeoutError):
        recorder.flush(0.05)
    gateway.open.set()
    recorder.flush()
    assert shop.events()["events"] == 1


def test_closing_sends_what_waits_and_names_what_could_not_be_sent(make: Make, shop: Shop, gateway: Gateway) -> None:
    sent = make(shop.base_url, shop.token, batching=Batching(linger=60))
    sent.record("direct.charge", quantity=1)
    sent.close()
    assert shop.events()["events"] == 1
    gateway.open.clear()
    stuck = make(gateway.url, shop.token)
    stuck.record("direct.charge", quantity=1, id="stuck")
    with pytest.raises(RecordingError) as caught:
        stuck.close(0.05)
    assert [problem.id for problem in caught.value.problems] == ["stuck"]
    with pytest.raises(RuntimeError):
        stuck.record("direct.charge", quantity=1)


def test_a_callback_that_fails_stops_nothing(make: Make, shop: Shop) -> None:
    def fail(_: EventProblem) -> None:
        raise ZeroDivisionError

    recorder = make(shop.base_url, shop.token, on_problem=fail)
    recorder.record("no.such.type")
    with pytest.raises(RecordingError):
        recorder.flush()
    recorder.record("direct.charge", quantity=1)
    recorder.flush()
    assert shop.events()["events"] == 1


def test_many_threads_record_at_once(shop: Shop) -> None:
    with (
        Client(shop.base_url, shop.token, batching=Batching(max_events=50, linger=0.005, max_pending=100)) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        ids = set(pool.map(lambda _: client.record("direct.charge", quantity=1), range(400)))
        client.flush()
    assert len(ids) == 400
    assert shop.events()["credits"] == 400 * NANO


LEAVES = """
from tallystick.client import Batching, Client
client = Client({url!r}, {token!r}, batching=Batching(linger=60))
client.record("direct.charge", quantity=3)
"""

LEAVES_ASYNC = """
import asyncio
from tallystick.client import AsyncClient, Batching
async def main():
    client = AsyncClient({url!r}, {token!r}, batching=Batching(linger=60))
    await client.record("direct.charge", quantity=3)
    return client
client = asyncio.run(main())
"""

FORKS = """
import os
from tallystick.client import Batching, Client
client = Client({url!r}, {token!r}, batching=Batching(linger=60))
client.record("direct.charge", quantity=3)
child = os.fork()
if child == 0:
    client.record("direct.charge", quantity=5)
    client.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize(
    ("script", "charged"), [(LEAVES, 3), (LEAVES_ASYNC, 3), (FORKS, 8)], ids=["threads", "asyncio", "fork"]
)
def test_a_program_that_ends_without_a_flush_loses_nothing(shop: Shop, script: str, charged: int) -> None:
    text = script.format(url=shop.base_url, token=shop.token)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert shop.events()["credits"] == charged * NANO
