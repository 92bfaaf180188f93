"""`tally deployment` as processes, and the same calls by the Python client."""

import json

import pytest

from tallystick.client import ApiError, AsyncClient, Client, RefusedError
from tests.cli.conftest import Shell
from tests.serving import Shop

SCRIPT = ("--kind", "script", "--resource", "enrich", "--profile", "script-1x2")


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def test_a_deployment_from_preview_to_its_end(tally: Shell) -> None:
    seen = tally("deployment", "preview", *SCRIPT, "--replicas", "2")
    assert (seen.status, seen.answer["preview"]["creditsPerHour"]) == (0, 0.15396)
    assert tally("deployment", "list").answer == {"deployments": []}
    again = [tally("deployment", "create", *SCRIPT, "--replicas", "2", "--idempotency-key", "k") for _ in range(2)]
    assert [done.status for done in again] == [0, 0]
    uuid = again[0].answer["deployment"]["uuid"]
    assert again[1].answer["deployment"]["uuid"] == uuid
    up = tally("deployment", "report", uuid, "--endpoint", "https://x.example/run", "--access", "Send your token.")
    assert up.answer["deployment"]["status"] == "Deployed"
    assert tally("deployment", "scale", uuid, "--replicas", "3").answer["deployment"]["replicas"] == 3
    kept = tally("deployment", "delete", uuid)
    assert (kept.status, kept.answer["reason"]) == (1, "invalidTransition")
    assert tally("deployment", "undeploy", uuid, "--reason", "not needed").answer["deployment"]["state"] == "ready"
    assert tally("deployment", "deploy", uuid, "--profile", "script-2x4").answer["deployment"]["version"] == 2
    failed = tally("deployment", "report", uuid, "--failed", "main.py: no such file")
    assert failed.answer["deployment"]["reason"] == "main.py: no such file"
    history = tally("deployment", "get", uuid, "--format", "table")
    assert [(row[0], row[1]) for row in cells(history.stdout)[2:]] == [("v2", "Failed"), ("v1", "Success")]
    listed = tally("deployment", "list", "--kind", "script", "--state", "failed", "--format", "table")
    assert cells(listed.stdout)[0][:4] == ["name", "uuid", "kind", "status"] and uuid in listed.stdout
    assert tally("deployment", "delete", uuid).answer["deployment"]["state"] == "deleted"
    assert tally("deployment", "confirm", uuid).answer["reason"] == "invalidTransition"


def test_a_project_comes_from_a_file_or_stdin(tally: Shell) -> None:
    project = [
        {"kind": "tool", "resource": "lookup", "deployed": True},
        {"kind": "script", "resource": "a", "draft": True},
    ]
    (tally.folder / "project.json").write_text(json.dumps({"deployments": project}))
    made = tally("deployment", "import", "--file", "project.json")
    assert [one["status"] for one in made.answer["deployments"]] == ["Deployed", "Draft"]
    piped = tally("deployment", "import", "--file", "-", input=json.dumps(project))
    assert (piped.status, piped.answer["draftedBecause"]) == (0, None)
    for given, file in (("[", "-"), ("{}", "-"), ("", "nowhere.json")):
        wrong = tally("deployment", "import", "--file", file, input=given)
        assert (wrong.status, wrong.answer["reason"]) == (2, "usage"), wrong.stdout
    bad = tally("deployment", "import", "--file", "-", input='[{"kind": "script"}]')
    assert (bad.status, bad.answer["reason"]) == (1, "invalidRequest")


def test_hardware_is_drawn_with_its_prices(tally: Shell) -> None:
    drawn = tally("deployment", "profile", "list", "--kind", "script", "--format", "table")
    row = next(row for row in cells(drawn.stdout) if row[0] == "script-1x2")
    assert row[-3:] == ["0.07698", "1.84752", "56.1954"]
    preview = tally(
        "deployment", "preview", "--kind", "model", "--resource", "llm", "--profile", "gpu-t4", "--format=table"
    )
    assert ["credits", "per", "month", "38690"] in cells(preview.stdout)
    assert ["may", "be", "deployed", "yes"] in cells(preview.stdout)


def test_what_the_gate_refuses_ends_with_3_and_wrong_usage_with_2(tally: Shell) -> None:
    wrong = tally("deployment", "create", "--kind", "house", "--resource", "x")
    assert (wrong.status, wrong.answer["reason"]) == (2, "usage")
    both = tally("deployment", "report", "x", "--failed", "no", "--endpoint", "https://x.example")
    assert (both.status, both.answer["reason"]) == (2, "usage")
    spent = tally.shop
    with Client(spent.base_url, spent.token) as client:
        client.record("direct.charge", quantity="72")
        client.flush()
        no = tally("deployment", "create", *SCRIPT)
        assert (no.status, no.answer["reason"]) == (3, "deploymentsDisabled")
        with pytest.raises(RefusedError) as refused:
            client.create_deployment("script", "enrich", profile="script-1x2")
        assert refused.value.reason == "deploymentsDisabled"
        seen = client.preview_deployment("script", "enrich", profile="script-1x2").preview
        assert (seen.allowed, seen.reason) == (False, "deploymentsDisabled")


def test_the_client_has_it_all_too(shop: Shop) -> None:
    with Client(shop.base_url, shop.token) as client:
        made = client.create_deployment("script", "enrich", profile="script-1x2", language="JavaScript").deployment
        assert (made.language_version, made.credits_per_hour and made.credits_per_hour.nano) == ("20.19.0", 76_980_000)
        assert client.report_not_deployed(made.uuid, "no").deployment.state == "failed"
        assert client.deploy(made.uuid, replicas=2).deployment.version == 2
        up = client.report_deployed(made.uuid, endpoint="https://x.example").deployment
        assert (up.endpoint, up.state) == ("https://x.example", "deployed")
        assert client.scale_deployment(made.uuid, replicas=1).deployment.replicas == 1
        assert client.undeploy(made.uuid).deployment.state == "ready"
        with pytest.raises(ApiError) as refused:
            client.confirm_stopped(made.uuid)
        assert refused.value.reason == "invalidTransition"
        assert [span.version for span in client.get_deployment(made.uuid).history] == [2, 1]
        assert client.delete_deployment(made.uuid).deployment.state == "deleted"
        assert client.list_deployments().deployments == []
        drafts = client.import_deployments([{"kind": "guardrail", "resource": "pii", "draft": True}])
        assert [one.kind for one in drafts.deployments] == ["guardrail"]
        hourly = {one.key: one.credits_per_hour for one in client.hardware_profiles(kind="model").profiles}
        assert hourly["gpu-t4"] is not None and hourly["gpu-t4"].nano == 53 * 10**9


async def test_the_client_of_asyncio_as_well(shop: Shop) -> None:
    async with AsyncClient(shop.base_url, shop.token) as client:
        made = (await client.create_deployment("tool", "lookup", deployed=True)).deployment
        assert made.state == "deployed"
        assert (await client.undeploy(made.uuid)).deployment.state == "undeployed"


def test_an_operator_adds_hardware(tally: Shell) -> None:
    key = f"gpu-{tally.shop.key[-8:].lower().replace('_', 'x')}"
    terms = ("--kind", "model", "--name", "1 × Ours", "--vcpus", "8", "--memory-gb", "64.5", "--gpus", "1")
    refused = tally("deployment", "profile", "put", key, *terms)
    assert (refused.status, refused.answer) == (1, {"errorMessage": "forbidden"})
    token = tally.house.operator_token
    made = tally("deployment", "profile", "put", key, *terms, "--credits-per-hour", "99.5", TALLY_TOKEN=token)
    assert (made.status, made.answer["profile"]["creditsPerHour"], made.answer["profile"]["memoryGb"]) == (
        0,
        99.5,
        64.5,
    )
