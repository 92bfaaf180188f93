"""Issuing the draft of a period's invoice once its grace has passed, with all that was used (rule M28).

What it lists is fixed under the workspace's lock by a watermark: of the charges up to it, those used before the
period's end that no earlier invoice lists. So every charge is on exactly one invoice, and which one can be re-derived.
"""

import datetime as dt
from uuid import UUID

from tallystick.domain.billing import closing
from tallystick.domain.billing.invoices import DRAFT, Invoice
from tallystick.flows import due, invoicing
from tallystick.flows.billing import Billing
from tallystick.kernel.ids import Ids
from tallystick.kernel.periods import Period
from tallystick.store import facts, invoices, ledger
from tallystick.store.database import Connection, Database


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
        invoice = await invoices.lock(conn, workspace_id, invoice_id)
        issued = await _issue(conn, billing, asked, invoice, now=now)
        await ledger.save_books(conn, books, now)
        return issued

    return await database.run(work)


async def issue_in(conn: Connection, billing: Billing, invoice: Invoice, *, now: dt.datetime) -> Invoice | None:
    """Issue a draft at once, whatever its grace: the last invoice of a workspace that is closed. None if dropped.

    The workspace's balances are locked, and every charge that was made until now is on it.
    """
    asked = await invoicing.payer(conn, billing, invoice.workspace_id, now)
    return await _issue(conn, billing, asked, invoice, now=now, is_last=True)


async def _issue(
    conn: Connection,
    billing: Billing,
    asked: invoicing.Payer,
    invoice: Invoice,
    *,
    now: dt.datetime,
    is_last: bool = False,
) -> Invoice | None:
    if invoice.status != DRAFT:
        return None
    period = _period(invoice)
    if not is_last and now < period.end + billing.grace:
        invoice.next_at = period.end + billing.grace
        await invoices.save(conn, invoice)
        return None
    listed = await invoices.listed_before(conn, invoice.workspace_id, period.start)
    if listed is not None and listed.through is None:
        # Which usage is late is known once the invoice before is issued; its turn is not far.
        invoice.next_at = now + dt.timedelta(minutes=1)
        await invoices.save(conn, invoice)
        return None
    through = closing.watermark(now, is_last=is_last)
    usage = await invoices.usage_of(conn, invoice.workspace_id, period, through, listed)
    stored = await invoices.lines(conn, invoice.workspace_id, invoice.id)
    lines = (*stored, *closing.adjustment_lines(usage.before, usage.ends), *closing.usage_lines(usage.within, period))
    if not lines:
        await invoices.delete_draft(conn, invoice.workspace_id, invoice.id)
        return None
    if not any(line.amount_minor for line in lines):
        # Nothing is to be paid: it fixes no other currency than the workspace's own, or the operator's.
        invoice.currency = invoicing.currency_of(asked.account, billing)
    invoice.charged_through = through
    made = invoicing.prepare(billing, asked, invoice, lines, usage.all, now=now)
    await invoicing.number_in(conn, billing, invoice)
    await invoices.save(conn, invoice)
    await invoices.replace_lines(conn, invoice, made.lines, made.used)
    await invoicing.settle_account(conn, asked.account, invoice, now)
    await facts.record(conn, made.facts(), now)
    return invoice


def _period(invoice: Invoice) -> Period:
    if invoice.period_start is None or invoice.period_end is None:
        raise AssertionError("the draft of a period has one")
    return Period(invoice.period_start, invoice.period_end)
