"""Holds by table: how each ends, what repeats and races answer, and what outlives a grant's end (M8, M12, M20, M21)."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tallystick.domain.credits.holds import Amounts, Hold
from tallystick.flows import budgets, holds
from tallystick.flows.batches import Batch
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.committer import Committer
from tallystick.flows.holds import Request
from tallystick.flows.ingest import IngestLimits
from tallystick.flows.names import Item, Names
from tallystick.kernel.credits import MAX_NANO, NANO
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests import make, tills
from tests.make import IDS
from tests.tills import DAY, MINUTE, Till, change_of, direct

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
RESET = dt.datetime(2026, 4, 2, 10, 0, tzinfo=dt.UTC)
HOUR_SECONDS = 3_600


@pytest.fixture(scope="session")
async def priced(database: Database) -> Database:
    await make.catalog(database, T0 - 400 * DAY)
    await tills.plan(database, "few-runs", T0 - DAY, run_quota=2)
    await tills.plan(database, "arrears", T0 - DAY, at_zero="invoice")
    return database


async def open_till(database: Database, plan: str = "free", at: dt.datetime = T0) -> Till:
    return Till(database, await make.bare_workspace(database, at, plan=plan), at)


@pytest.fixture
async def till(priced: Database) -> Till:
    """Ten credits and ten tool runs, without end."""
    till = await open_till(priced)
    await till.grant(10)
    await till.grant(10, unit="tool_runs")
    return till


async def flags(till: Till) -> dict[str, bool]:
    """Which events are flagged as gone below zero or above their hold."""
    rows = await till.rows("SELECT source_id, overdrawn FROM usage_event WHERE workspace_id = %s")
    return {row["source_id"]: row["overdrawn"] for row in rows}


# How a hold ends


@pytest.mark.parametrize(
    ("actual", "posted", "is_flagged"),
    [(0, 10, False), (2, 8, False), (4, 6, False), (4.5, 5.5, True), (10, 0, True), (13, -3, True)],
)
async def test_a_settle_books_the_actual_and_releases_the_rest(
    till: Till, actual: float, posted: float, is_flagged: bool
) -> None:
    hold = await till.place(4)
    assert await till.figures() == (10, 4)
    ended = await till.charge(hold, actual, key="k")
    assert (ended.status, ended.credits, ended.settled_credits) == ("settled", 0, tills.nano(actual))
    assert ended.finished_at == till.at
    assert await till.figures() == (posted, 0)
    assert await flags(till) == {f"{hold.id}/k": is_flagged}
    await till.verified()


async def test_of_several_events_those_beyond_the_hold_are_flagged(till: Till) -> None:
    hold = await till.place(4, 1)
    call = {"type": "tool.call", "integration": "x", "action": "a"}
    await till.settle(
        hold, direct("e1", 3), direct("e2", 1), direct("e3", 0.5), call | {"id": "c1"}, call | {"id": "c2"}
    )
    assert await flags(till) == {"e1": False, "e2": False, "e3": True, "c1": False, "c2": True}
    assert (await till.figures(), await till.figures("tool_runs")) == ((5.5, 0), (8, 0))
    # Of tool runs this one says nothing: they are above no hold.
    await till.settle(await till.place(1), call | {"id": "c3"})
    assert (await flags(till))["c3"] is False
    await till.verified()


async def test_a_partial_settle_leaves_the_rest_held_until_the_last_one(till: Till) -> None:
    hold = await till.place(6, 3)
    part = await till.charge(hold, 2, 1, final=False)
    assert (part.status, part.credits, part.tool_runs) == ("held", 4 * NANO, 2 * NANO)
    assert (await till.figures(), await till.figures("tool_runs")) == ((8, 4), (9, 2))
    part = await till.charge(hold, 5, 0, final=False)
    assert (part.status, part.credits, part.tool_runs) == ("held", 0, 2 * NANO)
    assert await till.figures() == (3, 0)
    done = await till.charge(hold, 0, 1)
    assert (done.status, done.settled_credits, done.settled_tool_runs) == ("settled", 7 * NANO, 2 * NANO)
    assert (done.asked_credits, done.asked_tool_runs) == (6 * NANO, 3 * NANO)
    assert await till.figures("tool_runs") == (8, 0)
    assert sorted((await flags(till)).values()) == [False, False, True]
    await till.verified()


async def test_a_void_releases_all_of_both_balances(till: Till) -> None:
    hold = await till.place(6, 3)
    await till.charge(hold, 1, final=False)
    ended = await till.void(hold)
    assert (ended.status, ended.credits, ended.tool_runs, ended.settled_credits) == ("voided", 0, 0, NANO)
    assert (await till.figures(), await till.figures("tool_runs")) == ((9, 0), (10, 0))
    await till.verified()


async def test_a_hold_expires_at_exactly_its_deadline(till: Till) -> None:
    hold = await till.place(10, seconds=60)
    till.at = hold.expires_at - dt.timedelta(microseconds=1)
    assert (await till.refused(1))[0] == "notEnoughCredits"
    till.at = hold.expires_at
    following = await till.place(10)
    row = await till.hold(hold)
    assert (row["status"], row["credits"], row["finished_at"]) == ("expired", 0, hold.expires_at)
    assert await till.figures() == (10, 10)
    with pytest.raises(TallystickError, match="expired, no longer open") as refused:
        await till.charge(hold, 1)
    assert (refused.value.code, refused.value.details["status"]) == ("holdNotOpen", "expired")
    assert await till.rows("SELECT id FROM usage_event WHERE workspace_id = %s") == []
    await till.void(following)
    await till.verified()


async def test_extending_counts_from_now_and_moves_the_deadline_either_way(till: Till) -> None:
    hold = await till.place(10, seconds=60)
    till.wait(MINUTE / 2)
    assert (await till.extend(hold, 120)).expires_at == till.at + 2 * MINUTE
    till.wait(MINUTE)
    await till.settle_due()
    assert (await till.hold(hold))["status"] == "held"
    assert (await till.extend(hold, 10)).expires_at == till.at + MINUTE / 6
    till.wait(MINUTE / 6)
    await till.settle_due()
    assert (await till.hold(hold))["status"] == "expired"
    with pytest.raises(TallystickError, match="expired"):
        await till.extend(hold, 60)
    await till.verified()


# Repeats


async def test_the_same_key_is_the_same_hold_and_sets_aside_once(till: Till) -> None:
    hold = await till.place(4, key="k")
    again = await till.place(4, key="k")
    assert (again.id, await till.figures()) == (hold.id, (10, 4))
    assert (await till.refused(5, key="k"))[0] == "idempotencyConflict"
    first, second, other = await till.together(
        till.placing(1, key="m"), till.placing(1, key="m"), till.placing(2, key="m")
    )
    assert first and second and other and first.hold and second.hold and other.error
    assert (first.hold.id, first.repeated, second.repeated) == (second.hold.id, False, True)
    assert other.error.code == "idempotencyConflict"
    await till.charge(hold, 1)
    assert (await till.place(4, key="k")).status == "settled"
    assert await till.figures() == (9, 1)
    await till.verified()


async def test_a_key_that_was_refused_may_be_used_again(till: Till) -> None:
    assert (await till.refused(11, key="k"))[0] == "notEnoughCredits"
    await till.grant(1)
    await till.place(11, key="k")
    await till.verified()


Finish = Callable[[Till, Hold, str], Awaitable[Hold]]
FINISHES: dict[str, Finish] = {
    "settle": lambda till, hold, key: till.charge(hold, 3, key=key),
    "settle by events": lambda till, hold, key: till.settle(hold, direct("e", 3), key=key),
    "void": lambda till, hold, key: till.void(hold, key=key),
}


@pytest.mark.parametrize("how", FINISHES)
async def test_finishing_twice_with_one_key_is_one_end_and_with_another_refused(till: Till, how: str) -> None:
    finish = FINISHES[how]
    hold = await till.place(4)
    first = await finish(till, hold, "k")
    figures = await till.figures()
    again = await finish(till, hold, "k")
    assert (again.status, again.settled_credits, again.finished_at) == (
        first.status,
        first.settled_credits,
        first.finished_at,
    )
    others = finish(till, hold, "other"), till.charge(hold, 2, key="k"), till.extend(hold, 60)
    for other in others:
        with pytest.raises(TallystickError) as refused:
            await other
        assert refused.value.code == "holdNotOpen"
    assert await till.figures() == figures
    await till.verified()


async def test_two_settles_in_one_commit_book_once(till: Till) -> None:
    hold = await till.place(4)
    same = [await till.charging(hold, 3, key="k") for _ in range(2)]
    other = till.settling(hold, direct("e", 1), key="other")
    void = till.voiding(hold)
    first, second, third, fourth = (change_of(one) for one in await till.together(*same, other, void))
    assert (first.error, first.repeated, second.error, second.repeated) == (None, False, None, True)
    assert third.error and fourth.error
    assert {third.error.code, fourth.error.code} == {"holdNotOpen"}
    assert await till.figures() == (7, 0)
    assert len(await flags(till)) == 1
    await till.verified()


async def test_a_part_settled_twice_with_one_key_is_booked_once(till: Till) -> None:
    hold = await till.place(6)
    for _ in range(2):
        part = await till.charge(hold, 2, key="k", final=False)
        assert (part.credits, part.settled_credits) == (4 * NANO, 2 * NANO)
    # The same key for the end is another request.
    assert (await till.charge(hold, 1, key="k")).settled_credits == 3 * NANO
    assert await till.figures() == (7, 0)
    await till.verified()


async def test_a_part_whose_answer_was_lost_is_answered_after_its_hold_has_ended(till: Till) -> None:
    hold = await till.place(6, seconds=60)
    await till.charge(hold, 2, key="amounts", final=False)
    await till.settle(hold, direct("a", 1), direct("b", 0.5), key="events", final=False)
    till.at = hold.expires_at + MINUTE
    repeats = [
        await till.charging(hold, 2, key="amounts", final=False),
        till.settling(hold, direct("a", 1), direct("b", 0.5), key="events", final=False),
    ]
    for operation in await till.together(*repeats):
        change = change_of(operation)
        assert (change.error, change.repeated) == (None, True)
        assert change.hold is not None
        assert (change.hold.status, change.hold.settled_credits) == ("expired", tills.nano(3.5))
    assert await till.figures() == (6.5, 0)
    # What was never booked, booked otherwise, or only in part, comes too late.
    late = [
        await till.charging(hold, 2, key="new", final=False),
        await till.charging(hold, 1, key="amounts", final=False),
        till.settling(hold, direct("a", 1), direct("c", 1), key="events", final=False),
        till.settling(hold, direct("a", 1), direct("b", 1), key="events", final=False),
        till.settling(hold, direct("a", 1), direct("b", 0.5), key="events"),
        till.settling(hold, final=False),
    ]
    for operation in await till.together(*late):
        assert change_of(operation).error is not None, operation
    assert await till.figures() == (6.5, 0)
    assert len(await flags(till)) == 3
    await till.verified()


async def test_a_part_asked_twice_in_the_commit_that_ends_its_hold_is_answered_twice(till: Till) -> None:
    hold = await till.place(6)
    part = [till.settling(hold, direct("p", 2), key="part", final=False) for _ in range(2)]
    first, end, second = await till.together(part[0], till.voiding(hold), part[1])
    assert [change_of(one).error for one in (first, end, second)] == [None, None, None]
    assert change_of(second).repeated
    assert await till.figures() == (8, 0)
    assert list(await flags(till)) == ["p"]
    await till.verified()


async def test_parts_and_the_end_may_come_in_one_commit(till: Till) -> None:
    hold = await till.place(6)
    parts = [till.settling(hold, direct(f"p{n}", 2), final=False) for n in range(2)]
    await till.together(*parts, till.extending(hold, 60), till.settling(hold, direct("end", 3)))
    row = await till.hold(hold)
    assert (row["status"], row["settled_credits"], row["credits"]) == ("settled", 7 * NANO, 0)
    assert await flags(till) == {"p0": False, "p1": False, "end": True}
    assert await till.figures() == (3, 0)
    await till.verified()


async def test_there_is_no_hold_of_another_workspace(till: Till, priced: Database) -> None:
    other = await open_till(priced)
    await other.grant(5)
    theirs = await other.place(5)
    for ask in (till.voiding(theirs), till.extending(theirs, 60), till.settling(theirs, direct("e", 1))):
        [operation] = await till.together(ask)
        assert operation and operation.error
        assert operation.error.code == "holdNotFound"
    # In one commit with its owner's, too.
    mine, owners = await till.together(till.voiding(theirs), other.voiding(theirs))
    assert mine and owners and mine.error and owners.error is None
    assert (await other.figures(), await flags(till)) == ((5, 0), {})
    await till.verified()
    await other.verified()


# What stands in the way


async def test_both_balances_are_set_aside_or_none(till: Till) -> None:
    reason, told = await till.refused(5, 11)
    assert reason == "notEnoughToolRuns"
    assert {name: told[name] for name in ("unit", "needed", "available", "held")} == {
        "unit": "toolRuns",
        "needed": 11,
        "available": 10,
        "held": 0,
    }
    assert (await till.figures(), await till.figures("tool_runs")) == ((10, 0), (10, 0))
    await till.place(5, 10)
    reason, told = await till.refused(6)
    assert (reason, told["needed"], told["available"], told["held"]) == ("notEnoughCredits", 6, 5, 5)
    assert told["blocking"] == {"kind": "balance", "id": "credits", "name": "credits"}
    assert told["wayOn"].startswith("Wait")
    assert (await till.refused(11))[1]["wayOn"].startswith("Top up")
    await till.verified()


async def test_a_large_hold_takes_nothing_from_those_behind_it(till: Till) -> None:
    asked = [till.placing(amount) for amount in (4, 50, 3, 4, 3, 1)]
    answers = await till.together(*asked)
    assert [one is not None and one.error is None for one in answers] == [True, False, True, False, True, False]
    assert await till.figures() == (10, 10)
    await till.verified()


async def test_what_a_commit_sets_free_pays_for_the_holds_in_it(till: Till) -> None:
    first, second = await till.place(5), await till.place(5)
    [place, *_] = await till.together(till.placing(9), till.voiding(first), till.settling(second, direct("e", 1)))
    assert place and place.error is None
    assert await till.figures() == (9, 9)
    await till.verified()


async def test_usage_by_itself_is_booked_though_all_is_held(till: Till) -> None:
    hold = await till.place(10)
    await till.use(4)
    assert await till.figures() == (6, 10)
    assert (await till.refused(1))[1]["available"] == -4
    await till.charge(hold, 10)
    assert await till.figures() == (-4, 0)
    await till.verified()


async def test_the_run_quota_counts_each_run_once(priced: Database) -> None:
    till = await open_till(priced, "few-runs")
    await till.grant(10)
    await till.place(1, run="a")
    await till.place(1, run="a")
    await till.place(1)
    answers = await till.together(*(till.placing(1, run=run) for run in ("b", "c", "b", "a")))
    assert [one.error.code if one and one.error else None for one in answers] == [None, "runQuotaReached", None, None]
    reason, told = await till.refused(1, run="c")
    assert (reason, told["limit"], told["started"]) == ("runQuotaReached", 2, 2)
    till.at = RESET
    await till.place(1, run="c")
    [period] = await till.rows("SELECT runs_started FROM billing_period WHERE workspace_id = %s AND closed_at IS NULL")
    assert period["runs_started"] == 1
    await till.verified()


async def test_a_contract_in_arrears_has_no_end_but_that_of_the_balance(priced: Database) -> None:
    till = await open_till(priced, "arrears")
    await till.place(5)
    huge = [till.placing(MAX_NANO // NANO) for _ in range(60)]
    answers = await till.together(*huge, till.placing(1))
    codes = [one.error.code if one and one.error else None for one in answers]
    assert codes == [None] * 46 + ["balanceOutOfRange"] * 14 + [None]
    assert (await till.refused(0, 1))[0] == "notEnoughToolRuns"
    await till.verified()


# Budgets


async def test_every_budget_over_a_hold_is_asked_and_counts_it(till: Till) -> None:
    scopes = {"project": "p", "user": "u", "workflow": "w", "agent": "a"}
    said: dict[str, Any] = {**scopes, "apiKey": "key", "run": "r"}
    # Usage makes the resources known, so that budgets may name them.
    await till.use(0.5, **said)
    made = {}
    for amount, scope in enumerate(("workspace", "project", "user", "workflow", "agent", "apiKey"), 4):
        subject = said.get(scope)
        for per in ("day", "month", "run"):
            new = budgets.NewBudget(f"{scope} {per}", scope, per, "credits", amount * NANO, subject)
            author = budgets.Author(till.workspace_id, "test", None, till.at, IDS)
            made[scope, per] = await budgets.create(till.database, new, author, most=50)
    terms: dict[str, Any] = {**scopes, "api_key": "key", "run": "r"}
    reason, told = await till.refused(4, **terms)
    # The workspace's has least left.
    assert (reason, told["blocking"]["scope"]) == ("budgetExceeded", "workspace")
    assert {name: float(told[name]) for name in ("needed", "available", "held", "spent", "limit")} == {
        "needed": 4,
        "available": 3.5,
        "held": 0,
        "spent": 0.5,
        "limit": 4,
    }
    hold = await till.place(3, **terms)
    used = await till.rows("SELECT spent, held FROM budget_usage WHERE workspace_id = %s")
    assert [(row["spent"] / NANO, row["held"] / NANO) for row in used] == [(0.5, 3)] * 18
    await till.verified()
    await till.charge(hold, 2, final=False)
    await till.charge(hold, 2.5)
    used = await till.rows("SELECT spent, held FROM budget_usage WHERE workspace_id = %s")
    assert [(row["spent"] / NANO, row["held"] / NANO) for row in used] == [(5, 0)] * 18
    rows = await till.rows("SELECT credits, over_budget FROM usage_event WHERE workspace_id = %s")
    assert {row["credits"] / NANO: row["over_budget"] for row in rows} == {0.5: False, 2: False, 2.5: True}
    await till.verified()


async def test_a_hold_counts_in_the_window_it_was_made_in_and_its_charge_in_that_of_its_time(priced: Database) -> None:
    late = dt.datetime(2026, 3, 2, 23, 59, tzinfo=dt.UTC)
    till = await open_till(priced, at=late)
    await till.grant(100)
    new = budgets.NewBudget("daily", "workspace", "day", "credits", 10 * NANO)
    await budgets.create(till.database, new, budgets.Author(till.workspace_id, "test", None, late, IDS), most=5)
    hold = await till.place(10)
    till.wait(2 * MINUTE)
    following = await till.place(10)
    assert (await till.refused(1))[0] == "budgetExceeded"
    await till.settle(hold, direct("e", 4))

    async def windows() -> dict[str, tuple[float, float]]:
        rows = await till.rows("SELECT * FROM budget_usage WHERE workspace_id = %s")
        return {row["window"]: (row["spent"] / NANO, row["held"] / NANO) for row in rows}

    assert await windows() == {"2026-03-02": (0, 0), "2026-03-03": (4, 10)}
    await till.settle(following, direct("f", 1, at=late))
    assert await windows() == {"2026-03-02": (1, 0), "2026-03-03": (4, 0)}
    await till.verified()


# Settling by events


async def test_good_events_of_a_settle_are_kept_and_bad_ones_named(till: Till) -> None:
    await till.use(0.5)
    hold = await till.place(4)
    batch = till.settling(
        hold,
        direct("good", 1),
        direct("use 1", 0.5),
        direct("use 1", 2) | {"agent": "other"},
        {"type": "no.such.type", "id": "unknown"},
        {"type": "direct.charge", "id": "negative", "quantity": "-1"},
        direct("good", 1),
    )
    [operation] = await till.together(batch)
    kinds = [outcome.kind if outcome else None for outcome in batch.outcomes]
    assert kinds == ["accepted", "duplicate", "conflict", "rejected", "rejected", "duplicate"]
    assert operation and operation.hold
    assert (operation.hold.status, operation.hold.settled_credits) == ("settled", NANO)
    assert await till.figures() == (8.5, 0)
    await till.verified()


async def test_an_event_that_also_comes_by_itself_is_booked_once(till: Till) -> None:
    for number, order in enumerate((1, -1)):
        hold = await till.place(4)
        report = direct(f"e{number}", 1)
        settle, alone = till.settling(hold, report), till.using(report)
        await till.together(*(settle, alone)[::order])
        row = await till.hold(hold)
        # Whoever came first booked it; the hold ends either way.
        assert (row["status"], row["settled_credits"]) == ("settled", NANO if order == 1 else 0)
        kinds = [batch.outcomes[0].kind for batch in (settle, alone)[::order] if batch.outcomes[0]]
        assert kinds == ["accepted", "duplicate"]
    assert await till.figures() == (8, 0)
    await till.verified()


async def test_an_event_of_a_refused_settle_is_booked_where_it_comes_by_itself(till: Till) -> None:
    hold = await till.place(4)
    await till.void(hold)
    settle, alone = till.settling(hold, direct("e", 1)), till.using(direct("e", 1))
    [operation, _] = await till.together(settle, alone)
    assert operation and operation.error
    assert operation.error.code == "holdNotOpen"
    assert [outcome and outcome.kind for outcome in alone.outcomes] == ["accepted"]
    # And as it says there, not as the refused one said.
    settle, alone = till.settling(hold, direct("f", 5)), till.using(direct("f", 2, agent="new"))
    await till.together(settle, alone)
    assert [outcome and (outcome.kind, outcome.credits) for outcome in alone.outcomes] == [("accepted", 2 * NANO)]
    settle, alone = till.settling(hold, {"type": "no.such.type", "id": "g"}), till.using(direct("g", 1))
    await till.together(settle, alone)
    assert [outcome and outcome.kind for outcome in alone.outcomes] == ["accepted"]
    other = await till.place(1)
    first, second = till.settling(hold, direct("h", 3)), till.settling(other, direct("h", 2))
    await till.together(first, second)
    assert (await till.hold(other))["settled_credits"] == 2 * NANO
    assert await till.figures() == (4, 0)
    await till.verified()


async def test_a_settle_that_replaces_usage_counts_the_difference(till: Till) -> None:
    await till.use(3)
    hold = await till.place(4)
    ended = await till.settle(hold, direct("e", 5, replaces={"source": "test", "id": "use 1"}))
    assert ended.settled_credits == 2 * NANO
    assert (await till.figures(), (await flags(till))["e"]) == ((5, 0), False)
    await till.verified()


async def test_a_cancelled_settle_gives_back_what_was_used(till: Till) -> None:
    hold = await till.place(10)
    await till.settle(hold, direct("e", 10))
    event = make.cancellation("c", "test", "e", till.workspace_id, till.at)
    await till.meter.book(Batch([Item(till.workspace_id, event)], till.at))
    assert await till.figures() == (10, 0)
    await till.place(10)
    await till.verified()


# Waiting until holds settle


@pytest.fixture
async def committer(priced: Database) -> Any:
    committer = Committer(
        priced, names=Names(make.MODELS), catalogs=CatalogCache(), limits=IngestLimits(), ids=IDS, commit_max=50
    )
    yield committer
    await committer.close()


async def place_patiently(till: Till, committer: Committer, key: str, amount: float, wait: int) -> Hold:
    done = await holds.place(
        till.database,
        till.meter.names,
        committer,
        Request(till.workspace_id, key, tills.hash_of(key)),
        Amounts(tills.nano(amount)),
        named={},
        run=None,
        api_key=None,
        seconds=HOUR_SECONDS,
        wait=wait,
        now=till.at,
    )
    assert done.hold is not None
    return done.hold


async def test_with_estimates_above_the_cost_nothing_is_refused_that_the_money_could_pay(
    till: Till, committer: Committer
) -> None:
    """Twenty calls of half a credit each, estimated at four, on ten credits: two at a time, and all wait their turn."""

    async def call(number: int) -> None:
        hold = await place_patiently(till, committer, f"call {number}", 4, wait=20)
        request = Request(till.workspace_id, f"end {number}", b"")
        events = [make.event_of(direct(f"call {number}", 0.5), till.workspace_id, till.at)]
        await holds.settle(
            till.database, till.meter.names, committer, request, hold.id, events, final=True, now=till.at
        )

    # After the thirteenth less is left than one more estimate.
    done = await asyncio.gather(*(call(number) for number in range(20)), return_exceptions=True)
    refused = [one for one in done if one is not None]
    assert {getattr(one, "code", one) for one in refused} <= {"notEnoughCredits"}
    assert len(done) - len(refused) == 13
    assert await till.figures() == (3.5, 0)
    await till.verified()


async def test_what_no_settling_could_pay_is_refused_at_once(till: Till, committer: Committer) -> None:
    await till.place(10)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(TallystickError) as refused:
        await place_patiently(till, committer, "k", 11, wait=20)
    assert (refused.value.code, loop.time() - begun < 10) == ("notEnoughCredits", True)
    with pytest.raises(TallystickError):
        await place_patiently(till, committer, "k", 1, wait=1)
    assert await till.figures() == (10, 10)


async def test_a_hold_that_waits_gets_what_another_one_frees(till: Till, committer: Committer) -> None:
    first = await till.place(10)
    waiting = asyncio.create_task(place_patiently(till, committer, "k", 9, wait=20))
    await asyncio.sleep(0.05)
    request = Request(till.workspace_id, "void", b"")
    await holds.void(committer, request, first.id, now=till.at)
    assert (await waiting).credits == 9 * NANO
    await till.verified()


# Several servers


async def test_servers_together_let_no_more_through_than_there_is(priced: Database, database_url: str) -> None:
    till = await open_till(priced)
    await till.grant(50)
    databases = [Database(database_url, pool_size=2) for _ in range(3)]
    committers = []
    for database in databases:
        await database.open()
        names = Names(make.MODELS)
        committers.append(
            Committer(database, names=names, catalogs=CatalogCache(), limits=IngestLimits(), ids=IDS, commit_max=7)
        )
    try:
        # Each key is sent to two of them at once.
        asked = [till.placing(1, key=f"{n}") for n in range(100)] + [till.placing(1, key=f"{n}") for n in range(100)]
        await asyncio.gather(*(committers[n % 3].submit(batch) for n, batch in enumerate(asked)))
        operations = [batch.operation for batch in asked if batch.operation is not None]
        granted = {one.hold.id for one in operations if one.hold is not None}
        assert len(granted) == 50
        assert {one.error.code for one in operations if one.error is not None} == {"notEnoughCredits"}
        assert await till.figures() == (50, 50)
        open_holds = [one.hold for one in operations if one.hold is not None and not one.repeated]
        ends = [till.settling(hold, direct(f"{hold.id}", 1), key="end") for hold in open_holds for _ in range(2)]
        await asyncio.gather(*(committers[n % 3].submit(batch) for n, batch in enumerate(ends)))
        assert await till.figures() == (0, 0)
        assert not any((await flags(till)).values())
    finally:
        for committer, database in zip(committers, databases, strict=True):
            await committer.close()
            await database.close()
    await till.verified()
