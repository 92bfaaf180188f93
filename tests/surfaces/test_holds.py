"""Holds over HTTP: statuses, answers and refusals as `interfaces.md` has them."""

import datetime as dt
from typing import Any

import pytest

from tests.surfaces.conftest import Caller, House, new_house


@pytest.fixture
async def admin(operator: Caller) -> House:
    """A house of ten credits and five tool runs."""
    house = await new_house(operator)
    await grant(house, "credits", 10 - 75)
    return house


async def grant(house: House, unit: str, amount: float) -> None:
    """A new house has 75 free credits: what is too much is held for good."""
    if amount < 0:
        body = {"amounts": {unit: -amount}, "expiresInSeconds": 86_400}
        assert (await house.owner.post("/v1/holds", body)).status_code == 201


async def place(house: House, body: Any, key: str | None = None) -> Any:
    headers = {} if key is None else {"idempotency-key": key}
    return await house.owner.post("/v1/holds", body, headers=headers)


async def test_a_hold_is_made_once_and_answered_whole(admin: House) -> None:
    body = {"amounts": {"credits": "2.5", "toolRuns": 1}, "run": "r", "agent": "a", "expiresInSeconds": 60}
    made = await place(admin, body, "k")
    assert made.status_code == 201
    hold = made.json()["hold"]
    assert {name: hold[name] for name in ("status", "amounts", "open", "settled", "run", "finishedAt")} == {
        "status": "held",
        "amounts": {"credits": 2.5, "toolRuns": 1},
        "open": {"credits": 2.5, "toolRuns": 1},
        "settled": {"credits": 0, "toolRuns": 0},
        "run": "r",
        "finishedAt": None,
    }
    times = [dt.datetime.fromisoformat(hold[name]) for name in ("createdAt", "expiresAt")]
    assert times[1] - times[0] == dt.timedelta(seconds=60)
    assert [(row["unit"], row["held"]) for row in made.json()["balances"]] == [("credits", 67.5), ("toolRuns", 1)]
    again = await place(admin, body, "k")
    assert (again.status_code, again.json()["hold"]) == (200, hold)
    other = await place(admin, body | {"run": "other"}, "k")
    assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")
    shown = await admin.owner.get(f"/v1/holds/{hold['id']}")
    assert (shown.status_code, shown.json()["hold"]) == (200, hold)
    listed = await admin.owner.get("/v1/holds", params={"run": "r", "status": "held"})
    assert listed.json()["holds"] == [hold]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"amounts": {}}, "invalidAmount"),
        ({"amounts": {"credits": -1}}, "invalidAmount"),
        ({"amounts": {"credits": "-0.5"}}, "invalidAmount"),
        ({"amounts": {"dollars": 1}}, "invalidAmount"),
        ({"amounts": {"credits": "0.0000000001"}}, "invalidAmount"),
        ({"amounts": {"credits": 1e30}}, "invalidAmount"),
        ({"amounts": {"credits": "NaN"}}, "invalidAmount"),
        ({"amounts": {"credits": 1}, "expiresInSeconds": 0}, "invalidExpiry"),
        ({"amounts": {"credits": 1}, "expiresInSeconds": 86_401}, "invalidExpiry"),
        ({}, "invalidRequest"),
        ({"amounts": {"credits": 1}, "agnet": "a"}, "invalidRequest"),
    ],
)
async def test_what_is_no_hold_is_named(admin: House, body: Any, reason: str) -> None:
    answer = await place(admin, body)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)


async def test_a_refusal_is_402_with_the_figures_and_the_way_on(admin: House) -> None:
    answer = await place(admin, {"amounts": {"credits": 10.5}})
    assert answer.status_code == 402
    told = answer.json()
    assert (told["reason"], told["errorMessage"]) == ("notEnoughCredits", "This needs 10.5 credits; 10 available.")
    assert told["details"] == {
        "unit": "credits",
        "needed": 10.5,
        "available": 10,
        "held": 65,
        "blocking": {"kind": "balance", "id": "credits", "name": "credits"},
        "wayOn": "Wait until open holds have settled, or top up.",
    }


async def test_a_settle_names_amounts_or_events(admin: House) -> None:
    hold = (await place(admin, {"amounts": {"credits": 5}})).json()["hold"]["id"]
    path = f"/v1/holds/{hold}/settle"
    for body in ({}, {"amounts": {"credits": 1}, "events": []}, {"final": True}):
        answer = await admin.owner.post(path, body)
        assert (answer.status_code, answer.json()["reason"]) == (400, "invalidRequest")
    part = await admin.owner.post(path, {"amounts": {"credits": 1.25}, "final": False})
    assert part.json()["hold"]["open"]["credits"] == 3.75
    subjects = ("", str(admin.uuid))
    events = [
        {"specversion": "1.0", "id": f"e{n}", "source": "s", "type": "direct.charge", "subject": subject}
        | {"data": {"quantity": "0.5"}}
        for n, subject in enumerate(subjects)
    ]
    bad = {"specversion": "0.3", "id": "bad", "source": "s", "type": "direct.charge"}
    done = await admin.owner.post(path, {"events": [*events, bad]})
    assert done.status_code == 200, done.text
    usage = done.json()["usage"]
    assert (usage["accepted"], usage["chargedCredits"]) == (2, 1)
    assert [(row["index"], row["id"], row["reason"]) for row in usage["rejected"]] == [(2, "bad", "invalidEvent")]
    assert (done.json()["hold"]["status"], done.json()["hold"]["settled"]["credits"]) == ("settled", 2.25)


async def test_a_settle_may_name_its_workspace_by_key_and_no_other_one(operator: Caller) -> None:
    houses = [await new_house(operator) for _ in range(2)]
    keyed = await operator.post("/v1/workspaces", {"name": "Keyed", "key": f"keyed-{houses[0].uuid.hex[-12:]}"})
    mine = Caller(operator.http, keyed.json()["adminToken"])
    hold = (await mine.post("/v1/holds", {"amounts": {"credits": 5}})).json()["hold"]["id"]
    event = {"specversion": "1.0", "id": "e", "source": "s", "type": "direct.charge", "data": {"quantity": 1}}
    foreign = await mine.post(f"/v1/holds/{hold}/settle", {"events": [event | {"subject": str(houses[1].uuid)}]})
    assert (foreign.status_code, foreign.json()["errorMessage"]) == (403, "forbidden")
    key = keyed.json()["workspace"]["key"]
    done = await mine.post(f"/v1/holds/{hold}/settle", {"events": [event | {"subject": key}]})
    assert (done.status_code, done.json()["usage"]["accepted"]) == (200, 1)
    # The same report by the other door is the same event.
    again = await mine.post("/v1/events", [event | {"subject": key}])
    assert again.json()["duplicates"] == 1


async def test_an_end_is_answered_again_and_a_second_one_refused(admin: House) -> None:
    hold = (await place(admin, {"amounts": {"credits": 5}})).json()["hold"]["id"]
    void = f"/v1/holds/{hold}/void"
    first = await admin.owner.post(void, headers={"idempotency-key": "v"})
    again = await admin.owner.post(void, headers={"idempotency-key": "v"})
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    for path, body in ((void, None), (f"/v1/holds/{hold}/extend", {"expiresInSeconds": 5})):
        answer = await admin.owner.post(path, body)
        assert (answer.status_code, answer.json()["reason"]) == (409, "holdNotOpen")
    for path, body in ((void, None), (f"/v1/holds/{hold}/settle", {"amounts": {"credits": 1}})):
        answer = await admin.owner.post(path.replace(hold, str(admin.uuid)), body)
        assert (answer.status_code, answer.json()["reason"]) == (404, "holdNotFound")


async def test_a_part_with_the_key_of_another_one_is_a_conflict(admin: House) -> None:
    hold = (await place(admin, {"amounts": {"credits": 5}})).json()["hold"]["id"]
    path, key = f"/v1/holds/{hold}/settle", {"idempotency-key": "part"}
    first = await admin.owner.post(path, {"amounts": {"credits": 1}, "final": False}, headers=key)
    other = await admin.owner.post(path, {"amounts": {"credits": 2}, "final": False}, headers=key)
    assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")
    shown = await admin.owner.get(f"/v1/holds/{hold}")
    assert shown.json()["hold"] == first.json()["hold"]
    assert shown.json()["hold"]["open"]["credits"] == 4


async def test_a_settle_by_amount_leaves_names_as_people_gave_them(admin: House) -> None:
    """The first that is heard of an agent may be a hold and what settles it."""
    body = {"amounts": {"credits": 5}, "agent": "researcher", "workflow": "digest", "project": "spring", "user": "u1"}
    hold = (await place(admin, body)).json()["hold"]["id"]
    done = await admin.owner.post(f"/v1/holds/{hold}/settle", {"amounts": {"credits": 1}})
    assert done.json()["usage"]["accepted"] == 1
    agents = (await admin.owner.get("/v1/ai/agents/list")).json()["agents"]
    assert [agent["name"] for agent in agents] == ["researcher"]
    plays = (await admin.owner.get("/v1/orchestration/plays/list")).json()["plays"]
    assert [play["name"] for play in plays] == ["digest"]
