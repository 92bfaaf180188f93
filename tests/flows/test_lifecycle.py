"""A subscription step by step on a clock that the test holds: trial, change, cancel, pause, debt (M23 to M25)."""

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.billing.plans import SHIPPED, PlanVersion
from tallystick.domain.billing.subscriptions import LiveTerms
from tallystick.flows import due, entitlements, lifecycle, plan_changes, plans, prices
from tallystick.flows.plan_changes import Changed, Wanted
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries import standing, subscriptions
from tallystick.store import subscriptions as store
from tallystick.store.database import Database
from tests import bills, make
from tests.bills import CARD, CardHouse, author
from tests.make import IDS

T0 = dt.datetime(2026, 3, 10, 9, 0, tzinfo=dt.UTC)
LONG_AGO = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
SECOND = dt.timedelta(seconds=1)
PRO = Wanted(plan="pro")
FREE = Wanted(plan="free")


class Shop:
    """One workspace, its clock, and what it is asked to do."""

    def __init__(self, database: Database, workspace_id: UUID, house: CardHouse, now: dt.datetime) -> None:
        self.database, self.id, self.house, self.now = database, workspace_id, house, now
        self.billing = bills.billing(house, payment_provider="stripe")

    async def to(self, now: dt.datetime) -> None:
        self.now = now
        await due.bring_up(self.database, self.id, now=now, ids=IDS)

    async def begin_trial(self) -> None:
        await lifecycle.begin_trial(self.database, self.billing, author(self.id, self.now))

    async def change(self, wanted: Wanted, key: str | None = None) -> None:
        await plan_changes.change_plan(self.database, self.billing, author(self.id, self.now, key), wanted)

    async def preview(self, wanted: Wanted) -> Changed:
        return await plan_changes.preview(self.database, self.billing, author(self.id, self.now), wanted)

    async def card(self) -> None:
        await bills.accounts.ensure_customer(self.database, self.billing, self.id, now=self.now, ids=IDS)
        await bills.accounts.set_method(self.database, self.billing, self.id, CARD, actor="test", now=self.now, ids=IDS)

    async def terms(self) -> LiveTerms:
        async with self.database.read(self.id) as conn:
            found = await store.live_terms(conn, self.id)
        assert found is not None
        return found

    async def gate(self) -> str | None:
        situation = await standing.situation(self.database, self.id, now=self.now)
        return situation.decide("run").reason

    async def posted(self) -> int:
        return (await subscriptions.subscription(self.database, self.id)).posted // NANO

    async def lines(self) -> list[tuple[str, str, int]]:
        rows = await make.rows(
            self.database,
            "SELECT i.purpose, l.description, l.amount_minor FROM invoice AS i JOIN invoice_line AS l"
            " ON l.workspace_id = i.workspace_id AND l.invoice_id = i.id WHERE i.workspace_id = %s"
            " ORDER BY i.created_at, i.id, l.position",
            self.id,
        )
        return [(row["purpose"], row["description"], row["amount_minor"]) for row in rows]

    async def told(self, *kinds: str) -> list[str]:
        found = await bills.facts_of(self.database, self.id)
        return [kind for kind in found if kind.startswith("subscription.")]


MADE: list[UUID] = []


@pytest.fixture(autouse=True)
async def verified(database: Database) -> AsyncIterator[None]:
    """Whatever a test did, `tally verify` finds nothing wrong with its workspaces."""
    MADE.clear()
    await prices.ship_catalog(database, LONG_AGO)
    yield
    assert await make.differences(database, *MADE) == []


async def shop(database: Database, *, plan: str = "free", zone: str = "UTC", now: dt.datetime = T0) -> Shop:
    workspace_id = await make.bare_workspace(database, now, plan=plan, zone=zone)
    MADE.append(workspace_id)
    return Shop(database, workspace_id, CardHouse(), now)


async def added(database: Database, now: dt.datetime = T0, **terms: Any) -> PlanVersion:
    """A version of a plan of its own, so that no other test meets it."""
    base = next(plan for plan in SHIPPED if plan.plan == "pro")
    plan = replace(base, **({"plan": f"p{IDS.secret()[:10].lower().replace('_', 'x').replace('-', 'y')}"} | terms))
    return await plans.add(database, plan, reason="test", actor="test", now=now, ids=IDS)


async def refused(code: str, doing: Any) -> TallystickError:
    with pytest.raises(TallystickError) as error:
        await doing
    assert error.value.code == code
    return error.value


async def test_a_trial_gives_the_plan_for_its_days_and_pauses_at_its_exact_end(database: Database) -> None:
    one = await shop(database)
    await one.to(T0 + DAY)
    await one.begin_trial()
    terms = await one.terms()
    assert (terms.status, terms.plan.plan, terms.period.start) == ("trialing", "pro", T0 + DAY)
    assert terms.trial_ends_at == terms.period.end == T0 + 15 * DAY
    assert (await one.posted(), await one.gate()) == (10_000, None)
    await one.to(T0 + 15 * DAY - SECOND)
    assert (await one.terms()).status == "trialing"
    await one.to(T0 + 15 * DAY)
    terms = await one.terms()
    assert (terms.status, terms.is_idle, await one.posted(), await one.gate()) == ("paused", True, 0, "trialEnded")
    assert await one.told() == [
        "subscription.trial_started",
        "subscription.trial_ending",
        "subscription.trial_ended",
    ]
    # Nothing is to be paid for what was tried.
    assert await one.lines() == []
    await refused("trialUsed", one.begin_trial())


async def test_that_a_trial_ends_is_told_days_before_at_its_instant(database: Database) -> None:
    one = await shop(database)
    await one.begin_trial()
    await one.to(T0 + 11 * DAY - SECOND)
    assert "subscription.trial_ending" not in await one.told()
    await one.to(T0 + 13 * DAY)
    rows = await make.rows(
        database, "SELECT at FROM fact WHERE workspace_id = %s AND kind = 'subscription.trial_ending'", one.id
    )
    assert [row["at"] for row in rows] == [T0 + 11 * DAY]


async def test_a_trial_with_a_card_goes_on_paid_and_its_first_invoice_is_drafted(database: Database) -> None:
    one = await shop(database)
    await one.begin_trial()
    await one.card()
    await one.to(T0 + 14 * DAY)
    terms = await one.terms()
    assert (terms.status, terms.is_idle, await one.posted(), await one.gate()) == ("active", False, 10_000, None)
    assert terms.period.end == dt.datetime(2026, 4, 24, 9, 0, tzinfo=dt.UTC)
    assert await one.lines() == [("period", "Pro plan", 9_900)]
    assert "subscription.trial_ending" not in await one.told()


async def test_a_card_after_the_trials_end_resumes_at_once_even_at_the_same_instant(database: Database) -> None:
    for late in (dt.timedelta(0), 40 * DAY):
        one = await shop(database)
        await one.begin_trial()
        await one.to(T0 + 14 * DAY + late)
        assert await one.gate() == "trialEnded"
        await one.card()
        terms = await one.terms()
        assert (terms.status, await one.gate(), await one.posted()) == ("active", None, 10_000)
        assert abs(terms.period.start - one.now) <= dt.timedelta(microseconds=1)
        assert [line for line in await one.lines() if line[2]] == [("period", "Pro plan", 9_900)]


async def test_after_a_trials_end_free_applies_at_once(database: Database) -> None:
    one = await shop(database)
    await one.begin_trial()
    await one.to(T0 + 14 * DAY)
    await one.change(FREE)
    terms = await one.terms()
    assert (terms.status, terms.plan.plan, terms.trial_ends_at) == ("active", "free", None)
    await make.grant(database, one.id, 5, one.now)
    assert await one.gate() is None


async def test_free_asked_for_during_a_trial_comes_with_its_end_and_can_be_taken_back(database: Database) -> None:
    one = await shop(database)
    await one.begin_trial()
    await one.change(FREE)
    await refused("subscriptionAlreadyInUpdateState", one.change(FREE))
    await lifecycle.revoke_change(database, author(one.id, one.now))
    await one.change(FREE)
    await one.to(T0 + 14 * DAY)
    terms = await one.terms()
    assert (terms.status, terms.plan.plan, terms.pending_kind) == ("active", "free", None)


async def test_an_upgrade_is_at_once_with_its_share_of_price_and_credits(database: Database) -> None:
    one = await shop(database, now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
    await one.to(dt.datetime(2026, 3, 15, tzinfo=dt.UTC))
    await refused("paymentMethodNotFound", one.change(PRO))
    await one.card()
    seen = await one.preview(PRO)
    assert (await one.terms()).plan.plan == "free"
    await one.change(PRO)
    # 17 of 31 days: the figure of the screens.
    assert await one.lines() == [("change", "Pro plan, 17 of 31 days", 5_429)]
    assert seen.invoice is not None
    assert [line.amount_minor for line in seen.lines] == [5_429]
    assert await one.posted() == 10_000 * 17 // 31
    terms = await one.terms()
    assert terms.period == (await one.terms()).period
    assert terms.period.start == dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    # The next period is charged whole, in advance.
    await one.to(dt.datetime(2026, 4, 1, tzinfo=dt.UTC))
    assert (await one.lines())[-1] == ("period", "Pro plan", 9_900)
    assert await one.posted() == 10_000


async def test_used_credits_stay_used_over_an_upgrade_between_priced_plans(database: Database) -> None:
    small = await added(database, price_minor=1_000, included_credits=1_000 * NANO)
    big = await added(database, price_minor=4_000, included_credits=5_000 * NANO)
    one = await shop(database, now=dt.datetime(2026, 4, 1, tzinfo=dt.UTC))
    await one.card()
    await one.change(Wanted(plan=small.plan))
    await use(one, 400)
    await one.to(dt.datetime(2026, 4, 16, tzinfo=dt.UTC))
    await one.change(Wanted(plan=big.plan))
    assert (await one.lines())[-2:] == [
        ("change", "Pro plan, 15 of 30 days unused", -500),
        ("change", "Pro plan, 15 of 30 days", 2_000),
    ]
    # 1,000 − 400 used, and half of the 4,000 more.
    assert await one.posted() == 600 + 2_000


async def test_a_downgrade_waits_for_the_periods_end_and_leaves_nothing_of_the_old_plan(database: Database) -> None:
    one = await shop(database)
    await one.card()
    await one.change(PRO)
    await one.change(FREE)
    shown = await subscriptions.subscription(database, one.id)
    assert shown.pending is not None
    assert (shown.pending.plan, shown.pending.effective_at, shown.plan) == ("free", shown.period.end, "pro")
    await one.to(shown.period.end - SECOND)
    assert await one.posted() == 10_000
    await one.to(shown.period.end)
    terms = await one.terms()
    assert (terms.plan.plan, terms.status, await one.posted()) == ("free", "active", 0)
    assert [line for line in await one.lines() if line[0] == "period" and line[2]] == []


async def test_a_cancelled_subscription_ends_with_its_period_and_the_workspace_is_on_free(database: Database) -> None:
    one = await shop(database)
    await one.card()
    await one.change(PRO)
    before = await one.terms()
    await lifecycle.cancel(database, author(one.id, one.now))
    await lifecycle.revoke_change(database, author(one.id, one.now))
    await lifecycle.cancel(database, author(one.id, one.now))
    await one.to(before.period.end)
    terms = await one.terms()
    assert (terms.plan.plan, terms.status) == ("free", "active")
    assert terms.subscription_id != before.subscription_id
    assert (await one.told())[-1] == "subscription.canceled"
    await refused("subscriptionNotElligible", lifecycle.cancel(database, author(one.id, one.now)))


async def test_a_longer_cadence_begins_at_once_and_the_rest_of_the_old_grant_lives_its_time(database: Database) -> None:
    monthly = await added(database, price_minor=3_000, included_credits=3_000 * NANO)
    yearly = await added(
        database, plan=monthly.plan, cadence="annual", price_minor=30_000, included_credits=36_000 * NANO
    )
    begin = dt.datetime(2028, 2, 14, tzinfo=dt.UTC)
    one = await shop(database, now=begin)
    await one.card()
    await one.change(Wanted(plan=monthly.plan))
    await use(one, 1_000)
    await one.to(dt.datetime(2028, 2, 29, tzinfo=dt.UTC))
    # 14 of 29 days are left: 1,448.28 cents and credits of the month.
    await one.change(Wanted(plan=monthly.plan, cadence="annual"))
    assert [line[2] for line in (await one.lines()) if line[0] == "change"][-2:] == [-1_448, 30_000]
    terms = await one.terms()
    assert (terms.plan.id, terms.period.end) == (yearly.id, dt.datetime(2029, 2, 28, tzinfo=dt.UTC))
    whole = 36_000 * NANO - 3_000 * NANO * 14 // 29
    shown = await subscriptions.subscription(database, one.id)
    assert abs(shown.posted - (2_000 * NANO + whole)) <= 1
    # The old month's rest ends when its month would have ended.
    await one.to(dt.datetime(2028, 3, 14, tzinfo=dt.UTC))
    assert abs((await subscriptions.subscription(database, one.id)).posted - whole) <= 1
    # Annual from 29 February: clipped in common years, kept for the leap year.
    ends = []
    for _ in range(5):
        await one.to((await one.terms()).period.end)
        ends.append((await one.terms()).period.end.date().isoformat())
    assert ends == ["2030-02-28", "2031-02-28", "2032-02-29", "2033-02-28", "2034-02-28"]


async def test_a_shorter_cadence_waits_for_the_years_end_and_keeps_the_anchor(database: Database) -> None:
    monthly = await added(database, price_minor=3_000)
    await added(database, plan=monthly.plan, cadence="annual", price_minor=30_000)
    one = await shop(database, now=dt.datetime(2026, 1, 31, tzinfo=dt.UTC))
    await one.card()
    await one.change(Wanted(plan=monthly.plan, cadence="annual"))
    await one.change(Wanted(plan=monthly.plan, cadence="monthly"))
    assert (await one.terms()).plan.cadence == "annual"
    await one.to(dt.datetime(2027, 1, 31, tzinfo=dt.UTC))
    ends = []
    for _ in range(4):
        ends.append((await one.terms()).period.end.date().isoformat())
        await one.to((await one.terms()).period.end)
    assert ends == ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]


async def test_a_trial_keeps_its_time_of_day_over_the_clocks_change(database: Database) -> None:
    # Central Europe loses an hour on 29 March 2026.
    begin = dt.datetime(2026, 3, 20, 8, 30, tzinfo=dt.UTC)
    one = await shop(database, zone="Europe/Berlin", now=begin)
    await one.begin_trial()
    terms = await one.terms()
    assert terms.trial_ends_at == dt.datetime(2026, 4, 3, 7, 30, tzinfo=dt.UTC)
    await one.card()
    await one.to(dt.datetime(2026, 10, 30, tzinfo=dt.UTC))
    # The anchor's time of day is kept in summer, and is another one in UTC from 25 October on.
    assert (await one.terms()).period.start == dt.datetime(2026, 10, 3, 7, 30, tzinfo=dt.UTC)
    assert (await one.terms()).period.end == dt.datetime(2026, 11, 3, 8, 30, tzinfo=dt.UTC)


async def test_debt_refuses_new_work_and_paying_resumes_at_once(database: Database) -> None:
    one = await shop(database)
    await one.card()
    await one.change(PRO)
    assert await database.run(lambda conn: lifecycle.past_due_in(conn, one.id, now=one.now, ids=IDS))
    assert not await database.run(lambda conn: lifecycle.past_due_in(conn, one.id, now=one.now, ids=IDS))
    assert await one.gate() == "pastDue"
    assert await database.run(lambda conn: lifecycle.resume_in(conn, one.id, now=one.now, ids=IDS))
    assert (await one.gate(), await one.posted()) == (None, 10_000)
    assert not await database.run(lambda conn: lifecycle.resume_in(conn, one.id, now=one.now, ids=IDS))


async def test_a_period_that_begins_in_debt_costs_and_includes_nothing_until_it_is_paid(database: Database) -> None:
    one = await shop(database)
    await one.card()
    await one.change(PRO)
    before = len(await one.lines())
    await database.run(lambda conn: lifecycle.past_due_in(conn, one.id, now=one.now, ids=IDS))
    await one.to(T0 + 45 * DAY)
    assert (await one.posted(), (await one.terms()).is_idle) == (0, True)
    assert len(await one.lines()) == before
    await database.run(lambda conn: lifecycle.resume_in(conn, one.id, now=one.now, ids=IDS))
    terms = await one.terms()
    assert (terms.status, terms.period.start, await one.posted()) == ("active", one.now, 10_000)
    assert (await one.lines())[-1] == ("period", "Pro plan", 9_900)


async def test_the_operators_pause_refuses_by_its_own_name_and_goes_on_where_it_was(database: Database) -> None:
    one = await shop(database)
    await one.begin_trial()
    await lifecycle.pause(database, author(one.id, one.now), reason="abuse")
    assert await one.gate() == "subscriptionPaused"
    await lifecycle.resume(database, author(one.id, one.now), reason="cleared up")
    assert ((await one.terms()).status, await one.gate()) == ("trialing", None)
    await lifecycle.pause(database, author(one.id, one.now), reason="abuse")
    await one.to(T0 + 20 * DAY)
    # The trial ran out meanwhile, with nothing to pay by.
    await lifecycle.resume(database, author(one.id, one.now), reason="cleared up")
    assert await one.gate() == "trialEnded"
    await one.card()
    assert await one.gate() is None


async def test_a_cap_allows_so_much_beyond_the_credits_of_pro_and_it_is_invoiced(database: Database) -> None:
    one = await shop(database)
    await refused("subscriptionNotElligible", entitlements.set_overage_cap(database, author(one.id, T0), 5 * NANO))
    await one.card()
    await one.change(PRO)
    await entitlements.set_overage_cap(database, author(one.id, one.now), 50 * NANO)
    await use(one, 10_000)
    assert await one.gate() is None
    await use(one, 50)
    assert await one.gate() == "notEnoughCredits"
    await use(one, 10)
    await one.to((await one.terms()).period.end)
    # 50 were invoiced; the 10 that were reported beyond the cap are settled by the new grant (M15).
    assert await one.posted() == 10_000 - 10
    beyond = [line for line in await one.lines() if line[1].startswith("Credits used beyond")]
    assert beyond == [("period", "Credits used beyond those included", 50)]


async def test_what_was_invoiced_of_the_overage_counts_against_the_cap(database: Database) -> None:
    one = await shop(database)
    await one.card()
    await one.change(PRO)
    await entitlements.set_overage_cap(database, author(one.id, one.now), 50 * NANO)
    start = (await one.terms()).period.start
    await database.run(lambda conn: store.add_overage(conn, one.id, start, 50 * NANO))
    await use(one, 10_000)
    assert await one.gate() == "notEnoughCredits"


async def test_a_new_version_touches_nobody_until_they_are_migrated(database: Database) -> None:
    first = await added(database, price_minor=2_000)
    one = await shop(database)
    await one.card()
    await one.change(Wanted(plan=first.plan))
    second = await added(database, plan=first.plan, price_minor=2_500)
    assert (second.version, first.version) == (2, 1)
    assert await added(database, plan=first.plan, price_minor=2_500) == second
    await one.to((await one.terms()).period.end)
    assert (await one.terms()).plan.id == first.id
    moved = await plans.migrate(database, second.id, None, reason="new price", actor="test", now=one.now, ids=IDS)
    assert (moved, (await one.terms()).plan.id) == (1, first.id)
    # The workspace's own wish stands over it.
    await one.change(FREE)
    await lifecycle.revoke_change(database, author(one.id, one.now))
    assert await plans.migrate(database, second.id, [one.id], reason="x", actor="test", now=one.now, ids=IDS) == 1
    await one.to((await one.terms()).period.end)
    assert (await one.terms()).plan.id == second.id
    assert (await one.lines())[-1][2] == 2_500


async def test_a_repeated_request_changes_once(database: Database) -> None:
    one = await shop(database)
    await one.card()
    await one.change(PRO, key="k")
    await one.change(PRO, key="k")
    assert len(await one.lines()) == 1


async def test_what_is_not_on_offer_is_refused_and_says_what_is(database: Database) -> None:
    one = await shop(database)
    error = await refused("subscriptionNotElligible", one.change(Wanted(plan="enterprise")))
    assert "pro" in {offer["plan"] for offer in error.details["offers"]}
    await refused("subscriptionNotElligible", one.change(Wanted(credits=123 * NANO)))
    await refused("subscriptionNotElligible", one.change(Wanted()))


async def test_a_contract_is_the_workspaces_own(database: Database) -> None:
    one, other = await shop(database), await shop(database)
    base = next(plan for plan in SHIPPED if plan.plan == "enterprise")
    await plans.add(
        database,
        replace(base, price_minor=100_000, cadence="quarterly", workspace_id=one.id, included_credits=NANO),
        reason="contract",
        actor="test",
        now=T0,
        ids=IDS,
    )
    await refused("subscriptionNotElligible", other.change(Wanted(plan="enterprise")))
    await one.change(Wanted(plan="enterprise"))
    terms = await one.terms()
    assert (terms.plan.cadence, terms.plan.workspace_id, terms.overage) == ("quarterly", one.id, None)
    assert terms.period.end == dt.datetime(2026, 6, 10, 9, 0, tzinfo=dt.UTC)
    assert (await one.lines())[-1][2] == 100_000


def test_an_event_is_in_the_period_of_the_subscription_that_it_was_in() -> None:
    trial_end, resumed = T0 + 14 * DAY, T0 + 20 * DAY
    calendar = store.Calendar(
        (
            store.Era(T0 - 40 * DAY, T0 - 40 * DAY, "monthly"),
            store.Era(T0, trial_end, "monthly"),
            store.Era(resumed, resumed, "annual"),
        ),
        "UTC",
    )
    for at, start in (
        (T0 - 41 * DAY, dt.datetime(2025, 12, 29, 9, 0, tzinfo=dt.UTC)),
        (T0 - SECOND, dt.datetime(2026, 2, 28, 9, 0, tzinfo=dt.UTC)),
        (T0, T0),
        (trial_end - SECOND, T0),
        (trial_end, trial_end),
        (resumed - SECOND, trial_end),
        (resumed + 360 * DAY, resumed),
    ):
        assert store.period_start(calendar, at) == start, at


async def use(one: Shop, amount: int) -> None:
    meter = make.Meter(one.database)
    report = {"type": "direct.charge", "id": str(IDS.new(one.now)), "quantity": amount}
    [outcome] = await meter.report(one.id, report, now=one.now)
    assert outcome.kind == "accepted", outcome
