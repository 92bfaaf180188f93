"""R6: whatever dies between whichever two steps, every mail arrives, with one content, under one Message-ID."""

import asyncio
import datetime as dt
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from tallystick.domain.telling.facts import Fact
from tallystick.flows.mailing import LEASE
from tallystick.store.database import Database
from tests import make
from tests.mailbox import Mailbox, mailbox
from tests.serving import TALLY, environment
from tests.telling.mortal_mailer import STEPS
from tests.telling.post_office import empty_outbox, fan, outbox, person, post_to, send, stops

ROOT = Path(__file__).parents[2]
NOW = dt.datetime(2026, 3, 14, 9, 41, 7, tzinfo=dt.UTC)
MANY = 100
"""Attempts that are never used up."""


@pytest.fixture
async def workspace(database: Database) -> AsyncIterator[UUID]:
    async with empty_outbox(database):
        workspace_id = await make.bare_workspace(database, NOW)
        for role in ("owner", "admin"):
            await person(database, workspace_id, role, NOW)
        yield workspace_id


@asynccontextmanager
async def mailer(
    database_url: str, box: Mailbox, now: dt.datetime, step: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that works; it is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.telling.mortal_mailer",
        database_url,
        str(box.port),
        now.isoformat(),
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


async def finish(database: Database, box: Mailbox, now: dt.datetime) -> None:
    """What a worker does that nobody kills, once the leases of the dead ones have ended."""
    await fan(database, now)
    await send(database, post_to(box.port), now, attempts_max=MANY)


async def check(database: Database, workspace: UUID, box: Mailbox, told: Sequence[Fact]) -> Counter[str]:
    """Every fact became one mail to each of two people, each came at least once, and always the same."""
    made = await outbox(database, workspace)
    assert Counter(mail["fact_id"] for mail in made) == {fact.id: 2 for fact in told}
    assert {mail["message_id"] for mail in made} == set(box.counts)
    assert all(len(contents) == 1 for contents in box.contents.values())
    assert {mail["status"] for mail in made} == {"sent"}
    return box.counts


@pytest.mark.parametrize("step", STEPS)
async def test_every_mail_arrives_though_the_worker_dies(
    database: Database, database_url: str, workspace: UUID, step: str
) -> None:
    told = await stops(database, workspace, 2, NOW)
    with mailbox() as box:
        async with asyncio.timeout(60), mailer(database_url, box, NOW, step) as process:
            assert await process.wait() == -signal.SIGKILL
        await finish(database, box, NOW + LEASE)
        counts = await check(database, workspace, box, told)
    assert max(counts.values()) <= 2


async def test_nothing_is_lost_though_workers_are_killed_at_any_moment(
    database: Database, database_url: str, workspace: UUID
) -> None:
    """Two at once, again and again, while facts go on happening and the server refuses or drops some of the mails."""
    told: list[Fact] = []
    dice = random.Random(6)
    with mailbox() as box:
        box.at_data = lambda offered: "451 later" if offered % 5 == 0 else None
        for turn in range(2):
            now = NOW + turn * LEASE
            box.drops = turn == 1
            async with (
                asyncio.timeout(60),
                mailer(database_url, box, now) as one,
                mailer(database_url, box, now) as two,
            ):
                for _ in range(4):
                    told += await stops(database, workspace, 2, NOW)
                    await asyncio.sleep(dice.uniform(0, 0.05))
                one.kill()
                told += await stops(database, workspace, 2, NOW)
                await asyncio.sleep(dice.uniform(0, 0.2))
                two.kill()
        box.at_data, box.drops = lambda _: None, False
        await finish(database, box, NOW + dt.timedelta(days=2))
        await check(database, workspace, box, told)


async def test_two_workers_that_nobody_kills_send_each_mail_once(
    database: Database, database_url: str, workspace: UUID
) -> None:
    told = await stops(database, workspace, 12, NOW)
    with mailbox() as box:
        async with asyncio.timeout(60), mailer(database_url, box, NOW), mailer(database_url, box, NOW):
            while len(box.taken) < 2 * len(told):
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
        assert set((await check_sent(database, workspace, box)).values()) == {1}


async def check_sent(database: Database, workspace: UUID, box: Mailbox) -> Counter[str]:
    made = await outbox(database, workspace)
    assert {mail["message_id"] for mail in made} == set(box.counts)
    return box.counts


async def test_the_worker_as_it_is_installed_tells_people(server_url: str, tmp_path: Path) -> None:
    """`tally worker` on a database of its own, with nothing but its settings."""
    name = f"tally_test_{os.getpid()}_mail"
    url = psycopg.conninfo.make_conninfo(server_url, dbname=name)
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    try:
        with mailbox() as box:
            env = environment(tmp_path, url) | {
                "TALLY_SMTP_URL": f"smtp+plain://127.0.0.1:{box.port}",
                "TALLY_MAIL_FROM": "Acme AI <billing@acme-ai.example>",
                "TALLY_WORKER_SECONDS": "1",
            }
            subprocess.run([*TALLY, "db", "migrate"], env=env, check=True, capture_output=True)
            database = Database(url, pool_size=2)
            await database.open()
            workspace = await make.bare_workspace(database, NOW)
            _, address = await person(database, workspace, "owner", NOW)
            told = await stops(database, workspace, 3, NOW)
            worker = await asyncio.create_subprocess_exec(*TALLY, "worker", env=env)
            try:
                async with asyncio.timeout(60):
                    while {one["status"] for one in await outbox(database, workspace)} != {"sent"}:
                        await asyncio.sleep(0.1)
            finally:
                worker.terminate()
                assert await worker.wait() == 0
                await database.close()
        assert box.recipients == [address] * len(told)
        assert {str(message["From"]) for message in box.messages} == {"Acme AI <billing@acme-ai.example>"}
        assert set(box.counts.values()) == {1}
    finally:
        with psycopg.connect(server_url, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


async def test_mails_that_die_are_there_to_be_seen(database: Database, database_url: str, workspace: UUID) -> None:
    """Some are refused for good and some for ever put off, under kills: each is sent or dead with a reason."""
    await stops(database, workspace, 6, NOW)
    with mailbox() as box:
        box.at_data = lambda offered: ("554 spam", "451 later", None)[offered % 3]
        for turn in range(3):
            async with asyncio.timeout(60), mailer(database_url, box, NOW + turn * LEASE) as process:
                await asyncio.sleep(0.15)
                process.kill()
        for turn in range(12):
            await send(database, post_to(box.port), NOW + dt.timedelta(days=1 + turn), attempts_max=4)
        made = await outbox(database, workspace)
    assert len(made) == 12
    assert {mail["status"] for mail in made} <= {"sent", "dead"}
    for mail in made:
        if mail["status"] == "dead":
            assert mail["error"]
        else:
            assert box.counts[mail["message_id"]] >= 1
