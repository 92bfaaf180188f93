"""Balances older than thresholds begin with those that they have reached: nobody is told of old news."""

import asyncio
import datetime as dt
import os
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from tallystick.domain.credits.thresholds import reached
from tallystick.store import migrate as module
from tallystick.store.migrate import available, migrate

NOW = dt.datetime(2026, 3, 14, tzinfo=dt.UTC)
BALANCES = [
    (0, 0),
    (-5, 0),
    (100_000, 100_000),
    (80_006, 100_000),
    (80_005, 100_000),
    (50_000, 100_000),
    (30_000, 100_000),
    (20_000, 100_000),
    (10_000, 100_000),
    (1, 100_000),
    (0, 100_000),
    (-7, 100_000),
    (10**17 // 2, 10**17),
]


def test_a_balance_begins_with_what_it_has_reached(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = available()
    before = {name: text for name, text in shipped.items() if name < "0007"}
    database = f"tally_told_{os.getpid()}"

    async def upgrade() -> dict[UUID, int]:
        url = psycopg.conninfo.make_conninfo(server_url, dbname=database)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row) as conn:
            monkeypatch.setattr(module, "available", lambda: before)
            await migrate(conn, NOW)
            for number, (posted, allocation) in enumerate(BALANCES):
                await conn.execute(
                    "INSERT INTO balance (workspace_id, unit, posted, allocation) VALUES (%s, 'credits', %s, %s)",
                    [UUID(int=number), posted, allocation],
                )
            monkeypatch.setattr(module, "available", lambda: shipped)
            await migrate(conn, NOW)
            rows = await (await conn.execute("SELECT workspace_id, told FROM balance")).fetchall()
            return {row["workspace_id"]: row["told"] for row in rows}

    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {database} TEMPLATE template0".encode())
        try:
            told = asyncio.run(upgrade())
        finally:
            conn.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())
    assert told == {UUID(int=number): reached(*balance) for number, balance in enumerate(BALANCES)}
