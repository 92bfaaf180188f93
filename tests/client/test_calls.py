"""Typed calls to a real server: both clients have the same ones, amounts keep every digit, errors keep their shape."""

import datetime as dt
import socket
from decimal import Decimal

import pytest

from tallystick.client import ApiError, AsyncClient, Client, ServerUnreachableError
from tallystick.client.errors import RefusedError
from tallystick.client.methods import async_method, method
from tallystick.kernel.errors import TallystickError
from tests.serving import House, Shop


def test_both_clients_have_the_same_calls() -> None:
    calls = {name for name, value in vars(Client).items() if isinstance(value, method)}
    assert calls == {name for name, value in vars(AsyncClient).items() if isinstance(value, async_method)}
    assert len(calls) >= 19
    assert all(vars(Client)[name].__doc__ for name in calls)


def test_amounts_keep_every_digit_both_ways(house: House, shop: Shop) -> None:
    with Client(house.base_url, house.operator_token) as operator:
        grant = operator.create_grant(shop.uuid, Decimal("98765432.123456789"), reason="exact").grant
    assert grant.amount.nano == 98_765_432_123_456_789
    with Client(shop.base_url, shop.token) as client:
        posted = {balance.unit: balance.posted.nano for balance in client.balances().balances}
        subscription = client.subscription().subscription
    assert posted["credits"] == 98_765_432_123_456_789 + 75 * 10**9
    assert subscription.subscription_available_credits_count.nano == posted["credits"]


def test_an_operator_makes_a_clock_and_moves_it(house: House) -> None:
    born = dt.datetime(2024, 1, 31, 10, 30, tzinfo=dt.UTC)
    with Client(house.base_url, house.operator_token) as operator:
        made = operator.create_workspace("Era", clock=born).workspace
        assert (made.clock, made.created_at) == (born, born)
        then = operator.advance_clock(made.uuid, born + dt.timedelta(days=31)).clock
        assert (then.at, then.is_test) == (born + dt.timedelta(days=31), True)
        assert operator.clock(made.uuid).clock == then
        assert "settle_due" in {job.name for job in operator.jobs().jobs}


def test_metrics_answer_for_days_given_as_text_or_dates(shop: Shop) -> None:
    with Client(shop.base_url, shop.token) as client:
        by_text = client.usage_metrics("2026-03-01", "2026-03-03", unit="credits")
        by_date = client.usage_metrics(dt.date(2026, 3, 1), dt.date(2026, 3, 3), group_by="workflow_uuid")
    assert [day.date for day in by_text.metrics] == [f"2026-03-0{day}T00:00:00.000Z" for day in (1, 2, 3)]
    assert by_date.total_usage.nano == 0


def test_every_list_answers(house: House, shop: Shop) -> None:
    with Client(shop.base_url, shop.token) as client:
        lists = [client.plays().plays, client.tools().tools, client.agents().agents]
        assert [*lists, client.connectors().connectors, client.models().models] == [[]] * 5
        made = client.create_token("two", permissions=["events:write"]).token
        assert made.token is not None
        assert made.uuid in {token.uuid for token in client.tokens().tokens}
        assert client.revoke_token(made.uuid).token.deleted_at is not None
        assert client.current_workspace().workspace.uuid == shop.uuid
        assert client.plans().plans
        assert client.price_versions(target="orchestration.execution").prices
    with Client(house.base_url, house.operator_token, workspace_uuid=str(shop.uuid)) as operator:
        assert operator.current_user().user.is_operator
        assert [found.uuid for found in operator.workspaces(key=shop.key).workspaces] == [shop.uuid]
        assert operator.current_workspace().workspace.key == shop.key


def test_a_repeated_request_with_its_key_changes_nothing(house: House, shop: Shop) -> None:
    with Client(house.base_url, house.operator_token) as operator:
        first, again = (
            operator.create_grant(shop.uuid, 5, reason="once", idempotency_key=f"k-{shop.key}").grant for _ in range(2)
        )
    assert first == again


def test_a_refusal_keeps_status_reason_and_details(shop: Shop) -> None:
    with Client(shop.base_url, shop.token) as client, pytest.raises(ApiError) as caught:
        client.usage_metrics("2026-03-01", "2026-03-03", unit="bananas")
    error = caught.value
    assert (error.status, error.reason) == (400, "invalidUnit")
    assert error.error_message
    assert error.details
    with Client(shop.base_url, "tally_wrong") as client, pytest.raises(ApiError) as refused:
        client.balances()
    assert (refused.value.status, refused.value.error_message, refused.value.reason) == (401, "unauthorized", "")


def test_a_gate_is_asked_and_refuses_with_what_to_do(shop: Shop) -> None:
    with Client(shop.base_url, shop.token) as client:
        assert client.gate("run", amount="74.999999999", agent="writer").remaining["credits"].nano == 75 * 10**9
        made = client.create_budget("Cap", scope="apiKey", subject="k", per="month", amount=Decimal("0.5")).budget
        assert [one.uuid for one in client.list_budgets(limit=5).budgets] == [made.uuid]
        assert client.change_budget(made.uuid, amount=0).budget.amount.nano == 0
        with pytest.raises(RefusedError) as refused:
            client.gate("run", api_key="k")
        assert (refused.value.reason, refused.value.details["blocking"]["name"]) == ("budgetExceeded", "Cap")
        assert client.get_budget(made.uuid).budget.spent is not None
        assert client.delete_budget(made.uuid).budget.spent is None
        assert client.gate("run", api_key="k").allowed


def test_an_amount_with_too_many_decimals_never_leaves(shop: Shop) -> None:
    with Client(shop.base_url, shop.token) as client, pytest.raises(TallystickError, match="nine decimals"):
        client.create_grant(shop.uuid, "0.0000000001", reason="too fine")


def test_a_server_that_is_not_there_is_an_error_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", "t") as client, pytest.raises(ServerUnreachableError, match=str(port)):
        client.balances()
    with pytest.raises(ValueError, match="http"):
        Client("localhost:8787", "t")


async def test_the_asynchronous_client_answers_the_same(shop: Shop) -> None:
    async with AsyncClient(shop.base_url, shop.token) as client:
        workspace = (await client.current_workspace()).workspace
        with pytest.raises(ApiError):
            await client.workspaces()
    assert workspace.uuid == shop.uuid
