"""Metrics, balances, the subscription and the discovery lists over HTTP."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tallystick.domain.metering.resources import resource_id
from tests.surfaces.conftest import NOW, House

METRICS = "/v1/billing/usage/metrics"
DAY = NOW.date().isoformat()
WEEK_AGO = (NOW - dt.timedelta(days=6)).date().isoformat()

SUBSCRIPTION = (
    "uuid workspaceUuid provider customerStripeId customerOrbId subscriptionStripeId subscriptionStatus plan "
    "cadence fixedPrice conversionRate subscriptionAvailableCreditsCount subscriptionCreditsUsedCount "
    "additionalAvailableCreditsCount hasCredits hasPendingChange futureChange topup creditsOverageBehaviors "
    "creditsConsumptionBehaviors startAt resetAt endAt createdAt updatedAt"
)
RELEASE = (
    "uuid version description systemPrompt languageModelSlug integrationSlug temperature maxSteps actions "
    "resources capabilities mcpClients deployedAt createdAt"
)
LISTS = [
    "/v1/orchestration/plays/list",
    "/v1/orchestration/tools/list",
    "/v1/orchestration/workflows/list",
    "/v1/ai/agents/list",
    "/v1/connection/connectors/list",
    "/v1/storage/models/list",
]


def exact(response: httpx2.Response) -> Any:
    """The answer with numbers as they were written."""
    assert response.status_code == 200, response.text
    return json.loads(response.content, parse_float=Decimal)


READS = [
    f"{METRICS}?from={DAY}&to={DAY}",
    f"/v1/usage/report?from={DAY}&to={DAY}",
    "/v1/billing/subscriptions",
    "/v1/balances",
    *LISTS,
]


async def report(house: House, *events: dict[str, Any]) -> None:
    """Post events: `id`, `type` and optionally `time`; everything else is data."""
    envelopes = [
        {
            "specversion": "1.0",
            "source": "test",
            "subject": str(house.uuid),
            "id": event.pop("id"),
            "type": event.pop("type"),
            "time": event.pop("time", NOW.isoformat()),
            "data": event,
        }
        for event in events
    ]
    posted = await house.owner.post(
        "/v1/events", envelopes, headers={"content-type": "application/cloudevents-batch+json"}
    )
    assert posted.status_code == 200, posted.text
    assert posted.json()["accepted"] == len(events), posted.text


async def test_a_days_usage_is_there_digit_for_digit(house: House) -> None:
    await report(
        house,
        {"id": "1", "type": "direct.charge", "quantity": "9007199.254740993", "workflow": "routing"},
        {"id": "2", "type": "orchestration.execution", "status": "error", "workflow": "routing"},
        {"id": "3", "type": "storage.records", "quantity": "2.000000001", "table": "accounts"},
        {"id": "4", "type": "tool.call", "integration": "crm", "action": "find"},
    )
    whole = exact(await house.owner.get(METRICS, params={"from": WEEK_AGO, "to": DAY}))
    assert [entry["date"] for entry in whole["metrics"]][-1] == f"{DAY}T00:00:00.000Z"
    assert [len(entry["items"]) for entry in whole["metrics"]] == [0, 0, 0, 0, 0, 0, 6]
    counts = {item["slug"]: item["count"] for item in whole["metrics"][-1]["items"]}
    assert counts == {
        "error": 1,
        "insert": Decimal("2.000000001"),
        "integration.crm.action.find": 0,
        "native.direct": Decimal("9007199.254740993"),
        "native.execution": Decimal("0.01"),
        "native.storage": Decimal("0.002"),
    }
    assert {item["groupBy"] for item in whole["metrics"][-1]["items"]} == {None}
    assert whole["totalUsage"] == Decimal("9007199.266740993")
    grouped = exact(
        await house.owner.get(METRICS, params={"from": DAY, "to": DAY, "unit": "credits", "groupBy": "workflow_uuid"})
    )
    routing = str(resource_id(house.uuid, "play", "routing"))
    items = [(item["slug"], item["groupBy"]) for item in grouped["metrics"][0]["items"]]
    assert items == [
        ("integration.crm.action.find", None),
        ("native.direct", routing),
        ("native.execution", routing),
        ("native.storage", None),
    ]
    executions = exact(
        await house.owner.get(
            METRICS,
            params={"from": DAY, "to": DAY, "unit": "orchestration.executions", "workflowUuid": routing, "new": "x"},
        )
    )
    assert executions["metrics"][0]["items"] == [{"slug": "error", "count": 1, "groupBy": None}]
    assert executions["totalUsage"] == 1


async def test_a_report_has_every_measure_by_two_dimensions(house: House) -> None:
    await report(
        house,
        {"id": "1", "type": "llm.tokens", "model": "gpt-4o-mini", "inputTokens": 1_000, "agent": "scout"},
        {"id": "2", "type": "llm.tokens", "model": "never-heard-of", "outputTokens": 7, "agent": "scout"},
        {"id": "3", "type": "tool.call", "integration": "crm", "quantity": 3},
    )
    asked = {"from": WEEK_AGO, "to": DAY, "groupBy[]": ["category", "agent_uuid"]}
    found = exact(await house.owner.get("/v1/usage/report", params=asked))
    scout = str(resource_id(house.uuid, "agent", "scout"))
    assert found["groupBy"] == ["category", "agent_uuid"]
    assert found["names"] == {scout: "scout"}
    llm, tools = found["rows"]
    assert llm == {
        "date": f"{DAY}T00:00:00.000Z",
        "group": {"category": "llm", "agent_uuid": scout},
        "events": 2,
        "quantity": 1_007,
        "inputTokens": 1_000,
        "outputTokens": 7,
        "credits": Decimal("0.015"),
        "toolRuns": 0,
        "providerCost": Decimal("0.00015"),
        "unpriced": 1,
    }
    assert (tools["group"], tools["toolRuns"]) == ({"category": "tool_calls", "agent_uuid": None}, 3)
    assert (found["totals"]["events"], found["totals"]["credits"]) == (3, Decimal("0.015"))
    whole = exact(await house.owner.get("/v1/usage/report", params={"from": WEEK_AGO, "to": DAY, "daily": "false"}))
    assert [(row["date"], row["group"], row["events"]) for row in whole["rows"]] == [(None, {}, 3)]


WRONG = [
    ({"from": DAY}, "invalidDate"),
    ({"from": "14.03.2026", "to": DAY}, "invalidDate"),
    ({"from": DAY, "to": WEEK_AGO}, "invalidRange"),
    ({"from": "2020-01-01", "to": DAY}, "rangeTooLong"),
    ({"from": DAY, "to": DAY, "unit": "tokens"}, "invalidUnit"),
    ({"from": DAY, "to": DAY, "groupBy": "colour"}, "invalidGroupBy"),
    ({"from": DAY, "to": DAY, "workflowUuid": "routing"}, "invalidUuid"),
    ({"from": DAY, "to": DAY, "modelUuid": "accounts"}, "invalidUuid"),
]


@pytest.mark.parametrize(("params", "code"), WRONG)
async def test_a_wrong_question_is_a_400_that_says_what_is_wrong(
    house: House, params: dict[str, str], code: str
) -> None:
    answer = await house.owner.get(METRICS, params=params)
    assert (answer.status_code, answer.json()["reason"]) == (400, code)
    if code == "invalidUnit":
        for unit in ("billing.credits", "storage.records", "orchestration.executions"):
            assert unit in answer.json()["errorMessage"]


@pytest.mark.parametrize("role", ["member", "viewer"])
@pytest.mark.parametrize("path", READS)
async def test_without_billing_rights_everything_is_forbidden(house: House, role: str, path: str) -> None:
    answer = await (await house.caller(role)).get(path)
    assert (answer.status_code, answer.content) == (403, b'{"errorMessage":"forbidden"}')


async def test_a_new_workspace_has_its_free_grants(house: House) -> None:
    balances = exact(await house.owner.get("/v1/balances"))["balances"]
    assert balances == [
        {
            "unit": unit,
            "granted": granted,
            "used": 0,
            "usedPercent": 0,
            "posted": granted,
            "held": 0,
            "available": granted,
            "state": "healthy",
        }
        for unit, granted in (("credits", 75), ("toolRuns", 10_000))
    ]
    await report(
        house,
        {"id": "1", "type": "direct.charge", "quantity": "74.999999999"},
        {"id": "2", "type": "tool.call", "quantity": 2_500},
    )
    credit, runs = exact(await house.owner.get("/v1/balances"))["balances"]
    assert (credit["usedPercent"], credit["available"], credit["state"]) == (
        Decimal("99.99"),
        Decimal("0.000000001"),
        "low",
    )
    assert (runs["usedPercent"], runs["available"], runs["state"]) == (25, 7_500, "moderate")


async def test_the_subscription_has_every_field_of_the_public_client(house: House) -> None:
    await report(house, {"id": "1", "type": "direct.charge", "quantity": "80.5"})
    found = exact(await house.owner.get("/v1/billing/subscriptions"))["subscription"]
    assert set(found) >= set(SUBSCRIPTION.split())
    assert found["workspaceUuid"] == str(house.uuid)
    assert (found["plan"], found["planKey"], found["subscriptionStatus"]) == ("self-serve", "free", "active")
    assert (found["subscriptionAvailableCreditsCount"], found["subscriptionCreditsUsedCount"]) == (75, Decimal("80.5"))
    assert (found["additionalAvailableCreditsCount"], found["hasCredits"], found["fixedPrice"]) == (0, False, 0)
    assert (found["topup"], found["endAt"], found["hasPendingChange"]) == (None, None, False)
    assert found["creditsOverageBehaviors"] == [{"unit": "billing.credits", "action": "deny"}]


FIELDS = {
    "plays": "uuid name workflowUuid modelUuid segmentUuid changeKinds runCreationRule isEnabled schedule description "
    "healthThreshold folderUuid createdAt updatedAt",
    "tools": "uuid name workflowUuid description creditsCost triggers isReadOnly folderUuid createdAt updatedAt",
    "workflows": "uuid kind createdAt updatedAt",
    "agents": "uuid workspaceUuid name icon description triggers deployedRelease folderUuid template isReadOnly "
    "createdAt updatedAt",
    "connectors": "uuid workspaceUuid userUuid name slug integrationSlug rateLimit cacheTtlMilliseconds playsCount "
    "toolsCount modelsCount useCredits config createdAt updatedAt deletedAt",
    "models": "uuid workspaceUuid slug name datasetUuid extractorSlug idColumnSlug titleColumnSlug timeColumnSlug "
    "columns additionalColumns playsCount segmentsCount isPaused lastRun createdAt updatedAt",
}
KINDS = {"plays": "play", "tools": "tool", "agents": "agent", "connectors": "connector", "models": "table"}


@pytest.mark.parametrize("path", LISTS)
async def test_lists_have_every_field_and_are_complete_unless_limited(house: House, path: str) -> None:
    noun = path.split("/")[-2]
    kind = KINDS.get(noun, "play")
    for number in range(12):
        named = {"name": f"The {number}.", "attributes": {"useCredits": number != 3, "healthThreshold": "high"}}
        assert (await house.owner.put(f"/v1/resources/{kind}/k{number}", named)).status_code == 201
    await house.owner.put(f"/v1/resources/{kind}/k5", {"deleted": True})
    listed = exact(await house.owner.get(path))[noun]
    assert len(listed) == 11
    assert set(listed[0]) == set(FIELDS[noun].split())
    assert str(resource_id(house.uuid, kind, "k5")) not in {entry["uuid"] for entry in listed}
    assert {UUID(entry["uuid"]) for entry in listed} <= {resource_id(house.uuid, kind, f"k{n}") for n in range(12)}
    assert exact(await house.owner.get(path))[noun] == listed
    pages = [exact(await house.owner.get(path, params={"limit": 4, "offset": n}))[noun] for n in (0, 4, 8)]
    assert [entry for page in pages for entry in page] == listed
    if noun == "connectors":
        assert [entry["slug"] for entry in listed if not entry["useCredits"]] == ["k3"]
    if noun == "plays":
        assert {entry["healthThreshold"] for entry in listed} == {None}


async def test_an_agent_shows_its_release_once_its_language_model_is_known(house: House) -> None:
    await house.owner.put("/v1/resources/agent/plain", {"name": "Plain"})
    told = {"languageModelSlug": "gpt-5", "maxSteps": 8, "temperature": 0.7, "iconColor": "purple"}
    await house.owner.put("/v1/resources/agent/scout", {"name": "Scout", "attributes": told})
    agents = {agent["name"]: agent for agent in exact(await house.owner.get("/v1/ai/agents/list"))["agents"]}
    assert agents["Plain"]["deployedRelease"] is None
    release = agents["Scout"]["deployedRelease"]
    assert (release["languageModelSlug"], release["maxSteps"]) == ("gpt-5", 8)
    assert set(release) == set(RELEASE.split())
    assert agents["Scout"]["icon"]["color"] == "purple"
