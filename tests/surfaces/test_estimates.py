"""Estimates from past runs and simulations of them, over HTTP."""

from fractions import Fraction
from typing import Any

import pytest

from tallystick.domain.metering.resources import resource_id
from tests.surfaces.conftest import IDS, NOW, Caller, House, new_house

WORKFLOW = "enrich"


async def report(house: House, *sent: dict[str, Any]) -> None:
    body = [{"specversion": "1.0", "id": str(IDS.new(NOW)), "source": "test"} | event for event in sent]
    answer = (await house.owner.post("/v1/events", body)).json()
    assert (answer["accepted"], answer["rejected"]) == (len(sent), [])


def direct(run: str, amount: Any, **given: Any) -> dict[str, Any]:
    time = given.pop("time", None)
    event = {"type": "direct.charge", "data": {"run": run, "workflow": WORKFLOW, "quantity": amount} | given}
    return event | ({"time": time} if time else {})


async def estimate(caller: Caller, **query: Any) -> Any:
    answer = await caller.get("/v1/estimates", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def workflow(house: House) -> str:
    """A workflow that ran ten times, for 1 to 10 credits in two charges each, and took a tool run each time."""
    for number in range(1, 11):
        await report(
            house,
            direct(f"run-{number}", f"{number - 1}.5"),
            {"type": "direct.charge", "data": {"run": f"run-{number}", "quantity": "0.5"}},
            {"type": "tool.call", "data": {"run": f"run-{number}", "agent": "scout", "integration": "web"}},
        )
    return str(resource_id(house.uuid, "play", WORKFLOW))


async def test_past_runs_tell_what_a_record_costs_and_what_many_will(house: House, workflow: str) -> None:
    found = await estimate(house.owner, workflowUuid=workflow, records=2)
    assert found["samples"] == 10
    assert found["credits"] == {"mean": 5.5, "p50": 5, "p90": 9, "max": 10}
    assert found["toolRuns"] == {"mean": 1, "p50": 1, "p90": 1, "max": 1}
    projection = found["projection"]
    available = projection["credits"].pop("available")
    assert available == 20  # 75 free credits, 55 of them used
    assert projection["credits"] == {
        "mean": 11,
        "p50": 10,
        "p90": 18,
        "covered": {"mean": True, "p50": True, "p90": True},
    }
    assert (projection["records"], projection["sufficient"], projection["sufficientAtP90"]) == (2, True, True)


@pytest.mark.parametrize(("records", "mean", "p90"), [(3, True, False), (4, False, False)])
async def test_the_balance_covers_the_mean_before_the_p90(
    house: House, workflow: str, records: int, mean: bool, p90: bool
) -> None:
    projection = (await estimate(house.owner, workflowUuid=workflow, records=records))["projection"]
    assert (projection["sufficient"], projection["sufficientAtP90"]) == (mean, p90)


async def test_what_is_held_is_not_available_and_its_run_is_no_sample(house: House, workflow: str) -> None:
    hold = {"amounts": {"credits": 10}, "run": "run-10"}
    placed = await house.owner.post("/v1/holds", hold, headers={"idempotency-key": "h"})
    assert placed.status_code == 201, placed.text
    found = await estimate(house.owner, workflowUuid=workflow, records=3)
    assert (found["samples"], found["credits"]["max"]) == (9, 9)
    assert found["projection"]["credits"]["available"] == 10
    assert found["projection"]["sufficient"] is False


async def test_a_refund_changes_nothing_of_what_the_next_run_will_cost(house: House, workflow: str) -> None:
    before = await estimate(house.owner, workflowUuid=workflow)
    assert (await house.operator.post("/v1/runs/run-10/refund", {"reason": "r"})).json()["refund"]["credits"] == 10
    assert await estimate(house.owner, workflowUuid=workflow) == before


async def test_runs_are_chosen_by_agent_by_day_and_by_name(house: House, workflow: str) -> None:
    await report(house, direct("old", 70, time="2026-01-02T00:00:00Z"), direct("edge", 40, time="2026-02-12T00:00:00Z"))
    agent = str(resource_id(house.uuid, "agent", "scout"))
    assert (await estimate(house.owner, agentUuid=agent))["samples"] == 10
    assert (await estimate(house.owner, workflowUuid=workflow))["credits"]["max"] == 40
    past = {"workflowUuid": workflow, "from": "2026-01-01", "to": "2026-01-02"}
    assert (await estimate(house.owner, **past))["credits"] == {"mean": 70, "p50": 70, "p90": 70, "max": 70}
    named = await estimate(house.owner, **{"runs[]": ["run-3", "old"]})
    assert (named["samples"], named["credits"]["mean"]) == (2, 36.5)


async def test_nothing_known_is_said_as_such(house: House) -> None:
    found = await estimate(house.owner, workflowUuid=str(IDS.new(NOW)), records=5)
    assert found == {"samples": 0, "credits": None, "toolRuns": None, "projection": None}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"workflowUuid": "enrich"}, "invalidUuid"),
        ({"records": "0"}, "invalidQuantity"),
        ({"records": "many"}, "invalidRequest"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "invalidRange"),
        ({"from": "2026-03-02"}, "invalidDate"),
    ],
)
async def test_wrong_questions_are_refused_by_name(house: House, query: dict[str, str], reason: str) -> None:
    answer = await house.owner.get("/v1/estimates", params=query)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)


async def simulate(caller: Caller, levers: dict[str, Any], **body: Any) -> Any:
    answer = await caller.post("/v1/simulations", {"levers": levers, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["simulation"]


@pytest.fixture
async def batch(house: House, operator: Caller) -> str:
    """Three runs of a batch: one whole, one that a filter dropped at its end, one that went on after a failure."""
    mark = IDS.secret()[:8].lower()
    for name, amount in (("dear", "10"), ("cheap", "1")):
        rates = {"perMillion": {"inputTokens": amount, "outputTokens": amount}}
        price = {"target": f"llm.tokens/*/{name}-{mark}", "model": "tokens", "rates": rates}
        assert (await operator.post("/v1/prices", price)).status_code == 201

    def event(type_: str, number: int, second: int, node: str, **data: Any) -> dict[str, Any]:
        where = {"run": f"{mark}-{number}", "batch": mark, "workflow": WORKFLOW, "node": node}
        return {"type": type_, "time": f"2026-03-14T09:0{number}:{second:02}Z", "data": where | data}

    for number in (1, 2, 3):
        model = {"agent": "scout", "model": f"dear-{mark}", "inputTokens": 90_000, "outputTokens": 10_000}
        sent = [
            event("llm.tokens", number, 0, "think", **model),
            event("tool.call", number, 1, "think", agent="scout", integration="web"),
            event("llm.tokens", number, 2, "think", **model),
            event("orchestration.execution", number, 3, "think", status="error" if number == 3 else "success"),
        ]
        if number != 3:
            sent.append(event("orchestration.execution", number, 4, "filter"))
        if number != 2:
            sent.append(event("storage.records", number, 5, "keep", quantity=10))
            sent.append(event("orchestration.execution", number, 6, "keep"))
        await report(house, *sent)
    return mark


async def test_each_lever_says_to_the_last_digit_what_it_would_have_saved(house: House, batch: str) -> None:
    whole = {"batch": batch}
    before = Fraction(6) + Fraction(7, 100) + Fraction(20, 1000)
    cheap = await simulate(house.owner, {"languageModel": f"cheap-{batch}"}, **whole)
    assert (cheap["runs"], cheap["charges"], cheap["repriced"], cheap["dropped"]) == (3, 18, 6, 0)
    assert Fraction(str(cheap["before"]["credits"])) == before
    assert (cheap["saved"]["credits"], cheap["saved"]["toolRuns"]) == (5.4, 0)
    steps = await simulate(house.owner, {"maxSteps": 0}, **whole)
    assert (steps["saved"], steps["dropped"]) == ({"credits": 3, "toolRuns": 3}, 6)
    early = await simulate(house.owner, {"filterNode": "filter"}, **whole)
    assert (early["saved"], early["dropped"]) == ({"credits": 2.01, "toolRuns": 1}, 4)
    strict = await simulate(house.owner, {"noFallback": True}, **whole)
    assert (strict["saved"], strict["dropped"]) == ({"credits": 0.02, "toolRuns": 0}, 2)
    levers = {"languageModel": f"cheap-{batch}", "maxSteps": 0, "filterNode": "filter", "noFallback": True}
    every = await simulate(house.owner, levers, **whole)
    assert [one["lever"] for one in every["levers"]] == list(levers)
    assert [one["saved"]["credits"] for one in every["levers"]] == [5.4, 3, 2.01, 0.02]
    # Two runs think once, cheaply; the dropped one only filters; a failed one stores nothing.
    assert Fraction(str(every["after"]["credits"])) == Fraction("0.2") + Fraction("0.05") + Fraction("0.01")
    assert every["after"]["toolRuns"] == 0


async def test_runs_are_chosen_by_run_by_batch_and_by_workflow(house: House, batch: str) -> None:
    levers = {"maxSteps": 0}
    assert (await simulate(house.owner, levers, run=f"{batch}-1"))["runs"] == 1
    assert (await simulate(house.owner, levers, batch=batch))["runs"] == 3
    workflow = str(resource_id(house.uuid, "play", WORKFLOW))
    assert (await simulate(house.owner, levers, workflowUuid=workflow))["runs"] == 3


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"levers": {}}, 400, "invalidRequest"),
        ({"levers": {}, "run": "a", "batch": "b"}, 400, "invalidRequest"),
        ({"levers": {"colour": "red"}, "run": "a"}, 400, "invalidRequest"),
        ({"levers": {"maxSteps": -1}, "run": "a"}, 400, "invalidRequest"),
        ({"levers": {}, "run": "nobody's"}, 404, "runNotFound"),
        ({"levers": {"languageModel": "nobody's"}, "batch": "{batch}"}, 400, "unknownLanguageModel"),
        ({"levers": {"filterNode": "nobody's"}, "batch": "{batch}"}, 404, "nodeNotFound"),
    ],
)
async def test_wrong_simulations_are_refused_by_name(
    house: House, batch: str, body: dict[str, Any], status: int, reason: str
) -> None:
    sent = body | ({"batch": batch} if body.get("batch") == "{batch}" else {})
    answer = await house.owner.post("/v1/simulations", sent)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_runs_of_another_workspace_are_not_found(house: House, batch: str, operator: Caller) -> None:
    stranger = await new_house(operator)
    for chosen in ({"run": f"{batch}-1"}, {"batch": batch}):
        answer = await stranger.owner.post("/v1/simulations", {"levers": {}, **chosen})
        assert (answer.status_code, answer.json()["reason"]) == (404, "runNotFound")
    workflow = str(resource_id(house.uuid, "play", WORKFLOW))
    assert (await estimate(stranger.owner, workflowUuid=workflow))["samples"] == 0
