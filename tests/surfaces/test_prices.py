"""Prices, plans and meters over HTTP: what is shown to whom, and what is refused by which name."""

from typing import Any

import pytest

from tests.surfaces.conftest import IDS, NOW, Caller, House, new_house


def unique() -> str:
    return str(IDS.new(NOW))


async def add(operator: Caller, target: str, **given: Any) -> Any:
    return await operator.post("/v1/prices", {"target": target, "model": "unit", "rates": {"amount": 0.25}} | given)


async def test_an_operator_adds_a_price_and_sees_it(operator: Caller) -> None:
    target = f"tool.call/integration:{unique()}"
    made = await add(operator, target, validFrom="2026-03-01T00:00:00+02:00", reason="agreed")
    assert made.status_code == 201, made.text
    price = made.json()["price"]
    assert price["rates"] == {"amount": "0.25", "per": 1}
    assert price["validFrom"] == "2026-02-28T22:00:00Z"
    listed = await operator.get("/v1/prices", params={"target": target})
    assert listed.json() == {"prices": [price]}


async def test_amounts_are_read_exactly_as_numbers_and_as_strings(operator: Caller) -> None:
    for text in ('"0.000000001"', "0.000000001", "1e-9"):
        target = f"tool.call/integration:{unique()}"
        body = f'{{"target": "{target}", "model": "unit", "rates": {{"amount": {text}}}}}'
        made = await operator.send(
            "POST", "/v1/prices", content=body.encode(), headers={"content-type": "application/json"}
        )
        assert made.status_code == 201, made.text
        assert made.json()["price"]["rates"]["amount"] == "0.000000001"
        assert made.json()["price"]["validFrom"] is None


async def test_with_an_instant_only_what_is_in_force_then_is_listed(operator: Caller) -> None:
    target = f"tool.call/integration:{unique()}"
    await add(operator, target)
    await add(operator, target, rates={"amount": "2"}, validFrom="2026-03-01T00:00:00Z")
    await add(operator, f"{target}/send", rates={"amount": "3"}, validFrom="2026-06-01T00:00:00Z")

    async def amounts(**query: str) -> list[str]:
        answer = await operator.get("/v1/prices", params={"target": target} | query)
        return [price["rates"]["amount"] for price in answer.json()["prices"]]

    assert await amounts() == ["0.25", "2", "3"]
    assert await amounts(limit="1", offset="1") == ["2"]
    assert await amounts(at="2026-02-28T23:59:59Z") == ["0.25"]
    assert await amounts(at="2026-03-01T00:00:00Z") == ["2"]
    assert await amounts(at="2026-07-01T00:00:00Z") == ["2", "3"]


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        ({"rates": {"amount": "-1"}}, 400, "invalidPrice"),
        ({"rates": {"amount": "1e30"}}, 400, "invalidPrice"),
        ({"rates": {}}, 400, "invalidPrice"),
        ({"rates": []}, 400, "invalidRequest"),
        ({"model": "free"}, 400, "invalidPrice"),
        ({"model": "tokens", "rates": {}}, 400, "invalidPrice"),
        ({"target": "no.such/type"}, 400, "unknownMeter"),
        ({"validFrom": "2026-03-01T00:00:00"}, 400, "invalidTime"),
        ({"validFrom": "yesterday"}, 400, "invalidRequest"),
        ({"reason": "x" * 5000}, 400, "invalidText"),
    ],
)
async def test_a_wrong_price_is_refused_by_name(
    operator: Caller, given: dict[str, Any], status: int, reason: str
) -> None:
    answer = await add(operator, given.pop("target", "tool.call/integration:x"), **given)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_a_version_is_never_edited(operator: Caller) -> None:
    target = f"tool.call/integration:{unique()}"
    first = await add(operator, target)
    assert (await add(operator, target)).json() == first.json()
    other = await add(operator, target, rates={"amount": "0.26"})
    assert (other.status_code, other.json()["reason"]) == (409, "priceVersionExists")


async def test_a_workspace_sees_no_markup_and_no_prices_of_others(operator: Caller, house: House) -> None:
    neighbour = await new_house(operator)
    connectors = {}
    for owner in (house, neighbour):
        made = await owner.owner.put(f"/v1/resources/connector/{unique()}", {"name": "CRM"})
        connectors[owner.uuid] = made.json()["resource"]["uuid"]
        assert (await add(operator, f"tool.call/connector:{connectors[owner.uuid]}")).status_code == 201
    seen = await house.owner.get("/v1/prices", params={"target": "tool.call/connector:", "limit": "1000"})
    assert [price["target"] for price in seen.json()["prices"]] == [f"tool.call/connector:{connectors[house.uuid]}"]

    query = {"target": "llm.tokens/openai/gpt-4o-mini", "at": "2026-03-01T00:00:00Z", "limit": "1"}
    (shown,) = (await house.owner.get("/v1/prices", params=query)).json()["prices"]
    (whole,) = (await operator.get("/v1/prices", params=query)).json()["prices"]
    assert "cost" not in shown["rates"]
    assert shown["sourceText"] is None
    assert whole["rates"]["cost"]["markup"] == "1"
    assert "input_mtok" in whole["sourceText"]


async def test_only_operators_write_and_only_billing_readers_read(operator: Caller, house: House) -> None:
    reader = await house.caller("member", ("billing:read",))
    member = await house.caller("member")
    body = {"target": "tool.call/integration:x", "model": "fixed", "rates": {"amount": 1}}
    meter = {"type": "a.b", "category": "other", "slug": "native.x", "unit": "things"}
    for caller in (house.owner, reader, member):
        for path, sent in (("/v1/prices", body), ("/v1/meters", meter)):
            assert (await caller.post(path, sent)).status_code == 403
    for path in ("/v1/prices", "/v1/plans", "/v1/meters"):
        for caller, status in ((operator, 200), (house.owner, 200), (reader, 200), (member, 403)):
            answer = await caller.get(path)
            assert answer.status_code == status, (path, answer.text)


async def test_the_plans_are_listed_with_what_they_include(house: House) -> None:
    plans = {plan["plan"]: plan for plan in (await house.owner.get("/v1/plans")).json()["plans"]}
    assert plans["pro"]["price"] == 9900
    assert plans["pro"]["currency"] == "usd"
    assert plans["pro"]["includedCredits"] == 10_000
    assert plans["free"]["runQuota"] == 1_000


async def test_an_operator_defines_a_type_of_event(operator: Caller) -> None:
    meter = {"type": f"search.q{unique()[-12:]}", "category": "other", "slug": "native.search", "unit": "queries"}
    made = await operator.post("/v1/meters", meter)
    assert made.status_code == 201, made.text
    assert made.json() == {"meter": meter | {"builtin": False}}
    assert meter | {"builtin": False} in (await operator.get("/v1/meters")).json()["meters"]
    assert (await operator.post("/v1/meters", meter | {"unit": "x"})).json()["reason"] == "meterExists"
    assert (await operator.post("/v1/meters", meter | {"category": "x"})).json()["reason"] == "invalidMeter"
    assert (await add(operator, meter["type"])).status_code == 201
