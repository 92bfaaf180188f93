"""Sequences of changes over months: whatever is asked and whenever, periods tile time and the ledger proves."""

import asyncio
import datetime as dt
import itertools
from dataclasses import replace
from typing import Any, Final
from uuid import UUID, uuid5

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.domain.billing.plans import SHIPPED, PlanVersion
from tallystick.flows import due, lifecycle, plan_changes
from tallystick.flows.plan_changes import Wanted
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.store import subscriptions
from tallystick.store.database import Database
from tests import bills, make
from tests.bills import author
from tests.make import IDS

BORN: Final = dt.datetime(2026, 1, 31, 13, 30, tzinfo=dt.UTC)
LADDER: Final = "ladder"
PLANS: Final = tuple(
    replace(
        SHIPPED[1],
        id=uuid5(UUID(int=77), f"{cadence}:{tier}"),
        plan=LADDER if tier == 1 else f"{LADDER}-{tier}",
        version=number,
        cadence=cadence,
        price_minor=tier * price,
        included_credits=tier * 1_000 * NANO,
        rollover_share_ppm=rollover,
    )
    for number, (cadence, tier, price, rollover) in enumerate(
        [
            ("monthly", 1, 1_000, 0),
            ("monthly", 3, 900, 500_000),
            ("quarterly", 1, 2_700, 0),
            ("annual", 1, 9_999, 250_000),
        ],
        1,
    )
)
ASKED: Final = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(PLANS)),
    st.sampled_from([(name, None) for name in ("free", "trial", "cancel", "keep", "pause", "resume", "debt", "pay")]),
)
REFUSALS: Final = frozenset(
    {"invalidTransition", "subscriptionAlreadyInUpdateState", "subscriptionNotElligible", "trialUsed"}
)
STEPS: Final = st.lists(st.tuples(st.integers(0, 40 * 24 * 60), ASKED), min_size=1, max_size=8)


async def _do(database: Database, workspace_id: UUID, what: str, plan: PlanVersion | None, now: dt.datetime) -> None:
    terms, who = bills.billing(), author(workspace_id, now)
    if what == "change" and plan is not None:
        await plan_changes.change_plan(database, terms, who, Wanted(plan=plan.plan, cadence=plan.cadence))
    elif what == "free":
        await plan_changes.change_plan(database, terms, who, Wanted(plan="free"))
    elif what == "trial":
        await lifecycle.begin_trial(database, terms, who)
    elif what == "cancel":
        await lifecycle.cancel(database, who)
    elif what == "keep":
        await lifecycle.revoke_change(database, who)
    elif what in ("pause", "resume"):
        await getattr(lifecycle, what)(database, who, reason="test")
    else:
        flow = lifecycle.past_due_in if what == "debt" else lifecycle.resume_in
        await database.run(lambda conn: flow(conn, workspace_id, now=now, ids=IDS))


async def _live(database: Database, zone: str, steps: list[Any]) -> None:
    workspace_id = await make.bare_workspace(database, BORN, zone=zone)
    now = BORN
    for minutes, (what, plan) in steps:
        now += minutes * dt.timedelta(minutes=1)
        try:
            await _do(database, workspace_id, what, plan, now)
        except TallystickError as error:
            # Refused by name, never anything else; and then nothing changed.
            if error.code not in REFUSALS:
                raise
        await _check(database, workspace_id, now)
    await due.bring_up(database, workspace_id, now=now + dt.timedelta(days=500), ids=IDS)
    await _check(database, workspace_id, now + dt.timedelta(days=500))
    assert await make.differences(database, workspace_id) == []


async def _check(database: Database, workspace_id: UUID, now: dt.datetime) -> None:
    await due.bring_up(database, workspace_id, now=now, ids=IDS)
    periods = await make.rows(
        database,
        "SELECT starts_at, ends_at, closed_at IS NULL AS is_open, is_idle, subscription_id FROM billing_period"
        " WHERE workspace_id = %s ORDER BY starts_at",
        workspace_id,
    )
    assert periods[0]["starts_at"] == BORN
    assert all(one["ends_at"] == two["starts_at"] for one, two in itertools.pairwise(periods))
    assert [one["is_open"] for one in periods] == [False] * (len(periods) - 1) + [True]
    assert periods[-1]["starts_at"] <= now + dt.timedelta(microseconds=1)
    assert periods[-1]["ends_at"] > now
    live = await make.rows(
        database, "SELECT id, status FROM subscription WHERE workspace_id = %s AND ended_at IS NULL", workspace_id
    )
    assert [one["id"] for one in live] == [periods[-1]["subscription_id"]]
    [held] = await make.rows(
        database, "SELECT posted FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace_id
    )
    assert held["posted"] >= 0
    if periods[-1]["is_idle"]:
        assert held["posted"] == 0
    lines = await make.rows(
        database,
        "SELECT coalesce(min(i.net_minor), 0)::bigint AS least FROM invoice AS i WHERE i.workspace_id = %s",
        workspace_id,
    )
    assert lines[0]["least"] >= 0


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]))
def test_any_sequence_of_changes_leaves_periods_without_gaps_and_a_ledger_that_proves(
    database_url: str, steps: list[Any], zone: str
) -> None:
    async def whole() -> None:
        database = Database(database_url)
        await database.open()
        try:

            async def ship(conn: Any) -> None:
                for plan in PLANS:
                    await subscriptions.insert_plan_version(conn, plan)

            await database.run(ship)
            await _live(database, zone, steps)
        finally:
            await database.close()

    asyncio.run(whole())
