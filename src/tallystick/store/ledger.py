"""The ledger's tables: lock balances, read grants, write what the books say, set-based and sorted."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from typing import Any
from uuid import UUID

from tallystick.domain.credits.accounts import Balance
from tallystick.domain.credits.grants import UNITS, Grant
from tallystick.domain.credits.ledger import Book
from tallystick.kernel.errors import TallystickError
from tallystick.store import facts
from tallystick.store.database import Asked, Connection, Row, together
from tallystick.store.named_sql import load

SQL = load(__file__)
_GRANT_FIELDS = tuple(field.name for field in fields(Grant))
_BALANCE_FIELDS = tuple(field.name for field in fields(Balance))

Books = dict[UUID, dict[str, Book]]
"""The locked books by workspace, then unit."""


async def open_balances(conn: Connection, workspace_id: UUID) -> None:
    """Make both balance rows of a new workspace; done before, it is a no-op."""
    await conn.execute(SQL["open_balances"], {"workspace_id": workspace_id})


async def lock_books(
    conn: Connection, workspace_ids: Collection[UUID], *, returns: bool = False, also: Iterable[Asked] = ()
) -> tuple[Books, list[list[Row]]]:
    """Lock the balances of these workspaces in sorted order and read the grants that a debit may use.

    With `returns` used-up grants come too, since a return may refill them. A workspace that does not exist is missing
    in the answer. What is asked `also` is read under the lock in the same round trip.
    """
    given = {"workspace_ids": sorted(workspace_ids)}
    grants = "unended_grants" if returns else "open_grants"
    locked, granted, *others = await together(conn, (SQL["lock_balances"], given), (SQL[grants], given), *also)
    books: Books = {}
    for row in locked:
        balance = Balance(**{name: row[name] for name in _BALANCE_FIELDS})
        books.setdefault(balance.workspace_id, {})[balance.unit] = Book(balance, {})
    _add_grants(books, granted)
    return books, others


async def read_grants(
    conn: Connection, books: Books, workspace_ids: Collection[UUID], *, returns: bool = False
) -> None:
    """Fill the locked books with their grants; those that a book holds already stay as they are."""
    name = "unended_grants" if returns else "open_grants"
    _add_grants(books, await (await conn.execute(SQL[name], {"workspace_ids": sorted(workspace_ids)})).fetchall())


def _add_grants(books: Books, rows: Iterable[Row]) -> None:
    for row in rows:
        book = books[row["workspace_id"]][row["unit"]]
        if row["id"] not in book.grants:
            book.grants[row["id"]] = grant_of(row)


def grant_of(row: Mapping[str, Any]) -> Grant:
    """The grant of a row of `credit_grant`."""
    return Grant(**{name: row[name] for name in _GRANT_FIELDS})


async def save_books(conn: Connection, books: Books, now: dt.datetime) -> None:
    """Write every balance, grant, transaction and entry that changed since the lock, and what they tell."""
    every = [pair[unit] for pair in books.values() for unit in UNITS]
    held = [book.balance for book in every if book.rescheduled and not book.booked]
    if held:
        names = ("held", "due_at")
        await conn.execute(SQL["save_held"], _balance_columns(held, names))
    changed = [book for book in every if book.booked]
    if not changed:
        return
    await _save_balances(conn, [book.balance for book in changed])
    await _save_grants(conn, changed, now)
    await _insert_transactions(conn, changed, now)
    await facts.record(conn, [fact for book in changed for fact in book.facts], now)


async def _save_balances(conn: Connection, balances: list[Balance]) -> None:
    columns = (
        "overdraft",
        "issued",
        "used",
        "expired",
        "allocation",
        "allocation_no",
        "seq",
        "due_at",
        "posted",
        "held",
        "told",
    )
    await conn.execute(SQL["save_balances"], _balance_columns(balances, columns))


def _balance_columns(balances: list[Balance], names: Iterable[str]) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {name: [getattr(balance, name) for balance in balances] for name in names}
    values["workspace_ids"] = [balance.workspace_id for balance in balances]
    values["units"] = [balance.unit for balance in balances]
    return values


async def _save_grants(conn: Connection, books: list[Book], now: dt.datetime) -> None:
    created = [(b.balance.workspace_id, b.grants[i]) for b in books for i in sorted(b.created)]
    if created:
        await conn.execute(SQL["insert_grants"], _grant_columns(created))
    touched = [(b.balance.workspace_id, b.grants[i]) for b in books for i in sorted(b.touched - b.created)]
    if touched:
        columns = _grant_columns(touched)
        names = ("workspace_ids", "ids", "remaining", "expired", "ended_at", "kept")
        await conn.execute(SQL["save_grants"], {name: columns[name] for name in names})
    history = [(b.balance, i, amount) for b in books for i, amount in sorted(b.history.items())]
    if history:
        values = {
            "workspace_ids": [balance.workspace_id for balance, _, _ in history],
            "units": [balance.unit for balance, _, _ in history],
            "ids": [grant_id for _, grant_id, _ in history],
            "amounts": [amount for _, _, amount in history],
            "now": now,
        }
        await conn.execute(SQL["add_history"], values)


def _grant_columns(grants: Iterable[tuple[UUID, Grant]]) -> dict[str, list[Any]]:
    rows = list(grants)
    names = {
        "ids": "id",
        "units": "unit",
        "sources": "source",
        "amounts": "amount",
        "remaining": "remaining",
        "priorities": "priority",
        "starts_at": "starts_at",
        "expires_at": "expires_at",
        "created_at": "created_at",
        "reasons": "reason",
        "ended_at": "ended_at",
        "expired": "expired",
        "kept": "kept",
    }
    columns: dict[str, list[Any]] = {name: [getattr(g, field) for _, g in rows] for name, field in names.items()}
    columns["workspace_ids"] = [workspace_id for workspace_id, _ in rows]
    return columns


async def _insert_transactions(conn: Connection, books: list[Book], now: dt.datetime) -> None:
    booked = [(b.balance, t) for b in books for t in b.transactions]
    if not booked:
        return
    values: dict[str, Any] = {
        "workspace_ids": [balance.workspace_id for balance, _ in booked],
        "units": [balance.unit for balance, _ in booked],
        "seqs": [t.seq for _, t in booked],
        "ids": [t.id for _, t in booked],
        "kinds": [t.kind for _, t in booked],
        "keys": [t.key for _, t in booked],
        "effective_at": [t.effective_at for _, t in booked],
        "reasons": [t.reason for _, t in booked],
        "actors": [t.actor for _, t in booked],
        "now": now,
    }
    await conn.execute(SQL["insert_transactions"], values)
    entries = [(balance, t.seq, n, e) for balance, t in booked for n, e in enumerate(t.entries)]
    values = {
        "workspace_ids": [balance.workspace_id for balance, _, _, _ in entries],
        "units": [balance.unit for balance, _, _, _ in entries],
        "seqs": [seq for _, seq, _, _ in entries],
        "positions": [n for _, _, n, _ in entries],
        "accounts": [e.account for _, _, _, e in entries],
        "grant_ids": [e.grant_id for _, _, _, e in entries],
        "amounts": [e.amount for _, _, _, e in entries],
        "balances": [e.balance_after for _, _, _, e in entries],
    }
    await conn.execute(SQL["insert_entries"], values)


async def booked_before(conn: Connection, workspace_id: UUID, unit: str, key: str) -> UUID | None:
    """The id of the transaction that was booked under this key, if there is one."""
    given = {"workspace_id": workspace_id, "unit": unit, "key": key}
    row = await (await conn.execute(SQL["transaction_by_key"], given)).fetchone()
    return row["id"] if row else None


async def grant_by_id(conn: Connection, workspace_id: UUID, grant_id: UUID) -> Grant:
    """One grant as it stands. Raises `grantNotFound`."""
    given = {"workspace_id": workspace_id, "id": grant_id}
    row = await (await conn.execute(SQL["grant_by_id"], given)).fetchone()
    if row is None:
        raise TallystickError("grantNotFound", "There is no such grant.", id=str(grant_id))
    return grant_of(row)


async def is_due(conn: Connection, workspace_id: UUID, now: dt.datetime) -> bool:
    """Whether a grant of this workspace has expired or its period has ended by `now`, and nobody booked it yet."""
    given = {"workspace_id": workspace_id, "now": now}
    return await (await conn.execute(SQL["is_due"], given)).fetchone() is not None


async def due_workspaces(conn: Connection, now: dt.datetime, most: int) -> list[UUID]:
    """Workspaces on which a grant has expired or a period has ended by `now`; at most so many."""
    rows = await (await conn.execute(SQL["due_workspaces"], {"now": now, "most": most})).fetchall()
    return [row["workspace_id"] for row in rows]
