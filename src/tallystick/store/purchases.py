"""Purchases of credits. Whoever writes has locked the workspace's balances."""

import datetime as dt
from dataclasses import asdict, fields
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.billing.purchases import Purchase
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_FIELDS: Final = tuple(field.name for field in fields(Purchase))
# Decimals go as texts, so that they keep their digits.
_encode: Final = msgspec.json.Encoder(decimal_format="string").encode


async def insert(conn: Connection, purchase: Purchase) -> bool:
    """Add a purchase; False, and nothing is added, where an automatic one is on its way already."""
    return (await conn.execute(SQL["insert"], {"row": _row(purchase)})).rowcount == 1


async def save(conn: Connection, purchase: Purchase) -> None:
    """Write back how it stands; what was asked for stays."""
    given = {"workspace_id": purchase.workspace_id, "id": purchase.id, "row": _row(purchase)}
    await conn.execute(SQL["save"], given)


async def lock(conn: Connection, workspace_id: UUID, purchase_id: UUID) -> Purchase:
    """One purchase, locked until the transaction ends. Raises `purchaseNotFound`."""
    row = await (await conn.execute(SQL["lock"], {"workspace_id": workspace_id, "id": purchase_id})).fetchone()
    if row is None:
        raise not_found(purchase_id)
    return purchase_of(row)


async def find(conn: Connection, workspace_id: UUID, purchase_id: UUID) -> Purchase:
    """One purchase, not locked. Raises `purchaseNotFound`."""
    row = await (await conn.execute(SQL["by_id"], {"workspace_id": workspace_id, "id": purchase_id})).fetchone()
    if row is None:
        raise not_found(purchase_id)
    return purchase_of(row)


async def lock_of_invoice(conn: Connection, workspace_id: UUID, invoice_id: UUID) -> Purchase | None:
    """The purchase that an invoice is for, locked."""
    given = {"workspace_id": workspace_id, "invoice_id": invoice_id}
    row = await (await conn.execute(SQL["lock_of_invoice"], given)).fetchone()
    return purchase_of(row) if row else None


async def lock_granted(conn: Connection, workspace_id: UUID) -> list[Purchase]:
    """Those of a workspace whose credits were granted and not charged back, in order of their making, locked."""
    rows = await (await conn.execute(SQL["lock_granted"], {"workspace_id": workspace_id})).fetchall()
    return [purchase_of(row) for row in rows]


async def lock_burning(conn: Connection, workspace_id: UUID, now: dt.datetime) -> list[Purchase]:
    """Of those, the ones of which something may still be used, expire or come back."""
    given = {"workspace_id": workspace_id, "now": now}
    return [purchase_of(row) for row in await (await conn.execute(SQL["lock_burning"], given)).fetchall()]


async def automatic(
    conn: Connection, workspace_id: UUID, day: dt.date, method_at: dt.datetime | None
) -> tuple[bool, int, bool]:
    """Of automatic purchases: whether one is on its way, nano-credits of those of a UTC day that did not fail, and
    whether the method on file is newer than the last failure."""
    given = {"workspace_id": workspace_id, "day": day, "method_at": method_at}
    row = await (await conn.execute(SQL["automatic"], given)).fetchone()
    if row is None:
        raise AssertionError("an aggregate answers a row")
    return bool(row["pending"]), int(row["bought"]), bool(row["renewed"])


async def to_top_up(conn: Connection, most: int, *, workspace_id: UUID | None, after: UUID | None) -> list[UUID]:
    """Workspaces on which automatic top-up may have something to do, by id from `after`; one, or all without a test
    clock."""
    given = {"workspace_id": workspace_id, "after": after, "limit": most}
    return [row["workspace_id"] for row in await (await conn.execute(SQL["to_top_up"], given)).fetchall()]


async def to_recognise(
    conn: Connection, now: dt.datetime, most: int, *, workspace_id: UUID | None, after: UUID | None
) -> list[tuple[UUID, dt.datetime | None]]:
    """Workspaces with granted purchases whose ledger went on since they were recognised, or has something due; by id
    from `after`, with their test clocks."""
    given = {"workspace_id": workspace_id, "after": after, "limit": most, "now": now}
    rows = await (await conn.execute(SQL["to_recognise"], given)).fetchall()
    return [(row["workspace_id"], row["clock_at"]) for row in rows]


def not_found(purchase_id: UUID) -> TallystickError:
    return TallystickError("purchaseNotFound", "There is no such purchase.", id=str(purchase_id))


def purchase_of(row: Row) -> Purchase:
    """The purchase of a row of `credit_purchase`."""
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    return Purchase(**values)


def _row(purchase: Purchase) -> str:
    return _encode(asdict(purchase)).decode()
