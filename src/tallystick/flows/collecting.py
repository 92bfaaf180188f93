"""What is owed is asked for: drafts issued, invoices collected, reminders, stops, write-offs, top-ups (rows D6, D11).

One turn does all that is due, in order of time for each workspace, each thing by the flow that owns it, in transactions
of its own. Nothing here is remembered but `next_at`: what there is to do follows from how an invoice and its payments
stand, so that a turn may run twice, by many at once, or end in the middle.
"""

import asyncio
import contextlib
import datetime as dt
from collections import Counter
from typing import Final
from uuid import UUID

from tallystick.domain.billing import dunning
from tallystick.domain.billing.invoices import DRAFT, OPEN, Invoice
from tallystick.domain.billing.told import instant, invoice_fact
from tallystick.domain.telling import facts
from tallystick.flows import issuing, lifecycle, payments, purchases, topping_up
from tallystick.flows.billing import Billing
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import agenda, invoices
from tallystick.store import facts as told
from tallystick.store import payments as stored
from tallystick.store.agenda import Entry
from tallystick.store.database import Connection, Database

AT_ONCE: Final = 4
"""Workspaces that one turn attends to beside each other: a provider's answer takes its time."""

_SWEEP: Final = 200
_TRIES: Final = 12
"""How often one turn comes back to the same thing: issued, collected, and what follows from it."""


async def turn(database: Database, billing: Billing, workspace_id: UUID | None, *, now: dt.datetime, ids: Ids) -> int:
    """Do everything that is due at `now`; of one workspace, or of all without a test clock. How much that was.

    One thing that fails holds up no other: it waits for its next time, and the first error is raised when all is done.
    A payment provider that does not answer is none: it is asked again later.
    """
    return await _Turn(database, billing, workspace_id, now, ids).run()


async def at_once(database: Database, billing: Billing, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> None:
    """A turn for somebody who has just made it possible and waits for it; what fails is for the next turn."""
    with contextlib.suppress(TallystickError):
        await turn(database, billing, workspace_id, now=now, ids=ids)


class _Turn:
    def __init__(
        self, database: Database, billing: Billing, workspace_id: UUID | None, now: dt.datetime, ids: Ids
    ) -> None:
        self._database = database
        self._billing = billing
        self._workspace_id = workspace_id
        self._now = now
        self._ids = ids
        self._tried: Counter[tuple[str, UUID]] = Counter()
        self._errors: list[Exception] = []
        self._done = 0

    async def run(self) -> int:
        while found := await self._found():
            lanes: dict[UUID, list[Entry]] = {}
            for entry in found:
                lanes.setdefault(entry.workspace_id, []).append(entry)
            waiting = list(lanes.values())
            takers = (self._take(waiting) for _ in range(min(AT_ONCE, len(waiting))))
            # All of them end, whatever happens to one: none may go on when the turn is over.
            for outcome in await asyncio.gather(*takers, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        self._done += await topping_up.due(
            self._database, self._billing, self._workspace_id, now=self._now, ids=self._ids
        )
        if self._errors:
            raise self._errors[0]
        return self._done

    async def _found(self) -> list[Entry]:
        """What is due and was not tried too often in this turn."""
        spent = {key for key, times in self._tried.items() if times >= _TRIES}
        async with self._database.read(self._workspace_id) as conn:
            found = await agenda.due(conn, self._now, _SWEEP + len(spent), workspace_id=self._workspace_id)
        return [entry for entry in found if (entry.kind, entry.id) not in spent]

    async def _take(self, waiting: list[list[Entry]]) -> None:
        while waiting:
            for entry in waiting.pop(0):
                await self._attend(entry)

    async def _attend(self, entry: Entry) -> None:
        self._tried[entry.kind, entry.id] += 1
        try:
            if entry.kind == "payment":
                await payments.look_again(
                    self._database, self._billing, entry.workspace_id, entry.id, now=self._now, ids=self._ids
                )
            elif entry.kind == "draft":
                await issuing.issue_draft(
                    self._database, self._billing, entry.workspace_id, entry.id, now=self._now, ids=self._ids
                )
            else:
                await _attend_to_invoice(
                    self._database, self._billing, entry.workspace_id, entry.id, now=self._now, ids=self._ids
                )
            self._done += 1
        except Exception as error:
            code = error.code if isinstance(error, TallystickError) else None
            if code == "databaseUnavailable":
                raise
            if code != "paymentProviderUnavailable":
                self._errors.append(error)
            await self._put_off(entry)

    async def _put_off(self, entry: Entry) -> None:
        """It waits for longer, the longer it has not worked; what moved on by itself stays where it is."""
        now = self._now

        async def work(conn: Connection) -> None:
            if entry.kind == "payment":
                payment = await stored.lock(conn, entry.workspace_id, entry.id)
                if payment.is_unfinished:
                    payment.next_at = now + dunning.pause(now - payment.created_at)
                    await stored.save(conn, payment)
                return
            invoice = await invoices.lock(conn, entry.workspace_id, entry.id)
            if invoice.next_at is not None and invoice.next_at <= now:
                invoice.next_at = now + dunning.pause(now - (invoice.issued_at or invoice.created_at))
                await invoices.save(conn, invoice)

        await self._database.run(work)


async def _attend_to_invoice(
    database: Database, billing: Billing, workspace_id: UUID, invoice_id: UUID, *, now: dt.datetime, ids: Ids
) -> None:
    """Of an open invoice, what its schedule says: asked for first, told and stopped only then."""
    async with database.read(workspace_id) as conn:
        invoice = await invoices.find(conn, workspace_id, invoice_id)
        case = await payments.case_of(conn, billing, invoice)
    if invoice.status in OPEN and any(step.kind == "collect" for step in dunning.steps(case, billing.dunning, now)):
        known = len(case.attempts)
        await payments.collect(database, billing, workspace_id, invoice_id, now=now, ids=ids, after=known)

    async def work(conn: Connection) -> None:
        await payments.lock_workspace(conn, workspace_id, now, ids)
        await _follow_up(conn, billing, await invoices.lock(conn, workspace_id, invoice_id), now=now, ids=ids)

    await database.run(work)


async def _follow_up(conn: Connection, billing: Billing, invoice: Invoice, *, now: dt.datetime, ids: Ids) -> None:
    """All steps but collecting, each once, and when to look again; the workspace and the invoice are locked."""
    if invoice.status not in OPEN:
        if invoice.status != DRAFT and invoice.next_at is not None:
            invoice.next_at = None
            await invoices.save(conn, invoice)
        return
    case = await payments.case_of(conn, billing, invoice)
    if dunning.falls_due(case, now):
        invoice.move("fallDue", now)
        stops = instant(dunning.stops_at(case, billing.dunning))
        fact = invoice_fact(
            invoice, facts.INVOICE_PAST_DUE, now, instant(now) or "", attempted=bool(case.attempts), stopsAt=stops
        )
        await told.record(conn, [fact], now)
    steps = dunning.steps(case, billing.dunning, now)
    for step in steps:
        if step.kind == "remind":
            await _remind(conn, billing, case, step, now)
        elif step.kind == "suspend":
            await lifecycle.past_due_in(conn, invoice.workspace_id, now=now, ids=ids)
        elif step.kind == "giveUp":
            await purchases.failed_in(conn, invoice, error="It was not paid in time.", now=now, ids=ids)
        elif step.kind == "writeOff":
            invoice.move("giveUp", now)
            invoice.closed_at = now
            await told.record(conn, [invoice_fact(invoice, facts.INVOICE_UNCOLLECTIBLE, now)], now)
    is_tried = any(step.kind == "collect" for step in steps)
    again = dunning.next_at(case, billing.dunning, now)
    # What should have been collected and was not, since somebody else was at it: soon again.
    invoice.next_at = now + dunning.pause(dt.timedelta()) if is_tried and invoice.status in OPEN else again
    invoice.updated_at = now
    await invoices.save(conn, invoice)


async def _remind(conn: Connection, billing: Billing, case: dunning.Case, step: dunning.Step, now: dt.datetime) -> None:
    """Once for each day of the schedule, whoever asks for it how often."""
    day = dunning.begun_at(case).isoformat()
    fact = invoice_fact(
        case.invoice,
        facts.INVOICE_REMINDER,
        now,
        day,
        str(step.number),
        reminder=step.number,
        stopsAt=instant(dunning.stops_at(case, billing.dunning)),
    )
    await told.record(conn, [fact], now)
