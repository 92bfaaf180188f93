"""The end of a billing period: what is to be invoiced is written down at once, and issued after the grace (M12, M28).

`close_in` is a part of the renewal's own transaction, so a period is closed exactly once, however often and by however
many a workspace is brought up to date. `issue_draft` is another: whatever is cut off between the two, the draft stands
and says itself when it is to be issued.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from tallystick.domain.billing import closing
from tallystick.domain.billing.invoices import DRAFT, Invoice, Line, Purpose, numbered
from tallystick.domain.billing.subscriptions import LiveTerms
from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.credits.ledger import Book
from tallystick.flows import due, invoicing
from tallystick.flows.billing import Billing
from tallystick.kernel.ids import Ids
from tallystick.kernel.periods import Period
from tallystick.store import facts, invoices, ledger
from tallystick.store.database import Connection, Database

LEAST_GRACE: Final = dt.timedelta(hours=1)
"""A draft is looked at after this; where the operator's grace is longer it then waits for the rest."""


async def close_in(
    conn: Connection,
    workspace_id: UUID,
    pair: Mapping[str, Book],
    terms: LiveTerms,
    *,
    at: dt.datetime,
    now: dt.datetime,
    ids: Ids,
    purpose: Purpose = "period",
) -> Invoice:
    """Settle what was used beyond the credits and write the draft of the period's invoice; before the period's reset.

    `terms` are those of the period that ends `at`, with what follows: its price is on this invoice in advance. `pair`
    are the locked books, which the caller saves. With `purpose` "closing" it is the last invoice, which may be issued
    at once (`issue_in`).
    """
    period = Period(terms.period.start, at)
    following = terms.following
    advance = closing.plan_line(following.plan, following.period) if following and following.is_billed else None
    arrears = settle_overage(pair[CREDITS], terms, at=at, ids=ids)
    lines = [line for line in (advance, arrears) if line is not None]
    invoice = Invoice(
        workspace_id=workspace_id,
        id=ids.new(at),
        kind="invoice",
        purpose=purpose,
        status=DRAFT,
        currency=following.plan.currency if following else terms.plan.currency,
        created_at=now,
        updated_at=now,
        period_start=period.start,
        period_end=period.end,
        subscription_id=terms.subscription_id,
        net_minor=sum(line.amount_minor for line in lines),
        next_at=at + LEAST_GRACE,
    )
    await invoices.insert(conn, invoice, numbered(lines))
    return invoice


def settle_overage(book: Book, terms: LiveTerms, *, at: dt.datetime, ids: Ids) -> Line | None:
    """What was used beyond all grants until `at`, as a line to invoice: then it is no negative balance any more (M12).

    As far as the workspace may go; what was reported beyond that stays one. None where there is nothing.
    """
    overdraft = book.balance.overdraft
    beyond = overdraft if terms.overage is None else min(overdraft, terms.overage)
    if beyond <= 0:
        return None
    book.settle_overage(beyond, ids.new(at), ids.new(at), at=at, key=f"overage:{at.isoformat()}")
    return closing.overage_line(terms.plan, beyond, Period(terms.period.start, at))


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
