"""Getting paid: one attempt after another until an invoice is paid, never twice (rows D7, D11; rules M24, M26).

An attempt is three steps: it is written down as `created` under a key of its invoice and number, the provider is asked
outside of any transaction, the answer is recorded. Whatever crashes in between, the next call finds the attempt, looks
first what became of it, and asks again only under the same key. What is told later, by webhook or by a look, only moves
a payment forward; in whatever order and however often, it ends the same.
"""

import datetime as dt
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tallystick.domain.billing import dunning
from tallystick.domain.billing.accounts import Account
from tallystick.domain.billing.dunning import Case
from tallystick.domain.billing.invoices import OPEN, PAST_DUE, UNCOLLECTIBLE, VOID, Invoice
from tallystick.domain.billing.payments import (
    ACTION_REQUIRED,
    BAD,
    CANCELED,
    CREATED,
    SUCCEEDED,
    Outcome,
    Payment,
    PaymentPurpose,
)
from tallystick.domain.billing.told import instant, invoice_fact, payment_fact
from tallystick.domain.telling import facts
from tallystick.domain.telling.facts import Fact
from tallystick.flows import due, lifecycle, purchases, reversals
from tallystick.flows.billing import Billing
from tallystick.kernel.ids import Ids
from tallystick.store import accounts, invoices, ledger, workspaces
from tallystick.store import facts as told
from tallystick.store import payments as store
from tallystick.store.database import Connection, Database

LOOK_AGAIN: Final = dt.timedelta(minutes=10)
"""After which an attempt that was perhaps asked for and perhaps not is looked at again."""

ABANDONED: Final = dt.timedelta(hours=1)
"""After which nobody can still be on the way to the provider with an attempt that it never heard of."""

NOT_NEEDED: Final = "notNeeded"
"""The error of an attempt that nobody asked for, and that nobody has to: it was paid otherwise meanwhile."""

PAYABLE: Final = frozenset({*OPEN, UNCOLLECTIBLE})
_PREFIX: Final = "invoice:"


async def collect(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    invoice_id: UUID,
    *,
    now: dt.datetime,
    ids: Ids,
    purpose: PaymentPurpose | None = None,
    after: int | None = None,
) -> Payment | None:
    """Charge the method on file for what is open of an invoice; how the attempt stands then.

    An unfinished attempt is looked at and, where the provider never heard of it, asked for under its own key: there is
    never a second one beside it. One that waits for its owner is given up for a method that came on file since. None
    where nothing is to be got: the invoice is not open, or there is no method on file that can be charged. Raises
    `invoiceNotFound`, and `paymentProviderUnavailable` where nobody knows what became of it: call again later.
    `purpose` is the invoice's unless it is an automatic top-up. `after` is how many attempts the caller knows of: where
    another was made since, somebody else is at it or has done it, and nothing is asked for.
    """

    def begin(conn: Connection) -> Awaitable[_Begun | None]:
        return _begin(conn, workspace_id, invoice_id, purpose, after, now=now, ids=ids)

    begun = await database.run(begin)
    if begun is not None and begun.is_superseded:
        await _give_up(database, billing, begun.payment, now=now, ids=ids)
        begun = await database.run(begin)
    return None if begun is None else await _ask(database, billing, begun, now=now, ids=ids)


async def look_again(
    database: Database, billing: Billing, workspace_id: UUID, payment_id: UUID, *, now: dt.datetime, ids: Ids
) -> Payment:
    """See how an unfinished payment stands, and go on with it where the provider never heard of it; of a finished one,
    go on with its refunds.

    What `payment.next_at` asks for. Raises `paymentNotFound` and `paymentProviderUnavailable`.
    """

    async def read(conn: Connection) -> _Begun:
        await lock_workspace(conn, workspace_id, now, ids)
        invoice_id = await store.invoice_of(conn, workspace_id, payment_id)
        invoice = None if invoice_id is None else await invoices.lock(conn, workspace_id, invoice_id)
        payment = await store.lock(conn, workspace_id, payment_id)
        return await _resumed(conn, payment, invoice, await accounts.read(conn, workspace_id), now)

    begun = await database.run(read)
    if not begun.payment.is_unfinished:
        return await reversals.finish(database, billing, workspace_id, payment_id, now=now, ids=ids)
    return await _ask(database, billing, begun, now=now, ids=ids)


async def record(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    payment_id: UUID,
    outcome: Outcome,
    *,
    now: dt.datetime,
    ids: Ids,
) -> Payment:
    """Write down how a provider says that a payment stands; what follows is in the same transaction.

    Told twice, late or out of order it changes nothing. Raises `paymentNotFound`.
    """

    async def work(conn: Connection) -> Payment:
        await lock_workspace(conn, workspace_id, now, ids)
        return await record_in(conn, billing, workspace_id, payment_id, outcome, now=now, ids=ids)

    return await database.run(work)


async def record_in(
    conn: Connection,
    billing: Billing,
    workspace_id: UUID,
    payment_id: UUID,
    outcome: Outcome,
    *,
    now: dt.datetime,
    ids: Ids,
) -> Payment:
    """`record`, inside a transaction of the caller's that has locked the workspace's balances."""
    invoice_id = await store.invoice_of(conn, workspace_id, payment_id)
    invoice = None if invoice_id is None else await invoices.lock(conn, workspace_id, invoice_id)
    payment = await store.lock(conn, workspace_id, payment_id)
    if not payment.takes(outcome.status):
        return payment
    payment.status, payment.updated_at = outcome.status, now
    payment.ref = outcome.ref or payment.ref
    payment.method = outcome.method or payment.method
    payment.error_code, payment.error_message = outcome.error_code, outcome.error_message
    payment.action_url = outcome.action_url
    payment.finished_at = None if payment.is_unfinished else now
    payment.next_at = now + dunning.LOOK_AGAIN if payment.is_unfinished else None
    await store.save(conn, payment)
    if invoice is None:
        return payment
    if payment.status == SUCCEEDED:
        await arrived_in(conn, billing, invoice, payment, now=now, ids=ids)
    else:
        await _not_yet(conn, billing, invoice, payment, now=now, ids=ids)
    return payment


async def arrived_in(
    conn: Connection, billing: Billing, invoice: Invoice, payment: Payment, *, now: dt.datetime, ids: Ids
) -> None:
    """`payment`, which has succeeded, counts for its locked invoice; enough of it closes it and lets things go on.

    What is more than was open stays on the invoice as paid too much, and can be given back.
    """
    if invoice.status == VOID:
        # A purchase that was given up: its credits are owed for the money, on an invoice of their own.
        again = await purchases.revived_in(conn, billing, invoice, payment, now=now, ids=ids)
        if again is not None:
            invoice, payment.invoice_id = again, again.id
            await store.save(conn, payment)
    invoice.paid_minor += payment.amount_minor
    invoice.updated_at = now
    fact = payment_fact(payment, facts.PAYMENT_SUCCEEDED, now, invoice=invoice, overpaidAmount=overpaid(invoice))
    await told.record(conn, [fact], now)
    case = await case_of(conn, billing, invoice)
    invoice.attempts = sum(one.status in BAD for one in case.attempts)
    if invoice.status in PAYABLE and is_covered(invoice):
        await paid_in(conn, invoice, now=now, ids=ids, payment=payment)
        return
    if invoice.open_minor:
        invoice.next_at = dunning.next_at(case, billing.dunning, now)
    await invoices.save(conn, invoice)


async def paid_in(
    conn: Connection, invoice: Invoice, *, now: dt.datetime, ids: Ids, payment: Payment | None = None
) -> None:
    """A locked invoice is paid: what hung on it goes on, in this transaction (rule M24).

    The credits of a purchase are granted with it (rule M26), `payment` being the one that completed it. The caller
    holds the workspace's lock. Raises `invoiceNotOpen`.
    """
    invoice.move("pay", now)
    invoice.paid_at = invoice.closed_at = now
    invoice.next_at = None
    await invoices.save(conn, invoice)
    await told.record(conn, [invoice_fact(invoice, facts.INVOICE_PAID, now, instant(now) or "")], now)
    await settled_in(conn, invoice.workspace_id, now=now, ids=ids)
    if payment is not None and invoice.purpose == "purchase":
        await purchases.paid_in(conn, payment, now=now, ids=ids)


async def settled_in(conn: Connection, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> None:
    """Something was paid, credited or written off: where nothing past due is left, everything goes on at once."""
    open_ones = await invoices.lock_open(conn, workspace_id)
    if all(one.status != PAST_DUE for one in open_ones):
        await lifecycle.resume_in(conn, workspace_id, now=now, ids=ids)


def overpaid(invoice: Invoice) -> int:
    """What came beyond what an invoice asks for, in minor units."""
    return max(invoice.paid_minor - (invoice.total_minor - invoice.credited_minor), 0)


def is_covered(invoice: Invoice) -> bool:
    """Whether nothing is left to be paid."""
    return invoice.paid_minor >= invoice.total_minor - invoice.credited_minor


async def lock_workspace(conn: Connection, workspace_id: UUID, now: dt.datetime, ids: Ids) -> None:
    """Lock a workspace's balances, first of all locks, and bring them up to `now`."""
    books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
    await ledger.save_books(conn, books, now)


async def case_of(conn: Connection, billing: Billing, invoice: Invoice) -> Case:
    """An invoice with every attempt at it, as dunning looks at it."""
    attempts = await store.of_invoice(conn, invoice.workspace_id, invoice.id)
    account = await accounts.read(conn, invoice.workspace_id)
    zone = await workspaces.zone_of(conn, invoice.workspace_id)
    return Case(invoice, attempts, zone, can_collect(account), account.method_at)


def can_collect(account: Account) -> bool:
    """Whether something is on file that can be charged with nobody there."""
    return dunning.can_collect(account.provider, account.customer_ref, account.method)


@dataclass(frozen=True, slots=True)
class _Begun:
    """An attempt that is written down. `is_new`: nobody can have asked for it; `is_wanted`: it may be asked for now;
    `is_superseded`: it waits for its owner, who has put another method on file."""

    payment: Payment
    account: Account
    is_new: bool
    is_wanted: bool
    is_superseded: bool = False


async def _begin(
    conn: Connection,
    workspace_id: UUID,
    invoice_id: UUID,
    purpose: PaymentPurpose | None,
    after: int | None,
    *,
    now: dt.datetime,
    ids: Ids,
) -> _Begun | None:
    await lock_workspace(conn, workspace_id, now, ids)
    account = await accounts.read(conn, workspace_id)
    invoice = await invoices.lock(conn, workspace_id, invoice_id)
    every = await store.of_invoice(conn, workspace_id, invoice_id)
    if after is not None and len(every) > after:
        return None
    unfinished = next((one for one in every if one.is_unfinished), None)
    if unfinished is not None:
        return await _resumed(conn, unfinished, invoice, account, now)
    if not invoice.open_minor or not can_collect(account):
        return None
    number = sum(one.key.startswith(_PREFIX) for one in every) + 1
    payment = Payment(
        workspace_id=workspace_id,
        id=ids.new(now),
        invoice_id=invoice_id,
        provider=account.provider,
        purpose=purpose or ("purchase" if invoice.purpose == "purchase" else "invoice"),
        key=f"{_PREFIX}{invoice_id}:{number}",
        status=CREATED,
        amount_minor=invoice.open_minor,
        currency=invoice.currency,
        created_at=now,
        updated_at=now,
        method=account.method,
        next_at=now + LOOK_AGAIN,
    )
    await store.insert(conn, payment)
    return _Begun(payment, account, is_new=True, is_wanted=True)


async def _resumed(
    conn: Connection, payment: Payment, invoice: Invoice | None, account: Account, now: dt.datetime
) -> _Begun:
    """An earlier attempt, to be looked at before anything is asked; not asked for again when less is owed by now."""
    if payment.is_unfinished:
        payment.next_at = now + LOOK_AGAIN
        await store.save(conn, payment)
    owed = invoice is not None and invoice.open_minor >= payment.amount_minor
    other = account.method is not None and payment.method is not None and account.method.id != payment.method.id
    return _Begun(
        payment,
        account,
        is_new=False,
        is_wanted=owed and payment.status == CREATED,
        is_superseded=other and payment.status == ACTION_REQUIRED,
    )


async def _give_up(database: Database, billing: Billing, payment: Payment, *, now: dt.datetime, ids: Ids) -> None:
    """End an attempt with its provider, so that no money comes by it beside the next one; it may have come by now."""
    outcome = await billing.provider(payment.provider).cancel(payment)
    given_up = Outcome(CANCELED, error_code=NOT_NEEDED)
    await record(database, billing, payment.workspace_id, payment.id, outcome or given_up, now=now, ids=ids)


async def _ask(database: Database, billing: Billing, begun: _Begun, *, now: dt.datetime, ids: Ids) -> Payment:
    """Ask the provider, outside of any transaction, and write down what it says."""
    payment, account = begun.payment, begun.account
    provider = billing.provider(payment.provider)
    outcome = None if begun.is_new else await provider.look(payment)
    if outcome is None and begun.is_wanted and account.customer_ref is not None and payment.method is not None:
        outcome = await provider.charge(
            payment, account.customer_ref, payment.method, description=await _description(database, payment)
        )
    if outcome is None and payment.status == CREATED and payment.created_at + ABANDONED <= now:
        # Nobody asked for it, and nobody is to any more.
        outcome = Outcome(CANCELED, error_code=NOT_NEEDED)
    if outcome is None:
        return payment
    return await record(database, billing, payment.workspace_id, payment.id, outcome, now=now, ids=ids)


async def _description(database: Database, payment: Payment) -> str:
    """What a customer reads on the statement of the card: the invoice's number."""
    if payment.invoice_id is None:
        return ""
    async with database.read(payment.workspace_id) as conn:
        invoice = await invoices.find(conn, payment.workspace_id, payment.invoice_id)
    return invoice.number or ""


async def _not_yet(
    conn: Connection, billing: Billing, invoice: Invoice, payment: Payment, *, now: dt.datetime, ids: Ids
) -> None:
    """An attempt failed, is under way, or waits for its owner."""
    case = await case_of(conn, billing, invoice)
    invoice.attempts = sum(one.status in BAD for one in case.attempts)
    # A purchase is given up below: it was never late.
    if invoice.purpose != "purchase" and dunning.falls_due(case, now):
        invoice.move("fallDue", now)
        stops_at = instant(dunning.stops_at(case, billing.dunning))
        fact = invoice_fact(invoice, facts.INVOICE_PAST_DUE, now, instant(now) or "", attempted=True, stopsAt=stops_at)
        await told.record(conn, [fact], now)
    if invoice.open_minor:
        invoice.next_at = dunning.next_at(case, billing.dunning, now)
    invoice.updated_at = now
    await invoices.save(conn, invoice)
    if payment.status == ACTION_REQUIRED:
        await told.record(conn, [payment_fact(payment, facts.PAYMENT_ACTION_REQUIRED, now, invoice=invoice)], now)
    elif payment.status in BAD and payment.error_code != NOT_NEEDED:
        await told.record(conn, [_failed_fact(payment, case, billing, now)], now)
    gives_up = payment.error_code != NOT_NEEDED or payment.key.startswith(purchases.CHECKOUT)
    if payment.status in BAD and invoice.purpose == "purchase" and gives_up:
        why = payment.error_message or "The payment failed."
        await purchases.failed_in(conn, invoice, error=why, now=now, ids=ids, provider=payment.provider)


def _failed_fact(payment: Payment, case: Case, billing: Billing, now: dt.datetime) -> Fact:
    return payment_fact(
        payment,
        facts.PAYMENT_FAILED,
        now,
        invoice=case.invoice,
        nextAttemptAt=instant(dunning.next_attempt_at(case, billing.dunning, now)),
        stopsAt=instant(dunning.stops_at(case, billing.dunning)),
    )
