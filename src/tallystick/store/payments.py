"""Payments and what providers told of them. Outcomes are written under the workspace's lock."""

import datetime as dt
from dataclasses import asdict, fields
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.billing.accounts import Method
from tallystick.domain.billing.payments import Payment, Refund
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_REFUND_FIELDS: Final = tuple(field.name for field in fields(Refund))
_FIELDS: Final = tuple(field.name for field in fields(Payment) if field.name != "method")


async def insert(conn: Connection, payment: Payment) -> None:
    """Write a payment down, before its provider is asked."""
    await conn.execute(SQL["insert"], {"row": _row(payment)})


async def save(conn: Connection, payment: Payment) -> None:
    """Write back how it stands."""
    given = {"workspace_id": payment.workspace_id, "id": payment.id, "row": _row(payment)}
    await conn.execute(SQL["save"], given)


async def lock(conn: Connection, workspace_id: UUID, payment_id: UUID) -> Payment:
    """One payment, locked. Raises `paymentNotFound`."""
    row = await (await conn.execute(SQL["lock"], {"workspace_id": workspace_id, "id": payment_id})).fetchone()
    if row is None:
        raise not_found(payment_id)
    return payment_of(row)


async def invoice_of(conn: Connection, workspace_id: UUID, payment_id: UUID) -> UUID | None:
    """The invoice that a payment is for, which is locked before it. Raises `paymentNotFound`."""
    row = await (await conn.execute(SQL["invoice_of"], {"workspace_id": workspace_id, "id": payment_id})).fetchone()
    if row is None:
        raise not_found(payment_id)
    found: UUID | None = row["invoice_id"]
    return found


async def by_key(conn: Connection, workspace_id: UUID, key: str) -> Payment | None:
    """The payment that was asked for under this key before."""
    row = await (await conn.execute(SQL["by_key"], {"workspace_id": workspace_id, "key": key})).fetchone()
    return payment_of(row) if row else None


async def by_ref(conn: Connection, provider: str, ref: str) -> tuple[UUID, UUID] | None:
    """(workspace, payment) that a provider knows by this id."""
    row = await (await conn.execute(SQL["by_ref"], {"provider": provider, "ref": ref})).fetchone()
    return (row["workspace_id"], row["id"]) if row else None


async def exists(conn: Connection, provider: str, workspace_id: UUID, payment_id: UUID) -> bool:
    """Whether this is a payment of ours with this provider."""
    given = {"provider": provider, "workspace_id": workspace_id, "id": payment_id}
    return await (await conn.execute(SQL["exists"], given)).fetchone() is not None


async def of_invoice(conn: Connection, workspace_id: UUID, invoice_id: UUID) -> list[Payment]:
    """Every attempt at an invoice, in order."""
    given = {"workspace_id": workspace_id, "invoice_id": invoice_id}
    return [payment_of(row) for row in await (await conn.execute(SQL["of_invoice"], given)).fetchall()]


async def due(
    conn: Connection, now: dt.datetime, most: int, *, workspace_id: UUID | None = None
) -> list[tuple[UUID, UUID]]:
    """(workspace, payment) to be looked at again; of one workspace, or of all without a test clock."""
    given = {"now": now, "limit": most, "workspace_id": workspace_id}
    return [(row["workspace_id"], row["id"]) for row in await (await conn.execute(SQL["due"], given)).fetchall()]


async def heard(conn: Connection, provider: str, id_: str) -> bool:
    """Whether a provider told this before."""
    return await (await conn.execute(SQL["heard"], {"provider": provider, "id": id_})).fetchone() is not None


async def hear(
    conn: Connection, provider: str, id_: str, kind: str, workspace_id: UUID | None, outcome: str, now: dt.datetime
) -> bool:
    """Write down that a provider told something; False when it did before."""
    given = {"provider": provider, "id": id_, "kind": kind, "workspace_id": workspace_id, "outcome": outcome}
    return (await conn.execute(SQL["hear"], given | {"now": now})).rowcount == 1


async def insert_refund(conn: Connection, refund: Refund) -> None:
    """Write a refund down, before its provider is asked."""
    await conn.execute(SQL["insert_refund"], {"row": msgspec.json.encode(asdict(refund)).decode()})


async def save_refund(conn: Connection, refund: Refund) -> None:
    """Write back how it stands."""
    row = msgspec.json.encode(asdict(refund)).decode()
    await conn.execute(SQL["save_refund"], {"workspace_id": refund.workspace_id, "id": refund.id, "row": row})


async def refunds(conn: Connection, workspace_id: UUID, payment_id: UUID) -> list[Refund]:
    """Every refund of a payment, in order; the payment is locked by whoever changes one."""
    given = {"workspace_id": workspace_id, "payment_id": payment_id}
    rows = await (await conn.execute(SQL["refunds"], given)).fetchall()
    return [Refund(**{name: row[name] for name in _REFUND_FIELDS}) for row in rows]


def payment_of(row: Row) -> Payment:
    """The payment of a row of `payment`."""
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    return Payment(**values, method=Method(**row["method"]) if row["method"] else None)


def not_found(payment_id: UUID) -> TallystickError:
    return TallystickError("paymentNotFound", "There is no such payment.", id=str(payment_id))


def _row(payment: Payment) -> str:
    return msgspec.json.encode(asdict(payment)).decode()
