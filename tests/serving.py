"""A real server in a process of its own on the test database, and what a test needs to talk to it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from tallystick.client import Client
from tallystick.kernel.ids import SystemIds

TALLY = [sys.executable, "-m", "tallystick.cli.main"]


@dataclass(frozen=True)
class Shop:
    """A workspace of a running server, with the token of its first admin."""

    base_url: str
    uuid: UUID
    key: str
    token: str
    database_url: str

    def one(self, sql: str) -> dict[str, Any]:
        """The one row of a query on the workspace's rows; `%(workspace)s` stands for its id."""
        with psycopg.connect(self.database_url, row_factory=psycopg.rows.dict_row) as conn:
            row = conn.execute(sql.encode(), {"workspace": self.uuid}).fetchone()
        assert row is not None
        return row

    def events(self) -> dict[str, Any]:
        """How many events are booked, and their sums."""
        return self.one(
            "SELECT count(*) AS events, coalesce(sum(credits), 0)::bigint AS credits, "
            "coalesce(sum(tokens_in), 0)::bigint AS tokens_in, coalesce(sum(tokens_out), 0)::bigint AS tokens_out, "
            "sum(provider_cost)::bigint AS cost FROM usage_event WHERE workspace_id = %(workspace)s"
        )


@dataclass(frozen=True)
class House:
    """The server, its operator, and an empty home and configuration folder for commands."""

    base_url: str
    operator_token: str
    database_url: str
    folder: Path

    def shop(self) -> Shop:
        """A new workspace."""
        key = f"shop-{SystemIds().secret()[:12]}"
        with Client(self.base_url, self.operator_token) as operator:
            made = operator.create_workspace("Shop", key=key)
        assert made.admin_token is not None
        return Shop(self.base_url, made.workspace.uuid, key, made.admin_token, self.database_url)

    def environment(self, **more: str) -> dict[str, str]:
        """What a command sees: nothing of the machine that runs the tests but the path."""
        return environment(self.folder, self.database_url) | more


def environment(folder: Path, database_url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "TALLY_HOME": str(folder / "home"),
        "TALLY_DATABASE_URL": database_url,
        "TALLY_LOG_LEVEL": "error",
        # Its clock is the real one: it must not settle what the tests of this database leave due in their own time.
        "TALLY_WORKER": "false",
        "TALLY_RUNNER": "false",
        "TALLY_POOL_SIZE": "4",
        "COLUMNS": "100",
    }


@contextmanager
def serving(database_url: str, folder: Path, **settings: str) -> Iterator[House]:
    """`tally serve` on a free port, with these variables too, ended by SIGTERM."""
    env = environment(folder, database_url) | settings
    made = subprocess.run(
        [*TALLY, "operator", "create-token", "--name", "tests"], env=env, capture_output=True, check=True
    )
    server = subprocess.Popen([*TALLY, "serve", "--port", "0"], env=env, stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        text = b""
        while not text.rstrip().endswith(b"}"):
            line = server.stdout.readline()
            assert line, "the server ended before it answered"
            text += line
        yield House(json.loads(text)["baseUrl"], json.loads(made.stdout)["token"], database_url, folder)
    finally:
        server.terminate()
        ended = server.wait(20)
        server.stdout.close()
    assert ended == 0
