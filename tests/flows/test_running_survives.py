"""R3: a deployment is charged for every second once, though whoever charges it dies at any step.

`TALLY_TEST_KILLS` is how often real workers are killed by -9 while a deployment runs: three times by default.
"""

import asyncio
import datetime as dt
import os
import random
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tallystick.domain.credits.limits import OwnLimits
from tallystick.domain.identity.workspaces import NO_WORKSPACE
from tallystick.flows import overdue
from tallystick.kernel.clock import SystemClock
from tallystick.kernel.credits import NANO
from tallystick.store import limits
from tallystick.store.database import Connection, Database
from tallystick.store.migrate import migrate
from tests import deploying, make
from tests.deploying import instant
from tests.make import IDS
from tests.serving import TALLY, environment

KILLS = int(os.environ.get("TALLY_TEST_KILLS", "3"))
T0 = instant("2026-03-02 10:00:17.25")
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
MICROSECOND = dt.timedelta(microseconds=1)


class DiedError(BaseException):
    """The process is gone: nothing that it has not committed is there."""


@contextmanager
def dying_at(statement: int) -> Iterator[list[int]]:
    """Die instead of sending the statement of this number; how many were sent before."""
    sent = [0]
    cursor = psycopg.AsyncCursor
    execute, copy = cursor.execute, cursor.copy

    def count() -> None:
        sent[0] += 1
        if sent[0] == statement:
            raise DiedError

    async def counted(self: Any, *given: Any, **named: Any) -> Any:
        count()
        return await execute(self, *given, **named)

    def counted_copy(self: Any, *given: Any, **named: Any) -> Any:
        count()
        return copy(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cursor, "execute", counted)
        patch.setattr(cursor, "copy", counted_copy)
        yield sent


async def dies_at_every_step(database: Database, shop: UUID, work: Callable[[], Awaitable[None]]) -> int:
    """Try it, dying at the first statement, then at the second … until it gets through; how often it died.

    Each time nothing has changed: neither for the ledger nor in the history.
    """
    before = await deploying.ledger_of(database, shop)
    for statement in range(1, 500):
        try:
            with dying_at(statement):
                await work()
        except DiedError:
            assert await deploying.ledger_of(database, shop) == before, f"half of it is there after {statement}"
        else:
            return statement - 1
    raise AssertionError("it never gets through")


@pytest.fixture(scope="session")
async def priced(database: Database) -> Database:
    await make.catalog(database, instant("2024-01-01"))
    return database


async def test_whoever_dies_at_any_step_has_charged_nothing_and_the_next_charges_all(priced: Database) -> None:
    shop = await make.bare_workspace(priced, T0, plan="pro")
    await make.grant(priced, shop, 2, T0, source="free", expires_at=T0 + 90 * MINUTE)
    run = await deploying.deploy(priced, shop, T0, profile="gpu-t4", replicas=2)

    async def settle(at: dt.datetime) -> None:
        await deploying.settle(priced, shop, at)

    async def scale() -> None:
        await deploying.change(priced, shop, run, "scale", T0 + 2 * HOUR, replicas=1)

    async def undeploy() -> None:
        await deploying.change(priced, shop, run, "undeploy", T0 + 40 * HOUR)

    died = [
        await dies_at_every_step(priced, shop, lambda: settle(T0 + 2 * MINUTE)),
        await dies_at_every_step(priced, shop, lambda: settle(T0 + 100 * MINUTE)),
        await dies_at_every_step(priced, shop, scale),
        await dies_at_every_step(priced, shop, undeploy),
    ]

    assert min(died) > 15, "there were steps to die at"
    spans = deploying.joined(await deploying.spans(priced, run))
    assert spans == [(T0, T0 + 2 * HOUR, 2), (T0 + 2 * HOUR, T0 + 40 * HOUR, 1)]
    assert await deploying.charged(priced, shop) == deploying.cost("gpu-t4", 2 * 2 * HOUR + 38 * HOUR)
    assert await make.differences(priced, shop) == []


async def test_whoever_dies_while_stopping_has_stopped_nothing_and_told_nothing(priced: Database) -> None:
    shop = await make.bare_workspace(priced, T0)
    await make.grant(priced, shop, 3, T0)
    run = await deploying.deploy(priced, shop, T0, profile="gpu-t4")
    await dies_at_every_step(priced, shop, lambda: deploying.settle(priced, shop, T0 + HOUR))
    state = (await deploying.states(priced, shop))[run]
    assert state["state"] == "stopping"

    async def tell() -> None:
        await priced.run(lambda conn: overdue.tell_in(conn, shop, now=state["comply_by"], ids=IDS))

    await dies_at_every_step(priced, shop, tell)
    kinds = [kind for _, kind in await deploying.facts(priced, shop)]
    for kind in ("limit.low_reached", "limit.negative_reached", "deployment.stop_requested", "deployment.stop_overdue"):
        assert kinds.count(kind) == 1
    assert deploying.joined(await deploying.spans(priced, run)) == [(T0, instant("2026-03-02 10:16"), 1)]
    assert await make.differences(priced, shop) == []


@pytest.fixture
async def alone(server_url: str) -> AsyncIterator[tuple[str, Database]]:
    """A database of its own, since real workers settle whatever is due in it; everything is charged each second."""
    name = f"tally_test_{os.getpid()}_r3"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    url = psycopg.conninfo.make_conninfo(server_url, dbname=name)
    database = Database(url, pool_size=3)
    await database.open()
    try:
        async with database.admin() as admin:
            await migrate(admin, SystemClock().now())
        await make.catalog(database, instant("2024-01-01"))

        async def work(conn: Connection) -> None:
            await limits.put(conn, NO_WORKSPACE, OwnLimits(metering_seconds=1), SystemClock().now())

        await database.run(work)
        yield url, database
    finally:
        await database.close()
        with psycopg.connect(server_url, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


async def test_workers_killed_while_a_deployment_runs_and_is_scaled_leave_no_second_out(
    alone: tuple[str, Database], tmp_path: Path
) -> None:
    url, database = alone
    clock, rng = SystemClock(), random.Random(20260302)
    env = environment(tmp_path, url) | {"TALLY_METERING_SECONDS": "1", "TALLY_WORKER_SECONDS": "1"}
    begun = clock.now()
    shop = await make.bare_workspace(database, begun)
    await make.grant(database, shop, 100_000, begun)
    replicas = 1
    run = await deploying.deploy(database, shop, begun, profile="gpu-h100", replicas=replicas)
    expected, since = [(begun, replicas)], begun
    workers = [subprocess.Popen([*TALLY, "worker"], env=env) for _ in range(2)]
    try:
        for kill in range(KILLS):
            await until_charged(database, run, since)
            await asyncio.sleep(rng.uniform(0, 1))
            workers[kill % 2].kill()
            workers[kill % 2].wait()
            workers[kill % 2] = subprocess.Popen([*TALLY, "worker"], env=env)
            replicas = 1 + (kill + 1) % 3
            since = clock.now()
            await deploying.change(database, shop, run, "scale", since, replicas=replicas)
            expected.append((since, replicas))
        await until_charged(database, run, since)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    ended = clock.now()
    await deploying.change(database, shop, run, "undeploy", ended)

    edges = [*expected, (ended, 0)]
    spans = [(start, edges[place + 1][0], count) for place, (start, count) in enumerate(expected)]
    assert deploying.joined(await deploying.spans(database, run)) == spans
    replica_time = sum(((end - start) * count for start, end, count in spans), dt.timedelta(0))
    assert await deploying.charged(database, shop) == deploying.cost("gpu-h100", replica_time)
    assert (await deploying.balance(database, shop))["posted"] == 100_000 * NANO - deploying.cost(
        "gpu-h100", replica_time
    )
    assert await make.differences(database, shop) == []


async def until_charged(database: Database, run: UUID, since: dt.datetime) -> None:
    """Wait until a worker has charged more of it."""
    for _ in range(300):
        [row] = await make.rows(database, "SELECT metered_until FROM deployment WHERE id = %s", run)
        if row["metered_until"] > since + MICROSECOND:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("no worker charges it")
