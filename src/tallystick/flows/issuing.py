"""Issuing the draft of a period's invoice once its grace has passed, with all that was used (rule M28).

What it lists is fixed under the workspace's lock by a watermark: of the charges up to it, those used before the
period's end that no earlier invoice lists. So every charge is on exactly one invoice, and which one can be re-derived.
"""

import datetime as dt
from typing import Final
from uuid import UUID

from tallystick.domain.billing import closing
from tallystick.domain.billing.invoices import DRAFT, Invoice
from tallystick.flows import due, invoicing, revenue, used_credits
from tallystick.flows.billing import Billing
from tallystick.flows.invoicing import Payer, Prepared
from tallystick.kernel.ids import Ids
from tallystick.kernel.periods import Period
from tallystick.store import facts, invoices, ledger
from tallystick.store.database import Connection, Database, finishing

_WAIT: Final = dt.timedelta(minutes=1)


async def issue_draft(
    database: Database, billing: Billing, workspace_id: UUID, invoice_id: UUID, *, now: dt.datetime, ids: Ids
) -> Invoice | None:
    """Issue a period's draft whose grace has passed; None where there is nothing to issue (yet).

    A draft with nothing on it is dropped and takes no number. Another one's turn comes first where that is of an
    earlier period. Raises `invoiceNotFound` and `currencyMismatch`.
    """

    async def work(conn: Connection) -> Invoice | None:
        books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
        asked = await invoicing.payer(conn, billing, workspace_id, now)
        if billing.purchases.tax_at == "use":
            await revenue.recognise_in(conn, workspace_id, now=now, ids=ids)
        invoice = await invoices.lock(conn, workspace_id, invoice_id)
        made = await _prepare(conn, billing, asked, invoice, now=now)
        async with finishing(conn):
            await _write(conn, asked, invoice, made, now)
            await ledger.save_books(conn, books, now)
        return None if made is None else invoice

    return await database.run(work)


async def issue_in(conn: Connection, billing: Billing, invoice: Invoice, *, now: dt.datetime) -> Invoice | None:
    """Issue a draft at once, whatever its grace: the last invoice of a workspace that is closed. None if dropped.

    The workspace's balances are locked, and every charge that was made until now is on it.
    """
    asked = await invoicing.payer(conn, billing, invoice.workspace_id, now)
    made = await _prepare(conn, billing, asked, invoice, now=now, is_last=True)
    await _write(conn, asked, invoice, made, now)
    return None if made is None else invoice


async def _prepare(
    conn: Connection,
    billing: Billing,
    asked: Payer,
    invoice: Invoice,
    *,
    now: dt.datetime,
    is_last: bool = False,
) -> Prepared | None:
    """The draft with its number and all that it lists; None where it is not to be issued, or not yet."""
    if invoice.status != DRAFT:
        return None
    period = _period(invoice)
    if not is_last and now < period.end + billing.grace:
        invoice.next_at = period.end + billing.grace
        return None
    before = await invoices.before(conn, invoice, period.start)
    if before.listed is not None and before.listed.through is None:
        # Which usage is late is known once the invoice before is issued; its turn is not far.
        invoice.next_at = now + _WAIT
        return None
    through = closing.watermark(now, is_last=is_last)
    usage = await invoices.usage_of(conn, invoice.workspace_id, period, through, before.listed)
    adjustments = closing.adjustment_lines(usage.before, usage.ends)
    lines = (*before.lines, *adjustments, *closing.usage_lines(usage.within, period))
    lines += await used_credits.lines_in(conn, billing, asked, invoice.currency, now=now)
    if not lines:
        invoice.next_at = None
        return None
    if not any(line.amount_minor for line in lines):
        # Nothing is to be paid: it fixes no other currency than the workspace's own, or the operator's.
        invoice.currency = invoicing.currency_of(asked.account, billing)
    invoice.charged_through = through
    made = invoicing.prepare(billing, asked, invoice, lines, usage.all, now=now)
    await invoicing.number_in(conn, billing, invoice)
    return made


async def _write(conn: Connection, asked: Payer, invoice: Invoice, made: Prepared | None, now: dt.datetime) -> None:
    """Write what became of the draft; one that was issued before stays as it is. Nothing here waits for an answer."""
    if made is not None:
        await invoices.save(conn, invoice)
        await invoices.replace_lines(conn, invoice, made.lines, made.used)
        await invoicing.settle_account(conn, asked.account, invoice, now)
        await facts.record(conn, made.facts(), now)
    elif invoice.status == DRAFT and invoice.next_at is None:
        await invoices.delete_draft(conn, invoice.workspace_id, invoice.id)
    elif invoice.status == DRAFT:
        await invoices.save(conn, invoice)


def _period(invoice: Invoice) -> Period:
    if invoice.period_start is None or invoice.period_end is None:
        raise AssertionError("the draft of a period has one")
    return Period(invoice.period_start, invoice.period_end)
