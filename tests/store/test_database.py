"""The pool: a server that was restarted is found again at once, however many connections it had."""

import asyncio
import time

import psycopg

from tallystick.store.database import Database


async def test_losing_every_connection_costs_moments_and_no_request(server_url: str, database_url: str) -> None:
    database = Database(database_url, pool_size=10)
    await database.open()
    try:
        everybody_is_in = asyncio.Barrier(10)

        async def borrow() -> int:
            async with database.read() as conn:
                await everybody_is_in.wait()
                return conn.info.backend_pid

        pids = await asyncio.gather(*(borrow() for _ in range(10)))
        assert len(set(pids)) == 10
        with psycopg.connect(server_url, autocommit=True) as conn:
            conn.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [pids])
            # They are told, not gone: what is asked meanwhile may still meet one.
            left = "SELECT FROM pg_stat_activity WHERE pid = ANY(%s::int[])"
            while conn.execute(left, [pids]).fetchone() is not None:
                time.sleep(0.01)
        begun = time.monotonic()
        async with database.read() as conn:
            row = await (await conn.execute("SELECT 1 AS one")).fetchone()
        assert row is not None
        assert time.monotonic() - begun < 10
    finally:
        await database.close()
