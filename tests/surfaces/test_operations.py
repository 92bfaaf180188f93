"""What an operator does by hand, through the API: corrections, grants ended early, limits, and the audit log."""

import asyncio
import datetime as dt
from typing import Any

import httpx2
import pytest

from tallystick.runtime import Runtime
from tests import make
from tests.surfaces.conftest import IDS, NOW, Caller, House, new_house
from tests.surfaces.test_usage import report

MONTH = dt.timedelta(days=30)


@pytest.fixture
async def clean(house: House, runtime: Runtime) -> Any:
    """Whatever a test does, verify finds nothing afterwards."""
    yield
    assert await make.differences(runtime.database, house.uuid) == []


pytestmark = pytest.mark.usefixtures("clean")


async def adjust(house: House, amount: float | str, **terms: Any) -> httpx2.Response:
    headers = terms.pop("headers", {})
    body = {"workspaceUuid": str(house.uuid), "unit": "credits", "amount": amount, "reason": "granted twice"} | terms
    return await house.operator.post("/v1/credits/adjust", body, headers=headers)


async def balance(house: House, unit: str = "credits") -> dict[str, Any]:
    found = (await house.owner.get("/v1/balances")).json()["balances"]
    return next(one for one in found if one["unit"] == unit)


async def use(house: House, amount: str) -> None:
    await report(house, {"id": str(IDS.new(NOW)), "type": "direct.charge", "quantity": amount})


async def audit(house: House, **params: str) -> list[dict[str, Any]]:
    answer = await house.owner.get("/v1/audit", params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entries"])


async def facts(runtime: Runtime, house: House, kind: str) -> list[dict[str, Any]]:
    query = "SELECT data FROM fact WHERE workspace_id = %s AND kind = %s ORDER BY created_at, id"
    return [row["data"] for row in await make.rows(runtime.database, query, house.uuid, kind)]


async def test_a_correction_upwards_is_a_grant_that_is_told_as_a_correction(house: House, runtime: Runtime) -> None:
    made = await adjust(house, "12.5", reason="failed runs")
    assert made.status_code == 201, made.text
    grant = made.json()["grant"]
    assert (grant["source"], grant["amount"], grant["remaining"], grant["expiresAt"]) == (
        "adjustment",
        12.5,
        12.5,
        None,
    )
    assert made.json()["balances"][0]["posted"] == 87.5
    [fact] = await facts(runtime, house, "credits.adjusted")
    assert (fact["amount"], fact["reason"], fact["grantUuid"]) == (12.5, "failed runs", grant["uuid"])
    assert len(await facts(runtime, house, "credits.granted")) == 1


async def test_a_correction_downwards_takes_from_grants_in_burn_order(house: House, runtime: Runtime) -> None:
    await use(house, "15")
    soon = {"expiresAt": (NOW + dt.timedelta(days=3)).isoformat(), "source": "promotion"}
    given = {"workspaceUuid": str(house.uuid), "unit": "credits", "amount": 10, "reason": "offer"} | soon
    assert (await house.operator.post("/v1/grants", given)).status_code == 201
    taken = await adjust(house, -20)
    assert (taken.status_code, taken.json()["grant"]) == (201, None)
    grants = (await house.owner.get("/v1/grants", params={"includeEnded": "true"})).json()["grants"]
    left = {grant["source"]: (grant["remaining"], grant["expired"]) for grant in grants if grant["unit"] == "credits"}
    assert left == {"promotion": (0, 10), "free": (50, 10)}
    after = await balance(house)
    assert (after["granted"], after["used"], after["posted"]) == (65, 15, 50)
    [fact] = await facts(runtime, house, "credits.adjusted")
    assert (fact["amount"], fact["remaining"], fact["usedPercent"]) == (-20, 50, 23.08)
    # 20 % was told before the correction went over nothing more; half is next.
    assert [one["threshold"] for one in await facts(runtime, house, "credits.threshold_crossed")] == [20]


async def test_no_more_is_taken_than_there_is_and_nothing_that_is_held(house: House) -> None:
    held = await house.owner.post("/v1/holds", {"amounts": {"credits": 30}})
    assert held.status_code == 201
    refused = await adjust(house, "-45.000000001")
    assert (refused.status_code, refused.json()["reason"]) == (409, "adjustmentTooLarge")
    assert refused.json()["details"] == {
        "unit": "credits",
        "needed": "45.000000001",
        "available": "45",
        "held": "30",
    }
    assert (await balance(house))["posted"] == 75
    assert (await adjust(house, -45)).status_code == 201
    settled = await house.owner.post(f"/v1/holds/{held.json()['hold']['id']}/settle", {"amounts": {"credits": 30}})
    assert settled.status_code == 200
    assert (await balance(house))["posted"] == 0


async def test_what_is_taken_beyond_is_owed_and_paid_by_the_next_grant(house: House) -> None:
    await use(house, "60")
    assert (await adjust(house, -40, allowNegative=True)).status_code == 201
    owing = await balance(house)
    assert (owing["posted"], owing["granted"], owing["used"], owing["state"]) == (-25, 35, 35, "exhausted")
    assert (await adjust(house, 100)).status_code == 201
    paid = await balance(house)
    assert (paid["posted"], paid["granted"], paid["used"]) == (75, 135, 60)


async def test_tool_runs_are_corrected_too(house: House, runtime: Runtime) -> None:
    assert (await adjust(house, -9_000, unit="toolRuns")).status_code == 201
    assert ((await balance(house, "toolRuns"))["posted"], (await balance(house))["posted"]) == (1_000, 75)
    [fact] = await facts(runtime, house, "tool_runs.adjusted")
    assert (fact["unit"], fact["amount"]) == ("toolRuns", -9_000)


@pytest.mark.parametrize("amount", [10, -10])
async def test_a_repeated_correction_is_made_once(house: House, runtime: Runtime, amount: int) -> None:
    key = {"Idempotency-Key": "fix-1"}
    first, again = [await adjust(house, amount, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    assert (await balance(house))["posted"] == 75 + amount
    assert len(await facts(runtime, house, "credits.adjusted")) == 1
    assert len(await audit(house, action="credits.adjusted")) == 1
    other = await adjust(house, amount + 1, headers=key)
    assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"amount": 0}, "invalidAmount"),
        ({"amount": "-100000001"}, "invalidAmount"),
        ({"amount": "NaN"}, "invalidAmount"),
        ({"reason": ""}, "invalidText"),
        ({"unit": "euros"}, "invalidRequest"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "invalidExpiry"),
        ({"priority": -1}, "invalidPriority"),
    ],
)
async def test_a_correction_that_makes_no_sense_is_refused(house: House, terms: dict[str, Any], reason: str) -> None:
    amount = terms.pop("amount", 5)
    refused = await adjust(house, amount, **terms)
    assert (refused.status_code, refused.json()["reason"]) == (400, reason)
    assert (await balance(house))["posted"] == 75


async def grant_of(house: House, unit: str = "credits") -> str:
    grants = (await house.owner.get("/v1/grants")).json()["grants"]
    return str(next(grant["uuid"] for grant in grants if grant["unit"] == unit))


async def expire(house: House, grant: str, **headers: str) -> httpx2.Response:
    body = {"workspaceUuid": str(house.uuid), "reason": "given by mistake"}
    return await house.operator.post(f"/v1/grants/{grant}/expire", body, headers=headers)


async def test_a_grant_is_ended_early_once(house: House, runtime: Runtime) -> None:
    await use(house, "15")
    grant = await grant_of(house)
    ended = await expire(house, grant)
    assert ended.status_code == 200, ended.text
    shown = ended.json()["grant"]
    assert (shown["remaining"], shown["expired"], shown["endedAt"]) == (0, 60, NOW.isoformat().replace("+00:00", "Z"))
    after = await balance(house)
    assert (after["posted"], after["granted"], after["used"]) == (0, 15, 15)
    again = await expire(house, grant)
    assert (again.status_code, again.json()["reason"]) == (409, "grantEnded")
    [fact] = await facts(runtime, house, "credits.expired")
    assert (fact["amount"], fact["free"], fact["reason"]) == (60, True, "given by mistake")
    [entry] = await audit(house, action="grant.expired")
    assert (entry["reason"], entry["details"]["amount"], entry["details"]["grant"]) == ("given by mistake", "60", grant)


async def test_the_same_request_to_end_a_grant_has_the_same_answer(house: House) -> None:
    grant = await grant_of(house)
    first, again = [await expire(house, grant, **{"Idempotency-Key": "end-1"}) for _ in range(2)]
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (200, first.json())


async def test_what_open_holds_rely_on_outlives_a_grant_that_is_ended(house: House) -> None:
    held = await house.owner.post("/v1/holds", {"amounts": {"credits": 10}})
    grant = await grant_of(house)
    assert (await expire(house, grant)).json()["grant"]["remaining"] == 10
    assert (await expire(house, grant)).status_code == 409
    settled = await house.owner.post(f"/v1/holds/{held.json()['hold']['id']}/settle", {"amounts": {"credits": 10}})
    assert settled.status_code == 200
    assert (await balance(house))["posted"] == 0


async def test_a_grant_of_another_workspace_is_not_found(house: House, operator: Caller) -> None:
    stranger = await new_house(operator)
    missing = await expire(house, await grant_of(stranger))
    assert (missing.status_code, missing.json()["reason"]) == (404, "grantNotFound")
    assert (await balance(stranger))["posted"] == 75


async def limits(house: House, **changes: Any) -> httpx2.Response:
    return await house.operator.put("/v1/limits", {"reason": "contract"} | changes)


async def test_a_workspace_has_limits_of_its_own_over_the_installations(house: House, operator: Caller) -> None:
    shipped = {
        "deployThreshold": 5,
        "lowLimit": 1,
        "negativeLimit": -10,
        "fineTuneMinimum": 25,
        "complySeconds": 300,
    }
    nothing = dict.fromkeys(shipped)
    assert (await house.owner.get("/v1/limits")).json() == {"limits": shipped, "own": nothing}
    changed = await limits(house, negativeLimit="-50.5", complySeconds=60)
    own = {"negativeLimit": -50.5, "complySeconds": 60}
    assert (changed.status_code, changed.json()) == (200, {"limits": shipped | own, "own": nothing | own})
    assert (await house.owner.get("/v1/limits")).json() == changed.json()
    back = await limits(house, negativeLimit=None)
    assert back.json() == {
        "limits": shipped | {"complySeconds": 60},
        "own": nothing | {"complySeconds": 60},
    }
    stranger = await new_house(operator)
    assert (await stranger.owner.get("/v1/limits")).json()["limits"] == shipped
    entries = await audit(house, action="limits")
    assert sorted((entry["details"] for entry in entries), key=len) == [
        {"negative_limit": None},
        {"negative_limit": "-50.5", "comply_seconds": 60},
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"deployThreshold": 0},
        {"lowLimit": 6},
        {"lowLimit": -1},
        {"negativeLimit": 0},
        {"negativeLimit": 1},
        {"fineTuneMinimum": -1},
        {"deployThreshold": 2, "lowLimit": 3},
    ],
)
async def test_limits_out_of_order_are_refused_and_change_nothing(house: House, changes: dict[str, Any]) -> None:
    before = (await house.owner.get("/v1/limits")).json()
    refused = await limits(house, **changes)
    assert (refused.status_code, refused.json()["reason"]) == (400, "invalidLimits")
    assert (await house.owner.get("/v1/limits")).json() == before


@pytest.mark.parametrize("seconds", [0, -5, 604_801, 1.5, "300"])
async def test_seconds_to_comply_are_whole_and_within_a_week(house: House, seconds: Any) -> None:
    refused = await limits(house, complySeconds=seconds)
    assert (refused.status_code, refused.json()["reason"]) == (400, "invalidRequest")


async def test_the_audit_log_says_who_when_and_why_the_newest_first(house: House, runtime: Runtime) -> None:
    await adjust(house, 5, reason="first")
    await adjust(house, -5, reason="second")
    earlier = "UPDATE audit_entry SET at = at - interval '1 second' WHERE workspace_id = %s AND reason = 'first'"
    async with runtime.database.data() as conn:
        await conn.execute(earlier.encode(), [house.uuid])
    [second, first] = found = await audit(house, action="credits")
    assert [(entry["action"], entry["reason"]) for entry in found] == [
        ("credits.adjusted", "second"),
        ("credits.adjusted", "first"),
    ]
    assert second["workspaceUuid"] == str(house.uuid)
    assert second["actor"].startswith("operator:")
    assert (second["details"]["unit"], second["details"]["amount"]) == ("credits", "-5")
    everything = await audit(house)
    assert everything[-1] == first
    assert await audit(house, limit="1", offset=str(len(everything) - 1)) == [first]
    assert await audit(house, actor=second["actor"], action="credits.adjusted") == [second, first]
    assert await audit(house, actor="nobody") == []
    assert await audit(house, since=(NOW + MONTH).isoformat()) == []
    assert await audit(house, until=NOW.isoformat()) == [first]
    assert await audit(house, since=NOW.isoformat(), until=(NOW + MONTH).isoformat()) == everything[:-1]


async def test_a_workspace_sees_its_own_entries_and_an_operator_those_of_all(house: House, operator: Caller) -> None:
    stranger = await new_house(operator)
    await adjust(house, 5)
    await adjust(stranger, 5)
    assert {entry["workspaceUuid"] for entry in await audit(house)} == {str(house.uuid)}
    one = (await house.operator.get("/v1/audit", params={"limit": "1000"})).json()["entries"]
    assert {entry["workspaceUuid"] for entry in one} == {str(house.uuid)}
    answer = await operator.get("/v1/audit", params={"action": "credits.adjusted", "limit": "1000"})
    seen = {entry["workspaceUuid"] for entry in answer.json()["entries"]}
    assert {str(stranger.uuid), str(house.uuid)} <= seen


@pytest.mark.parametrize(
    ("params", "reason"),
    [({"limit": "0"}, "invalidRequest"), ({"since": "yesterday"}, "invalidRequest"), ({"action": "\0"}, "invalidText")],
)
async def test_filters_that_make_no_sense_are_refused(house: House, params: dict[str, str], reason: str) -> None:
    refused = await house.owner.get("/v1/audit", params=params)
    assert (refused.status_code, refused.json()["reason"]) == (400, reason)


async def test_corrections_at_once_never_take_more_than_there_is(house: House) -> None:
    answers = await asyncio.gather(*(adjust(house, -20) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 409, 409, 409]
    assert (await balance(house))["posted"] == 15


async def test_what_is_kept_for_holds_is_not_taken_back_but_owed(house: House) -> None:
    held = await house.owner.post("/v1/holds", {"amounts": {"credits": 10}})
    await expire(house, await grant_of(house))
    assert (await adjust(house, -1)).status_code == 409
    assert (await adjust(house, -1, allowNegative=True)).status_code == 201
    settled = await house.owner.post(f"/v1/holds/{held.json()['hold']['id']}/settle", {"amounts": {"credits": 10}})
    assert settled.status_code == 200
    assert (await balance(house))["posted"] == -1
    subscription = (await house.owner.get("/v1/billing/subscriptions")).json()["subscription"]
    remaining = subscription["subscriptionAvailableCreditsCount"] - subscription["subscriptionCreditsUsedCount"]
    assert remaining + subscription["additionalAvailableCreditsCount"] == -1
