"""Changing the plan: up at once with proration, down with the period's end, after a trial's end at once (rule M25).

A preview is the change itself, done and taken back: so it says to the cent what the change would be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from tallystick.domain.billing import life, proration
from tallystick.domain.billing.accounts import Account
from tallystick.domain.billing.closing import plan_line
from tallystick.domain.billing.invoices import Invoice, Line, new_line
from tallystick.domain.billing.life_told import short
from tallystick.domain.billing.plans import PlanVersion, is_enterprise, offered
from tallystick.domain.billing.proration import Change
from tallystick.domain.billing.told import instant
from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS
from tallystick.domain.telling import facts as kinds
from tallystick.flows import invoicing, lifecycle
from tallystick.flows.billing import Billing
from tallystick.flows.budgets import Author
from tallystick.flows.subscription_site import Site, not_eligible
from tallystick.flows.turning import Beginning, plan_grant
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.periods import Period, period_of
from tallystick.store import invoices, subscriptions
from tallystick.store.database import Connection, Database

When = Literal["now", "periodEnd", "unchanged"]

SELF_SERVE: Final = "self-serve"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A plan by its key, by the credits that it includes (nano-credits), or by its cadence; None: as it is, or any.

    `is_operator`: who asks may give a workspace what it can't choose by itself.
    """

    plan: str | None = None
    credits: int | None = None
    cadence: str | None = None
    is_operator: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change does: `when`, the plan then, and, where something is invoiced today, that invoice and its lines."""

    when: When
    plan: PlanVersion
    effective_at: Any
    invoice: Invoice | None = None
    lines: Sequence[Line] = ()
    credits: int = 0
    tool_runs: int = 0


async def change_plan(database: Database, billing: Billing, author: Author, wanted: Wanted) -> Mapping[str, Any]:
    """Put the workspace on another plan: at once where that is an upgrade or the trial is over, else with the period's
    end. The plan that it is on, asked for during its trial, ends the trial and is paid from now on.

    Raises `subscriptionNotFound`, `paymentMethodNotFound` where there is nothing to pay with,
    `subscriptionNotElligible` for what is not on offer, `subscriptionAlreadyInUpdateState` and `idempotencyConflict`.
    """

    async def work(site: Site) -> None:
        await _change(site, billing, wanted)

    return await lifecycle.changing(database, author, work)


class _TakenBackError(Exception):
    """Ends the transaction of a preview; carries what it came to."""

    def __init__(self, changed: Changed) -> None:
        super().__init__()
        self.changed = changed


async def preview(database: Database, billing: Billing, author: Author, wanted: Wanted) -> Changed:
    """What the same change would do now, line by line; nothing is changed. Raises what `change_plan` raises."""

    async def work(conn: Connection) -> None:
        site = await Site.lock(conn, author.workspace_id, now=author.now, ids=author.ids)
        raise _TakenBackError(await _change(site, billing, wanted))

    try:
        await database.run(work)
    except _TakenBackError as taken_back:
        return taken_back.changed
    raise AssertionError("a preview is taken back")


async def _change(site: Site, billing: Billing, wanted: Wanted) -> Changed:
    terms = site.terms
    lifecycle.check_no_pending(terms)
    target = choose(await site.offers(), terms.plan, wanted, site.workspace_id)
    account = await site.account(billing.settings.payment_provider)
    is_same = target.id == terms.plan.id
    if is_same and terms.status not in (life.TRIALING, life.PAUSED):
        return Changed("unchanged", target, None)
    _check_can_pay(account, target, wanted)
    if target.price_minor:
        invoicing.check_currency(account, target.currency)
    ends_trial = terms.status == life.TRIALING and (is_same or life.is_upgrade(terms.plan, target))
    if ends_trial or lifecycle.is_after_trial(terms):
        return await _end_trial(site, target)
    if terms.status != life.ACTIVE and (terms.status == life.PAUSED or life.is_upgrade(terms.plan, target)):
        raise not_eligible("What holds the subscription up comes first.", status=terms.status)
    fresh = _fresh(target, terms.plan, terms.period, terms.zone, site)
    change = proration.change(terms.plan, target, terms.period, fresh, site.now)
    if terms.status == life.ACTIVE and life.is_upgrade(terms.plan, target) and change.net_minor >= 0:
        return await _upgrade(site, billing, target, change, fresh)
    await site.change(pending_kind="downgrade", pending_at=site.now, pending_plan=target)
    ends = instant(terms.period.end)
    await site.tell(kinds.CHANGE_PENDING, change="downgrade", effectiveAt=ends, nextPlan=short(target))
    return Changed("periodEnd", target, terms.period.end)


def choose(versions: Sequence[PlanVersion], current: PlanVersion, wanted: Wanted, workspace_id: UUID) -> PlanVersion:
    """The version that fits what is wanted of those on offer; of several the present plan's, then its cadence.

    Raises `subscriptionNotElligible`, naming what is on offer.
    """
    offers = [one for one in offered(versions, workspace_id) if wanted.is_operator or _may_choose(one)]
    nothing_else = wanted.credits is None and wanted.cadence is None

    def fits(one: PlanVersion) -> bool:
        if wanted.plan is not None and wanted.plan != SELF_SERVE and one.plan != wanted.plan:
            return False
        if wanted.plan == SELF_SERVE and is_enterprise(one):
            return False
        if wanted.cadence is not None and one.cadence != wanted.cadence:
            return False
        return wanted.credits is None or one.included_credits == wanted.credits

    found = [] if wanted.plan is None and nothing_else else [one for one in offers if fits(one)]
    if not found:
        raise not_eligible(
            "Nothing like that is on offer; Enterprise is by contract.", offers=[_offer(one) for one in offers]
        )
    # Of several contracts the newest is meant.
    return min(
        found,
        key=lambda one: (
            one.plan != current.plan,
            -one.version if one.workspace_id else 0,
            one.cadence != current.cadence,
            one.cadence,
        ),
    )


def _may_choose(plan: PlanVersion) -> bool:
    return not is_enterprise(plan) or plan.workspace_id is not None


def _offer(plan: PlanVersion) -> dict[str, Any]:
    return {"plan": plan.plan, "cadence": plan.cadence, "price": plan.price_minor, "currency": plan.currency}


def _check_can_pay(account: Account, plan: PlanVersion, wanted: Wanted) -> None:
    """Transfers come by themselves, and a contract says how it is paid."""
    if not plan.price_minor or wanted.is_operator or is_enterprise(plan):
        return
    if account.provider != "offline" and account.method is None:
        raise TallystickError("paymentMethodNotFound", "Add a payment method first.")


async def _end_trial(site: Site, target: PlanVersion) -> Changed:
    """A trial that is over, or is ended by choosing: at once, with a new period (rule M25)."""
    before = site.terms
    if target.id == before.plan.id:
        await lifecycle.begin_paid(site, target, site.step("change"))
        await site.tell(kinds.SUBSCRIPTION_RESUMED)
    else:
        await lifecycle.replace_trial(site, target)
    line = plan_line(target, site.terms.period)
    return Changed("now", target, site.now, None, [line] if line else [])


def _fresh(target: PlanVersion, plan: PlanVersion, period: Period, zone: str, site: Site) -> Period:
    """The period that the new plan is in: the same one, or with another cadence one that begins now."""
    if target.cadence == plan.cadence:
        return period
    return period_of(site.now, target.cadence, zone, site.now)


async def _upgrade(site: Site, billing: Billing, target: PlanVersion, change: Change, fresh: Period) -> Changed:
    """Now: credit for what is unused of the old plan, charge for the new one, one invoice; used credits stay used."""
    before, period = site.terms.plan, site.terms.period
    lines = proration_lines(before, target, change, period, fresh, site)
    if target.cadence == before.cadence:
        cap = site.terms.overage_cap if target.plan == before.plan else None
        await site.change(plan=target, status=site.step("change"), overage_cap=cap, pending_kind=None, pending_at=None)
        await subscriptions.replan_period(site.conn, site.workspace_id, period.start, target)
    else:
        to = Beginning(target, site.step("change"), anchor_at=site.now, is_billed=False, resets=False)
        await site.turn(to)
    _give(site, change, fresh, target)
    invoice = None
    if lines:
        invoice = await invoicing.issue_now(
            site.conn,
            billing,
            site.workspace_id,
            "change",
            lines,
            now=site.now,
            ids=site.ids,
            period=Period(site.now, fresh.end),
            currency=target.currency,
            subscription_id=site.terms.subscription_id,
        )
    await site.tell(kinds.PLAN_CHANGED, previousPlan=short(before), invoiceUuid=str(invoice.id) if invoice else None)
    kept = await invoices.lines(site.conn, site.workspace_id, invoice.id) if invoice else ()
    return Changed("now", target, site.now, invoice, kept, change.credits, change.tool_runs)


def proration_lines(
    old: PlanVersion, new: PlanVersion, change: Change, period: Period, fresh: Period, site: Site
) -> list[Line]:
    """Credit for the old plan's unused time and charge for the new one's; nothing of what is free."""
    lines = []
    for plan, amount, within, what in (
        (old, -change.credit_minor, period, "unused"),
        (new, change.charge_minor, fresh, "rest"),
    ):
        if not plan.price_minor:
            continue
        days = proration.days_text(within, site.now)
        text = f"{plan.name} plan, {days}" + (" unused" if what == "unused" else "")
        lines.append(
            new_line(
                "proration",
                text,
                amount,
                unit="period",
                period_start=site.now,
                period_end=within.end,
                details={"planVersionId": str(plan.id), "plan": plan.plan, "cadence": plan.cadence, "part": what},
            )
        )
    return lines


def _give(site: Site, change: Change, fresh: Period, plan: PlanVersion) -> None:
    for unit, amount in ((CREDITS, change.credits), (TOOL_RUNS, change.tool_runs)):
        for grant in plan_grant(unit, amount, Period(site.now, fresh.end), plan.name, site.ids):
            site.pair[unit].issue(grant, grant.id, key=f"grant:change:{grant.id}", actor="plan")
