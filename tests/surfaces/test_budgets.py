"""Budgets and the gate through the API: what they say, and that a run at its cap is stopped."""

import asyncio
import datetime as dt
from typing import Any
from uuid import uuid5

import pytest

from tallystick.runtime import Runtime
from tests import make
from tests.surfaces.conftest import IDS, NOW, Caller, House, new_house

FREE_CREDITS = 75


async def event(house: House, **data: Any) -> dict[str, Any]:
    """Report a charge, or another type of usage."""
    type_ = data.pop("type", "direct.charge")
    body = {
        "specversion": "1.0",
        "id": str(IDS.new(NOW)),
        "source": "test",
        "type": type_,
        "subject": str(house.uuid),
        "time": data.pop("time", NOW.isoformat()),
        "data": data,
    }
    answer = await house.owner.post("/v1/events", body)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1), answer.text
    return dict(answer.json())


async def budget(house: House, **terms: Any) -> dict[str, Any]:
    body = {"name": "Cap", "scope": "agent", "per": "day", "amount": 10} | terms
    made = await house.owner.post("/v1/budgets", body)
    assert made.status_code == 201, made.text
    return dict(made.json()["budget"])


async def gate(house: House, action: str = "run", **params: Any) -> tuple[int, dict[str, Any]]:
    answer = await house.owner.get("/v1/gate", params={"action": action} | params)
    return answer.status_code, answer.json()


async def test_a_budget_is_made_read_changed_and_ended(house: House) -> None:
    await house.owner.put("/v1/resources/agent/writer", {"name": "Writer"})
    await event(house, agent="writer", quantity="2.5")
    made = await budget(house, subject="writer", amount="10.000000001")
    path = f"/v1/budgets/{made['uuid']}"
    assert made == {
        "uuid": made["uuid"],
        "name": "Cap",
        "scope": "agent",
        "subject": str(uuid5(house.uuid, "agent:writer")),
        "per": "day",
        "unit": "credits",
        "amount": 10.000000001,
        "spent": 2.5,
        "held": 0,
        "createdAt": "2026-03-14T09:41:07Z",
    }
    assert (await house.owner.get("/v1/budgets")).json() == {"budgets": [made]}
    assert (await house.owner.get(path)).json() == {"budget": made}
    changed = await house.owner.put(path, {"amount": 3, "name": "Less"})
    assert (changed.status_code, changed.json()["budget"]) == (200, made | {"amount": 3, "name": "Less"})
    for _ in range(2):
        ended = await house.owner.delete(path)
        last = made | {"amount": 3, "name": "Less", "spent": None, "held": None}
        assert (ended.status_code, ended.json()) == (200, {"budget": last})
    assert (await house.owner.get("/v1/budgets")).json() == {"budgets": []}
    for method, body in (("GET", None), ("PUT", {"amount": 1})):
        gone = await house.owner.send(method, path, json=body)
        assert (gone.status_code, gone.json()["reason"]) == (404, "budgetNotFound")


async def test_a_list_of_budgets_is_paged(house: House) -> None:
    for number in range(5):
        await budget(house, name=f"Cap {number}")
    found = []
    for offset in (0, 2, 4):
        page = await house.owner.get("/v1/budgets", params={"limit": 2, "offset": offset})
        found.append([one["name"] for one in page.json()["budgets"]])
    assert sorted(name for page in found for name in page) == [f"Cap {number}" for number in range(5)]
    assert [len(page) for page in found] == [2, 2, 1]


async def test_the_same_key_again_is_the_same_budget_also_at_once(house: House) -> None:
    body = {"name": "Cap", "scope": "workspace", "per": "month", "amount": 5}
    headers = {"idempotency-key": "make-it"}
    answers = await asyncio.gather(*(house.owner.post("/v1/budgets", body, headers=headers) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["budget"]["uuid"] for answer in answers}) == 1
    other = await house.owner.post("/v1/budgets", body | {"amount": 6}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")
    path = f"/v1/budgets/{answers[0].json()['budget']['uuid']}"
    assert (await house.owner.delete(path)).status_code == 200
    again = await house.owner.post("/v1/budgets", body, headers=headers)
    assert (again.status_code, again.json()["budget"]["uuid"]) == (201, answers[0].json()["budget"]["uuid"])
    assert (await house.owner.get("/v1/budgets")).json() == {"budgets": []}


async def test_the_same_key_for_another_budget_is_a_conflict(house: House) -> None:
    first, second = await budget(house), await budget(house)
    headers = {"idempotency-key": "change-it"}
    done = await house.owner.put(f"/v1/budgets/{first['uuid']}", {"amount": 1}, headers=headers)
    assert done.status_code == 200
    other = await house.owner.put(f"/v1/budgets/{second['uuid']}", {"amount": 1}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"scope": "team"}, 400, "invalidRequest"),
    ({"per": "week"}, 400, "invalidRequest"),
    ({"unit": "tokens"}, 400, "invalidRequest"),
    ({"amount": -1}, 400, "invalidAmount"),
    ({"amount": "0.0000000001"}, 400, "invalidAmount"),
    ({"amount": "1e30"}, 400, "invalidAmount"),
    ({"name": ""}, 400, "invalidRequest"),
    ({"name": " "}, 400, "invalidText"),
    ({"name": "a\nb"}, 400, "invalidText"),
    ({"scope": "workspace", "subject": "x"}, 400, "invalidScope"),
    ({"subject": "nobody"}, 404, "resourceNotFound"),
    ({"scope": "apiKey", "subject": "a\tb"}, 400, "invalidKey"),
    ({"limit": 3}, 400, "invalidRequest"),
]


@pytest.mark.parametrize(("terms", "status", "reason"), WRONG)
async def test_terms_that_no_budget_has_are_refused(
    house: House, terms: dict[str, Any], status: int, reason: str
) -> None:
    body = {"name": "Cap", "scope": "agent", "per": "day", "amount": 10} | terms
    answer = await house.owner.post("/v1/budgets", body)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text
    assert (await house.owner.get("/v1/budgets")).json() == {"budgets": []}


async def test_a_budget_of_another_workspace_is_neither_seen_nor_changed(house: House, operator: Caller) -> None:
    made = await budget(house, amount=0, scope="workspace")
    stranger = await new_house(operator)
    path = f"/v1/budgets/{made['uuid']}"
    for method, body in (("GET", None), ("PUT", {"amount": 9}), ("DELETE", None)):
        answer = await stranger.owner.send(method, path, json=body)
        assert (answer.status_code, answer.json()["reason"]) == (404, "budgetNotFound")
    assert (await stranger.owner.get("/v1/budgets")).json() == {"budgets": []}
    assert (await gate(stranger))[0] == 200
    assert (await gate(house))[0] == 402


async def test_a_run_is_stopped_at_its_cap_and_another_one_goes_on(house: House) -> None:
    await budget(house, scope="workspace", per="run", amount=3)
    for _ in range(3):
        assert (await gate(house, run="r1"))[0] == 200
        await event(house, run="r1", quantity="1")
    status, refused = await gate(house, run="r1")
    assert (status, refused["reason"]) == (402, "budgetExceeded")
    assert refused["errorMessage"] == 'The budget "Cap" has 0 credits left.'
    assert refused["details"]["blocking"] | {"id": ""} == {
        "kind": "budget",
        "id": "",
        "name": "Cap",
        "scope": "workspace",
        "subject": "workspace",
        "per": "run",
        "window": "r1",
    }
    assert refused["details"]["wayOn"] == "Raise the budget: this run is at its cap."
    assert (await gate(house, run="r2"))[0] == 200
    assert (await gate(house))[0] == 200
    # What was spent already arrives, and is counted and told.
    await event(house, run="r1", quantity="2")
    assert (await gate(house, run="r1"))[1]["details"]["available"] == -2
    held = await house.owner.post("/v1/holds", {"amounts": {"credits": 1}, "run": "r1"})
    assert (held.status_code, held.json()["reason"]) == (402, "budgetExceeded")


async def test_of_several_budgets_the_most_restrictive_decides(house: House) -> None:
    wide = await budget(house, scope="workspace", per="month", amount=20)
    await budget(house, scope="apiKey", amount=9)
    narrow = await budget(house, scope="user", amount=4)
    await event(house, user="ann", apiKey="k", agent="a", quantity="1")

    async def blocks(amount: int, **named: str) -> str | None:
        status, answer = await gate(house, amount=amount, **named)
        return None if status == 200 else str(answer["details"]["blocking"]["id"])

    assert await blocks(3, user="ann", apiKey="k") is None
    assert await blocks(4, user="ann", apiKey="k") == narrow["uuid"]
    assert await blocks(4, user="bob", apiKey="k") is None
    assert await blocks(19) is None
    assert await blocks(20) == wide["uuid"]


GATES: list[tuple[str, dict[str, Any], str | None]] = [
    ("run", {}, None),
    ("run", {"amount": FREE_CREDITS}, None),
    ("run", {"amount": "75.000000001"}, "notEnoughCredits"),
    ("tool", {}, None),
    ("tool", {"amount": 10_000}, None),
    ("tool", {"amount": 10_001}, "notEnoughToolRuns"),
    ("deploy", {}, None),
    ("fineTune", {"amount": 75}, None),
    ("fineTune", {"amount": 76}, "notEnoughCredits"),
]


@pytest.mark.parametrize(("action", "params", "reason"), GATES)
async def test_a_new_workspace_may_do_what_its_free_grants_pay(
    house: House, action: str, params: dict[str, Any], reason: str | None
) -> None:
    status, answer = await gate(house, action, **params)
    if reason is None:
        remaining = {"credits": FREE_CREDITS, "toolRuns": 10_000}
        assert (status, answer) == (
            200,
            {"allowed": True, "reason": None, "message": "", "details": {}, "remaining": remaining},
        )
    else:
        assert (status, answer["reason"]) == (402, reason)
        assert set(answer) == {"errorMessage", "reason", "details"}
        assert {"unit", "needed", "available", "held", "blocking", "wayOn"} <= set(answer["details"])


async def test_what_is_held_is_not_available_and_nothing_is_held_by_asking(house: House) -> None:
    made = await house.owner.post("/v1/holds", {"amounts": {"credits": 70, "toolRuns": 9_999}, "run": "r"})
    assert made.status_code == 201, made.text
    for _ in range(3):
        assert (await gate(house, amount=5))[1]["remaining"] == {"credits": 5, "toolRuns": 1}
    status, refused = await gate(house, amount=6)
    assert (status, refused["details"]) == (
        402,
        {
            "unit": "credits",
            "needed": 6,
            "available": 5,
            "held": 70,
            "blocking": {"kind": "balance", "id": "credits", "name": "credits"},
            "wayOn": "Wait until open holds have settled, or top up.",
        },
    )
    assert (await gate(house, "deploy"))[0] == 200
    assert (await gate(house, "fineTune"))[1]["details"]["moreThan"] == 25


async def test_deployments_need_the_threshold_and_stop_at_the_negative_limit(house: House) -> None:
    for spent, reason in (("70", None), ("0.000000001", "deploymentsDisabled"), ("15", "negativeLimitReached")):
        await event(house, quantity=spent)
        status, answer = await gate(house, "deploy")
        assert (status, answer.get("reason")) == (200 if reason is None else 402, reason)
    assert answer["errorMessage"].startswith("You've used all your available credits.")
    assert (await gate(house))[1]["reason"] == "notEnoughCredits"
    status, refused = await gate(house, "tool")
    assert (status, refused["reason"]) == (402, "notEnoughCredits")


async def test_the_state_of_the_subscription_and_the_run_quota_refuse(house: House, runtime: Runtime) -> None:
    async def write(sql: str) -> None:
        async with runtime.database.data() as conn:
            await conn.execute(sql.encode(), [house.uuid])

    assert (await house.owner.post("/v1/holds", {"amounts": {"credits": 1}, "run": "started"})).status_code == 201
    await write("UPDATE billing_period SET runs_started = 1000 WHERE workspace_id = %s")
    status, refused = await gate(house)
    assert (status, refused["reason"], refused["details"]["limit"]) == (402, "runQuotaReached", 1_000)
    assert refused["details"]["blocking"]["name"] == "Free"
    assert (await gate(house, run="started"))[0] == 200
    assert (await gate(house, run="another"))[0] == 402
    held = await house.owner.post("/v1/holds", {"amounts": {"credits": 1}, "run": "another"})
    assert (held.status_code, held.json()["reason"]) == (402, "runQuotaReached")
    assert held.json()["details"]["blocking"] == refused["details"]["blocking"]
    assert (await gate(house, "tool"))[0] == 200
    for state, reason in (("paused", "trialEnded"), ("past_due", "pastDue")):
        await write(f"UPDATE subscription SET status = '{state}' WHERE workspace_id = %s")
        for action in ("run", "tool", "deploy", "fineTune"):
            status, refused = await gate(house, action)
            assert (status, refused["reason"]) == (402, reason)
        held = await house.owner.post("/v1/holds", {"amounts": {"credits": 1}, "run": "started"})
        assert (held.status_code, held.json()["reason"]) == (402, reason)


async def test_a_plan_that_invoices_goes_beyond_its_credits(house: House, runtime: Runtime) -> None:
    async with runtime.database.data() as conn:
        await conn.execute(
            b"UPDATE subscription SET plan_version_id = (SELECT id FROM plan_version"
            b" WHERE plan = 'enterprise' AND version = 1 AND workspace_id IS NULL)"
            b" WHERE workspace_id = %s",
            [house.uuid],
        )
    await event(house, quantity="500")
    for action in ("run", "deploy", "fineTune"):
        status, answer = await gate(house, action, amount=1_000)
        assert (status, answer["remaining"]["credits"]) == (200, -425), action
    assert (await gate(house, "tool", amount=10_001))[1]["reason"] == "notEnoughToolRuns"


async def test_what_is_due_is_settled_before_the_gate_answers(operator: Caller, runtime: Runtime) -> None:
    born = NOW - dt.timedelta(days=2)
    uuid = await make.bare_workspace(runtime.database, born)
    await make.grant(runtime.database, uuid, 9, born, expires_at=NOW)
    asking = Caller(operator.http, operator.token, uuid)
    status, answer = await gate(House(uuid, operator, asking))
    assert (status, answer["details"]["available"]) == (402, 0)


BAD: list[tuple[dict[str, str], str]] = [
    ({}, "invalidRequest"),
    ({"action": "fly"}, "invalidRequest"),
    ({"action": "run", "amount": "-1"}, "invalidAmount"),
    ({"action": "run", "amount": "NaN"}, "invalidAmount"),
    ({"action": "run", "amount": "0.0000000001"}, "invalidAmount"),
    ({"action": "run", "agent": "x" * 201}, "invalidKey"),
    ({"action": "run", "run": "a\nb"}, "invalidText"),
]


@pytest.mark.parametrize(("params", "reason"), BAD)
async def test_a_question_that_makes_no_sense_is_refused(house: House, params: dict[str, str], reason: str) -> None:
    answer = await house.owner.get("/v1/gate", params=params)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)


async def test_an_unknown_name_is_capped_as_its_first_event_will_be_and_is_not_made(house: House) -> None:
    await budget(house, amount=3)
    assert (await gate(house, agent="new", amount=3))[0] == 200
    assert (await gate(house, agent="new", amount=4))[0] == 402
    assert (await house.owner.get("/v1/resources/agent/new")).status_code == 404
    await event(house, agent="new", quantity="1")
    assert (await gate(house, agent="new", amount=3))[0] == 402
    assert (await gate(house, agent=str(uuid5(house.uuid, "agent:new")), amount=3))[0] == 402


async def test_a_workflow_is_a_play_or_a_tool(house: House) -> None:
    tool = await house.owner.put("/v1/resources/tool/enrich", {"name": "Enrich"})
    made = await budget(house, scope="workflow", subject="enrich", amount=0)
    assert made["subject"] == tool.json()["resource"]["uuid"]
    assert (await gate(house, workflow="enrich"))[0] == 402
    assert (await gate(house, workflow=made["subject"]))[0] == 402
    assert (await gate(house, workflow="other"))[0] == 200


async def test_who_may_only_read_reads_and_who_holds_asks(house: House) -> None:
    made = await budget(house)
    reader = await house.caller("viewer", ("billing:read",))
    member = await house.caller("member")
    assert (await reader.get(f"/v1/budgets/{made['uuid']}")).status_code == 200
    assert (await reader.put(f"/v1/budgets/{made['uuid']}", {"amount": 1})).status_code == 403
    assert (await member.get("/v1/budgets")).content == b'{"errorMessage":"forbidden"}'
    assert (await member.get("/v1/gate", params={"action": "run"})).status_code == 200
