"""Workflows, runs and batches over HTTP, as a platform and its runner meet them."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tallystick.runtime import Runtime
from tests.make import rows
from tests.surfaces.conftest import IDS, NOW, Caller, House, new_house

AT = "/v1/orchestration"
FILTER, WRITE = str(UUID(int=1)), str(UUID(int=2))
NODES: list[dict[str, Any]] = [
    {
        "uuid": FILTER,
        "slug": "filter",
        "kind": "native",
        "actionSlug": "filter",
        "config": {"expression": "data.age > 17", "share": 0.30000000000000004},
        "childrenUuids": [WRITE],
    },
    {
        "uuid": WRITE,
        "slug": "write",
        "kind": "agent",
        "fallbackOnFailure": True,
        "retry": {"maximumAttempts": 3, "initialInterval": 500, "backoffCoefficient": 1.5},
    },
]


def new_uuid() -> UUID:
    return IDS.new(NOW)


async def put(caller: Caller, key: str = "qualify", **more: Any) -> str:
    answer = await caller.put(f"{AT}/workflows/{key}", {"nodes": NODES, **more})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["workflow"]["uuid"])


async def create(caller: Caller, workflow: str, **more: Any) -> dict[str, Any]:
    answer = await caller.post(f"{AT}/runs", {"workflowUuid": workflow, "data": {"age": 40}, **more})
    assert answer.status_code == 201, answer.text
    run: dict[str, Any] = answer.json()["run"]
    return run


async def claim(caller: Caller, **more: Any) -> list[dict[str, Any]]:
    answer = await caller.post(f"{AT}/runs/claim", {"runner": "test", **more})
    assert answer.status_code == 200, answer.text
    tasks: list[dict[str, Any]] = answer.json()["tasks"]
    return tasks


async def test_a_workflow_is_stored_as_it_was_said_and_read_by_uuid_or_key(house: House) -> None:
    made = await house.owner.put(f"{AT}/workflows/qualify", {"name": "Qualify", "nodes": NODES, "maxSteps": 4})
    assert made.status_code == 201
    workflow = made.json()["workflow"]
    assert (workflow["kind"], workflow["name"], workflow["version"], workflow["maxSteps"]) == ("tool", "Qualify", 1, 4)
    assert "0.30000000000000004" in made.text
    assert workflow["nodes"][1]["retry"] == {"maximumAttempts": 3, "initialInterval": 500, "backoffCoefficient": 1.5}
    assert (workflow["nodes"][0]["fallbackOnFailure"], workflow["nodes"][1]["fallbackOnFailure"]) == (False, True)
    again = await house.owner.put(f"{AT}/workflows/qualify", {"name": "Qualify", "nodes": NODES, "maxSteps": 4})
    assert (again.status_code, again.json()) == (200, made.json())
    for name in ("qualify", workflow["uuid"]):
        assert (await house.owner.get(f"{AT}/workflows/{name}")).json() == made.json()
    listed = (await house.owner.get(f"{AT}/workflows/list")).json()["workflows"]
    assert [one["uuid"] for one in listed] == [workflow["uuid"]]
    tools = (await house.owner.get(f"{AT}/tools/list")).json()["tools"]
    assert [(one["name"], one["workflowUuid"]) for one in tools] == [("Qualify", workflow["uuid"])]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"nodes": []}, 400, "nodesNotFound"),
        ({"nodes": [NODES[0]]}, 400, "nodesNotFound"),
        ({"nodes": [NODES[1], {**NODES[1], "uuid": FILTER, "slug": "other"}]}, 400, "rootNodeNotFound"),
        ({"nodes": [NODES[1], NODES[1]]}, 400, "invalidData"),
        ({"nodes": [{**NODES[1], "kind": "magic"}]}, 400, "invalidRequest"),
        ({"nodes": NODES, "concurrencyLimit": 0}, 400, "invalidRequest"),
        ({"nodes": NODES, "kind": "agent"}, 400, "invalidRequest"),
        ({"nodes": NODES, "kind": "play"}, 409, "resourceKindConflict"),
        ({"nodes": NODES, "surprise": 1}, 400, "invalidRequest"),
    ],
)
async def test_a_wrong_workflow_is_refused_by_name(house: House, body: Any, status: int, code: str) -> None:
    await put(house.owner)
    answer = await house.owner.put(f"{AT}/workflows/qualify", body)
    assert (answer.status_code, answer.json()["reason"]) == (status, code)


async def test_a_run_is_asked_for_executed_and_read(house: House) -> None:
    workflow = await put(house.owner)
    run = await create(house.owner, workflow)
    assert (run["status"], run["batchUuid"], run["executions"], run["creditsUsedCount"]) == ("pending", None, [], 0)
    assert {"releaseUuid", "contextS3Filename", "traceUuid", "parentUuid", "deletedAt", "recordId"} <= run.keys()
    [task] = await claim(house.owner, leaseSeconds=30)
    assert (task["run"]["uuid"], task["data"], task["executions"]) == (run["uuid"], {"age": 40}, [])
    assert [node["slug"] for node in task["workflow"]["nodes"]] == ["filter", "write"]
    here, execution = f"{AT}/runs/{run['uuid']}", str(new_uuid())
    told = {"nodeUuid": FILTER, "lease": task["lease"], "status": "running", "title": "Filter"}
    assert (await house.owner.put(f"{here}/executions/{execution}", told)).json() == {"cancelling": False}
    done = told | {"status": "success", "output": {"kept": 1.50}, "computedConfig": {"expression": "40 > 17"}}
    for _ in range(2):
        assert (await house.owner.put(f"{here}/executions/{execution}", done)).status_code == 200
    beat = (await house.owner.post(f"{here}/heartbeat", {"lease": task["lease"], "leaseSeconds": 90})).json()
    assert (beat["cancelling"], beat["leaseExpiresAt"]) == (False, "2026-03-14T09:42:37Z")
    ending = {"lease": task["lease"], "status": "success", "output": [1, 2]}
    for _ in range(2):
        finished = await house.owner.post(f"{here}/finish", ending)
        assert (finished.status_code, finished.json()["run"]["status"]) == (200, "success")
    shown = (await house.owner.get(here)).json()
    assert (shown["runContext"], shown["runComputedConfigs"]) == (
        {"filter": {"kept": 1.5}},
        {"filter": {"expression": "40 > 17"}},
    )
    assert (shown["run"]["output"], shown["run"]["data"]) == ([1, 2], {"age": 40})
    [node] = shown["run"]["executions"]
    assert (node["nodeUuid"], node["nodeSlug"], node["nodeKind"], node["nodeActionSlug"], node["title"]) == (
        FILTER,
        "filter",
        "native",
        "filter",
        "Filter",
    )
    listed = (await house.owner.post(f"{AT}/runs/list", {"workflowUuid": workflow, "status": "success"})).json()
    assert listed["runs"] == [shown["run"]]
    assert (await house.owner.post(f"{AT}/runs/list", {"status": "pending"})).json() == {"runs": []}
    assert (await house.owner.post(f"{AT}/runs/list", {})).json() == {"runs": [shown["run"]]}


async def test_numbers_keep_their_digits_on_every_way(house: House) -> None:
    workflow = await put(house.owner)
    exact = (
        '{"workflowUuid":"%s","data":{"big":123456789012345678901234567890,"fine":0.1000000000000000055,"far":1E+999}}'
    )
    sent = await house.owner.send(
        "POST", f"{AT}/runs", content=exact % workflow, headers={"content-type": "application/json"}
    )
    assert sent.status_code == 201
    [task] = (await house.owner.post(f"{AT}/runs/claim", {"runner": "test"})).json()["tasks"]
    shown = await house.owner.get(f"{AT}/runs/{task['run']['uuid']}")
    for digits in ("123456789012345678901234567890", "0.1000000000000000055", "1E+999"):
        assert digits in shown.text


@pytest.mark.parametrize("data", [None, [], "text", 7])
async def test_a_record_is_an_object(house: House, data: Any) -> None:
    workflow = await put(house.owner)
    answer = await house.owner.post(f"{AT}/runs", {"workflowUuid": workflow, "data": data})
    assert (answer.status_code, answer.json()["reason"]) == (400, "invalidData")


@pytest.mark.parametrize("data", [None, [], {}, [1], [{}] * 10_001])
async def test_a_batchs_records_are_a_list_of_objects(house: House, data: Any) -> None:
    workflow = await put(house.owner)
    answer = await house.owner.post(f"{AT}/batches", {"workflowUuid": workflow, "data": data})
    assert (answer.status_code, answer.json()["reason"]) == (400, "invalidData")


async def test_a_run_may_bring_its_own_nodes(house: House) -> None:
    workflow = await put(house.owner)
    run = await create(house.owner, workflow, nodes=NODES[1:])
    assert [node["slug"] for node in run["nodes"]] == ["write"]
    [task] = await claim(house.owner)
    assert [node["slug"] for node in task["workflow"]["nodes"]] == ["write"]
    wrong = await house.owner.put(
        f"{AT}/runs/{run['uuid']}/executions/{new_uuid()}",
        {"nodeUuid": FILTER, "lease": task["lease"], "status": "running"},
    )
    assert (wrong.status_code, wrong.json()["reason"]) == (400, "nodesNotFound")
    refused = await house.owner.post(f"{AT}/runs", {"workflowUuid": workflow, "data": {}, "nodes": []})
    assert (refused.status_code, refused.json()["reason"]) == (400, "nodesNotFound")


async def test_what_can_not_run_says_why(house: House) -> None:
    play = await put(house.owner, "nightly", kind="play")
    await house.owner.put("/v1/resources/tool/bare", {"name": "Bare"})
    [bare] = [t for t in (await house.owner.get(f"{AT}/tools/list")).json()["tools"] if t["name"] == "Bare"]
    for workflow, status, code in (
        (play, 400, "playNotCompatible"),
        (bare["uuid"], 400, "nodesNotFound"),
        (str(new_uuid()), 404, "workflowNotFound"),
    ):
        answer = await house.owner.post(f"{AT}/runs", {"workflowUuid": workflow, "data": {}})
        assert (answer.status_code, answer.json()["reason"]) == (status, code)
    assert (await house.owner.get(f"{AT}/workflows/bare")).json()["reason"] == "nodesNotFound"
    assert (await house.owner.get(f"{AT}/workflows/nothing")).json()["reason"] == "workflowNotFound"


async def test_an_idempotency_key_makes_one_run_and_one_batch(house: House) -> None:
    workflow = await put(house.owner)
    for path, what, data in ((f"{AT}/runs", "run", {}), (f"{AT}/batches", "batch", [{}, {}])):
        body, headers = {"workflowUuid": workflow, "data": data}, {"idempotency-key": "once"}
        answers = await asyncio.gather(*(house.owner.post(path, body, headers=headers) for _ in range(6)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()[what]["uuid"] for answer in answers}) == 1
        other = await house.owner.post(path, body | {"data": [{}] if what == "batch" else {"a": 1}}, headers=headers)
        assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")
    assert len((await house.owner.post(f"{AT}/runs/list", {})).json()["runs"]) == 3


async def test_at_zero_a_run_is_refused_with_the_figures_and_the_way_on(house: House) -> None:
    workflow = await put(house.owner)
    spent = {"specversion": "1.0", "id": "all", "source": "t", "type": "direct.charge", "subject": str(house.uuid)}
    assert (await house.owner.post("/v1/events", spent | {"data": {"quantity": 75}})).json()["accepted"] == 1
    for path, data in ((f"{AT}/runs", {}), (f"{AT}/batches", [{}])):
        refused = await house.owner.post(path, {"workflowUuid": workflow, "data": data})
        assert (refused.status_code, refused.json()["reason"]) == (402, "notEnoughCredits")
        details = refused.json()["details"]
        assert (details["available"], details["blocking"]["kind"]) == (0, "balance")
        assert details["wayOn"]


async def test_a_hold_for_a_run_of_ours_does_not_start_it_again(house: House, runtime: Runtime) -> None:
    run = await create(house.owner, await put(house.owner))
    held = await house.owner.post(
        "/v1/holds", {"amounts": {"credits": 1}, "run": run["uuid"]}, headers={"idempotency-key": "a hold"}
    )
    assert held.status_code == 201, held.text
    [period] = await rows(
        runtime.database, "SELECT runs_started FROM billing_period WHERE workspace_id = %s", house.uuid
    )
    assert period["runs_started"] == 1


async def test_a_run_over_a_budgets_cap_is_refused_by_its_name(house: House) -> None:
    workflow = await put(house.owner)
    made = await house.owner.post(
        "/v1/budgets", {"name": "Qualify, a day", "scope": "workflow", "subject": workflow, "per": "day", "amount": 0}
    )
    assert made.status_code == 201, made.text
    refused = await house.owner.post(f"{AT}/runs", {"workflowUuid": workflow, "data": {}})
    assert (refused.status_code, refused.json()["reason"]) == (402, "budgetExceeded")
    assert refused.json()["details"]["blocking"]["name"] == "Qualify, a day"


async def test_a_batch_shows_progress_and_what_it_cost(house: House) -> None:
    workflow = await put(house.owner)
    made = await house.owner.post(f"{AT}/batches", {"workflowUuid": workflow, "data": [{"n": n} for n in range(3)]})
    assert made.status_code == 201
    batch = made.json()["batch"]
    assert (batch["status"], batch["runsCount"], batch["executedRunsCount"]) == ("pending", 3, 0)
    tasks = await claim(house.owner, limit=3)
    assert [task["data"] for task in tasks] == [{"n": 0}, {"n": 1}, {"n": 2}]
    for task, ending in zip(tasks, ("success", "error", "success"), strict=True):
        event = {
            "specversion": "1.0",
            "id": task["run"]["uuid"],
            "source": "t",
            "type": "orchestration.execution",
            "subject": str(house.uuid),
            "data": {
                "run": task["run"]["uuid"],
                "batch": batch["uuid"],
                "node": FILTER,
                "workflow": workflow,
                "status": "success",
            },
        }
        assert (await house.owner.post("/v1/events", event)).json()["accepted"] == 1
        body = {"lease": task["lease"], "status": ending, "error": "no answer" if ending == "error" else None}
        assert (await house.owner.post(f"{AT}/runs/{task['run']['uuid']}/finish", body)).status_code == 200
    shown = (await house.owner.get(f"{AT}/batches/{batch['uuid']}")).json()["batch"]
    assert (shown["status"], shown["runsStatus"]) == ("success", "unhealthy")
    assert (shown["executedRunsCount"], shown["failedRunsCount"], shown["creditsUsedCount"]) == (3, 1, 0.03)
    assert (await house.owner.get(f"{AT}/batches/list")).json()["batches"] == [shown]
    assert (await house.owner.get(f"{AT}/batches/list", params={"status": "error"})).json() == {"batches": []}
    runs = (await house.owner.post(f"{AT}/runs/list", {"batchUuid": batch["uuid"]})).json()["runs"]
    assert [(run["status"], run["errorMessage"]) for run in runs] == [
        ("success", None),
        ("error", "no answer"),
        ("success", None),
    ]
    assert [run["executions"] for run in runs] == [[], [], []]


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-03-14T09:41:07"])
async def test_an_instant_that_nobody_can_store_is_refused(house: House, when: str) -> None:
    run = await create(house.owner, await put(house.owner))
    [task] = await claim(house.owner)
    told = {"nodeUuid": FILTER, "lease": task["lease"], "status": "success", "finishedAt": when}
    answer = await house.owner.put(f"{AT}/runs/{run['uuid']}/executions/{new_uuid()}", told)
    assert (answer.status_code, answer.json()["reason"]) == (400, "invalidTime")
    assert (await house.owner.get(f"{AT}/runs/{run['uuid']}")).json()["run"]["executions"] == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ('{"a":%s}' % ("9" * 4000), 201),
        ('{"a":' + "[" * 900 + "]" * 900 + "}", 201),
        ('{"a":1e400000}', 201),
        (r'{"":{},"\u0001":"\u007f"}', 201),
        ('{"a":' + "[" * 20_000 + "]" * 20_000 + "}", 400),
        (r'{"a":"\ud800"}', 400),
        (r'{"a":"\u0000"}', 400),
        ('{"a":NaN}', 400),
    ],
)
async def test_a_record_is_kept_whole_or_refused(house: House, data: str, status: int) -> None:
    workflow = await put(house.owner)
    body = f'{{"workflowUuid":"{workflow}","data":{data}}}'
    headers = {"content-type": "application/json"}
    sent = await house.owner.send("POST", f"{AT}/runs", content=body, headers=headers)
    assert sent.status_code == status, sent.text
    assert (await house.owner.post(f"{AT}/runs/list", {})).status_code == 200
    assert len(await claim(house.owner)) == (1 if status == 201 else 0)


async def test_cancelling_over_http(house: House) -> None:
    workflow = await put(house.owner)
    waiting, going = await create(house.owner, workflow), None
    answer = await house.owner.post(f"{AT}/runs/cancel", {"uuid": waiting["uuid"]})
    assert (answer.status_code, answer.json()["run"]["status"]) == (200, "cancelled")
    going = await create(house.owner, workflow)
    [task] = await claim(house.owner)
    answer = await house.owner.post(f"{AT}/runs/cancel", {"uuids": [going["uuid"], waiting["uuid"]]})
    assert [run["status"] for run in answer.json()["runs"]] == ["cancelling", "cancelled"]
    told = {"nodeUuid": FILTER, "lease": task["lease"], "status": "running"}
    reported = await house.owner.put(f"{AT}/runs/{going['uuid']}/executions/{new_uuid()}", told)
    assert reported.json() == {"cancelling": True}
    body = {"lease": task["lease"], "status": "cancelled"}
    ended = await house.owner.post(f"{AT}/runs/{going['uuid']}/finish", body)
    assert ended.json()["run"]["status"] == "cancelled"
    assert (await house.owner.post(f"{AT}/runs/cancel", {})).json()["reason"] == "invalidData"
    made = await house.owner.post(f"{AT}/batches", {"workflowUuid": workflow, "data": [{}, {}]})
    cancelled = await house.owner.post(f"{AT}/batches/{made.json()['batch']['uuid']}/cancel")
    assert (cancelled.json()["batch"]["status"], cancelled.json()["batch"]["cancelledRunsCount"]) == ("cancelled", 2)


async def test_nobody_sees_or_moves_the_runs_of_another_workspace(house: House, operator: Caller) -> None:
    workflow = await put(house.owner)
    run = await create(house.owner, workflow)
    made = await house.owner.post(f"{AT}/batches", {"workflowUuid": workflow, "data": [{}]})
    batch = made.json()["batch"]["uuid"]
    [task, _] = await claim(house.owner, limit=2)
    stranger = (await new_house(operator)).owner
    here = f"{AT}/runs/{run['uuid']}"
    for method, path, body, code in (
        ("GET", here, None, "runNotFound"),
        ("GET", f"{AT}/batches/{batch}", None, "batchNotFound"),
        ("POST", f"{AT}/batches/{batch}/cancel", None, "batchNotFound"),
        ("POST", f"{AT}/runs/cancel", {"uuid": run["uuid"]}, "runNotFound"),
        ("POST", f"{AT}/runs", {"workflowUuid": workflow, "data": {}}, "workflowNotFound"),
        ("GET", f"{AT}/workflows/{workflow}", None, "workflowNotFound"),
        ("POST", f"{here}/heartbeat", {"lease": task["lease"]}, "leaseLost"),
        ("POST", f"{here}/finish", {"lease": task["lease"], "status": "error"}, "leaseLost"),
        (
            "PUT",
            f"{here}/executions/{new_uuid()}",
            {"lease": task["lease"], "nodeUuid": FILTER, "status": "running"},
            "leaseLost",
        ),
    ):
        answer = await stranger.send(method, path, json=body)
        assert answer.json()["reason"] == code, (method, path)
    assert await claim(stranger, limit=100) == []
    assert (await stranger.post(f"{AT}/runs/list", {"batchUuid": batch})).json() == {"runs": []}
    assert (await house.owner.get(here)).json()["run"]["status"] == "running"


async def test_an_operators_runner_needs_no_header_since_the_lease_names_the_workspace(
    house: House, operator: Caller
) -> None:
    run = await create(house.owner, await put(house.owner))
    runner = Caller(operator.http, operator.token)
    tasks: dict[str, dict[str, Any]] = {}
    while found := await claim(runner, limit=100):  # also what other tests have left behind
        tasks |= {task["run"]["uuid"]: task for task in found}
    task = tasks[run["uuid"]]
    assert task["run"]["workspaceUuid"] == str(house.uuid)
    here = f"{AT}/runs/{run['uuid']}"
    told = {"nodeUuid": FILTER, "lease": task["lease"], "status": "success"}
    assert (await runner.put(f"{here}/executions/{new_uuid()}", told)).status_code == 200
    assert (await runner.post(f"{here}/heartbeat", {"lease": task["lease"]})).status_code == 200
    ended = await runner.post(f"{here}/finish", {"lease": task["lease"], "status": "success"})
    assert ended.status_code == 200
    for wrong in ("", "x", f"{house.uuid}.{new_uuid()}"):
        answer = await runner.post(f"{here}/heartbeat", {"lease": wrong})
        assert (answer.status_code, answer.json()["reason"]) == (409, "leaseLost")
