"""Connections and transactions: the only module that knows the pool, and where lost races are tried again."""

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tallystick.kernel.errors import TallystickError

T = TypeVar("T")
Connection = psycopg.AsyncConnection[DictRow]
Row = Mapping[str, Any]
Query = Any
"""SQL as `named_sql` gives it."""
Asked = tuple[Query, Mapping[str, Any]]
"""A query with its parameters."""

_RETRIED = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
_ATTEMPTS = 5
# Compiling a query takes longer than ours run, and a report of a quarter fits in this much memory without a file.
_OPTIONS = "-c timezone=UTC -c jit=off -c work_mem=32MB"


class Database:
    """A pool to the `admin` server and, where tenants live elsewhere, one to the `data` server.

    On plain PostgreSQL the two are one pool; on a distributed one `data(workspace_id)` may reach another node.
    """

    def __init__(self, admin_url: str, data_url: str | None = None, *, pool_size: int = 10) -> None:
        self._admin = _Pool(admin_url, pool_size)
        self._data = _Pool(data_url, pool_size) if data_url and data_url != admin_url else self._admin

    async def open(self) -> None:
        """Open the pools and wait for a first connection. Raises `databaseUnavailable`."""
        for pool in {self._admin, self._data}:
            try:
                await pool.open(wait=True, timeout=30)
            except PoolTimeout as error:
                raise TallystickError("databaseUnavailable", "The database does not answer.") from error

    async def close(self) -> None:
        for pool in {self._admin, self._data}:
            await pool.close()

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Connection]:
        """A transaction on the admin connection: reference tables, jobs, advisory locks, migrations."""
        async with _lent(self._admin) as conn:
            yield conn

    @asynccontextmanager
    async def data(self, workspace_id: UUID | None = None) -> AsyncIterator[Connection]:
        """A transaction where the workspace's rows live."""
        async with _lent(self._data) as conn:
            yield conn

    @asynccontextmanager
    async def look(self) -> AsyncIterator[Connection]:
        """For one statement that reads, and is its own transaction: a round trip in place of three."""
        async with _lent(self._data) as conn:
            await conn.set_autocommit(True)
            try:
                yield conn
            finally:
                if not conn.closed:
                    await conn.set_autocommit(False)

    @asynccontextmanager
    async def read(self, workspace_id: UUID | None = None, *, snapshot: str | None = None) -> AsyncIterator[Connection]:
        """One snapshot, read only: the figures that a query combines belong to one instant.

        With `snapshot`, as another open connection exported it (`export_snapshot`), so that two read the same.
        """
        async with _lent(self._data) as conn:
            # Said with BEGIN, at no round trip of its own.
            await conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await conn.set_read_only(True)
            try:
                async with conn.transaction():
                    if snapshot is not None:
                        await conn.execute(SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
                    yield conn
            finally:
                if not conn.closed:
                    await conn.set_isolation_level(None)
                    await conn.set_read_only(None)

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, admin: bool = False) -> T:
        """Run `work` in one transaction, again from its beginning when it lost a race to another."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self.admin() if admin else self.data() as conn:
                    return await work(conn)
            except _RETRIED:
                if attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(0.01 * attempt)
        raise AssertionError("unreachable")


async def export_snapshot(conn: Connection) -> str:
    """The name of this transaction's snapshot, good for as long as it is open."""
    row = await (await conn.execute("SELECT pg_export_snapshot() AS name")).fetchone()
    if row is None:
        raise AssertionError("pg_export_snapshot answers a row")
    return str(row["name"])


@asynccontextmanager
async def finishing(conn: Connection) -> AsyncIterator[None]:
    """For the last writes of a transaction: they are sent at once, its commit with them, in one round trip.

    Where one of them fails nothing is committed. Nothing may be done on the connection afterwards.
    """
    async with conn.pipeline():
        yield
        await conn.commit()


async def together(conn: Connection, *asked: Asked) -> list[list[Row]]:
    """The rows of several queries that are sent at once and done in their order: one round trip for all."""
    async with conn.pipeline():
        cursors = [await conn.execute(query, given) for query, given in asked]
        return [list(await cursor.fetchall()) for cursor in cursors]


class _Pool(AsyncConnectionPool[Connection]):
    """A pool that never lends a connection which the server has closed.

    When one is lost, most likely all are (the server was restarted): the pool would find that out one by one, waiting
    twice as long after each, so all are looked at then.
    """

    def __init__(self, url: str, size: int) -> None:
        super().__init__(
            url,
            connection_class=psycopg.AsyncConnection[DictRow],
            min_size=1,
            max_size=size,
            open=False,
            check=self._check,
            kwargs={"row_factory": dict_row, "options": _OPTIONS, "application_name": "tallystick"},
        )
        self._renewing: asyncio.Task[None] | None = None

    async def _check(self, conn: Connection) -> None:
        # The end of a connection is something to read, and an idle one has nothing else: no round trip is needed.
        if not _has_news(conn):
            return
        try:
            await AsyncConnectionPool.check_connection(conn)
        except psycopg.OperationalError:
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.create_task(self.check())
            raise


def _has_news(conn: Connection) -> bool:
    if conn.closed:
        return True
    waiting = select.poll()
    waiting.register(conn.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


@asynccontextmanager
async def _lent(pool: _Pool) -> AsyncIterator[Connection]:
    try:
        async with pool.connection() as conn:
            yield conn
    except (psycopg.OperationalError, PoolTimeout) as error:
        if isinstance(error, _RETRIED):
            raise
        raise TallystickError("databaseUnavailable", "The database does not answer; try again, it is safe.") from error
