"""Migrations: forward only, each file once, in order, under one lock; every statement is executed by itself."""

import datetime as dt
import re
from importlib import resources

import psycopg

from tallystick.kernel.errors import TallystickError

_LOCK = 0x7A11_1C4B
_HISTORY = """CREATE TABLE IF NOT EXISTS schema_migration (
    version text PRIMARY KEY, digest text NOT NULL, applied_at timestamptz NOT NULL)"""
_LEADING_COMMENTS = re.compile(r"\A(\s*--[^\n]*\n)+")


def available() -> dict[str, str]:
    """Every migration shipped with this version, by name, in the order in which they apply."""
    folder = resources.files("tallystick.store") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return {name.removesuffix(".sql"): (folder / name).read_text(encoding="utf-8") for name in names}


def statements(text: str) -> list[str]:
    """The statements of one migration file, in order. A statement ends with a semicolon at the end of a line."""
    pieces = re.split(r";\s*\n", text + "\n")
    bare = (_LEADING_COMMENTS.sub("", piece + "\n").strip() for piece in pieces)
    return [piece for piece in bare if piece]


async def migrate(conn: psycopg.AsyncConnection[psycopg.rows.DictRow], now: dt.datetime) -> list[str]:
    """Bring the schema to this version in one transaction; the names of what was applied.

    Raises `databaseNewer` when the database was migrated by a later version of the program, and
    `serverTooOld` below PostgreSQL 15.
    """
    if conn.info.server_version < 150000:
        raise TallystickError(
            "serverTooOld", "Tallystick needs PostgreSQL 15 or newer.", found=str(conn.info.server_version)
        )
    shipped = available()
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        await conn.execute(_HISTORY)
        done = await applied(conn)
        unknown = sorted(set(done) - set(shipped))
        if unknown:
            raise TallystickError(
                "databaseNewer", "This database belongs to a newer version of Tallystick.", unknown=unknown
            )
        fresh = [name for name in shipped if name not in done]
        for name in fresh:
            for statement in statements(shipped[name]):
                await conn.execute(statement.encode())
            await conn.execute(
                "INSERT INTO schema_migration (version, digest, applied_at) VALUES (%s, md5(%s), %s)",
                [name, shipped[name], now],
            )
    return fresh


async def applied(conn: psycopg.AsyncConnection[psycopg.rows.DictRow]) -> list[str]:
    """Names of the migrations that the database has, oldest first."""
    cursor = await conn.execute("SELECT to_regclass('schema_migration') IS NOT NULL AS present")
    row = await cursor.fetchone()
    if row is None or not row["present"]:
        return []
    cursor = await conn.execute("SELECT version FROM schema_migration ORDER BY version")
    return [str(row["version"]) for row in await cursor.fetchall()]
