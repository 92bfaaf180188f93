"""The end of a workspace (rule M30): nothing new starts, what is open ends, the last invoice is made, all is kept.

Closing takes three steps, each of which may be done again: refuse, void and stop; give back what was bought where the
operator says so, which asks a payment provider; then the last invoice and the end. One that was cut off is gone on with
by asking again.
"""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from uuid import UUID

from tallystick.domain.billing import life
from tallystick.domain.billing.life_told import life_fact
from tallystick.domain.credits.grants import CREDITS, UNITS
from tallystick.domain.deployments.told import change_fact
from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.telling.facts import DEPLOYMENT_UNDEPLOYED, SUBSCRIPTION_CANCELED, WORKSPACE_CLOSED, Fact
from tallystick.flows import buying, closing, due, issuing, revenue
from tallystick.flows.billing import Billing
from tallystick.flows.budgets import Author
from tallystick.flows.caps import Caps
from tallystick.flows.subscription_site import Site
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.kernel.periods import Period
from tallystick.store import audit, closures, deployments, facts, holds, invoices, ledger, purchases, subscriptions
from tallystick.store.database import Connection, Database
from tallystick.store.workspaces import not_found

REASON: Final = "The workspace was closed."
_SMALLEST: Final = dt.timedelta(microseconds=1)
_SWEEP: Final = 100


@dataclass(frozen=True, slots=True)
class Closed:
    """What closing did. `forfeited` nano-credits of bought grants ended unused, `refunded_minor` were given back."""

    workspace_id: UUID
    closed_at: dt.datetime
    holds_voided: int
    deployments_stopped: int
    forfeited: int
    refunded_minor: int
    currency: str
    invoice_id: UUID | None


async def close_workspace(
    database: Database,
    billing: Billing,
    author: Author,
    *,
    bought: Literal["refund", "forfeit"],
    reason: str,
    real: dt.datetime,
) -> Closed:
    """Close a workspace for good. `real` is the machine's time, by which its tokens end.

    Raises `workspaceNotFound` also for one that is closed, and what giving bought credits back raises.
    """
    voided, stopped = await database.run(lambda conn: _refuse(conn, author, reason))
    refunded = await _give_back(database, billing, author, reason) if bought == "refund" else 0
    made = await database.run(lambda conn: _end(conn, billing, author, reason, bought, real))
    await revenue.recognise(database, author.workspace_id, now=author.now, ids=author.ids)
    return replace(made, holds_voided=voided, deployments_stopped=stopped, refunded_minor=refunded)


async def blank_closed(database: Database, *, days: int, now: dt.datetime, ids: Ids) -> int:
    """Blank the personal data of workspaces that were closed so many days ago; how many. Safe to run by many at once.

    Their ledger, usage and invoices are kept.
    """
    before = now - dt.timedelta(days=days)
    async with database.read() as conn:
        found = await closures.to_blank(conn, before, _SWEEP)
    for workspace_id in found:

        async def work(conn: Connection, workspace_id: UUID = workspace_id) -> None:
            if await closures.lock(conn, workspace_id) is None:
                return
            await closures.blank(conn, workspace_id, now)
            await audit.record(
                conn, "workspace.blanked", workspace_id=workspace_id, actor="tallystick", now=now, ids=ids
            )

        await database.run(work)
    return len(found)


async def _refuse(conn: Connection, author: Author, reason: str) -> tuple[int, int]:
    """Step 1: new work is refused, open holds are voided, deployments are taken down."""
    site = await _open_site(conn, author)
    await site.accrue()
    voided = await _void_holds(site)
    stopped = await _undeploy(site, author)
    if site.terms.status in (life.ACTIVE, life.TRIALING):
        await site.change(status=site.step("pause"), resumes_to=site.terms.status)
    await audit.record(
        conn,
        "workspace.closing",
        workspace_id=author.workspace_id,
        actor=author.actor,
        now=author.now,
        ids=author.ids,
        reason=reason,
    )
    await site.finish()
    return voided, stopped


async def _open_site(conn: Connection, author: Author) -> Site:
    site = await Site.lock(conn, author.workspace_id, now=author.now, ids=author.ids)
    if await closures.lock(conn, author.workspace_id) is not None:
        raise not_found(author.workspace_id)
    return site


async def _void_holds(site: Site) -> int:
    found = await closures.open_holds(site.conn, site.workspace_id)
    if not found:
        return 0
    caps = await Caps.load(site.conn, [site.workspace_id])
    await caps.read(site.conn, [(site.workspace_id, hold.scope, hold.created_at) for hold in found])
    for hold in found:
        hold.move("void")
        hold.finished_at, hold.finish_key, hold.finish_hash = site.now, f"closing:{hold.id}", hold.request_hash
        due.release(hold, hold.open_amounts, site.pair, caps)
    await holds.update(site.conn, found)
    await caps.save(site.conn)
    for book in site.pair.values():
        book.let_go(site.ids.new(site.now), at=site.now)
    return len(found)


async def _undeploy(site: Site, author: Author) -> int:
    """What runs is taken down now and charged no longer; the platform is told of each."""
    running = [one for one in await deployments.lock_all(site.conn, site.workspace_id) if one.allows("undeploy")]
    balance = site.pair[CREDITS].balance
    tells: list[Fact] = []
    for one in running:
        one.move("undeploy", one.metered_until or site.now, reason=REASON)
        number = await deployments.add_change(site.conn, one, "undeploy", actor=author.actor, at=site.now)
        tells.append(
            change_fact(
                one,
                DEPLOYMENT_UNDEPLOYED,
                number,
                site.now,
                hourly=None,
                posted=balance.posted,
                allocation=balance.allocation,
            )
        )
    await deployments.update(site.conn, running)
    await facts.record(site.conn, tells, site.now)
    return len(running)


async def _give_back(database: Database, billing: Billing, author: Author, reason: str) -> int:
    """Step 2: what is unused of each purchase; how much money that is, in minor units with tax."""

    async def granted(conn: Connection) -> list[Any]:
        return await purchases.lock_granted(conn, author.workspace_id)

    given = 0
    for purchase in await database.run(granted):
        if purchase.status != "paid":
            continue
        key = RequestKey(author.workspace_id, "closing", f"refund:{purchase.id}", purchase.id.bytes, author.now)
        try:
            after = await buying.refund(database, billing, purchase.id, None, reason, replace(author, request=key))
        except TallystickError as error:
            if error.code not in ("nothingToRefund", "purchaseNotOpen"):
                raise
            continue
        given += after.refunded_minor + after.refunded_tax_minor
        given -= purchase.refunded_minor + purchase.refunded_tax_minor
    return given


async def _end(
    conn: Connection, billing: Billing, author: Author, reason: str, bought: str, real: dt.datetime
) -> Closed:
    """Step 3: the last period's invoice, issued at once; grants end, the subscription ends, tokens are revoked."""
    site = await _open_site(conn, author)
    await site.accrue()
    now, ids, workspace_id = author.now, author.ids, author.workspace_id
    at = max(now, site.terms.period.start + _SMALLEST)
    ended = replace(site.terms, period=Period(site.terms.period.start, at), following=None)
    last = await closing.close_in(conn, workspace_id, site.pair, ended, at=at, now=now, ids=ids, purpose="closing")
    forfeited = _expire_all(site, author)
    for book in site.pair.values():
        book.schedule(None, None)
    await ledger.save_books(conn, site.books, now)
    issued = None
    for invoice_id in await closures.drafts(conn, workspace_id):
        found = await issuing.issue_in(conn, billing, await invoices.lock(conn, workspace_id, invoice_id), now=now)
        issued = found if found is not None and found.id == last.id else issued
    await subscriptions.close_period(conn, workspace_id, ended.period, now)
    await subscriptions.end_subscription(conn, workspace_id, site.terms.subscription_id, at, now)
    canceled = replace(ended, status=life.CANCELED)
    kinds = (SUBSCRIPTION_CANCELED, WORKSPACE_CLOSED)
    await facts.record(conn, [life_fact(kind, workspace_id, canceled, now, reason=reason) for kind in kinds], now)
    await closures.close(conn, workspace_id, now, real)
    await audit.record(
        conn,
        "workspace.closed",
        workspace_id=workspace_id,
        actor=author.actor,
        now=now,
        ids=ids,
        reason=reason,
        boughtCredits=bought,
        forfeited=format_credits(forfeited),
        invoice=None if issued is None else issued.number,
    )
    currency = last.currency
    return Closed(workspace_id, now, 0, 0, forfeited, 0, currency, None if issued is None else issued.id)


def _expire_all(site: Site, author: Author) -> int:
    """Every grant ends; what of the bought ones is lost, in nano-credits."""
    lost = 0
    for unit in UNITS:
        book = site.pair[unit]
        for grant in sorted(book.grants.values(), key=lambda one: one.id):
            if grant.ended_at is not None or not grant.remaining:
                continue
            if unit == CREDITS and grant.source == "purchase":
                lost += book.would_expire(grant)
            book.expire(grant, site.ids.new(site.now), at=site.now, reason=REASON, actor=author.actor)
    return lost
