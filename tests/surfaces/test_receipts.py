"""Receipts are worked out again from themselves alone, in fractions, and come to what was booked."""

import asyncio
import json
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.runtime import Runtime
from tests import make
from tests.surfaces.conftest import IDS, NOW, Caller, House, new_house

FALLBACK = {
    "cachedInputTokens": "inputTokens",
    "cacheWriteTokens": "inputTokens",
    "cacheWrite1hTokens": "cacheWriteTokens",
    "audioInputTokens": "inputTokens",
    "imageInputTokens": "inputTokens",
    "reasoningTokens": "outputTokens",
    "audioOutputTokens": "outputTokens",
}
RATES: dict[str, Any] = {
    "fixed": {"amount": "0.333333333"},
    "unit": {"amount": "0.1", "per": 7},
    "package": {"amount": "1", "per": 3},
    "graduated": {"tiers": [{"upTo": 5, "amount": "0.1", "per": 3, "flat": "0.5"}, {"upTo": None, "amount": "0.01"}]},
    "volume": {"tiers": [{"upTo": 4, "amount": "1"}, {"upTo": None, "amount": "0.1"}]},
    "percentage": {"percent": "133.3", "creditsPerUsd": "100"},
}
TOKENS = {
    "perMillion": {"inputTokens": "2.5", "outputTokens": "10.000000001", "cacheWriteTokens": "3.1"},
    "perThousand": {"searches": "0.7", "requests": "0.001"},
    "above": [{"inputTokens": 900, "perMillion": {"inputTokens": "5", "outputTokens": "20"}}],
    "schedule": [{"from": "22:00", "until": "06:00", "perMillion": {"inputTokens": "1", "outputTokens": "1"}}],
}


class Exact:
    """Decimals of JSON as fractions: an oracle that rounds nothing by accident."""

    @staticmethod
    def read(text: str) -> Any:
        return json.loads(text, parse_float=Fraction)


def rounded(amount: Fraction) -> Fraction:
    """To nine decimals, halves to even."""
    return Fraction(round(amount * 10**9), 10**9)


def owed(rates: dict[str, Any], model: str, units: Fraction) -> Fraction:
    """What so many units of a billing period come to under a tiered price."""
    if units <= 0:
        return Fraction(0)
    if model == "package":
        return Fraction(rates["amount"]) * -(-units // rates["per"])
    floor, total, flats = Fraction(0), Fraction(0), Fraction(0)
    for tier in rates["tiers"]:
        price = Fraction(tier["amount"]) / tier["per"]
        top = units if tier["upTo"] is None else min(units, Fraction(tier["upTo"]))
        if model == "volume":
            if tier["upTo"] is None or units <= tier["upTo"]:
                return Fraction(tier["flat"]) + rounded(units * price)
            continue
        total += (top - floor) * price
        flats += Fraction(tier["flat"])
        floor = top
        if top == units:
            break
    return flats + rounded(total)


def rate_of(price: dict[str, Any], counter: str) -> set[Fraction]:
    """Every rate per million that the price shows for a counter, whatever the hour and the size of the call."""
    tables = [price["rates"], *price["rates"].get("above", []), *price["rates"].get("schedule", [])]
    found = set()
    for table in tables:
        names = {
            **table.get("perMillion", {}),
            **{n: Fraction(a) * 1000 for n, a in table.get("perThousand", {}).items()},
        }
        name: str | None = counter
        while name is not None and name not in names:
            name = FALLBACK.get(name)
        found.add(Fraction(names[name]) if name else Fraction(0))
    return found


def recomputed(charge: dict[str, Any], prices: dict[str, Any], charges: dict[str, Any]) -> Fraction:
    """The charge's credits by its calculation, its price and its quantity."""
    how = charge["calculation"]
    if how is None:
        return Fraction(0)
    if how["model"] == "direct":
        return Fraction(charge["quantity"])
    rates, model = prices[charge["priceVersionUuid"]]["rates"], how["model"]
    if model in ("package", "graduated", "volume"):
        before, after = Fraction(how["before"]), Fraction(how["after"])
        assert after - before == charge["quantity"]
        assert (owed(rates, model, before), owed(rates, model, after)) == (how["owedBefore"], how["owedAfter"])
        return owed(rates, model, after) - owed(rates, model, before)
    if charge["kind"] == "reversal":
        return -recomputed(charges[charge["reverses"]], prices, charges)
    if model == "tokens":
        for one in how["counters"]:
            assert one["creditsPerMillion"] in rate_of(prices[one["priceVersionUuid"]], one["counter"])
            assert one["count"] * Fraction(one["creditsPerMillion"]) / 10**6 == Fraction(one["credits"])
        exact = sum((one["count"] * Fraction(one["creditsPerMillion"]) / 10**6 for one in how["counters"]), Fraction(0))
    elif model == "percentage":
        exact = Fraction(how["cost"]) * Fraction(rates["percent"]) / 100 * Fraction(rates["creditsPerUsd"])
    elif model == "unit":
        exact = Fraction(charge["quantity"]) * Fraction(rates["amount"]) / rates["per"]
    else:
        exact = Fraction(rates["amount"])
    assert exact == Fraction(how["exact"])
    return rounded(exact)


def charges_in(span: dict[str, Any]) -> list[dict[str, Any]]:
    found = [*span["charges"], *(charge for inner in span["spans"] for charge in charges_in(inner))]
    assert span["credits"] == sum(charge["credits"] for charge in found)
    assert span["toolRuns"] == sum(charge["toolRuns"] for charge in found)
    return found


def check(text: str) -> dict[str, Any]:
    """Work the whole receipt out again; the receipt."""
    receipt: dict[str, Any] = Exact.read(text)["receipt"]
    prices = {price["uuid"]: price for price in receipt["prices"]}
    charges = {charge["uuid"]: charge for charge in charges_in(receipt["span"])}
    for charge in charges.values():
        assert recomputed(charge, prices, charges) == charge["credits"], charge
        if charge["calculation"] is not None:
            exact, rounding = (Fraction(charge["calculation"][name]) for name in ("exact", "rounding"))
            assert exact + rounding == charge["credits"]
            assert abs(rounding) <= Fraction(1, 2 * 10**9)
    every = list(charges.values())
    for line in receipt["lines"]:
        mine = [charge for charge in every if charge["category"] == line["category"]]
        for name in ("credits", "toolRuns"):
            assert line[name] == sum(charge[name] for charge in mine) == sum(item[name] for item in line["items"])
        for item in line["items"]:
            assert Fraction(item["exact"]) + Fraction(item["rounding"]) == item["credits"]
            if item["counters"]:
                sums = sum((one["count"] * Fraction(one["creditsPerMillion"]) for one in item["counters"]), Fraction(0))
                assert sums / 10**6 == Fraction(item["exact"])
    assert {charge["category"] for charge in every} <= {line["category"] for line in receipt["lines"]}
    assert [line["category"] for line in receipt["lines"]][:3] == ["llm", "tool_calls", "storage"]
    totals = receipt["totals"]
    for name in ("credits", "toolRuns"):
        assert totals[name] == sum(charge[name] for charge in every) == sum(line[name] for line in receipt["lines"])
    assert totals["charges"] == len(every)
    assert totals["corrections"] == sum(charge["credits"] for charge in every if charge["kind"] != "charge")
    return receipt


@pytest.fixture(scope="module")
async def mark(operator: Caller) -> str:
    """Integrations and models of this test alone, one for each price model."""
    mark = IDS.secret()[:8].lower()
    for model, rates in RATES.items():
        body = {"target": f"tool.call/integration:{model}-{mark}", "model": model, "rates": rates}
        assert (await operator.post("/v1/prices", body)).status_code == 201
    tokens = {"target": f"llm.tokens/*/large-{mark}", "model": "tokens", "rates": TOKENS}
    assert (await operator.post("/v1/prices", tokens)).status_code == 201
    share = {"target": f"llm.tokens/shared-{mark}/gpt-4o", "model": "percentage", "rates": RATES["percentage"]}
    assert (await operator.post("/v1/prices", share)).status_code == 201
    return mark


@pytest.fixture(scope="module")
async def house(operator: Caller) -> House:
    return await new_house(operator)


NODES = st.sampled_from([None, "search", "write"])
COUNTS = st.integers(0, 3000)


@st.composite
def reports(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["llm", "llm", "public", "share", "tool", "tool", "execution", "storage", "direct"]))
    data: dict[str, Any] = {"node": draw(NODES), "agent": draw(st.sampled_from([None, "scout"]))}
    if kind in ("llm", "public", "share"):
        inputs, outputs = draw(COUNTS), draw(COUNTS)
        data |= {"inputTokens": inputs, "outputTokens": outputs}
        data["cachedInputTokens"] = draw(st.integers(0, inputs // 2))
        data["cacheWriteTokens"] = draw(st.integers(0, inputs // 2))
        data["reasoningTokens"] = draw(st.integers(0, outputs))
        data["searches"] = draw(st.integers(0, 3))
        data["model"] = {"llm": "large-{mark}", "public": "gpt-4o-mini", "share": "gpt-4o"}[kind]
        if kind == "share":
            data["integration"] = "shared-{mark}"
        return {"type": "llm.tokens", "data": data}
    if kind == "tool":
        model = draw(st.sampled_from([*RATES, "none"]))
        data |= {"integration": f"{model}-{{mark}}", "action": "do", "quantity": draw(st.integers(0, 9))}
        if model == "percentage":
            data["cost"] = draw(st.sampled_from(["0.000001", "0.0123456789", "1.5"]))
        return {"type": "tool.call", "data": data}
    if kind == "direct":
        return {"type": "direct.charge", "data": data | {"quantity": "0.000000001"}}
    type_ = "orchestration.execution" if kind == "execution" else "storage.records"
    return {"type": type_, "data": data | {"quantity": draw(st.integers(0, 5))}}


def events(run: str, drawn: list[dict[str, Any]], mark: str) -> list[dict[str, Any]]:
    text = json.dumps(drawn).replace("{mark}", mark)
    return [
        {"specversion": "1.0", "id": f"{run}-{place}", "source": "test", **one, "data": one["data"] | {"run": run}}
        for place, one in enumerate(json.loads(text))
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(reports(), min_size=1, max_size=12), chance=st.integers(0, 2**16))
async def test_any_receipt_can_be_worked_out_again_from_itself_alone(
    drawn: list[dict[str, Any]], chance: int, house: House, mark: str, runtime: Runtime
) -> None:
    run, random = str(IDS.new(NOW)), Random(chance)
    sent = events(run, drawn, mark)
    assert (await house.owner.post("/v1/events", sent)).json()["accepted"] == len(sent)
    for event in random.sample(sent, random.randint(0, len(sent))):
        named = {"source": "test", "id": event["id"]}
        if random.random() < 0.5:
            change = {"type": "event.cancelled", "data": named | {"reason": "wrong"}}
        else:
            change = {"type": event["type"], "data": event["data"] | {"replaces": named}}
        body = {"specversion": "1.0", "id": f"c-{event['id']}", "source": "test", **change}
        assert (await house.owner.post("/v1/events", body)).json()["accepted"] == 1
    answer = await house.owner.get(f"/v1/runs/{run}/receipt")
    assert answer.status_code == 200, answer.text
    receipt = check(answer.text)
    [booked] = await make.rows(
        runtime.database,
        "SELECT count(*) AS charges, sum(credits)::bigint AS credits, sum(tool_runs)::bigint AS tool_runs "
        "FROM usage_event WHERE workspace_id = %s AND run = %s",
        house.uuid,
        run,
    )
    totals = receipt["totals"]
    assert (totals["charges"], totals["credits"] * 10**9, totals["toolRuns"] * 10**9) == tuple(booked.values())
    refund = (await house.operator.post(f"/v1/runs/{run}/refund", {"reason": "r"})).json()["refund"]
    after = check((await house.owner.get(f"/v1/runs/{run}/receipt")).text)
    taken_back = [one for one in charges_in(receipt["span"]) if one["kind"] == "reversal"]
    assert refund["charges"] == totals["charges"] - 2 * len(taken_back)
    assert after["totals"]["charges"] == totals["charges"] + refund["charges"]
    assert after["totals"]["toolRuns"] == 0
    if chance % 8 == 0:  # it looks at the whole workspace, which grows with each example
        assert await differences(runtime, house) == []


async def receipt_of(caller: Caller, run: str) -> dict[str, Any]:
    answer = await caller.get(f"/v1/runs/{run}/receipt")
    assert answer.status_code == 200, answer.text
    return check(answer.text)


async def report(house: House, *sent: dict[str, Any]) -> None:
    body = [{"specversion": "1.0", "id": str(IDS.new(NOW)), "source": "test"} | event for event in sent]
    answer = (await house.owner.post("/v1/events", body)).json()
    assert (answer["accepted"], answer["rejected"]) == (len(sent), [])


async def differences(runtime: Runtime, house: House) -> list[Any]:
    return await make.differences(runtime.database, house.uuid)


async def test_charges_stand_in_the_spans_that_they_name_in_order_of_time(house: House) -> None:
    run = str(IDS.new(NOW))
    inside = {"run": run, "batch": "monday"}
    await report(
        house,
        {"type": "orchestration.execution", "time": "2026-03-14T09:00:03Z", "data": inside | {"node": "write"}},
        {"type": "orchestration.execution", "time": "2026-03-14T09:00:01Z", "data": inside | {"node": "find"}},
        {
            "type": "tool.call",
            "time": "2026-03-14T09:00:02Z",
            "data": inside | {"node": "find", "agent": "scout", "integration": "web", "quantity": 2},
        },
        {"type": "storage.records", "time": "2026-03-14T09:00:00Z", "data": {"run": run, "quantity": 3}},
    )
    receipt = await receipt_of(house.owner, run)
    batch = receipt["span"]
    [trunk] = batch["spans"]
    assert (batch["kind"], batch["name"], trunk["kind"], trunk["name"]) == ("batch", "monday", "run", run)
    assert [span["name"] for span in trunk["spans"]] == ["find", "write"]
    assert [charge["category"] for charge in trunk["charges"]] == ["storage"]
    [scout] = trunk["spans"][0]["spans"]
    assert (scout["kind"], scout["name"], scout["toolRuns"], scout["credits"]) == ("agent", "scout", 2, 0)
    assert (trunk["startedAt"], trunk["finishedAt"]) == ("2026-03-14T09:00:00Z", "2026-03-14T09:00:03Z")
    assert receipt["names"].popitem()[1] == "scout"
    assert [(line["category"], str(line["credits"])) for line in receipt["lines"]] == [
        ("llm", "0"),
        ("tool_calls", "0"),
        ("storage", "3/1000"),
        ("execution", "1/50"),
    ]


async def test_a_late_price_is_a_line_of_its_own_beside_the_call(
    house: House, operator: Caller, runtime: Runtime
) -> None:
    from tallystick.flows.reprice import price_unpriced

    run, model = str(IDS.new(NOW)), f"late-{IDS.secret()[:8]}"
    await report(house, {"type": "llm.tokens", "data": {"run": run, "model": model, "inputTokens": 1000}})
    before = await receipt_of(house.owner, run)
    assert (before["totals"]["unpriced"], before["totals"]["credits"], before["prices"]) == (1, 0, [])
    price = {"target": f"llm.tokens/*/{model}", "model": "tokens", "rates": {"perMillion": {"inputTokens": "5"}}}
    assert (await operator.post("/v1/prices", price)).status_code == 201
    await price_unpriced(
        runtime.database, catalogs=runtime.catalogs, models=runtime.models, hourly_days=35, now=NOW, ids=IDS
    )
    after = await receipt_of(house.owner, run)
    assert [charge["kind"] for charge in after["span"]["charges"]] == ["charge", "adjustment"]
    assert (after["totals"]["unpriced"], str(after["totals"]["credits"])) == (0, "1/200")
    assert after["totals"]["corrections"] == after["totals"]["credits"]
    [line] = [line for line in after["lines"] if line["category"] == "llm"]
    assert (line["quantity"], line["items"][0]["counters"][0]["count"]) == (1000, 1000)


async def test_a_refund_takes_back_every_standing_charge_once(operator: Caller, mark: str, runtime: Runtime) -> None:
    house = await new_house(operator)
    run = str(IDS.new(NOW))
    await report(
        house,
        *(
            {"type": "llm.tokens", "data": {"run": run, "model": f"large-{mark}", "inputTokens": n}}
            for n in (7, 99, 1000)
        ),
        *(
            {"type": "tool.call", "data": {"run": run, "integration": f"{model}-{mark}", "quantity": 3, "cost": "0.01"}}
            for model in RATES
        ),
        {"type": "llm.tokens", "data": {"run": run, "model": "no-such-model", "inputTokens": 7}},
        {"type": "direct.charge", "data": {"run": "another", "quantity": 1}},
    )
    charged = (await receipt_of(house.owner, run))["totals"]
    balances = (await house.owner.get("/v1/balances")).json()["balances"]
    sent = {"reason": "the agent looped"}
    first = await house.operator.post(f"/v1/runs/{run}/refund", sent, headers={"idempotency-key": "k"})
    assert first.status_code == 200, first.text
    refund = Exact.read(first.text)["refund"]
    assert (refund["charges"], refund["credits"], refund["toolRuns"]) == (10, charged["credits"], charged["toolRuns"])
    for key in ("k", "another"):
        again = await house.operator.post(f"/v1/runs/{run}/refund", sent, headers={"idempotency-key": key})
        assert Exact.read(again.text)["refund"]["charges"] == (10 if key == "k" else 0)
    other = await house.operator.post(f"/v1/runs/{run}/refund", {"reason": "x"}, headers={"idempotency-key": "k"})
    assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")
    after = await receipt_of(house.owner, run)
    assert (after["totals"]["credits"], after["totals"]["toolRuns"], after["totals"]["charges"]) == (0, 0, 20)
    assert after["totals"]["unpriced"] == 0
    back = (await house.owner.get("/v1/balances")).json()["balances"]
    assert Fraction(str(back[0]["posted"])) == Fraction(str(balances[0]["posted"])) + charged["credits"]
    assert await differences(runtime, house) == []
    audit = await make.rows(
        runtime.database,
        "SELECT reason, details FROM audit_entry WHERE workspace_id = %s AND action = 'run.refunded'",
        house.uuid,
    )
    # both in one moment of the fixed clock, hence in no order
    assert sorted((row["reason"], row["details"]["charges"]) for row in audit) == [
        ("the agent looped", 0),
        ("the agent looped", 10),
    ]


async def test_what_comes_after_a_refund_stands_until_the_next_one(house: House, runtime: Runtime) -> None:
    run = str(IDS.new(NOW))
    await report(house, {"type": "direct.charge", "id": f"{run}-1", "data": {"run": run, "quantity": 1}})
    cancel = {"type": "event.cancelled", "data": {"source": "test", "id": f"{run}-1", "reason": "wrong"}}
    await report(house, cancel, {"type": "direct.charge", "id": f"{run}-2", "data": {"run": run, "quantity": 2}})
    sums = []
    for _ in range(2):
        answer = await house.operator.post(f"/v1/runs/{run}/refund", {"reason": "r"})
        sums.append((answer.json()["refund"]["charges"], answer.json()["refund"]["credits"]))
        await report(house, {"type": "direct.charge", "id": f"{run}-3", "data": {"run": run, "quantity": 3}}) if len(
            sums
        ) == 1 else None
    assert sums == [(1, 2), (1, 3)]
    late = {"specversion": "1.0", "source": "test", "id": "late", "type": "event.cancelled"}
    done = await house.owner.post("/v1/events", late | {"data": {"source": "test", "id": f"{run}-2"}})
    assert (done.json()["accepted"], done.json()["duplicates"]) == (0, 1)
    assert await differences(runtime, house) == []


@pytest.mark.parametrize("run", ["nobody's", "%20spaced%20out%20", "a" * 200, "team%2Frun%2F7"])
async def test_a_run_may_be_named_by_any_text(house: House, run: str) -> None:
    for path in (f"/v1/runs/{run}/receipt", f"/v1/runs/{run}/refund"):
        method = "GET" if path.endswith("receipt") else "POST"
        missing = await house.operator.send(method, path, json={"reason": "r"} if method == "POST" else None)
        assert (missing.status_code, missing.json()["reason"]) == (404, "runNotFound")
    from urllib.parse import unquote

    await report(house, {"type": "direct.charge", "data": {"run": unquote(run), "quantity": 1}})
    assert (await receipt_of(house.owner, run))["run"] == unquote(run)


async def test_a_run_of_another_workspace_is_not_found(house: House, operator: Caller) -> None:
    stranger = await new_house(operator)
    await report(house, {"type": "direct.charge", "data": {"run": "ours", "quantity": 1}})
    answer = await stranger.owner.get("/v1/runs/ours/receipt")
    assert (answer.status_code, answer.json()["reason"]) == (404, "runNotFound")


async def test_text_that_names_no_run_and_refunds_without_a_reason_are_refused(house: House) -> None:
    assert (await house.owner.get(f"/v1/runs/{'a' * 201}/receipt")).json()["reason"] == "invalidText"
    for body in ({}, {"reason": ""}, {"reason": "x" * 2001}, {"reason": "r", "credits": 1}):
        assert (await house.operator.post("/v1/runs/ours/refund", body)).status_code == 400


async def test_a_run_that_cost_nothing_yet_has_an_empty_receipt(operator: Caller) -> None:
    house = await new_house(operator)
    run = str(IDS.new(NOW))
    hold = {"amounts": {"credits": 1}, "run": run}
    assert (await house.owner.post("/v1/holds", hold, headers={"idempotency-key": run})).status_code == 201
    receipt = await receipt_of(house.owner, run)
    assert [(line["category"], line["credits"]) for line in receipt["lines"]] == [
        ("llm", 0),
        ("tool_calls", 0),
        ("storage", 0),
    ]
    assert (receipt["startedAt"], receipt["totals"]["charges"], receipt["prices"]) == (None, 0, [])
    refund = await house.operator.post(f"/v1/runs/{run}/refund", {"reason": "r"})
    assert (refund.status_code, refund.json()["refund"]["charges"]) == (200, 0)


async def test_charges_beyond_the_balance_are_counted(operator: Caller) -> None:
    house = await new_house(operator)
    await report(house, *({"type": "direct.charge", "data": {"run": "dear", "quantity": 50}} for _ in range(3)))
    receipt = await receipt_of(house.owner, "dear")
    assert (receipt["totals"]["overdrawn"], [c["overdrawn"] for c in receipt["span"]["charges"]]) == (
        2,
        [False, True, True],
    )


async def test_refunds_at_the_same_time_take_back_each_charge_once(operator: Caller, runtime: Runtime) -> None:
    house = await new_house(operator)
    run = str(IDS.new(NOW))
    sent = [{"type": "direct.charge", "id": f"{run}-{n}", "data": {"run": run, "quantity": 1}} for n in range(20)]
    await report(house, *sent)
    cancel = {"type": "event.cancelled", "data": {"source": "test", "id": f"{run}-7", "reason": "wrong"}}
    body = {"specversion": "1.0", "id": "c", "source": "test", **cancel}
    answers = await asyncio.gather(
        house.owner.post("/v1/events", body),
        *(house.operator.post(f"/v1/runs/{run}/refund", {"reason": "r"}) for _ in range(8)),
    )
    cancelled = answers[0].json()["accepted"]
    assert sum(answer.json()["refund"]["charges"] for answer in answers[1:]) == 20 - cancelled
    receipt = await receipt_of(house.owner, run)
    assert (receipt["totals"]["credits"], receipt["totals"]["charges"]) == (0, 40)
    assert await differences(runtime, house) == []


async def test_a_refund_gives_a_budget_its_room_again(operator: Caller, runtime: Runtime) -> None:
    house = await new_house(operator)
    cap = {"name": "cap", "scope": "workspace", "per": "run", "amount": 5}
    assert (await house.owner.post("/v1/budgets", cap)).status_code == 201
    await report(house, *({"type": "direct.charge", "data": {"run": "capped", "quantity": 3}} for _ in range(2)))
    assert (await receipt_of(house.owner, "capped"))["totals"]["overBudget"] == 1

    async def hold(key: str) -> int:
        sent = {"amounts": {"credits": 5}, "run": "capped"}
        return (await house.owner.post("/v1/holds", sent, headers={"idempotency-key": key})).status_code

    assert await hold("before") == 402
    assert (await house.operator.post("/v1/runs/capped/refund", {"reason": "r"})).status_code == 200
    assert await hold("after") == 201
    assert await differences(runtime, house) == []
