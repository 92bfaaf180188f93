"""Issuing: from lines to an invoice or a credit note with taxes, parties and a number of its series (row D6, M28).

Everything here runs inside a transaction of the caller's, who has locked the workspace's balances. The series is locked
last and until that transaction ends, so that numbers have no gaps; whoever issues locks nothing of others after it.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from tallystick.domain.billing.accounts import Account
from tallystick.domain.billing.credit_notes import Earlier, credited
from tallystick.domain.billing.invoices import (
    DRAFT,
    ISSUED,
    OPEN,
    Invoice,
    Line,
    Party,
    Purpose,
    Tax,
    Used,
    buyer_of,
    numbered,
)
from tallystick.domain.billing.told import instant, invoice_fact
from tallystick.domain.telling.facts import CREDIT_NOTE_ISSUED, INVOICE_ISSUED, INVOICE_PAID, Fact
from tallystick.flows.billing import Billing
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.kernel.periods import Period
from tallystick.store import accounts, facts, invoices, workspaces
from tallystick.store.database import Connection

_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Payer:
    """Who an invoice goes to: the account, locked, and what of the workspace stands in where that names nothing."""

    account: Account
    name: str
    email: str | None

    @property
    def can_be_charged(self) -> bool:
        """Whether something is on file that can be charged with nobody there."""
        account = self.account
        return account.provider != "offline" and account.method is not None and account.customer_ref is not None

    @property
    def party(self) -> Party:
        """The buyer, as they are now."""
        return buyer_of(self.account, self.name, self.email)


async def payer(conn: Connection, billing: Billing, workspace_id: UUID, now: dt.datetime) -> Payer:
    """The payer of a workspace, whose account is locked until the transaction ends. Raises `workspaceNotFound`."""
    account = await accounts.lock(conn, workspace_id, provider=billing.settings.payment_provider, now=now)
    workspace = await workspaces.by_id(conn, workspace_id)
    return Payer(account, workspace.name, workspace.email)


async def issue_now(
    conn: Connection,
    billing: Billing,
    workspace_id: UUID,
    purpose: Purpose,
    lines: Sequence[Line],
    *,
    now: dt.datetime,
    ids: Ids,
    reason: str = "",
    period: Period | None = None,
    due_at: dt.datetime | None = None,
    currency: str | None = None,
    subscription_id: UUID | None = None,
) -> Invoice:
    """Issue an invoice of these lines; it is to be collected at once where something is on file, else by `due_at`.

    Lines without a tax category are taxed (`new_line` makes them). A total of zero is issued as paid. `currency` is
    that of the lines' amounts, without it the account's. Raises `currencyMismatch` where it is another one than the
    account's, and `invalidAmount` for a total below zero.
    """
    asked = await payer(conn, billing, workspace_id, now)
    invoice = Invoice(
        workspace_id=workspace_id,
        id=ids.new(now),
        kind="invoice",
        purpose=purpose,
        status=DRAFT,
        currency=currency or currency_of(asked.account, billing),
        created_at=now,
        updated_at=now,
        period_start=period.start if period else None,
        period_end=period.end if period else None,
        subscription_id=subscription_id,
        reason=reason,
        due_at=due_at,
    )
    made = prepare(billing, asked, invoice, lines, now=now)
    await number_in(conn, billing, invoice)
    await invoices.insert(conn, invoice, made.lines)
    await settle_account(conn, asked.account, invoice, now)
    await facts.record(conn, made.facts(), now)
    return invoice


@dataclass(frozen=True, slots=True)
class Prepared:
    """An invoice that only wants its number, with its lines and the usage behind them."""

    invoice: Invoice
    lines: tuple[Line, ...]
    used: tuple[Used, ...] = ()

    def facts(self) -> list[Fact]:
        """What is told once it has its number: that it is issued, and of one of nothing that it is paid."""
        invoice = self.invoice
        at = invoice.issued_at or invoice.updated_at
        kinds = [INVOICE_ISSUED, INVOICE_PAID] if invoice.status not in OPEN else [INVOICE_ISSUED]
        return [invoice_fact(invoice, kind, at) for kind in kinds]


def prepare(
    billing: Billing,
    asked: Payer,
    invoice: Invoice,
    lines: Sequence[Line],
    used: Sequence[Used] = (),
    *,
    now: dt.datetime,
) -> Prepared:
    """Make a draft an issued invoice: taxes, sums, parties, when it is due and when it is looked at again.

    Raises `currencyMismatch` and `invalidAmount`.
    """
    check_currency(asked.account, invoice.currency)
    buyer = asked.party
    taxed, taxes = billing.taxes.tax(numbered(lines), billing.seller, buyer, at=now)
    invoice.taxes = tuple(taxes)
    invoice.net_minor = sum(line.amount_minor for line in taxed)
    invoice.tax_minor = sum(tax.amount_minor for tax in taxes)
    invoice.total_minor = invoice.net_minor + invoice.tax_minor
    if invoice.total_minor < 0:
        raise TallystickError(
            "invalidAmount", "An invoice can't come to less than nothing: issue a credit note.", field="lines"
        )
    invoice.seller, invoice.buyer = billing.seller, buyer
    invoice.series = billing.settings.invoice_series
    invoice.move("issue", now)
    invoice.issued_at = now
    can_collect = asked.can_be_charged
    if invoice.due_at is None:
        invoice.due_at = now if can_collect else now + dt.timedelta(days=billing.settings.invoice_due_days)
    invoice.next_at = now if can_collect else invoice.due_at
    if not invoice.total_minor:
        invoice.move("pay", now)
        invoice.paid_at = invoice.closed_at = invoice.due_at = now
        invoice.next_at = None
    return Prepared(invoice, tuple(taxed), tuple(used))


async def number_in(conn: Connection, billing: Billing, invoice: Invoice) -> None:
    """Give a prepared invoice the next number of its series, such as `INV-000123`."""
    series = invoice.series or billing.settings.invoice_series
    invoice.series = series
    invoice.number = f"{series}-{await invoices.next_number(conn, series):0{_DIGITS}d}"


async def settle_account(conn: Connection, account: Account, invoice: Invoice, now: dt.datetime) -> None:
    """The first invoice of a workspace fixes its currency (rule M28)."""
    if account.currency is None:
        await accounts.save(conn, replace(account, currency=invoice.currency), now)


def currency_of(account: Account, billing: Billing) -> str:
    """The currency of a workspace's invoices: fixed by the first, until then the operator's."""
    return account.currency or billing.settings.currency.lower()


def check_currency(account: Account, currency: str) -> None:
    """Raises `currencyMismatch` where a workspace's invoices are in another currency (rule M28)."""
    if account.currency is not None and account.currency != currency:
        raise TallystickError(
            "currencyMismatch",
            f"This workspace's invoices are in {account.currency.upper()}; there is no exchange.",
            currency=currency,
            expected=account.currency,
        )


async def credit_in(
    conn: Connection,
    billing: Billing,
    invoice: Invoice,
    *,
    amount_minor: int | None = None,
    lines: Mapping[int, int] | None = None,
    reason: str,
    now: dt.datetime,
    ids: Ids,
) -> Invoice:
    """Issue a credit note for a locked invoice: `amount_minor` gross, net amounts of `lines` by position, or the rest.

    The invoice is written back with what was taken off it. One of which nothing is left to pay is settled by it; that
    is told as paid, and resuming what it held up is the caller's part (`payments.settled_in`). What was paid beyond
    what is left of it is the caller's to give back. Raises `invoiceNotOpen`, `creditExceedsInvoice`, `invalidAmount`.
    """
    stored = await invoices.lines(conn, invoice.workspace_id, invoice.id)
    notes = await invoices.notes(conn, invoice.workspace_id, invoice.id)
    earlier = [Earlier(note, await invoices.lines(conn, note.workspace_id, note.id)) for note in notes]
    taken = credited(invoice, stored, earlier, amount_minor=amount_minor, of_lines=lines)
    note = _note(billing, invoice, taken.taxes, taken.net_minor, taken.tax_minor, reason, now, ids)
    invoice.credited_minor += note.total_minor
    invoice.updated_at = now
    told = []
    if invoice.status in OPEN and not invoice.open_minor:
        invoice.move("pay", now)
        invoice.paid_at = invoice.closed_at = now
        invoice.next_at = None
        told.append(invoice_fact(invoice, INVOICE_PAID, now, instant(now) or ""))
    await invoices.save(conn, invoice)
    await number_in(conn, billing, note)
    await invoices.insert(conn, note, taken.lines)
    await facts.record(conn, [invoice_fact(note, CREDIT_NOTE_ISSUED, now, invoiceNumber=invoice.number), *told], now)
    return note


def _note(
    billing: Billing,
    invoice: Invoice,
    taxes: tuple[Tax, ...],
    net_minor: int,
    tax_minor: int,
    reason: str,
    now: dt.datetime,
    ids: Ids,
) -> Invoice:
    """A credit note for an invoice, its parties as they were then."""
    return Invoice(
        workspace_id=invoice.workspace_id,
        id=ids.new(now),
        kind="credit_note",
        purpose="correction",
        status=ISSUED,
        currency=invoice.currency,
        created_at=now,
        updated_at=now,
        series=billing.settings.credit_note_series,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        subscription_id=invoice.subscription_id,
        issued_at=now,
        net_minor=net_minor,
        tax_minor=tax_minor,
        total_minor=net_minor + tax_minor,
        taxes=taxes,
        seller=invoice.seller,
        buyer=invoice.buyer,
        corrects=invoice.id,
        reason=reason,
    )
