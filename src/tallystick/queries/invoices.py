"""Invoices as they are read: lists, one with everything that it rests on, and what the next one would be (row D6)."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from tallystick.domain.billing import closing, life
from tallystick.domain.billing.documents import NO_AGENT, UsedBy
from tallystick.domain.billing.invoices import Invoice, Line, Party, Tax, buyer_of, numbered
from tallystick.domain.billing.payments import Payment
from tallystick.domain.billing.subscriptions import LiveTerms
from tallystick.domain.billing.taxes import TaxService
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.periods import MONTHS, Period, period_of
from tallystick.store import accounts, payments, subscriptions
from tallystick.store import invoices as store
from tallystick.store.database import Connection, Database
from tallystick.store.named_sql import load

SQL = load(__file__)

_EVERYTHING: Final = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class Shown:
    """An invoice with its lines, the usage behind them, every attempt at paying it and what corrects it."""

    invoice: Invoice
    lines: tuple[Line, ...]
    used: tuple[UsedBy, ...]
    payments: tuple[Payment, ...]
    notes: tuple[Invoice, ...]


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What the next invoice of a period would be if nothing more were used; amounts in minor units.

    `issued_at` is when it would be issued at the earliest.
    """

    period: Period
    issued_at: dt.datetime
    currency: str
    lines: tuple[Line, ...]
    taxes: tuple[Tax, ...]

    @property
    def net_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines)

    @property
    def tax_minor(self) -> int:
        return sum(tax.amount_minor for tax in self.taxes)


async def invoices(
    database: Database,
    workspace_id: UUID,
    *,
    limit: int | None = None,
    offset: int = 0,
    kind: str | None = None,
    status: str | None = None,
    issued: bool = False,
) -> list[Invoice]:
    """Invoices and credit notes, the newest first; all of them without a `limit`. `issued`: no drafts."""
    given = {"workspace_id": workspace_id, "limit": limit, "offset": offset, "kind": kind, "status": status}
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(SQL["invoices"], given | {"issued": issued})).fetchall()
    return [store.invoice_of(row) for row in rows]


async def invoice(database: Database, workspace_id: UUID, invoice_id: UUID) -> Shown:
    """One invoice or credit note with everything. Raises `invoiceNotFound`."""
    async with database.read(workspace_id) as conn:
        found = await store.find(conn, workspace_id, invoice_id)
        lines = await store.lines(conn, workspace_id, invoice_id)
        attempts = await payments.of_invoice(conn, workspace_id, invoice_id)
        notes = await store.notes(conn, workspace_id, invoice_id)
        used = await _used(conn, workspace_id, invoice_id)
    return Shown(found, tuple(lines), used, tuple(attempts), tuple(notes))


async def upcoming(
    database: Database,
    workspace_id: UUID,
    *,
    seller: Party,
    taxes: TaxService,
    currency: str,
    grace: dt.timedelta,
) -> Upcoming:
    """The invoice of the open period as it would be now, by the code that makes it.

    The caller brings the workspace up to date first (flows/due.py). `currency` is that of accounts without an invoice.
    Raises `subscriptionNotFound`.
    """
    async with database.read(workspace_id) as conn:
        terms = await subscriptions.live_terms(conn, workspace_id)
        row = await (await conn.execute(SQL["standing"], {"workspace_id": workspace_id})).fetchone()
        if terms is None or row is None:
            raise TallystickError("subscriptionNotFound", "This workspace has no subscription.")
        account = await accounts.read(conn, workspace_id)
        listed = await store.listed_before(conn, workspace_id, terms.period.start)
        if listed is not None and listed.through is None:
            # What the invoice before will list is not known yet; all that is late by now is on that one.
            listed = store.Listed(listed.until, _EVERYTHING)
        usage = await store.usage_of(conn, workspace_id, terms.period, _EVERYTHING, listed)
    advance = _following_line(terms)
    beyond = closing.overage_of(row["overdraft"], terms.overage)
    lines = [
        *([advance] if advance else []),
        *([closing.overage_line(terms.plan, beyond, terms.period)] if beyond else []),
        *closing.adjustment_lines(usage.before, usage.ends),
        *closing.usage_lines(usage.within, terms.period),
    ]
    issued_at = terms.period.end + grace
    buyer = buyer_of(account, row["name"], row["email"])
    taxed, breakdown = taxes.tax(numbered(lines), seller, buyer, at=issued_at)
    money = any(line.amount_minor for line in lines)
    return Upcoming(
        terms.period,
        issued_at,
        account.currency or (terms.plan.currency if money else currency),
        tuple(taxed),
        tuple(breakdown),
    )


def _following_line(terms: LiveTerms) -> Line | None:
    """What the next period would cost in advance, as the end of this one would have it."""
    coming = terms.pending_plan or terms.plan
    found = life.at_period_end(
        terms.status, pending=terms.pending_kind, price_minor=coming.price_minor, has_method=terms.has_method
    )
    if found.is_idle or found.ending == "cancel" or coming.cadence not in MONTHS:
        return None
    return closing.plan_line(coming, period_of(terms.anchor_at, coming.cadence, terms.zone, terms.period.end))


async def _used(conn: Connection, workspace_id: UUID, invoice_id: UUID) -> tuple[UsedBy, ...]:
    given = {"workspace_id": workspace_id, "id": invoice_id}
    rows = await (await conn.execute(SQL["usage"], given)).fetchall()
    found = (UsedBy(**row) for row in rows)
    return tuple(replace(one, agent_id=None) if one.agent_id == NO_AGENT else one for one in found)
