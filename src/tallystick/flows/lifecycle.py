"""The life of a subscription at somebody's word: trial, cancelling, pausing, debt, resuming (rows D2, D3; M23 to M25).

What the clock does by itself is in flows/turning.py, changes of plan in flows/plan_changes.py, the end of a workspace
in flows/ending.py. The flows whose names end in `_in` run inside a transaction of the caller's: they lock the balances
of the workspace anew and write them, so a caller who holds them has to write its own first.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from tallystick.domain.billing import life
from tallystick.domain.billing.life_told import short
from tallystick.domain.billing.plans import FREE, PRO, PlanVersion, offered
from tallystick.domain.billing.subscriptions import LiveTerms
from tallystick.domain.billing.told import instant
from tallystick.domain.telling import facts as kinds
from tallystick.flows.billing import Billing
from tallystick.flows.budgets import Author
from tallystick.flows.subscription_site import Site, answered, not_eligible
from tallystick.flows.turning import Beginning
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import accounts, audit, subscriptions
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once


async def begin_trial(database: Database, billing: Billing, author: Author, *, plan: str = PRO) -> None:
    """Try a plan for as many days as it may be tried, once per workspace (rule M23); its grants are given at once.

    The days are those of the workspace's zone. Raises `subscriptionNotFound`, `subscriptionNotElligible` where the
    workspace pays for a plan already or this one can't be tried, and `trialUsed`.
    """

    async def work(site: Site) -> None:
        account = await site.account(billing.settings.payment_provider)
        if account.trial_used_at is not None:
            used = instant(account.trial_used_at)
            raise TallystickError("trialUsed", "This workspace had its trial.", usedAt=used)
        if site.terms.status != life.ACTIVE or site.terms.plan.price_minor:
            raise not_eligible("A trial begins from the Free plan.", status=site.terms.status)
        every = offered(await site.offers(), site.workspace_id)
        found = [one for one in every if one.plan == plan and one.trial(billing.settings.trial_days)]
        if not found:
            raise not_eligible("This plan can't be tried.", plan=plan)
        version = min(found, key=lambda one: one.cadence != "monthly")
        ends_at = _days_on(author.now, version.trial(billing.settings.trial_days), site.terms.zone)
        status = site.step("startTrial")
        await site.turn(Beginning(version, status, anchor_at=ends_at, ends_at=ends_at, is_billed=False))
        notice = dt.timedelta(days=billing.settings.trial_notice_days)
        await site.change(trial_notice_at=max(ends_at - notice, author.now) if notice else None)
        await accounts.save(site.conn, replace(account, trial_used_at=author.now), author.now)
        await site.tell(kinds.TRIAL_STARTED, endsAt=instant(ends_at))

    await changing(database, author, work)


async def cancel(database: Database, author: Author) -> None:
    """End the subscription with its period, revocable until then; the workspace is on Free from then on (rule M25).

    After a trial's end that is at once. Raises `subscriptionNotFound`, `subscriptionNotElligible` where nothing is
    paid for, and `subscriptionAlreadyInUpdateState`.
    """

    async def work(site: Site) -> None:
        terms = site.terms
        status = site.step("cancel")
        check_no_pending(terms)
        if terms.plan.plan == FREE:
            raise not_eligible("Nothing is paid for on the Free plan.", plan=terms.plan.plan)
        if is_after_trial(terms):
            await to_free(site)
            return
        await site.change(status=status, pending_kind="cancel", pending_at=author.now, pending_plan=None)
        await site.tell(kinds.CHANGE_PENDING, change="cancel", effectiveAt=instant(terms.period.end), nextPlan=None)

    await changing(database, author, work)


async def revoke_change(database: Database, author: Author) -> None:
    """Take back what was asked for the period's end (rule M25); nothing where nothing was.

    What the operator planned stays. Raises `subscriptionNotFound`.
    """

    async def work(site: Site) -> None:
        if site.terms.pending_kind in (None, "migration"):
            return
        change = site.terms.pending_kind
        await site.change(pending_kind=None, pending_at=None, pending_plan=None)
        await site.tell(kinds.CHANGE_REVOKED, change=change)

    await changing(database, author, work)


async def pause(database: Database, author: Author, *, reason: str) -> None:
    """The operator's pause: new work is refused until it is resumed; nothing else is changed or stopped.

    Raises `subscriptionNotFound` and `invalidTransition`.
    """

    async def work(site: Site) -> None:
        before = site.terms.status
        await site.change(status=site.step("pause"), resumes_to=before)
        await site.tell(kinds.SUBSCRIPTION_PAUSED, reason=reason)
        await _record(site, author, "subscription.paused", reason)

    await changing(database, author, work)


async def resume(database: Database, author: Author, *, reason: str) -> None:
    """End a pause, at once. A trial that ended unpaid goes on as a paid subscription, whose first invoice is made.

    A trial that ended during the operator's own pause ends now as it would have then. Raises `subscriptionNotFound`
    and `invalidTransition`.
    """

    async def work(site: Site) -> None:
        terms = site.terms
        site.step("resume")
        ran_out = terms.resumes_to == life.TRIALING and not _is_within_trial(terms, author.now)
        if ran_out and terms.plan.price_minor and not terms.has_method:
            await site.change(resumes_to=None)
            await site.tell(kinds.TRIAL_ENDED)
        else:
            await _go_on(site, "resume", "resumeWithinTrial")
        await _record(site, author, "subscription.resumed", reason)

    await changing(database, author, work)


async def resume_in(conn: Connection, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> bool:
    """Resume at once what was refused for want of payment; whether something was (rules M23, M24).

    For who has just paid all that was past due, and for who has put a method on file after a trial's end: then the
    first invoice is made. Anything else stays as it is.
    """
    site = await Site.lock_if_any(conn, workspace_id, now=now, ids=ids)
    if site is None:
        return False
    resumes = site.terms.status == life.PAST_DUE or (is_after_trial(site.terms) and site.terms.has_method)
    if resumes:
        asked = ("pay", "payWithinTrial") if site.terms.status == life.PAST_DUE else ("resume", "resumeWithinTrial")
        await _go_on(site, *asked)  # type: ignore[arg-type]
    await site.finish()
    return resumes


async def past_due_in(conn: Connection, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> bool:
    """Dunning is exhausted: new work is refused `pastDue` until what is open is paid (M24). Whether that is new."""
    site = await Site.lock_if_any(conn, workspace_id, now=now, ids=ids)
    if site is None:
        return False
    before = site.terms.status
    status = site.step("exhaustDunning")
    if status != before:
        resumes_to = before if before == life.TRIALING else life.ACTIVE
        await site.change(status=status, resumes_to=resumes_to, past_due_since=now)
        await site.tell(kinds.SUBSCRIPTION_PAST_DUE)
    await site.finish()
    return status != before


async def to_free(site: Site) -> None:
    """At once to the Free plan, after a trial's end (rule M25)."""
    await replace_trial(site, await subscriptions.latest_plan_version(site.conn, FREE))


async def replace_trial(site: Site, plan: PlanVersion) -> None:
    """Another plan in place of a trial, from now on; what the trial gave ends with it."""
    before = site.terms.plan
    await site.turn(Beginning(plan, site.step("change"), anchor_at=site.now, is_new=True))
    await site.tell(kinds.PLAN_CHANGED, previousPlan=short(before))


async def begin_paid(site: Site, plan: PlanVersion, status: str) -> None:
    """A new, whole period of a plan from now on; its price goes on the invoice of the period that ends."""
    await site.turn(Beginning(plan, status, anchor_at=site.now))


def is_after_trial(terms: LiveTerms) -> bool:
    """Whether a trial has ended unpaid, and nothing else is the reason for the pause."""
    return terms.status == life.PAUSED and terms.resumes_to is None


def check_no_pending(terms: LiveTerms) -> None:
    """Raises `subscriptionAlreadyInUpdateState` where the workspace itself asked for another change."""
    if terms.pending_kind in ("downgrade", "cancel"):
        raise TallystickError(
            "subscriptionAlreadyInUpdateState",
            "Another change is to come with the period's end; take it back first.",
            change=terms.pending_kind,
            effectiveAt=instant(terms.period.end),
        )


async def changing(database: Database, author: Author, work: Callable[[Site], Awaitable[None]]) -> Mapping[str, Any]:
    """One transaction on one workspace's subscription, a repeated request only once.

    Raises `workspaceNotFound`, `subscriptionNotFound` and `idempotencyConflict`.
    """

    async def whole(conn: Connection) -> Mapping[str, Any]:
        async def make() -> Mapping[str, Any]:
            site = await Site.lock(conn, author.workspace_id, now=author.now, ids=author.ids)
            await work(site)
            await site.finish()
            return answered(site)

        return await once(conn, author.request, author.now, make)

    return await database.run(whole)


async def _go_on(site: Site, asked: life.Asked, within_trial: life.Asked) -> None:
    """Active again, or in its trial again; where nothing was paid for in between, a new period begins now."""
    terms = site.terms
    if terms.resumes_to == life.TRIALING and _is_within_trial(terms, site.now):
        await site.change(status=site.step(within_trial), resumes_to=None, past_due_since=None)
    elif terms.is_idle or terms.trial_ends_at is not None:
        await begin_paid(site, terms.plan, site.step(asked))
    else:
        await site.change(status=site.step(asked), resumes_to=None, past_due_since=None)
    await site.tell(kinds.SUBSCRIPTION_RESUMED)


def _is_within_trial(terms: LiveTerms, now: dt.datetime) -> bool:
    return terms.trial_ends_at is not None and terms.trial_ends_at > now


def _days_on(now: dt.datetime, days: int, zone: str) -> dt.datetime:
    """The same time of day, so many days later in a zone, as UTC."""
    return (now.astimezone(ZoneInfo(zone)) + dt.timedelta(days=days)).astimezone(dt.UTC)


async def _record(site: Site, author: Author, action: str, reason: str) -> None:
    await audit.record(
        site.conn,
        action,
        workspace_id=author.workspace_id,
        actor=author.actor,
        now=author.now,
        ids=author.ids,
        reason=reason,
        subscription=str(site.terms.subscription_id),
    )
