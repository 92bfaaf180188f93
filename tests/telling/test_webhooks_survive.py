"""R6: whatever dies between whichever two steps, every fact arrives, with one content, under one id."""

import asyncio
import datetime as dt
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from tallystick.domain.telling.webhooks import webhook_id
from tallystick.kernel.clock import SystemClock
from tallystick.store.database import Connection, Database
from tests import make
from tests.telling.mortal_worker import STEPS
from tests.telling.posting import Ahead, deliveries, endpoint, fan, sender, tell
from tests.telling.receiver import Receiver, receiving

ROOT = Path(__file__).parents[2]
CLAIM_SECONDS = 5
"""More than a claim of the tests' sender lasts beyond its attempt."""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def workspace_id(database: Database) -> AsyncIterator[UUID]:
    async def clear(conn: Connection) -> None:
        await conn.execute("UPDATE webhook_delivery SET status = 'dead' WHERE status = 'queued'")
        await conn.execute("UPDATE fact SET fanned_at = created_at WHERE fanned_at IS NULL")

    await database.run(clear)
    yield await make.bare_workspace(database, SystemClock().now())
    await database.run(clear)


@asynccontextmanager
async def worker(database_url: str, *, ahead: int = 0, step: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that works; it is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.telling.mortal_worker",
        database_url,
        str(ahead),
        step,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"works\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def finish(database: Database, ahead: int) -> None:
    """What a worker does that nobody kills, once the claims of the dead ones have ended."""
    clock = Ahead(dt.timedelta(seconds=ahead))
    await fan(database, clock.now())
    while await sender(database, clock=clock).turn():
        pass


@pytest.mark.parametrize("step", STEPS)
async def test_every_fact_arrives_though_the_worker_dies(
    database: Database, database_url: str, workspace_id: UUID, receiver: Receiver, step: str
) -> None:
    both = [await endpoint(database, workspace_id, receiver.url(path)) for path in ("/one", "/two")]
    told = await tell(database, workspace_id, 3)
    async with asyncio.timeout(60), worker(database_url, step=step) as process:
        assert await process.wait() == -signal.SIGKILL
    await finish(database, CLAIM_SECONDS)
    for path, to in zip(("/one", "/two"), both, strict=True):
        assert set(receiver.ids(path)) == {webhook_id(fact.id) for fact in told}
        assert max(receiver.ids(path).values()) <= 2
        assert all(one.is_signed_with(to.secret) for one in receiver.at(path))
    assert len({(one.id, one.body) for one in receiver.received}) == len(told)
    assert {one["status"] for one in await deliveries(database, workspace_id)} == {"delivered"}
    assert len(await deliveries(database, workspace_id)) == 6


async def test_a_worker_that_dies_while_the_receiver_thinks_counted_its_attempt(
    database: Database, database_url: str, workspace_id: UUID, receiver: Receiver
) -> None:
    await endpoint(database, workspace_id, receiver.url("/hold"))
    (fact,) = await tell(database, workspace_id)
    async with asyncio.timeout(60), worker(database_url) as process:
        await receiver.arrived.wait()
        process.kill()
        await process.wait()
    (delivery,) = await deliveries(database, workspace_id)
    assert (delivery["status"], delivery["attempts"]) == ("queued", 1)
    receiver.go_on.set()
    await finish(database, 0)
    assert receiver.ids("/hold") == {webhook_id(fact.id): 1}, "its claim has not ended"
    await finish(database, CLAIM_SECONDS)
    assert receiver.ids("/hold") == {webhook_id(fact.id): 2}
    (delivery,) = await deliveries(database, workspace_id)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 2)


async def test_nothing_is_lost_though_workers_are_killed_at_any_moment(
    database: Database, database_url: str, workspace_id: UUID, receiver: Receiver
) -> None:
    """Two at once, again and again, while facts go on happening and the receiver fails now and then."""
    for path in ("/one", "/flaky/10"):
        await endpoint(database, workspace_id, receiver.url(path))
    told = []
    dice = random.Random(6)
    for turn in range(4):
        ahead = turn * CLAIM_SECONDS * 2
        async with (
            asyncio.timeout(60),
            worker(database_url, ahead=ahead) as first,
            worker(database_url, ahead=ahead) as second,
        ):
            for _ in range(10):
                told += await tell(database, workspace_id, 2)
                await asyncio.sleep(dice.uniform(0, 0.03))
            first.kill()
            told += await tell(database, workspace_id, 2)
            await asyncio.sleep(dice.uniform(0, 0.1))
            second.kill()
    wanted = {webhook_id(fact.id) for fact in told}
    for ahead in (60, 120, 1_000, 5_000):  # pauses of five seconds, five minutes and half an hour
        await finish(database, ahead)
    assert set(receiver.ids("/one")) == set(receiver.ids("/flaky/10")) == wanted
    assert len({(one.id, one.body) for one in receiver.received}) == len(wanted)
    assert {one["status"] for one in await deliveries(database, workspace_id)} == {"delivered"}
