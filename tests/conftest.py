"""Fixtures for every test: real PostgreSQL, never skipped. A test makes its own workspaces, so tests never meet."""

import asyncio
import datetime as dt
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from tallystick.kernel.ids import SystemIds
from tallystick.store.database import Database
from tallystick.store.migrate import migrate

NOW = dt.datetime(2026, 3, 14, 9, 41, 7, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for this test process: TALLY_TEST_DATABASE_URL, or an embedded one in a folder of its own."""
    given = os.environ.get("TALLY_TEST_DATABASE_URL")
    if given:
        yield given
        return
    from tallystick.store.embedded import EmbeddedServer

    home = Path(str(tmp_path_factory.mktemp("pg")))
    server = EmbeddedServer.start(home)
    try:
        yield server.url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def database_url(server_url: str) -> Iterator[str]:
    """An empty database, migrated, dropped when the session ends."""
    name = f"tally_test_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    url = psycopg.conninfo.make_conninfo(server_url, dbname=name)

    async def prepare() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row) as conn:
            await migrate(conn, NOW)

    asyncio.run(prepare())
    yield url
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def ids() -> SystemIds:
    return SystemIds()


@pytest.fixture
def now() -> dt.datetime:
    return NOW
