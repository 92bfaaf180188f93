"""Runs over a network that loses, cuts and refuses: charged once, bounded, and nothing left set aside."""

import itertools
import random
import threading
import time
from decimal import Decimal
from typing import Any

import pytest

from tallystick.client import (
    ApiError,
    Batching,
    Client,
    Lease,
    RecordingError,
    RefusedError,
    Retrying,
    RunPolicy,
    ServerUnreachableError,
)
from tests.client.colours import POLICY, QUICK, MakeClient
from tests.client.gateway import LOSE_ANSWER, LOSE_REQUEST, PASS, Answer, Gateway, Wire
from tests.client.test_runs import SECONDS, money, statuses, until
from tests.serving import House, Shop

BUSY = Answer(503, b'{"errorMessage":"no","reason":"databaseUnavailable","details":{}}', {"retry-after": "0"})
PORTAL = Answer(200, b"<html>captive portal</html>")
TROUBLES = [LOSE_REQUEST, LOSE_ANSWER, BUSY, Answer(502), Answer(429), PORTAL]


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
@pytest.mark.parametrize("at", [0, 1, 2, 3], ids=["hold", "reserve", "settle", "end"])
def test_whatever_is_lost_there_is_one_hold_and_one_charge(
    make_client: MakeClient, shop: Shop, gateway: Gateway, trouble: Any, at: int
) -> None:
    gateway.script.extend([PASS] * at + [trouble] * 2)
    client = make_client(gateway.url, shop.token, runs=POLICY)
    with client.run(workflow="w", estimate=5) as run:
        with run.reserve(credits=7) as call:
            call.record("direct.charge", quantity=2)
        run.record("direct.charge", quantity=1)
    assert not gateway.script
    assert (statuses(shop), money(shop), run.spent) == (["settled"] * 2, (72, 0), 3)
    assert shop.events()["events"] == 2


def test_a_void_and_an_extension_are_repeated_too(make_client: MakeClient, shop: Shop, gateway: Gateway) -> None:
    client = make_client(gateway.url, shop.token)
    with client.run(workflow="w", estimate=5, expires_in=2):
        gateway.script.extend([LOSE_ANSWER, LOSE_REQUEST])
        until(lambda: sum(path.endswith("/extend") for path in gateway.paths) >= 3)
        gateway.script.extend([LOSE_ANSWER])
    assert gateway.paths[-1].endswith("/void")
    assert (statuses(shop), money(shop)) == (["voided"], (75, 0))


def test_cut_connections_charge_nothing_twice(make_client: MakeClient, shop: Shop, wire: Wire) -> None:
    chance = random.Random(7)
    policy = RunPolicy(Retrying(attempts=50, first=0.001, longest=0.01), Batching(max_events=3, linger=0.01), 5.0)
    client = make_client(wire.url, shop.token, runs=policy)
    wire.cut_after(*(chance.choice([0, 0, 40, 200, 700, 1500]) for _ in range(25)))
    for _ in range(3):
        with client.run(workflow="w", estimate=4) as run:
            for _ in range(5):
                run.record("direct.charge", quantity="0.5")
                with run.reserve(credits=1) as call:
                    call.record("direct.charge", quantity="0.25")
    client.flush()
    assert wire.connections > 10
    assert (shop.events()["events"], money(shop)) == (30, (Decimal("63.75"), 0))
    assert set(statuses(shop)) == {"settled"}


def test_a_server_that_goes_away_before_the_end_is_told_all_once_it_is_back(
    make_client: MakeClient, shop: Shop, wire: Wire
) -> None:
    client = make_client(wire.url, shop.token)
    with client.run(workflow="w", estimate=5, expires_in=5) as run:
        run.reserve(credits=1)
        run.record("direct.charge", quantity=2)
        wire.down()
    assert money(shop) == (75, 6)
    wire.up()
    client.flush()
    assert (shop.events()["events"], money(shop)[0]) == (1, 73)
    until(lambda: money(shop) == (73, 0))
    assert run.has_ended


def test_without_a_lease_nothing_starts_while_the_server_is_away(
    make_client: MakeClient, shop: Shop, wire: Wire
) -> None:
    client = make_client(wire.url, shop.token)
    wire.down()
    with pytest.raises(ServerUnreachableError, match=str(wire.port)), client.run(workflow="w", estimate=1):
        pytest.fail("the run began")
    wire.up()
    with client.run(workflow="w", estimate=1) as run:
        wire.down()
        with pytest.raises(ServerUnreachableError):
            run.reserve(credits=1)
        wire.up()
    assert money(shop) == (75, 0)


def test_a_hold_whose_answer_never_came_is_released_all_the_same(
    make_client: MakeClient, shop: Shop, gateway: Gateway
) -> None:
    client = make_client(gateway.url, shop.token)
    gateway.script.extend([LOSE_ANSWER] * 5)
    with pytest.raises(ServerUnreachableError), client.run(workflow="w", estimate=60):
        pytest.fail("the run began")
    until(lambda: statuses(shop) == ["voided"])
    with client.run(workflow="w", estimate=60) as run:
        gateway.script.extend([LOSE_ANSWER] * 5)
        with pytest.raises(ServerUnreachableError):
            run.reserve(credits=10)
        until(lambda: statuses(shop).count("voided") == 2)
        assert run.left == 60
    assert money(shop) == (75, 0)


def test_a_token_that_may_not_hold_is_an_error_not_an_outage(make_client: MakeClient, shop: Shop) -> None:
    with Client(shop.base_url, shop.token) as admin:
        reporter = admin.create_token("reporter", permissions=["events:write"]).token.token
    client = make_client(shop.base_url, reporter, unreachable=Lease(10, 60))
    with pytest.raises(ApiError) as caught, client.run(workflow="w", estimate=1):
        pytest.fail("the run began")
    assert caught.value.status == 403


def test_within_its_lease_runs_start_on_trust_and_are_booked_when_the_server_is_back(
    make_client: MakeClient, shop: Shop, wire: Wire
) -> None:
    client = make_client(wire.url, shop.token, unreachable=Lease(credits=10, seconds=600, tool_runs=2))
    wire.down()
    with client.run(workflow="w", estimate=6, tool_runs=1) as run:
        run.record("direct.charge", quantity="2.5")
        run.tool(tool="search")
        assert (run.is_on_trust, run.left, client.lease.outstanding) == (True, 0, 6)
        run.reserve(credits=3)
        assert client.lease.outstanding == 9
    with client.run(workflow="w", estimate=1) as other:
        other.record("direct.charge", quantity=1)
    for too_much in ({"estimate": "0.000000001"}, {"estimate": 0, "tool_runs": 2}):
        with pytest.raises(ServerUnreachableError, match="lease of"), client.run(workflow="w", **too_much):
            pytest.fail("the run began")
    assert client.lease.outstanding == 10
    assert shop.events()["events"] == 0
    wire.up()
    client.flush()
    assert (shop.events()["events"], money(shop)) == (3, (Decimal("71.5"), 0))
    assert (client.lease.outstanding, client.lease.spent) == (0, Decimal("3.5"))
    with client.run(workflow="w", estimate=20) as run:
        assert (run.is_on_trust, run.left) == (False, 20)


def test_a_run_on_trust_may_go_on_with_a_hold(make_client: MakeClient, shop: Shop, wire: Wire) -> None:
    client = make_client(wire.url, shop.token, unreachable=Lease(credits=10, seconds=600))
    wire.down()
    with client.run(workflow="w", estimate=6) as run:
        run.record("direct.charge", quantity=1)
        wire.up()
        with run.reserve(credits=20) as call:
            assert (call.left, money(shop)[1]) == (20, 20)
            call.record("direct.charge", quantity=2)
        run.record("direct.charge", quantity=4)
    client.flush()
    assert (money(shop), client.lease.outstanding, client.lease.spent) == ((68, 0), 0, 5)


def test_a_lease_ends_with_its_seconds(make_client: MakeClient, shop: Shop, wire: Wire) -> None:
    client = make_client(wire.url, shop.token, unreachable=Lease(credits=1000, seconds=0.001))
    wire.down()
    with client.run(workflow="w", estimate=1):
        time.sleep(0.01)
    with pytest.raises(ServerUnreachableError, match="seconds is over"), client.run(workflow="w", estimate=1):
        pytest.fail("the run began")
    wire.up()
    with client.run(workflow="w", estimate=1):
        wire.down()
    with client.run(workflow="w", estimate=1) as run:
        assert run.is_on_trust


def test_a_refusal_is_no_outage(make_client: MakeClient, shop: Shop) -> None:
    client = make_client(shop.base_url, shop.token, unreachable=Lease(credits=1000, seconds=600))
    with pytest.raises(RefusedError), client.run(workflow="w", estimate=76):
        pytest.fail("the run began")
    assert client.lease.outstanding == 0


def test_fifty_threads_share_one_lease(make_client: MakeClient, shop: Shop, wire: Wire) -> None:
    policy = RunPolicy(retrying=Retrying(attempts=1), timeout=5.0)
    client = make_client(wire.url, shop.token, unreachable=Lease(credits=20, seconds=600), runs=policy)
    wire.down()
    together = threading.Barrier(50)
    outcomes: list[str] = []

    def one() -> None:
        together.wait(SECONDS)
        try:
            with client.run(workflow="w", estimate=1) as run:
                together.wait(SECONDS)
                run.record("direct.charge", quantity=1)
        except ServerUnreachableError:
            outcomes.append("closed")
            together.wait(SECONDS)
        else:
            outcomes.append("done")

    threads = [threading.Thread(target=one) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS * 2)
    assert sorted(outcomes) == ["closed"] * 30 + ["done"] * 20
    wire.up()
    client.flush()
    assert (money(shop), client.lease.outstanding, client.lease.spent) == ((55, 0), 0, 20)


def test_what_is_never_booked_stays_on_the_lease_and_is_named(make_client: MakeClient, shop: Shop, wire: Wire) -> None:
    client = make_client(wire.url, shop.token, unreachable=Lease(credits=10, seconds=600))
    wire.down()
    with client.run(workflow="w", estimate=4) as run:
        event_id = run.record("direct.charge", quantity=1)
    with pytest.raises(RecordingError) as caught:
        client.close(0.2)
    assert [problem.id for problem in caught.value.problems] == [event_id]
    assert client.lease.outstanding == 4


def test_closing_while_the_server_is_away_names_what_open_runs_had_used(
    make_client: MakeClient, shop: Shop, wire: Wire
) -> None:
    client = make_client(wire.url, shop.token)
    with client.run(workflow="w", estimate=4) as run:
        event_id = run.record("direct.charge", quantity=1)
        wire.down()
        with pytest.raises(RecordingError) as caught:
            client.close(0.3)
    assert [problem.id for problem in caught.value.problems] == [event_id]


def test_many_threads_in_one_run_over_a_bad_network_lose_and_double_nothing(
    make_client: MakeClient, house: House, shop: Shop, gateway: Gateway
) -> None:
    gateway.script.extend(itertools.islice(itertools.cycle([PASS, LOSE_ANSWER, PASS, BUSY, LOSE_REQUEST]), 60))
    policy = RunPolicy(Retrying(attempts=12, first=0.001, longest=0.01), Batching(max_events=7, linger=0.01), 5.0)
    client = make_client(gateway.url, shop.token, runs=policy, retrying=QUICK)
    with client.run(workflow="w", estimate=30) as run:

        def use() -> None:
            for _ in range(20):
                run.record("direct.charge", quantity="0.1")

        threads = [threading.Thread(target=use) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
    client.flush()
    assert (shop.events()["events"], money(shop), statuses(shop)) == (200, (55, 0), ["settled"])
    assert run.spent == 20
