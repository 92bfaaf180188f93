"""The guide to production is true: its commands are run as they stand, on a database of their own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.docs.blocks import Reader, blocks
from tests.serving import environment, serving

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "production.md"


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    """A database with nothing in it, not even our schema."""
    name = f"tally_guide_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield psycopg.conninfo.make_conninfo(server_url, dbname=name)
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_the_commands_of_the_guide_to_production_work_in_their_order(empty_database: str, tmp_path: Path) -> None:
    with serving(empty_database, tmp_path / "server") as house:
        reader = Reader(tmp_path, house.base_url, **_given(tmp_path, empty_database))
        printed = "".join(reader.run(block) for block in blocks(GUIDE) if block.kind == "sh")
        reader.close()
    assert '"ready":true' in printed
    assert "tally_requests_total" in printed
    assert '"adminToken": "tally_' in printed
    assert '"events:write"' in printed
    assert json.loads(printed[printed.rindex("\n{\n") :])["differences"] == []
    assert (tmp_path / "tally.backup").stat().st_size > 0


def _given(folder: Path, url: str) -> dict[str, str]:
    return {name: value for name, value in environment(folder, url).items() if name.startswith(("TALLY_", "XDG_"))}
