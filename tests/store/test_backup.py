"""Backup and restore: everything comes back, a half-made file never appears, nothing is overwritten unasked."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tallystick.kernel.errors import TallystickError
from tallystick.store import backup as module
from tallystick.store.backup import backup, restore
from tests.tidy.schema import describe_schema

ROWS = "SELECT id, key, name, created_at FROM workspace ORDER BY id"


@pytest.fixture
def filled(server_url: str, database_url: str) -> Iterator[str]:
    """A copy of the migrated schema with a row that only careful hands carry over."""
    with _new_database(server_url, "filled", psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]) as url:
        with psycopg.connect(url) as conn:
            conn.execute(
                "INSERT INTO workspace (id, key, name, created_at) VALUES (gen_random_uuid(), %s, %s, now())",
                ["SET transaction_timeout = 0;", "tab\tnew\nline \\. ünï \U0001f9fe"],
            )
        yield url


@pytest.fixture
def empty(server_url: str) -> Iterator[str]:
    with _new_database(server_url, "empty", "template0") as url:
        yield url


class _new_database:  # noqa: N801 - reads as the verb it is
    def __init__(self, server_url: str, suffix: str, template: object) -> None:
        self._server, self._name, self._template = server_url, f"tally_test_{os.getpid()}_{suffix}", template

    def __enter__(self) -> str:
        self._run(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
        with psycopg.connect(self._server, autocommit=True) as conn:
            # A template may have no other session: idle ones of the pool would be in the way.
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self._template])
        self._run(f"CREATE DATABASE {self._name} TEMPLATE {self._template}")
        return make_conninfo(self._server, dbname=self._name)

    def __exit__(self, *_: object) -> None:
        self._run(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as conn:
            conn.execute(statement.encode())


def rows(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as conn:
        return conn.execute(ROWS).fetchall()


def test_a_restored_database_has_the_same_schema_and_rows(filled: str, empty: str, tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    assert backup(filled, None, path) == path.stat().st_size > 1_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    restore(empty, None, path)
    assert rows(empty) == rows(filled) != []
    assert describe_schema(empty) == describe_schema(filled)


def test_a_database_that_holds_something_is_replaced_only_when_forced(filled: str, tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    backup(filled, None, path)
    before = rows(filled)
    with psycopg.connect(filled) as conn:
        conn.execute("UPDATE workspace SET name = 'changed'")
        conn.execute("CREATE TABLE later (n int)")
    with pytest.raises(TallystickError) as caught:
        restore(filled, None, path)
    assert caught.value.code == "databaseNotEmpty"
    restore(filled, None, path, force=True)
    assert rows(filled) == before
    with psycopg.connect(filled) as conn:
        assert conn.execute("SELECT to_regclass('later')").fetchone() == (None,)


def test_a_cut_backup_changes_nothing(filled: str, tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    with psycopg.connect(filled) as conn:
        # More than a pipe holds: what is there has been dropped when the cut is met.
        conn.execute(
            "INSERT INTO workspace (id, name, created_at) "
            "SELECT gen_random_uuid(), 'x', now() FROM generate_series(1, 20000)"
        )
    size = backup(filled, None, path)
    before = rows(filled)
    with path.open("r+b") as file:
        file.truncate(size // 2)
    with pytest.raises(TallystickError) as caught:
        restore(filled, None, path, force=True)
    assert caught.value.code == "restoreFailed"
    assert rows(filled) == before


def test_a_failed_backup_leaves_the_old_file_and_no_other(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.backup"
    path.write_text("old")
    monkeypatch.setattr(module, "make_conninfo", lambda *_, **__: "dbname=tally_test_is_not_there")
    with pytest.raises(TallystickError) as caught:
        backup(filled, None, path)
    assert caught.value.code == "backupFailed"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.backup"]
    assert path.read_text() == "old"


def test_a_folder_that_is_not_there_is_named(filled: str, tmp_path: Path) -> None:
    with pytest.raises(TallystickError) as caught:
        backup(filled, None, tmp_path / "no" / "a.backup")
    assert caught.value.code == "homeUnusable"
    with pytest.raises(TallystickError) as caught:
        restore(filled, None, tmp_path / "no.backup")
    assert caught.value.code == "backupNotFound"


def test_the_password_is_on_no_command_line(filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs are replaced by one that writes down how it was called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("pg_dump", "pg_restore", "psql"):
        script = programs / name
        script.write_text(
            '#!/bin/sh\ncase "$1" in --version) echo "x (PostgreSQL) 99";; '
            f'*) echo "$@" >> {tmp_path}/called; echo "$PGPASSWORD" >> {tmp_path}/told;; esac\n'
        )
        script.chmod(0o755)
    url = make_conninfo(filled, password="hush")
    backup(url, programs, tmp_path / "a.backup")
    restore(url, programs, tmp_path / "a.backup", force=True)
    assert "hush" not in (tmp_path / "called").read_text()
    assert (tmp_path / "told").read_text().split() == ["hush"] * 3
