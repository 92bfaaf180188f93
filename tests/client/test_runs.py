"""Runs on a real server, with either client: set aside before, settled after, whatever comes between."""

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tallystick.client import Batching, Client, RecordingError, RefusedError, RunPolicy
from tallystick.client.calls import Amount
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.wire.holds import Hold
from tests.client.colours import MakeClient
from tests.serving import House, Shop

SECONDS = 20


def until(condition: Callable[[], bool]) -> None:
    """Look until it is so."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def money(shop: Shop, unit: str = "credits") -> tuple[Decimal, Decimal]:
    """What is posted and what is held."""
    with Client(shop.base_url, shop.token) as client:
        balance = next(one for one in client.balances().balances if one.unit == unit)
    return Decimal(balance.posted.nano) / NANO, Decimal(balance.held.nano) / NANO


def hold_of(shop: Shop, id_: Any) -> Hold:
    with Client(shop.base_url, shop.token) as client:
        return client.get_hold(id_).hold


def statuses(shop: Shop) -> list[str]:
    row = shop.one(
        "SELECT array_agg(status ORDER BY created_at, id) AS all FROM hold WHERE workspace_id = %(workspace)s"
    )
    return list(row["all"] or [])


def test_a_run_sets_aside_settles_what_it_used_and_releases_the_rest(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(workflow="enrich-leads", estimate=2, tool_runs=3) as run:
        assert money(shop) == (75, 2)
        assert money(shop, "toolRuns") == (10_000, 3)
        assert (run.left, run.left_tool_runs, run.spent) == (2, 3, 0)
        run.llm(model="gpt-4o", input_tokens=1_000, output_tokens=100)
        run.tool(connector="crm", integration="hubspot", action="search")
        run.execution()
        run.storage(records=7, table="leads")
        run.record("direct.charge", quantity="0.5")
        (hold_id,) = run.hold_ids
    assert run.spent == Decimal("0.35") + Decimal("0.01") + Decimal("0.007") + Decimal("0.5")
    assert (run.spent_tool_runs, run.left, run.hold_ids) == (1, 0, [])
    assert money(shop) == (75 - run.spent, 0)
    assert money(shop, "toolRuns") == (9_999, 0)
    assert shop.events()["events"] == 5
    ended = hold_of(shop, hold_id)
    assert (ended.status, ended.settled["credits"].nano) == ("settled", int(run.spent * NANO))


def test_all_usage_has_the_names_of_its_run_and_may_name_others(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    names = {"workflow": "enrich", "agent": "scout", "project": "north", "user": "ada", "api_key": "k1", "team": "t"}
    with client.run(run="run-81", estimate=1, **names) as run:
        assert run.id == "run-81"
        run.llm(model="gpt-4o", input_tokens=1)
        run.tool(tool="search", agent="helper")
    row = shop.one(
        "SELECT count(*) AS events, count(DISTINCT agent_id) AS agents, count(DISTINCT user_id) AS users, "
        "count(*) FILTER (WHERE run = 'run-81' AND workflow_id IS NOT NULL AND project_id IS NOT NULL) AS named "
        "FROM usage_event WHERE workspace_id = %(workspace)s"
    )
    assert row == {"events": 2, "agents": 2, "users": 1, "named": 2}


def test_a_run_that_used_nothing_is_voided(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(workflow="w", estimate=5):
        pass
    assert (statuses(shop), money(shop), shop.events()["events"]) == (["voided"], (75, 0), 0)


def test_after_an_exception_what_was_spent_is_settled_and_the_exception_goes_on(
    make_client: MakeClient, shop: Shop
) -> None:
    client = make_client(shop.base_url, shop.token)
    run = client.run(workflow="w", estimate=5)

    def work() -> None:
        with run:
            run.record("direct.charge", quantity=2)
            raise LookupError("no such lead")

    with pytest.raises(LookupError, match="no such lead"):
        work()
    assert (statuses(shop), money(shop), run.spent) == (["settled"], (73, 0), 2)


def test_what_was_used_beyond_the_hold_is_booked_whole(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(workflow="w", estimate=1) as run:
        run.record("direct.charge", quantity=4)
    assert (money(shop), run.spent) == ((71, 0), 4)


def test_a_refusal_says_why_how_much_and_what_to_do_and_nothing_begins(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with pytest.raises(RefusedError) as caught, client.run(workflow="w", estimate="75.000000001"):
        pytest.fail("the run began")
    error = caught.value
    assert (error.status, error.reason) == (402, "notEnoughCredits")
    assert error.details["needed"] == Decimal("75.000000001")
    assert error.details["available"] == 75
    assert error.way_on == error.details["wayOn"] != ""
    assert money(shop) == (75, 0)


def test_usage_is_settled_along_the_way_when_it_is_much(make_client: MakeClient, shop: Shop) -> None:
    policy = RunPolicy(settling=Batching(max_events=4, linger=600))
    client = make_client(shop.base_url, shop.token, runs=policy)
    with client.run(workflow="w", estimate=50) as run:
        for _ in range(4):
            run.record("direct.charge", quantity=1)
        until(lambda: run.spent == 4)
        assert (run.left, money(shop)) == (46, (71, 46))
        run.record("direct.charge", quantity=1)
    assert (run.spent, money(shop), shop.events()["events"]) == (5, (70, 0), 5)


def test_usage_is_settled_along_the_way_when_it_is_old(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token, runs=RunPolicy(settling=Batching(linger=0.05)))
    with client.run(workflow="w", estimate=50) as run:
        run.record("direct.charge", quantity=1)
        until(lambda: run.spent == 1)
        assert statuses(shop) == ["held"]
    assert (statuses(shop), money(shop)) == (["settled"], (74, 0))


def test_a_run_outlives_its_hold_because_it_extends_it(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(workflow="w", estimate=5, expires_in=2) as run:
        (hold_id,) = run.hold_ids
        first = hold_of(shop, hold_id)
        until(lambda: hold_of(shop, hold_id).expires_at > first.expires_at)
        until(lambda: (hold_of(shop, hold_id).expires_at - first.created_at).total_seconds() > 3)
        run.record("direct.charge", quantity=1)
    assert (statuses(shop), money(shop)) == (["settled"], (74, 0))


def test_a_hold_that_is_gone_loses_no_usage(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(workflow="w", estimate=5) as run:
        with Client(shop.base_url, shop.token) as other:
            other.void_hold(run.hold_ids[0])
        run.record("direct.charge", quantity=2)
    client.flush()
    assert (statuses(shop), money(shop), shop.events()["events"]) == (["voided"], (73, 0), 1)


def test_a_runaway_run_stops_where_the_money_ends(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    run = client.run(agent="scout", tool_runs=1)
    calls: list[str] = []

    def run_away() -> None:
        with run:
            while True:
                with run.reserve(credits=10) as call:
                    calls.append(call.record("direct.charge", quantity=9))

    with pytest.raises(RefusedError) as caught:
        run_away()
    assert (caught.value.reason, len(calls), run.spent) == ("notEnoughCredits", 8, 72)
    assert (money(shop), statuses(shop).count("held")) == ((3, 0), 0)


def test_what_is_reserved_for_one_call_is_free_again_after_it(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(agent="scout", estimate=1) as run:
        with run.reserve(70, tool_runs=1) as call:
            assert (money(shop), call.left, call.id) == ((75, 71), 70, run.id)
            call.tool(tool="search")
            call.record("direct.charge", quantity=3)
        assert (money(shop), run.spent, run.left) == ((72, 1), 3, 1)
        with run.reserve(70):
            pass
        assert money(shop) == (72, 1)
    assert (money(shop), money(shop, "toolRuns")) == ((72, 0), (9_999, 0))


def test_what_is_reserved_for_the_whole_run_is_released_with_it(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(agent="scout", estimate=10) as run:
        run.reserve(credits=20)
        run.reserve(tool_runs=2)
        assert (run.left, run.left_tool_runs, len(run.hold_ids)) == (30, 2, 3)
        with pytest.raises(RefusedError, match="notEnoughCredits"):
            run.reserve(credits=50)
        run.record("direct.charge", quantity=25)
        run.tool(tool="search")
    assert (run.spent, money(shop), money(shop, "toolRuns")) == (25, (50, 0), (9_999, 0))
    assert sorted(statuses(shop)) == ["settled", "settled", "voided"]


def test_a_cap_sees_what_was_used_beyond_what_was_set_aside(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(agent="scout", estimate=1) as run:
        run.record("direct.charge", quantity=74)
        with pytest.raises(RefusedError) as caught:
            run.reserve(credits=2)
    assert caught.value.details["available"] == 1
    assert money(shop) == (1, 0)


@pytest.mark.parametrize("estimate", [3, "3.0", Decimal("3e0")], ids=repr)
def test_an_estimate_is_a_whole_number_a_decimal_or_decimal_text(
    make_client: MakeClient, shop: Shop, estimate: Amount
) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(workflow="w", estimate=estimate) as run:
        assert run.left == 3


def test_what_is_no_estimate_is_a_mistake_of_the_caller(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    for wrong in (0.1, True, "much", -1, "1e-10"):
        with pytest.raises(TallystickError) as caught:
            client.run(workflow="w", estimate=wrong)
        assert caught.value.code == "invalidAmount"
    for missing in ({}, {"estimate": "p90", "workflow": "w"}, {"estimate": "p90", "default_estimate": 1}, {"stuff": 1}):
        with pytest.raises(TypeError):
            client.run(**missing)


def test_an_estimate_from_history_is_what_nine_of_ten_past_runs_did_not_exceed(
    make_client: MakeClient, shop: Shop
) -> None:
    client = make_client(shop.base_url, shop.token)

    def p90(**names: str) -> tuple[Decimal, Decimal]:
        with client.run(estimate="p90", default_estimate=7, **names) as run:
            return run.left, run.left_tool_runs

    assert p90(workflow="new") == (7, 0)
    for cost in range(1, 11):
        with client.run(workflow="old", agent="scout", estimate=10) as run:
            run.record("direct.charge", quantity=cost)
    assert p90(workflow="old") == p90(agent="scout") == (9, 0)
    with client.run(estimate="mean", default_estimate=7, workflow="old") as run:
        assert run.left == Decimal("5.5")
        run.tool(tool="search", quantity=3)


def test_a_run_may_wait_for_another_one_to_settle(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(workflow="w", estimate=50) as first:
        with pytest.raises(RefusedError), client.run(workflow="w", estimate=50):
            pass
        begun: list[Decimal] = []

        def second() -> None:
            with client.run(workflow="w", estimate=50, wait=SECONDS) as run:
                begun.append(run.left)

        waiting = threading.Thread(target=second)
        waiting.start()
        assert not begun
        first.record("direct.charge", quantity=10)
    waiting.join(SECONDS)
    assert (begun, money(shop)) == ([50], (65, 0))


def test_a_run_begun_again_with_its_key_has_the_same_hold(make_client: MakeClient, shop: Shop) -> None:
    first, second = make_client(shop.base_url, shop.token), make_client(shop.base_url, shop.token)
    again = {"run": "r", "workflow": "w", "estimate": 5, "idempotency_key": "mine"}
    with first.run(**again) as one, second.run(**again) as other:
        assert one.hold_ids == other.hold_ids
        one.record("direct.charge", id="step-1", quantity=1)
        other.record("direct.charge", id="step-1", quantity=1)
    first.flush()
    assert (money(shop), shop.events()["events"]) == ((74, 0), 1)
    with pytest.raises(Exception, match="another run needs another key"), first.run(**again):
        pass


def test_usage_reported_after_the_end_is_booked_all_the_same(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(run="late", workflow="w", estimate=5) as run:
        pass
    run.record("direct.charge", quantity=2)
    until(lambda: shop.events()["events"] == 1)
    assert money(shop) == (73, 0)
    with pytest.raises(RuntimeError, match="begun once"), run:
        pass


def test_what_the_server_does_not_take_is_named_and_the_rest_is_settled(make_client: MakeClient, shop: Shop) -> None:
    told: list[str] = []
    client = make_client(shop.base_url, shop.token, on_problem=lambda problem: told.append(problem.id))
    with client.run(workflow="w", estimate=5) as run:
        run.record("direct.charge", quantity=1)
        run.record("no.such.type", id="odd")
        run.record("direct.charge", quantity=1)
    assert (run.spent, told, statuses(shop)) == (2, ["odd"], ["settled"])
    with pytest.raises(RecordingError) as caught:
        client.flush()
    assert [(problem.id, problem.reason) for problem in caught.value.problems] == [("odd", "unknownType")]


def test_closing_the_client_ends_the_runs_that_are_open(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    run = client.run(workflow="w", estimate=5)
    with run:
        run.record("direct.charge", quantity=1)
        client.close()
        assert (statuses(shop), money(shop), run.has_ended) == (["settled"], (74, 0), True)


def test_a_run_without_a_model_or_with_unknown_fields_is_told_so_at_once(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token)
    with client.run(workflow="w", estimate=1) as run:
        with pytest.raises(TypeError, match="model"):
            run.llm(input_tokens=1)
        with pytest.raises(TypeError, match="tokenz"):
            run.llm(model="gpt-4o", tokenz=1)


def test_fifty_runs_at_once_take_no_more_than_there_is_and_are_charged_once(
    make_client: MakeClient, house: House, shop: Shop
) -> None:
    client = make_client(shop.base_url, shop.token)
    together = threading.Barrier(50)
    outcomes: list[str] = []

    def one() -> None:
        together.wait(SECONDS)
        try:
            with client.run(workflow="w", estimate=3) as run:
                together.wait(SECONDS)
                run.record("direct.charge", quantity=2)
        except RefusedError as error:
            outcomes.append(error.reason)
            together.wait(SECONDS)
        else:
            outcomes.append("done")

    threads = [threading.Thread(target=one) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS * 2)
    assert sorted(outcomes) == ["done"] * 25 + ["notEnoughCredits"] * 25
    assert (money(shop), shop.events()["events"]) == ((25, 0), 25)


def test_a_run_at_the_cap_of_its_budget_is_stopped_and_told_which(make_client: MakeClient, shop: Shop) -> None:
    with Client(shop.base_url, shop.token) as admin:
        admin.create_budget("Scout, a run", scope="agent", per="run", amount=20)
    client = make_client(shop.base_url, shop.token)
    run = client.run(agent="scout", estimate=5)

    def run_away() -> None:
        with run:
            while True:
                run.reserve(credits=2)
                run.record("direct.charge", quantity=2)

    with pytest.raises(RefusedError) as caught:
        run_away()
    assert (caught.value.reason, caught.value.details["blocking"]["name"]) == ("budgetExceeded", "Scout, a run")
    assert (run.spent, money(shop)) == (14, (61, 0))
    with client.run(agent="scout", estimate=20):
        pass
