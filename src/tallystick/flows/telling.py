"""Facts become mails and webhook deliveries, each fact once (row E10, bar R6).

In one transaction: whoever crashes before its end has made nothing, and after it the fact is done.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from tallystick.domain.billing.cards import named
from tallystick.domain.billing.dunning import can_collect
from tallystick.domain.telling.facts import (
    CREDIT_NOTE_ISSUED,
    CREDITS_PURCHASED,
    INVOICE_ISSUED,
    INVOICE_PAID,
    KINDS,
    TOP_UP_SUCCEEDED,
    Fact,
)
from tallystick.domain.telling.letters import Circumstances
from tallystick.domain.telling.mails import Mail, Recipient, dedup_of, mail_id, message_id
from tallystick.domain.telling.writing import WRITTEN, write
from tallystick.flows.documents import PURPOSE as INVOICE
from tallystick.flows.links import Link, sign
from tallystick.flows.portal import PATH as PAYMENT_PATH
from tallystick.flows.portal import PURPOSE as PAYMENT
from tallystick.gateways.letters import render_html, render_plain
from tallystick.kernel.ids import Ids
from tallystick.store import accounts, limits, mails, webhooks
from tallystick.store import facts as store
from tallystick.store.database import Connection, Database
from tallystick.store.mails import House

FACTS_AT_ONCE: Final = 100
"""Facts that one transaction takes, at most."""


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What the operator's settings say about mails. `host` stands in Message-IDs, `sender` is who signs."""

    sender: str
    host: str
    support_email: str | None = None
    support_url: str | None = None
    is_sent: bool = True
    """False where no SMTP server is named: mails are kept for reading."""
    public_url: str | None = None
    """Where browsers reach us; None: letters about money lead to support."""


UNSENT: Final = Letterhead("Tallystick", "localhost", is_sent=False)
"""Of an installation that said nothing about mail."""


INVOICE_PATH: Final = "/v1/documents"

SHOWN: Final = frozenset({INVOICE_ISSUED, INVOICE_PAID, CREDIT_NOTE_ISSUED, CREDITS_PURCHASED, TOP_UP_SUCCEEDED})
"""Facts whose letters lead to the invoice itself."""

LINKED_FOR: Final = dt.timedelta(days=14)
"""How long the links in a mail are good: as long as it takes until something stops."""


async def fan_out(database: Database, letterhead: Letterhead, *, now: dt.datetime, ids: Ids) -> int:
    """Make the mails and deliveries of facts that have none yet; how many facts there were, at most `FACTS_AT_ONCE`.

    Safe to run by many at once, and twice. `now` is the machine's time, also for a workspace on a test clock.
    """

    pages = _Pages(database, letterhead.public_url, now, ids)

    async def work(conn: Connection) -> int:
        found = await store.lock_waiting(conn, FACTS_AT_ONCE)
        if found:
            await mails.add(conn, await _mails(conn, found, letterhead, pages, now), now)
            await webhooks.queue(conn, found, now)
            await store.fanned(conn, found, now)
        return len(found)

    return await database.run(work)


@dataclass(frozen=True, slots=True)
class _Pages:
    """Signed addresses of our own pages, for mails to those who may see and do what is there."""

    database: Database
    public_url: str | None
    now: dt.datetime
    ids: Ids

    async def payment(self, workspace_id: UUID) -> str | None:
        return await self._signed(PAYMENT_PATH, Link(PAYMENT, workspace_id, self.now + LINKED_FOR))

    async def invoice(self, workspace_id: UUID, invoice_id: str) -> str | None:
        return await self._signed(INVOICE_PATH, Link(INVOICE, workspace_id, self.now + LINKED_FOR, invoice_id))

    async def _signed(self, path: str, link: Link) -> str | None:
        if self.public_url is None:
            return None
        text = await sign(self.database, link, now=self.now, ids=self.ids)
        return f"{self.public_url.rstrip('/')}{path}/{text}"


async def _mails(
    conn: Connection, found: Sequence[Fact], letterhead: Letterhead, pages: _Pages, now: dt.datetime
) -> list[Mail]:
    written = [fact for fact in found if fact.kind in WRITTEN]
    workspaces = sorted({fact.workspace_id for fact in written})
    if not workspaces:
        return []
    people = await mails.recipients(conn, workspaces)
    houses = await mails.houses(conn, workspaces)
    about = {
        workspace_id: await _circumstances(conn, workspace_id, houses[workspace_id], letterhead)
        for workspace_id in workspaces
        if workspace_id in people and workspace_id in houses
    }
    for workspace_id in about:
        own = [fact for fact in written if fact.workspace_id == workspace_id and KINDS[fact.kind].topic == "billing"]
        if own:
            about[workspace_id] = await _paying(conn, workspace_id, about[workspace_id], own, pages)
    wanted: list[tuple[Fact, str, list[Recipient]]] = []
    for fact in written:
        dedup = dedup_of(fact, about[fact.workspace_id].zone) if fact.workspace_id in about else None
        if dedup is not None:
            topic = KINDS[fact.kind].topic
            wanted.append((fact, dedup, [one for one in people[fact.workspace_id] if one.wants(topic)]))
    told = await mails.told_already(
        conn, [(fact.workspace_id, one.person_id, dedup) for fact, dedup, who in wanted for one in who]
    )
    made: list[Mail] = []
    for fact, dedup, who in wanted:
        new = [one for one in who if (fact.workspace_id, one.person_id, dedup) not in told]
        told |= {(fact.workspace_id, one.person_id, dedup) for one in new}
        made += _to_each(fact, dedup, new, about[fact.workspace_id], letterhead, now)
    # Two who make a mail about the same at once wait for each other: in one order, or not for ever.
    return sorted(made, key=lambda mail: (mail.workspace_id, mail.person_id, mail.dedup))


async def _circumstances(conn: Connection, workspace_id: UUID, house: House, letterhead: Letterhead) -> Circumstances:
    effective = await limits.effective(conn, workspace_id)
    return Circumstances(
        workspace=house.name,
        zone=house.zone,
        credits=house.credits,
        tool_runs=house.tool_runs,
        fine_tune_minimum=effective.fine_tune_minimum,
        negative_limit=effective.negative_limit,
        support_email=letterhead.support_email,
        support_url=letterhead.support_url,
    )


async def _paying(
    conn: Connection, workspace_id: UUID, about: Circumstances, told: Sequence[Fact], pages: _Pages
) -> Circumstances:
    """With what letters about money say beside their fact."""
    account = await accounts.read(conn, workspace_id)
    is_collected = can_collect(account.provider, account.customer_ref, account.method)
    shown = {str(fact.data["invoiceUuid"]) for fact in told if fact.kind in SHOWN and fact.data.get("invoiceUuid")}
    urls = {one: await pages.invoice(workspace_id, one) for one in sorted(shown)}
    return replace(
        about,
        method=f"your {named(account.method)}" if account.method and is_collected else None,
        payment_url=await pages.payment(workspace_id),
        invoice_urls={one: url for one, url in urls.items() if url is not None},
    )


def _to_each(
    fact: Fact, dedup: str, who: Sequence[Recipient], about: Circumstances, letterhead: Letterhead, now: dt.datetime
) -> list[Mail]:
    """The same letter to each, written once."""
    if not who:
        return []
    letter = write(fact, about)
    html, plain = (render(letter, sender=letterhead.sender) for render in (render_html, render_plain))
    made = []
    for one in who:
        own = mail_id(fact, one.person_id)
        made.append(
            Mail(
                workspace_id=fact.workspace_id,
                id=own,
                fact_id=fact.id,
                person_id=one.person_id,
                kind=fact.kind,
                dedup=dedup,
                to_address=one.email,
                message_id=message_id(own, letterhead.host),
                subject=letter.subject,
                html=html,
                plain=plain,
                status="queued" if letterhead.is_sent else "kept",
                attempts=0,
                next_at=now,
                error=None,
                created_at=now,
                sent_at=None,
            )
        )
    return made
