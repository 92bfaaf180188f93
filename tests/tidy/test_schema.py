"""Every named query is valid against the migrated schema, and there is one schema however it came about."""

import asyncio
import datetime as dt
import os
import re
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from tallystick.store import migrate as module
from tallystick.store.migrate import available, migrate
from tallystick.store.named_sql import parse
from tallystick.store.usage import STAGES
from tests.tidy.schema import describe_schema

PACKAGE = Path(__file__).parent.parent.parent / "src" / "tallystick"
FILES = sorted(path for path in PACKAGE.rglob("*.sql") if path.parent.name != "migrations")
PARAMETER = re.compile(r"%\((\w+)\)[sbt]|%%")


def numbered(query: str) -> str:
    """The query with `$1, $2, …` for `%(name)s`: the same name is the same number."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return PARAMETER.sub(number, query)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_named_query_prepares(database_url: str, path: Path) -> None:
    problems = []
    with psycopg.connect(database_url, autocommit=True) as conn:
        for stage in STAGES.values():
            conn.execute(stage.encode())
        for name, query in parse(path.read_text(encoding="utf-8")).items():
            try:
                conn.execute(f"PREPARE tidy AS {numbered(query)}".encode())
                conn.execute("DEALLOCATE tidy")
            except psycopg.Error as error:
                problems.append(f"{name}: {error}")
    assert problems == []


def test_a_query_with_a_name_that_is_not_there_is_found(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn, pytest.raises(psycopg.errors.UndefinedColumn):
        conn.execute(f"PREPARE tidy AS {numbered('SELECT nmae FROM workspace WHERE id = %(id)s::uuid')}".encode())


def test_one_migration_after_another_gives_the_schema_of_a_fresh_install(
    server_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"tally_test_{os.getpid()}_steps"
    url = psycopg.conninfo.make_conninfo(server_url, dbname=name)
    shipped = available()

    async def step_by_step() -> None:
        for count in range(1, len(shipped) + 1):
            known = dict(list(shipped.items())[:count])
            monkeypatch.setattr(module, "available", lambda known=known: known)
            async with await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row) as conn:
                assert await migrate(conn, dt.datetime(2026, 1, count, tzinfo=dt.UTC)) == [list(shipped)[count - 1]]
                assert await migrate(conn, dt.datetime(2027, 1, 1, tzinfo=dt.UTC)) == []

    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        try:
            asyncio.run(step_by_step())
            assert describe_schema(url) == describe_schema(database_url) != []
        finally:
            conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
