"""Fine-tuning jobs over HTTP: gated, set aside, charged with what they took, once."""

import asyncio
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tallystick.domain.credits.limits import OwnLimits
from tallystick.runtime import Runtime
from tallystick.store import limits
from tests import make
from tests.surfaces.conftest import NOW, Caller, House

JOBS = "/v1/fine-tuning-jobs"
JOB = {
    "baseModel": "llama-8b",
    "model": "support-answers",
    "trainingTokens": 500_000,
    "epochs": 3,
    "parameters": 8_000_000_000,
    "profile": "gpu-l4",
    "seconds": 1_800,
}
# 1.5 million tokens at 10 a million, half an hour at 80.
ESTIMATE = Decimal(15) + Decimal(40)


def exact(response: httpx2.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return json.loads(response.content, parse_float=Decimal)


async def rich(house: House, amount: int = 1_000) -> None:
    granted = await house.operator.post(
        "/v1/grants", {"workspaceUuid": str(house.uuid), "unit": "credits", "amount": amount, "reason": "test"}
    )
    assert granted.status_code == 201, granted.text


async def begin(house: House, **other: Any) -> dict[str, Any]:
    job: dict[str, Any] = exact(await house.owner.post(JOBS, JOB | other), 201)["job"]
    return job


async def credits_of(house: House) -> dict[str, Any]:
    found: dict[str, Any] = exact(await house.owner.get("/v1/balances"))["balances"][0]
    return found


async def facts_of(runtime: Runtime, house: House) -> list[tuple[str, Any]]:
    query = "SELECT kind, data FROM fact WHERE workspace_id = %s AND kind LIKE 'fine_tuning%%' ORDER BY kind DESC"
    return [(row["kind"], row["data"]) for row in await make.rows(runtime.database, query, house.uuid)]


def took(status: str = "succeeded", tokens: int = 500_000, epochs: Any = 3, seconds: Any = 1_800) -> dict[str, Any]:
    return {"status": status, "trainingTokens": tokens, "epochs": epochs, "seconds": seconds}


async def test_a_job_sets_its_estimate_aside_and_is_charged_for_what_it_took(runtime: Runtime, house: House) -> None:
    await rich(house)
    job = await begin(house)
    assert (job["status"], job["complexity"], job["estimate"], job["credits"]) == ("running", "small", ESTIMATE, None)
    assert (await credits_of(house))["held"] == ESTIMATE
    before = (await credits_of(house))["posted"]
    done = exact(await house.owner.post(f"{JOBS}/{job['uuid']}/report", took(seconds=3_600.5)))["job"]
    # 3,600.5 s at 80 an hour is 80.0111…, rounded once.
    charged = Decimal(15) + Decimal("80.011111111")
    assert (done["status"], done["credits"], done["reported"]["trainedTokens"]) == ("succeeded", charged, 1_500_000)
    after = await credits_of(house)
    assert (after["held"], before - after["posted"]) == (0, charged)
    hold = exact(await house.owner.get(f"/v1/holds/{job['holdUuid']}"))["hold"]
    assert (hold["status"], hold["settled"]["credits"]) == ("settled", charged)
    flags = "SELECT type, overdrawn FROM usage_event WHERE workspace_id = %s ORDER BY type"
    booked = [(row["type"], row["overdrawn"]) for row in await make.rows(runtime.database, flags, house.uuid)]
    assert booked == [("fine_tuning.job", False), ("fine_tuning.time", True)], "what its hold did not cover is flagged"
    assert await make.differences(runtime.database, house.uuid) == []
    (started, _), (finished, told) = await facts_of(runtime, house)
    assert (started, finished) == ("fine_tuning.started", "fine_tuning.finished")
    assert Decimal(str(told["credits"])) == charged
    assert exact(await house.owner.get(JOBS))["jobs"] == [done]


async def test_the_model_that_it_makes_says_what_it_was_made_of(house: House) -> None:
    await rich(house)
    job = await begin(house)
    made = exact(await house.owner.get("/v1/resources/languageModel/support-answers"))["resource"]
    assert made["uuid"] == job["modelUuid"]
    assert made["attributes"] == {"type": "Fine-tuned", "base": "llama-8b"}


async def test_the_same_report_again_is_the_same_answer_and_another_is_refused(runtime: Runtime, house: House) -> None:
    await rich(house)
    at = f"{JOBS}/{(await begin(house))['uuid']}/report"
    answers = await asyncio.gather(*(house.owner.post(at, took()) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    events = await make.rows(runtime.database, "SELECT credits FROM usage_event WHERE workspace_id = %s", house.uuid)
    assert sum(row["credits"] for row in events) == ESTIMATE * 10**9
    assert len(events) == 2
    other = await house.owner.post(at, took("failed", tokens=1))
    assert (other.status_code, other.json()["reason"]) == (409, "fineTuningJobNotRunning")
    assert len(await facts_of(runtime, house)) == 2


async def test_the_same_key_begins_one_job(house: House) -> None:
    await rich(house)
    key = {"idempotency-key": "once"}
    first, second = [exact(await house.owner.post(JOBS, JOB, headers=key), 201)["job"] for _ in range(2)]
    assert first == second
    assert (await credits_of(house))["held"] == ESTIMATE
    other = await house.owner.post(JOBS, JOB | {"epochs": 1}, headers=key)
    assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")


@pytest.mark.parametrize(
    ("status", "tokens", "epochs", "seconds", "charged"),
    [
        ("failed", 500_000, "0.5", 600, Decimal("2.5") + Decimal("13.333333333")),
        ("failed", 0, 0, 90, Decimal(2)),
        ("cancelled", 0, 0, 0, Decimal(0)),
        ("succeeded", 1, 1, 0, Decimal("0.00001")),
    ],
)
async def test_what_failed_pays_for_what_it_used(
    runtime: Runtime, house: House, status: str, tokens: int, epochs: Any, seconds: int, charged: Decimal
) -> None:
    await rich(house)
    job = await begin(house)
    before = (await credits_of(house))["posted"]
    done = exact(await house.owner.post(f"{JOBS}/{job['uuid']}/report", took(status, tokens, epochs, seconds)))["job"]
    assert (done["status"], done["credits"]) == (status, charged)
    after = await credits_of(house)
    assert (after["held"], before - after["posted"]) == (0, charged)
    assert await make.differences(runtime.database, house.uuid) == []


@pytest.mark.parametrize(
    ("posted", "held", "tokens", "status"),
    [
        (25, 0, 100_000, 402),
        (26, 0, 100_000, 201),
        (100, 75, 0, 402),
        (100, 74, 0, 201),
        (26, 0, 2_600_000, 201),
        (26, 0, 2_600_001, 402),
        (100, 50, 5_100_000, 402),
    ],
)
async def test_more_than_the_minimum_must_be_available_and_what_the_job_costs(
    operator: Caller, posted: int, held: int, tokens: int, status: int
) -> None:
    caller = await shop_with(operator, posted)
    if held:
        assert (await caller.post("/v1/holds", {"amounts": {"credits": held}})).status_code == 201
    # 10 credits a million.
    body = {"baseModel": "llama-8b", "trainingTokens": tokens, "complexity": "small"}
    preview = exact(await caller.post(f"{JOBS}?preview=true", body))
    assert (preview["credits"], preview["allowed"]) == (Decimal(tokens) / 100_000, status == 201)
    answer = await caller.post(JOBS, body)
    assert answer.status_code == status, answer.text
    if status == 402:
        assert answer.json()["reason"] == preview["reason"] == "notEnoughCredits"
        assert "wayOn" in answer.json()["details"]
        assert exact(await caller.get(JOBS))["jobs"] == []


async def test_a_workspace_may_have_a_minimum_of_its_own(runtime: Runtime, operator: Caller) -> None:
    caller = await shop_with(operator, 10)
    assert caller.workspace is not None
    body = {"baseModel": "llama-8b", "trainingTokens": 1, "complexity": "small"}
    assert (await caller.post(JOBS, body)).status_code == 402
    own, workspace_id = OwnLimits(fine_tune_minimum=9 * 10**9), caller.workspace
    await runtime.database.run(lambda conn: limits.put(conn, workspace_id, own, NOW))
    assert exact(await caller.post(f"{JOBS}?preview=true", body))["allowed"] is True
    assert (await caller.post(JOBS, body)).status_code == 201


async def shop_with(operator: Caller, amount: int) -> Caller:
    """A workspace with so many credits."""
    body = {"name": "Shop", "grants": [{"unit": "credits", "amount": amount}]}
    made = exact(await operator.post("/v1/workspaces", body), 201)
    return Caller(operator.http, operator.token, UUID(made["workspace"]["uuid"]))


async def test_two_jobs_cannot_be_begun_with_the_money_of_one(operator: Caller) -> None:
    caller = await shop_with(operator, 60)
    answers = await asyncio.gather(*(caller.post(JOBS, JOB) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 402, 402, 402, 402]


async def test_a_preview_begins_nothing(house: House) -> None:
    preview = exact(await house.owner.post(f"{JOBS}?preview=true", JOB))
    assert preview["credits"] == ESTIMATE
    assert [(part["type"], part["quantity"], part["credits"], part["price"]) for part in preview["parts"]] == [
        ("fine_tuning.job", 1_500_000, 15, "fine_tuning.job/small"),
        ("fine_tuning.time", 1_800, 40, "deployment.time/gpu-l4"),
    ]
    assert exact(await house.owner.get(JOBS))["jobs"] == []
    assert (await credits_of(house))["held"] == 0


async def test_a_hold_that_somebody_ended_covers_nothing_but_the_job_is_charged(runtime: Runtime, house: House) -> None:
    await rich(house)
    job = await begin(house)
    assert (await house.owner.post(f"/v1/holds/{job['holdUuid']}/void")).status_code == 200
    done = exact(await house.owner.post(f"{JOBS}/{job['uuid']}/report", took()))["job"]
    assert done["credits"] == ESTIMATE
    assert await make.differences(runtime.database, house.uuid) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parameters": None, "complexity": None}, "invalidRequest"),
        ({"complexity": "large"}, "invalidRequest"),
        ({"trainingTokens": -1}, "invalidRequest"),
        ({"epochs": -1}, "invalidQuantity"),
        ({"epochs": "1001"}, "invalidQuantity"),
        ({"epochs": "1e-10"}, "invalidAmount"),
        ({"seconds": 10**9}, "invalidAmount"),
        ({"seconds": 366 * 86_400 + 1}, "invalidQuantity"),
        ({"trainingTokens": 10**14, "epochs": 11}, "invalidQuantity"),
        ({"trainingTokens": 10**14, "epochs": 10, "complexity": "large", "parameters": None}, "amountTooLarge"),
        ({"model": " "}, "invalidKey"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(house: House, change: dict[str, Any], reason: str) -> None:
    answer = await house.owner.post(JOBS, {name: value for name, value in (JOB | change).items() if value is not None})
    assert (answer.status_code, answer.json()["reason"]) == (400, reason), answer.text


async def test_hardware_must_be_known_and_for_models(house: House) -> None:
    for profile in ("gpu-b9000", "script-1x2"):
        answer = await house.owner.post(JOBS, JOB | {"profile": profile})
        assert (answer.status_code, answer.json()["reason"]) == (404, "profileNotFound")


async def test_nobody_else_reports_in_the_name_of_jobs(house: House) -> None:
    event = {
        "specversion": "1.0",
        "id": "x",
        "source": "tallystick/fine-tuning",
        "type": "fine_tuning.job",
        "subject": str(house.uuid),
        "data": {"trainingTokens": 10},
    }
    rejected = exact(await house.owner.post("/v1/events", event))["rejected"]
    assert [one["reason"] for one in rejected] == ["invalidEvent"]


async def test_a_platform_may_report_training_by_itself(runtime: Runtime, house: House) -> None:
    await rich(house)
    event = {
        "specversion": "1.0",
        "id": "own",
        "source": "trainer",
        "type": "fine_tuning.job",
        "subject": str(house.uuid),
        "data": {"model": "mine", "trainingTokens": 2_000_000, "epochs": "1.5", "complexity": "medium"},
    }
    assert exact(await house.owner.post("/v1/events", event))["chargedCredits"] == 90
    assert await make.differences(runtime.database, house.uuid) == []
