"""The end of one billing period and the beginning of the next, at one exact instant (rules M14, M23, M25).

By the clock (flows/due.py) or at somebody's word (flows/lifecycle.py): the period is closed and its invoice drafted,
plan grants are reset, the subscription goes on, or a new one takes its place where the calendar changes.
"""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from tallystick.domain.billing import life
from tallystick.domain.billing.life_told import life_fact, short
from tallystick.domain.billing.plans import FREE, PlanVersion
from tallystick.domain.billing.subscriptions import Following, LiveTerms
from tallystick.domain.credits.grants import UNITS, Grant, GrantTerms, new_grant
from tallystick.domain.credits.ledger import Book
from tallystick.domain.telling import facts as kinds
from tallystick.flows import closing
from tallystick.kernel.ids import Ids
from tallystick.kernel.periods import Period, period_of
from tallystick.store import facts, subscriptions
from tallystick.store.database import Connection

_SMALLEST: Final = dt.timedelta(microseconds=1)
_HELD_UP: Final = (life.PAUSED, life.PAST_DUE)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What begins where a period ends.

    `is_billed`: its price goes on the invoice of the period that ends. `resets`: plan grants end and begin anew (rule
    M14); else what was given stays. `ends_at` is given where the first period is no calendar's, as a trial's.
    """

    plan: PlanVersion
    status: str
    anchor_at: dt.datetime
    is_idle: bool = False
    is_billed: bool = True
    resets: bool = True
    ends_at: dt.datetime | None = None
    is_new: bool = False
    resumes_to: str | None = None
    past_due_since: dt.datetime | None = None


async def renew(
    conn: Connection, workspace_id: UUID, pair: dict[str, Book], terms: LiveTerms, now: dt.datetime, ids: Ids
) -> LiveTerms:
    """What the clock brings at the exact end of a period, told as facts; the terms from then on."""
    end = terms.period.end
    coming = terms.pending_plan or terms.plan
    found = life.at_period_end(
        terms.status, pending=terms.pending_kind, price_minor=coming.price_minor, has_method=terms.has_method
    )
    if found.ending == "cancel":
        coming = await subscriptions.latest_plan_version(conn, FREE)
    to = Beginning(
        plan=coming,
        # Who is paused or owes something stays so, on whatever plan.
        status=_after_cancel(terms.status) if found.ending == "cancel" else found.status,
        anchor_at=terms.anchor_at,
        is_idle=found.is_idle,
        is_new=found.ending == "cancel",
        resumes_to=terms.resumes_to if terms.status in _HELD_UP else None,
        past_due_since=terms.past_due_since,
    )
    if found.ending == "pause":
        # What was asked for the end of a trial waits for the trial to be paid.
        to = replace(to, plan=terms.plan)
    key = f"reset:{end.isoformat()}"
    # Only writes, none of which waits for another's answer.
    async with conn.pipeline():
        fresh = await turn(conn, workspace_id, pair, terms, to, at=end, now=now, ids=ids, key=key)
        await facts.record(conn, _told(workspace_id, terms, fresh, found.ending), now)
    return fresh


async def turn(
    conn: Connection,
    workspace_id: UUID,
    pair: dict[str, Book],
    terms: LiveTerms,
    to: Beginning,
    *,
    at: dt.datetime,
    now: dt.datetime,
    ids: Ids,
    key: str,
) -> LiveTerms:
    """Close the open period at `at` and begin what comes; the caller saves the books. The terms from then on.

    A period that ends as it began is as if it had never been; where something is to be billed with it, it is a
    microsecond long.
    """
    is_billed = to.is_billed and not to.is_idle and to.plan.price_minor > 0
    if at == terms.period.start and is_billed:
        at += _SMALLEST
    ended = Period(terms.period.start, at)
    ends_at = to.ends_at or period_of(to.anchor_at, to.plan.cadence, terms.zone, at).end
    opened = Period(at, ends_at)
    closed = replace(terms, period=ended, following=Following(to.plan, opened, is_billed))
    if ended.start < ended.end:
        await close(conn, workspace_id, pair, closed, at=at, now=now, ids=ids)
    fresh = _begun(terms, to, opened)
    if to.resets:
        for unit in UNITS:
            given = [] if to.is_idle else _rolled_over(pair[unit], terms, opened, ids)
            given += [] if to.is_idle else plan_grants(fresh, unit, opened, ids)
            pair[unit].reset(given, ids.new(at), at=at, key=key)
    await subscriptions.close_period(conn, workspace_id, ended, now)
    if to.is_new or (to.anchor_at, to.plan.cadence) != (terms.anchor_at, terms.plan.cadence):
        fresh = replace(fresh, subscription_id=ids.new(at), started_at=at)
        await subscriptions.end_subscription(conn, workspace_id, terms.subscription_id, at, now)
        await subscriptions.insert_subscription(
            conn, workspace_id, fresh.subscription_id, to.plan, at, anchor_at=to.anchor_at, status=to.status
        )
    await subscriptions.save(conn, workspace_id, fresh, now)
    await subscriptions.insert_period(conn, workspace_id, fresh.subscription_id, to.plan, opened, is_idle=to.is_idle)
    return fresh


async def close(
    conn: Connection,
    workspace_id: UUID,
    pair: dict[str, Book],
    terms: LiveTerms,
    *,
    at: dt.datetime,
    now: dt.datetime,
    ids: Ids,
) -> None:
    """The commercial side of a period that ends at `at`: overage settled, an invoice drafted."""
    await closing.close_in(conn, workspace_id, pair, terms, at=at, now=now, ids=ids)


def plan_grants(terms: LiveTerms, unit: str, period: Period, ids: Ids) -> list[Grant]:
    """What the plan includes of `unit` for one period, as a grant that ends with it; nothing where it includes none."""
    return plan_grant(unit, terms.plan.included(unit), period, terms.plan.name, ids)


def plan_grant(unit: str, amount: int, period: Period, reason: str, ids: Ids) -> list[Grant]:
    """A grant of the plan that ends with the period, from its beginning; none of nothing."""
    if not amount:
        return []
    terms = GrantTerms(unit, amount, "plan", key="", expires_at=period.end, reason=reason)
    return [new_grant(terms, ids.new(period.start), period.start)]


def _rolled_over(book: Book, terms: LiveTerms, period: Period, ids: Ids) -> list[Grant]:
    # What is kept for open holds is not given a second time (rule M20).
    ending = [g for g in book.grants.values() if g.source == "plan" and g.ended_at is None and not g.kept]
    left = sum(book.would_expire(grant) for grant in ending)
    share = left * terms.plan.rollover_share_ppm // 1_000_000
    return plan_grant(book.balance.unit, share, period, "rolled over", ids)


def _after_cancel(status: str) -> str:
    return status if status in _HELD_UP else life.ACTIVE


def _begun(terms: LiveTerms, to: Beginning, period: Period) -> LiveTerms:
    """The terms from the beginning of what comes: nothing is pending, no trial runs, a cap is the plan's."""
    is_trial = to.status == life.TRIALING
    return replace(
        terms,
        plan=to.plan,
        status=to.status,
        anchor_at=to.anchor_at,
        period=period,
        trial_ends_at=to.ends_at if is_trial else terms.trial_ends_at if to.status in _HELD_UP else None,
        trial_notice_at=None,
        resumes_to=to.resumes_to,
        past_due_since=to.past_due_since,
        pending_kind=None,
        pending_at=None,
        pending_plan=None,
        overage_cap=terms.overage_cap if to.plan.plan == terms.plan.plan else None,
        overage_invoiced=0,
        is_idle=to.is_idle,
        following=None,
    )


def _told(workspace_id: UUID, before: LiveTerms, after: LiveTerms, ending: str) -> list[Any]:
    at = before.period.end
    kind = {
        "renew": kinds.SUBSCRIPTION_RENEWED,
        "idle": kinds.SUBSCRIPTION_RENEWED,
        "convert": kinds.SUBSCRIPTION_RENEWED,
        "pause": kinds.TRIAL_ENDED,
        "change": kinds.PLAN_CHANGED,
        "cancel": kinds.SUBSCRIPTION_CANCELED,
    }[ending]
    more = {"previousPlan": short(before.plan)} if ending in ("change", "cancel") else {}
    return [life_fact(kind, workspace_id, after, at, trialConverted=ending == "convert", **more)]
