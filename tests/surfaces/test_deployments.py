"""Deployments and hardware through the API: what they say, who may ask, and what a preview promises."""

from decimal import Decimal
from typing import Any

import pytest

from tests.surfaces.conftest import IDS, NOW, House

AT = "/v1/deployments"
NOBODY = "00000000-0000-7000-8000-000000000000"


async def create(house: House, **terms: Any) -> dict[str, Any]:
    body = {"kind": "script", "resource": "enrich", "profile": "script-1x2"} | terms
    made = await house.owner.post(AT, body)
    assert made.status_code == 201, made.text
    return dict(made.json()["deployment"])


async def ask(house: House, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    answer = await house.owner.post(f"{AT}/{path}", body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def spend(house: House, amount: str) -> None:
    body = {
        "specversion": "1.0", "id": str(IDS.new(NOW)), "source": "test", "type": "direct.charge",
        "subject": str(house.uuid), "time": NOW.isoformat(), "data": {"quantity": amount},
    }  # fmt: skip
    assert (await house.owner.post("/v1/events", body)).json()["accepted"] == 1


async def test_a_deployment_is_made_reported_scaled_taken_down_and_deleted(house: House) -> None:
    made = await create(house, replicas=2, name="Enrich leads", timeoutSeconds=60)
    assert made == {
        "uuid": made["uuid"],
        "kind": "script",
        "resourceUuid": made["resourceUuid"],
        "name": "Enrich leads",
        "state": "deploying",
        "status": "Deploying",
        "version": 1,
        "profile": "script-1x2",
        "replicas": 2,
        "creditsPerHour": 0.15396,
        "creditsUsed": 0,
        "secondsUsed": 0,
        "language": "Python",
        "languageVersion": "3.10.15",
        "minReplicas": 1,
        "maxReplicas": 10,
        "utilization": 75,
        "timeoutSeconds": 60,
        "type": None,
        "endpoint": None,
        "access": None,
        "reason": "",
        "complyBy": None,
        "createdBy": made["createdBy"],
        "createdAt": "2026-03-14T09:41:07Z",
        "updatedAt": "2026-03-14T09:41:07Z",
        "deployedAt": None,
        "meteredUntil": None,
    }
    uuid = made["uuid"]
    up = await ask(house, f"{uuid}/report", {"status": "succeeded", "endpoint": "https://x.example/run"})
    assert up["deployment"]["status"] == "Deployed"
    assert up["deployment"]["deployedAt"] == up["deployment"]["meteredUntil"] == "2026-03-14T09:41:07Z"
    scaled = await ask(house, f"{uuid}/scale", {"replicas": 3, "profile": "script-2x4"})
    assert (scaled["deployment"]["replicas"], scaled["deployment"]["creditsPerHour"]) == (3, 0.46188)
    refused = await house.owner.delete(f"{AT}/{uuid}")
    assert (refused.status_code, refused.json()["reason"]) == (409, "invalidTransition")
    assert refused.json()["details"]["allowed"] == ["scale", "undeploy", "stop"]
    down = await ask(house, f"{uuid}/undeploy")
    assert (down["deployment"]["state"], down["deployment"]["status"]) == ("ready", "Ready to Deploy")
    again = await ask(house, f"{uuid}/deploy")
    assert (again["deployment"]["version"], again["deployment"]["endpoint"]) == (2, None)
    failed = await ask(house, f"{uuid}/report", {"status": "failed", "reason": "main.py: no such file"})
    assert (failed["deployment"]["status"], failed["deployment"]["reason"]) == (
        "Deployment failed", "main.py: no such file",
    )  # fmt: skip
    whole = (await house.owner.get(f"{AT}/{uuid}")).json()
    assert whole["deployment"] == failed["deployment"]
    assert [(span["version"], span["status"], span["reason"]) for span in whole["history"]] == [
        (2, "Failed", "main.py: no such file"),
        (1, "Success", ""),
    ]
    assert whole["history"][1]["secondsDeployed"] == whole["history"][1]["secondsTaken"] == 0
    assert whole["history"][0]["secondsDeployed"] is None
    assert [change["asked"] for change in whole["changes"]] == [
        "create", "deploy", "succeed", "scale", "undeploy", "deploy", "fail",
    ]  # fmt: skip
    gone = await house.owner.delete(f"{AT}/{uuid}")
    assert (gone.status_code, gone.json()["deployment"]["state"]) == (200, "deleted")
    assert (await house.owner.get(AT)).json() == {"deployments": []}
    deleted = (await house.owner.get(AT, params={"state": "deleted"})).json()["deployments"]
    assert [one["uuid"] for one in deleted] == [uuid]


async def test_a_list_is_filtered_and_paged(house: House) -> None:
    script = await create(house)
    tool = await create(house, kind="tool", resource="lookup", profile=None, deployed=True)
    draft = await create(house, kind="model", resource="llm", profile="gpu-t4", draft=True, type="fineTuned")
    for params, expected in (
        ({}, [draft, tool, script]),
        ({"kind": "tool"}, [tool]),
        ({"state": "draft"}, [draft]),
        ({"resource": "enrich"}, [script]),
        ({"resource": tool["resourceUuid"]}, [tool]),
        ({"kind": "tool", "resource": "enrich"}, []),
    ):
        found = (await house.owner.get(AT, params=params)).json()["deployments"]
        assert sorted(one["uuid"] for one in found) == sorted(one["uuid"] for one in expected), params
    pages = [(await house.owner.get(AT, params={"limit": "1", "offset": str(n)})).json() for n in range(4)]
    assert sorted(one["uuid"] for page in pages for one in page["deployments"]) == sorted(
        one["uuid"] for one in (draft, tool, script)
    )
    assert (draft["type"], draft["status"], draft["version"], draft["creditsPerHour"]) == (
        "fineTuned",
        "Draft",
        None,
        53,
    )


async def test_a_preview_says_what_it_would_cost_and_makes_nothing(house: House) -> None:
    body = {"kind": "model", "resource": "llm", "profile": "gpu-a100-80", "replicas": 2}
    answer = await house.owner.post(f"{AT}?preview=true", body)
    assert answer.status_code == 200, answer.text
    preview = answer.json()["preview"]
    assert (preview["creditsPerHour"], preview["creditsPerDay"], preview["creditsPerMonth"]) == (1014, 24_336, 740_220)
    assert sum(Decimal(str(part["creditsPerHour"])) for part in preview["components"]) == 1014
    assert [part["component"] for part in preview["components"]] == ["vcpu", "memory", "gpu"]
    assert (preview["profile"]["key"], preview["profile"]["creditsPerHour"]) == ("gpu-a100-80", 507)
    # 75 credits at 1,014 an hour.
    assert (preview["creditsAvailable"], preview["hoursLeft"]) == (75, 0.07)
    assert (preview["allowed"], preview["reason"]) == (True, None)
    assert (await house.owner.get(AT)).json() == {"deployments": []}
    assert (await house.owner.get("/v1/resources/languageModel/llm")).status_code == 404
    free = (await house.owner.post(f"{AT}?preview=true", {"kind": "tool", "resource": "lookup"})).json()["preview"]
    assert (free["profile"], free["creditsPerMonth"], free["hoursLeft"], free["components"]) == (None, 0, None, [])


async def test_a_preview_tells_what_the_gate_would_say(house: House) -> None:
    await spend(house, "71")
    body = {"kind": "script", "resource": "enrich", "profile": "script-1x2"}
    preview = (await house.owner.post(f"{AT}?preview=true", body)).json()["preview"]
    refused = await house.owner.post(AT, body)
    assert refused.status_code == 402
    assert (preview["allowed"], preview["reason"]) == (False, "deploymentsDisabled")
    assert preview["message"] == refused.json()["errorMessage"]
    assert preview["details"] == refused.json()["details"]
    assert {"needed", "available", "held", "threshold", "wayOn"} <= set(preview["details"])


async def test_a_project_comes_in_as_drafts_when_nothing_is_left(house: House) -> None:
    project = {
        "deployments": [
            {"kind": "script", "resource": "enrich", "profile": "script-1x2"},
            {"kind": "tool", "resource": "lookup", "deployed": True},
        ]
    }
    made = await ask(house, "import", project, 201)
    assert made["draftedBecause"] is None
    assert [one["status"] for one in made["deployments"]] == ["Deploying", "Deployed"]
    await spend(house, "75")
    made = await ask(house, "import", project, 201)
    assert made["draftedBecause"] == "deploymentsDisabled"
    assert [one["status"] for one in made["deployments"]] == ["Draft", "Draft"]
    refused = await house.owner.post(f"{AT}/{made['deployments'][0]['uuid']}/deploy")
    assert (refused.status_code, refused.json()["reason"]) == (402, "deploymentsDisabled")


async def test_a_request_that_is_sent_again_changes_nothing_more(house: House) -> None:
    body = {"kind": "script", "resource": "enrich", "profile": "script-1x2"}
    key = {"idempotency-key": "one"}
    made = [await house.owner.send("POST", AT, json=body, headers=key) for _ in range(3)]
    assert [one.status_code for one in made] == [201] * 3
    uuids = {one.json()["deployment"]["uuid"] for one in made}
    assert len(uuids) == 1
    report = {"status": "succeeded"}
    path = f"{AT}/{uuids.pop()}/report"
    sent = [await house.owner.send("POST", path, json=report, headers=key) for _ in range(2)]
    assert [one.status_code for one in sent] == [200, 200]
    other = await house.owner.send("POST", path, json=report | {"endpoint": "https://y.example"}, headers=key)
    assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")
    late = await house.owner.post(path, report)
    assert (late.status_code, late.json()["reason"]) == (409, "invalidTransition")


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"kind": "other"}, 400, "invalidRequest"),
    ({"replicas": 0}, 400, "invalidDeployment"),
    ({"replicas": 11}, 400, "invalidDeployment"),
    ({"replicas": 1.5}, 400, "invalidRequest"),
    ({"profile": None}, 400, "invalidDeployment"),
    ({"profile": "gpu-t4"}, 404, "profileNotFound"),
    ({"timeoutSeconds": 601}, 400, "invalidDeployment"),
    ({"utilization": 0}, 400, "invalidDeployment"),
    ({"minReplicas": 3, "maxReplicas": 2}, 400, "invalidDeployment"),
    ({"deployed": True}, 400, "invalidDeployment"),
    ({"resource": "x" * 201}, 400, "invalidRequest"),
    ({"resource": "a\u0007b"}, 400, "invalidKey"),
    ({"colour": "red"}, 400, "invalidRequest"),
]


@pytest.mark.parametrize(("change", "status", "reason"), BAD)
async def test_what_makes_no_sense_is_refused(house: House, change: dict[str, Any], status: int, reason: str) -> None:
    body = {"kind": "script", "resource": "enrich", "profile": "script-1x2"} | change
    for path in (AT, f"{AT}?preview=true"):
        answer = await house.owner.post(path, body)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason), (path, answer.text)


async def test_nobody_reports_what_is_not_theirs(house: House) -> None:
    made = await create(house)
    for path in ("deploy", "undeploy", "confirm"):
        answer = await house.owner.post(f"{AT}/{NOBODY}/{path}")
        assert (answer.status_code, answer.json()["reason"]) == (404, "deploymentNotFound")
    empty = await house.owner.post(f"{AT}/{made['uuid']}/report", {"status": "failed"})
    assert (empty.status_code, empty.json()["reason"]) == (400, "invalidText")
    secret = {"status": "succeeded", "endpoint": "https://user:secret@x.example"}
    kept_out = await house.owner.post(f"{AT}/{made['uuid']}/report", secret)
    assert (kept_out.status_code, kept_out.json()["reason"]) == (400, "invalidDeployment")
    assert "secret" not in kept_out.text


async def test_who_may_read_resources_or_bills_reads_deployments(house: House) -> None:
    made = await create(house)
    reader = await house.caller("viewer", ("resources:read",))
    writer = await house.caller("viewer", ("resources:write",))
    assert (await reader.get(f"{AT}/{made['uuid']}")).status_code == 200
    assert (await reader.get("/v1/hardware-profiles")).status_code == 200
    assert (await reader.post(f"{AT}/{made['uuid']}/report", {"status": "succeeded"})).status_code == 403
    assert (await writer.get(AT)).status_code == 403
    assert (await writer.post(f"{AT}/{made['uuid']}/report", {"status": "succeeded"})).status_code == 200


async def test_hardware_is_listed_with_its_prices(house: House) -> None:
    found = (await house.owner.get("/v1/hardware-profiles", params={"kind": "script"})).json()["profiles"]
    shipped = [one for one in found if one["origin"] == "shipped"]
    prices = {
        one["name"]: (one["creditsPerHour"], one["creditsPerDay"], one["creditsPerMonth"], one["usable"])
        for one in shipped
    }
    assert prices["1 vCPU, 2 GB"] == (0.07698, 1.84752, 56.1954, "0.7 vCPU, 1.1 GB")
    assert prices["4 vCPU, 16 GB"] == (0.288, 6.912, 210.24, "3.5 vCPU, 13.5 GB")
    assert len(prices) == 5
    assert shipped[0]["components"] == [
        {"component": "vcpu", "sharePpm": 818_182, "creditsPerHour": 0.06298365},
        {"component": "memory", "sharePpm": 181_818, "creditsPerHour": 0.01399635},
    ]


async def test_an_operator_adds_hardware_prices_and_retires_it(house: House) -> None:
    key = f"gpu-{IDS.new(NOW).hex[-10:]}"
    path = f"/v1/hardware-profiles/{key}"
    body = {
        "kind": "model", "name": "1 × New", "vcpus": "12.5", "memoryGb": 100, "gpus": 1, "gpuType": "New 96 GB",
        "creditsPerHour": "321.123456789", "reason": "new in stock",
    }  # fmt: skip
    made = (await house.operator.put(path, body)).json()["profile"]
    assert (made["vcpus"], made["memoryGb"], made["creditsPerHour"], made["origin"]) == (
        12.5, 100, 321.123456789, "operator",
    )  # fmt: skip
    shares = {part["component"]: part["sharePpm"] for part in made["components"]}
    assert sum(shares.values()) == 1_000_000 and shares["gpu"] == 800_000
    assert await create(house, kind="model", resource="llm", profile=key)
    for bad, reason in (
        ({"components": {"gpu": 5}}, "invalidProfile"),
        ({"vcpus": 0}, "invalidProfile"),
        ({"creditsPerHour": -1}, "invalidAmount"),
        ({"creditsPerHour": "1e30"}, "invalidAmount"),
    ):
        refused = await house.operator.put(path, body | bad)
        assert (refused.status_code, refused.json()["reason"]) == (400, reason), refused.text
    other = await house.operator.put(path, body | {"kind": "script", "gpus": 0})
    assert (other.status_code, other.json()["reason"]) == (409, "profileKindConflict")
    retired = (await house.operator.put(path, body | {"retired": True})).json()["profile"]
    assert retired["retiredAt"] == NOW.isoformat().replace("+00:00", "Z")
    chosen = await house.owner.post(AT, {"kind": "model", "resource": "llm", "profile": key})
    assert chosen.json()["reason"] == "profileNotFound"
    listed = (await house.owner.get("/v1/hardware-profiles")).json()["profiles"]
    assert key not in [one["key"] for one in listed]
