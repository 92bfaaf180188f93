"""Lines of bank statements, each once, and what they were for; of no workspace until they are matched."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import asdict
from uuid import UUID

import msgspec

from tallystick.domain.billing.statements import BankTransaction, Candidate, StatementLine
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)


async def add(conn: Connection, found: Sequence[BankTransaction], now: dt.datetime) -> set[str]:
    """Write lines down; the ids of those that were not known."""
    rows = [{"id": one.id} | asdict(one.line) for one in found]
    given = {"rows": msgspec.json.encode(rows).decode(), "now": now}
    return {row["id"] for row in await (await conn.execute(SQL["add"], given)).fetchall()}


async def by_ids(conn: Connection, ids: Collection[str]) -> list[BankTransaction]:
    """These lines, as they stand."""
    rows = await (await conn.execute(SQL["by_ids"], {"ids": sorted(ids)})).fetchall()
    return [transaction_of(row) for row in rows]


async def lock(conn: Connection, transaction_id: str) -> BankTransaction:
    """One line, locked. Raises `bankTransactionNotFound`."""
    row = await (await conn.execute(SQL["lock"], {"id": transaction_id})).fetchone()
    if row is None:
        raise TallystickError("bankTransactionNotFound", "There is no such line of a statement.", id=transaction_id)
    return transaction_of(row)


async def settle(conn: Connection, transaction: BankTransaction) -> None:
    """Write down what a line was for, or why that is not known."""
    given = {
        "id": transaction.id,
        "workspace_id": transaction.workspace_id,
        "invoice_id": transaction.invoice_id,
        "payment_id": transaction.payment_id,
        "note": transaction.note,
    }
    await conn.execute(SQL["settle"], given)


async def unmatched(conn: Connection, *, limit: int, offset: int) -> list[BankTransaction]:
    """A page of the lines that nobody knows what for, the newest day first."""
    rows = await (await conn.execute(SQL["unmatched"], {"limit": limit, "offset": offset})).fetchall()
    return [transaction_of(row) for row in rows]


async def candidates(conn: Connection, bodies: Collection[str]) -> dict[str, Candidate]:
    """The invoices of every workspace whose number has one of these bodies, by it."""
    rows = await (await conn.execute(SQL["candidates"], {"bodies": sorted(bodies)})).fetchall()
    return {row["body"]: _candidate_of(row) for row in rows}


async def by_hand(conn: Connection, workspace_id: UUID, invoice_id: UUID) -> list[tuple[UUID, int]]:
    """(payment, amount) of transfers written down by hand that no line has shown yet."""
    given = {"workspace_id": workspace_id, "invoice_id": invoice_id}
    rows = await (await conn.execute(SQL["by_hand"], given)).fetchall()
    return [(row["id"], row["amount_minor"]) for row in rows]


def transaction_of(row: Row) -> BankTransaction:
    """The line of a row of `bank_transaction`."""
    line = StatementLine(
        booked_on=row["booked_on"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        reference=row["reference"],
        counterparty=row["counterparty"],
        bank_ref=row["bank_ref"],
    )
    return BankTransaction(row["id"], line, row["workspace_id"], row["invoice_id"], row["payment_id"], row["note"])


def _candidate_of(row: Row) -> Candidate:
    return Candidate(
        workspace_id=row["workspace_id"],
        invoice_id=row["id"],
        number=row["number"],
        body=row["body"],
        status=row["status"],
        currency=row["currency"],
        open_minor=max(row["total_minor"] - row["credited_minor"] - row["paid_minor"], 0),
    )
