"""Bank statements become payments: each line once, those that say what they are for by themselves (row D11).

Lines are written down first. What one pays is recorded in its workspace's own transaction, together with that the line
is done: a crash in between leaves lines that the next import of the same file goes on with, and no money counts twice.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from tallystick.domain.billing.payments import Transfer
from tallystick.domain.billing.statements import (
    BankTransaction,
    Candidate,
    Columns,
    Statement,
    bodies_named,
    is_recorded_by_hand,
    match,
    matched,
    transactions,
)
from tallystick.flows import payments, transfers
from tallystick.flows.billing import Billing
from tallystick.gateways.statements import read_statement
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import invoices, workspaces
from tallystick.store import statements as store
from tallystick.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a statement. `known` lines were imported before; `lines` are all of it, as they stand now."""

    imported: int
    known: int
    ignored: Mapping[str, int]
    lines: Sequence[BankTransaction]


async def import_file(
    database: Database,
    billing: Billing,
    content: bytes,
    media_type: str,
    columns: Columns,
    *,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> Report:
    """Import a file of a bank, CAMT.053 or CSV, as `import_statement`. Raises `invalidStatement`."""
    # A year of a busy account takes a second to read, in which others have to be answered.
    statement = await asyncio.to_thread(read_statement, content, media_type, columns)
    return await import_statement(database, billing, statement, actor=actor, now=now, ids=ids)


async def import_statement(
    database: Database, billing: Billing, statement: Statement, *, actor: str, now: dt.datetime, ids: Ids
) -> Report:
    """Import a statement: lines that name an invoice pay it, the others wait for a person. Again, it changes nothing.

    `now` is the machine's time; a workspace with a test clock is paid at its own.
    """
    wanted = transactions(statement.lines)
    new = await database.run(lambda conn: store.add(conn, wanted, now), admin=True)
    known = {one.id: one for one in await _as_they_stand(database, [one.id for one in wanted])}
    waiting = [known[one.id] for one in wanted if known[one.id].invoice_id is None]
    async with database.read() as conn:
        candidates = await store.candidates(conn, bodies_named(one.line for one in waiting))
    for one in waiting:
        known[one.id] = await _settle(database, billing, one, candidates, actor=actor, now=now, ids=ids)
    return Report(len(new), len(wanted) - len(new), statement.ignored, [known[one.id] for one in wanted])


async def match_by_hand(
    database: Database,
    billing: Billing,
    transaction_id: str,
    workspace_id: UUID,
    invoice_id: UUID,
    *,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> BankTransaction:
    """Say which invoice a line pays, whatever it names; more than is open can be given back.

    Raises `bankTransactionNotFound`, `bankTransactionMatched` for one that pays another invoice, `invoiceNotFound`,
    `invoiceNotOpen` and `currencyMismatch`.
    """
    transaction = await _one(database, transaction_id)
    if transaction.invoice_id is not None:
        if transaction.invoice_id == invoice_id:
            return transaction
        raise TallystickError(
            "bankTransactionMatched",
            "This line pays another invoice already.",
            id=transaction_id,
            invoiceUuid=str(transaction.invoice_id),
        )
    async with database.read(workspace_id) as conn:
        invoice = await invoices.find(conn, workspace_id, invoice_id)
    if invoice.currency != transaction.line.currency:
        raise TallystickError(
            "currencyMismatch",
            f"This invoice is in {invoice.currency.upper()}; there is no exchange.",
            currency=transaction.line.currency,
            expected=invoice.currency,
        )
    candidate = Candidate(
        workspace_id, invoice_id, invoice.number or "", "", invoice.status, invoice.currency, transfers.open_of(invoice)
    )
    return await _pay(database, billing, transaction, candidate, note="matched by hand", actor=actor, now=now, ids=ids)


async def _settle(
    database: Database,
    billing: Billing,
    transaction: BankTransaction,
    candidates: Mapping[str, Candidate],
    *,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> BankTransaction:
    by_hand = await _noted_by_hand(database, transaction, candidates)
    if by_hand is not None:
        return await _keep(database, by_hand)
    found, why = match(transaction, candidates)
    if found is None:
        return await _keep(database, replace(transaction, note=why))
    try:
        return await _pay(database, billing, transaction, found, note="", actor=actor, now=now, ids=ids)
    except TallystickError as error:
        if error.code == "databaseUnavailable":
            raise
        # It changed since it was looked at: a person decides.
        return await _keep(database, replace(transaction, note=error.message))


async def _noted_by_hand(
    database: Database, transaction: BankTransaction, candidates: Mapping[str, Candidate]
) -> BankTransaction | None:
    """The line as what the operator had written down before, where it is that."""
    for body in sorted(bodies_named([transaction.line])):
        candidate = candidates.get(body)
        if candidate is None:
            continue
        async with database.read(candidate.workspace_id) as conn:
            noted = await store.by_hand(conn, candidate.workspace_id, candidate.invoice_id)
        if is_recorded_by_hand(candidate, transaction.line, [amount for _, amount in noted]):
            payment_id = next(one for one, amount in noted if amount == transaction.line.amount_minor)
            return matched(transaction, candidate, payment_id, "was marked paid by hand")
    return None


async def _pay(
    database: Database,
    billing: Billing,
    transaction: BankTransaction,
    candidate: Candidate,
    *,
    note: str,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> BankTransaction:
    """The money counts, and the line is done; one that another import was quicker with stays as that left it."""
    line, key = transaction.line, transfers.BY_STATEMENT + transaction.id
    transfer = Transfer(line.amount_minor, line.booked_on, line.reference)

    async def work(conn: Connection) -> BankTransaction:
        clocks = await workspaces.clocks(conn, [candidate.workspace_id])
        at = clocks.get(candidate.workspace_id) or now
        await payments.lock_workspace(conn, candidate.workspace_id, at, ids)
        invoice = await invoices.lock(conn, candidate.workspace_id, candidate.invoice_id)
        current = await store.lock(conn, transaction.id)
        if current.invoice_id is not None:
            return current
        payment = await transfers.receive_in(conn, billing, invoice, transfer, key, actor=actor, now=at, ids=ids)
        done = matched(current, candidate, payment.id, note)
        await store.settle(conn, done)
        return done

    return await database.run(work)


async def _keep(database: Database, transaction: BankTransaction) -> BankTransaction:
    async def work(conn: Connection) -> BankTransaction:
        await store.settle(conn, transaction)
        return await store.lock(conn, transaction.id)

    return await database.run(work, admin=True)


async def _one(database: Database, transaction_id: str) -> BankTransaction:
    return await database.run(lambda conn: store.lock(conn, transaction_id), admin=True)


async def _as_they_stand(database: Database, wanted: Sequence[str]) -> list[BankTransaction]:
    async with database.admin() as conn:
        return await store.by_ids(conn, wanted)
