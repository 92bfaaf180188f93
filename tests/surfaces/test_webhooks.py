"""Webhooks through the API: endpoints, secrets that are shown once, the log, replay."""

import datetime as dt
from typing import Any

import pytest

from tallystick.domain.telling.facts import KINDS
from tallystick.runtime import Runtime
from tallystick.surfaces.worker import jobs
from tests import make
from tests.surfaces.conftest import NOW, Caller, House, new_house

URL = "https://platform.example/tally"


async def created(house: House, **more: Any) -> dict[str, Any]:
    made = await house.owner.post("/v1/webhooks", {"url": URL} | more)
    assert made.status_code == 201, made.text
    return dict(made.json()["webhook"])


async def reason(house: House, method: str, path: str, **options: Any) -> tuple[int, str]:
    answer = await house.owner.send(method, path, **options)
    return answer.status_code, answer.json().get("reason", "")


async def test_an_endpoint_is_made_read_changed_and_deleted(house: House) -> None:
    made = await created(house, description="Ours", kinds=["credits.exhausted", "credits.exhausted"])
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made == {
        "uuid": made["uuid"],
        "url": URL,
        "description": "Ours",
        "kinds": ["credits.exhausted"],
        "enabled": True,
        "disabledBecause": None,
        "failingSince": None,
        "previousSecretUntil": None,
        "createdAt": NOW.isoformat().replace("+00:00", "Z"),
        "updatedAt": NOW.isoformat().replace("+00:00", "Z"),
    }
    path = f"/v1/webhooks/{made['uuid']}"
    assert (await house.owner.get(path)).json() == {"webhook": made}
    assert (await house.owner.get("/v1/webhooks")).json() == {"webhooks": [made]}
    changed = (await house.owner.put(path, {"kinds": [], "enabled": False})).json()["webhook"]
    assert changed == made | {"kinds": [], "enabled": False, "disabledBecause": "asked"}
    assert (await house.owner.put(path, {"enabled": True})).json()["webhook"]["disabledBecause"] is None
    assert (await house.owner.delete(path)).status_code == 200
    assert (await house.owner.delete(path)).status_code == 200, "one that is deleted stays so"
    assert (await house.owner.get("/v1/webhooks")).json() == {"webhooks": []}
    for method, where in (("GET", path), ("PUT", path), ("POST", f"{path}/rotate"), ("POST", f"{path}/test")):
        body = {"json": {}} if method == "PUT" else {}
        assert await reason(house, method, where, **body) == (404, "webhookNotFound")


async def test_a_secret_is_shown_at_its_making_and_never_again(house: House, runtime: Runtime) -> None:
    made = await created(house)
    path = f"/v1/webhooks/{made['uuid']}"
    rotated = (await house.owner.post(f"{path}/rotate")).json()["webhook"]
    assert rotated["secret"] not in (None, made["secret"])
    until = NOW + dt.timedelta(hours=24)
    assert rotated["previousSecretUntil"] == until.isoformat().replace("+00:00", "Z")
    test = (await house.owner.post(f"{path}/test")).text
    answers = [
        (await house.owner.get(path)).text,
        (await house.owner.get("/v1/webhooks")).text,
        (await house.owner.put(path, {"description": "x"})).text,
        (await house.owner.get(f"{path}/deliveries")).text,
        (await house.owner.delete(path)).text,
        test,
    ]
    rows = await make.rows(
        runtime.database, "SELECT details::text FROM audit_entry WHERE workspace_id = %s", house.uuid
    )
    answers += [row["details"] for row in rows]
    assert not any("whsec" in text for text in answers)
    kept = await make.rows(runtime.database, "SELECT response::text FROM idempotency_key")
    assert not any("whsec" in (row["response"] or "") for row in kept)


async def test_a_repeated_request_shows_its_secret_to_who_made_it_alone(house: House) -> None:
    headers = {"idempotency-key": "once"}
    first, again = [(await house.owner.post("/v1/webhooks", {"url": URL}, headers=headers)).json() for _ in range(2)]
    assert first == again
    assert first["webhook"]["secret"]
    other = await house.caller("admin")
    shown = (await other.post("/v1/webhooks", {"url": URL}, headers=headers)).json()["webhook"]
    assert (shown["uuid"], shown["secret"]) == (first["webhook"]["uuid"], None)
    path = f"/v1/webhooks/{shown['uuid']}/rotate"
    turned = [(await house.owner.post(path, headers=headers)).json()["webhook"]["secret"] for _ in range(2)]
    assert turned[0] == turned[1] != first["webhook"]["secret"]
    conflict = await house.owner.post("/v1/webhooks", {"url": f"{URL}/2"}, headers=headers)
    assert (conflict.status_code, conflict.json()["reason"]) == (409, "idempotencyConflict")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "ftp://platform.example"}, "invalidUrl"),
        ({"url": "https://user:secret@platform.example"}, "invalidUrl"),
        ({"url": "http://127.0.0.1/"}, "invalidUrl"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "invalidUrl"),
        ({"url": "https://169.254.169.254/latest"}, "invalidUrl"),
        ({"url": URL, "kinds": ["credits.exploded"]}, "unknownFactKind"),
        ({"url": URL, "kinds": ["webhook.test"]}, "unknownFactKind"),
        ({"url": URL, "description": "\0"}, "invalidText"),
        ({"url": URL, "description": "x" * 2_001}, "invalidText"),
        ({"url": 1}, "invalidRequest"),
        ({}, "invalidRequest"),
    ],
)
async def test_what_is_wrong_is_refused_at_making_and_changing(house: House, body: dict[str, Any], code: str) -> None:
    assert await reason(house, "POST", "/v1/webhooks", json=body) == (400, code)
    made = await created(house)
    if body:
        assert await reason(house, "PUT", f"/v1/webhooks/{made['uuid']}", json=body) == (400, code)
    refused = (await house.owner.post("/v1/webhooks", body)).text
    assert "secret" not in refused


async def test_a_workspace_has_so_many_endpoints(house: House, runtime: Runtime) -> None:
    most = runtime.settings.webhook_endpoints_max
    for _ in range(most):
        made = await created(house)
    assert await reason(house, "POST", "/v1/webhooks", json={"url": URL}) == (400, "tooManyWebhooks")
    await house.owner.delete(f"/v1/webhooks/{made['uuid']}")
    await created(house)


async def test_the_kinds_are_listed_with_their_sentences(house: House) -> None:
    kinds = (await house.owner.get("/v1/webhook-kinds")).json()["kinds"]
    assert [kind["kind"] for kind in kinds] == list(KINDS)
    assert all(kind["about"].endswith(".") and kind["topic"] in ("credits", "deployments", "billing") for kind in kinds)


async def test_a_test_is_queued_listed_shown_and_replayed(house: House) -> None:
    made = await created(house, kinds=["credits.exhausted"])
    path = f"/v1/webhooks/{made['uuid']}"
    test = await house.owner.post(f"{path}/test")
    assert test.status_code == 201
    delivery = test.json()["delivery"]
    moment = NOW.isoformat().replace("+00:00", "Z")
    payload = delivery.pop("payload")
    assert payload == (
        f'{{"type":"webhook.test","timestamp":"{moment}","workspaceUuid":"{house.uuid}",'
        f'"data":{{"message": "This is a test.", "webhookUuid": "{made["uuid"]}"}}}}'
    )
    assert delivery.pop("attempts") == []
    assert delivery == {
        "uuid": delivery["uuid"],
        "webhookUuid": made["uuid"],
        "webhookId": f"fact_{delivery['factUuid']}",
        "factUuid": delivery["factUuid"],
        "kind": "webhook.test",
        "happenedAt": moment,
        "status": "queued",
        "attemptsCount": 0,
        "statusCode": None,
        "error": None,
        "nextAt": moment,
        "createdAt": moment,
        "finishedAt": None,
    }
    one = f"/v1/webhook-deliveries/{delivery['uuid']}"
    assert (await house.owner.get(one)).json()["delivery"] == delivery | {"payload": payload, "attempts": []}
    for query, found in (
        ({}, 1),
        ({"status": "queued"}, 1),
        ({"status": "dead"}, 0),
        ({"kind": "webhook.test"}, 1),
        ({"kind": "credits.exhausted"}, 0),
        ({"since": moment}, 1),
        ({"until": moment}, 0),
        ({"offset": 1}, 0),
        ({"limit": 1}, 1),
    ):
        listed = (await house.owner.get(f"{path}/deliveries", params=query)).json()["deliveries"]
        assert listed == [delivery] * found, query
    assert await reason(house, "GET", f"{path}/deliveries", params={"status": "lost"}) == (400, "invalidRequest")
    await house.owner.put(path, {"enabled": False})
    assert (await house.owner.get(one)).json()["delivery"]["status"] == "dead"
    assert await reason(house, "POST", f"{path}/test") == (409, "webhookDisabled")
    assert await reason(house, "POST", f"{one}/replay") == (409, "webhookDisabled")
    since = {"since": moment}
    assert await reason(house, "POST", f"{path}/replay", json=since) == (409, "webhookDisabled")
    await house.owner.put(path, {"enabled": True})
    assert (await house.owner.post(f"{one}/replay")).json()["delivery"]["status"] == "queued"
    await house.owner.put(path, {"enabled": False})
    await house.owner.put(path, {"enabled": True})
    assert (await house.owner.post(f"{path}/replay", since)).json() == {"replayed": 1}
    assert (await house.owner.post(f"{path}/replay", since)).json() == {"replayed": 0}


async def test_nobody_reaches_what_is_of_another_workspace(house: House, operator: Caller) -> None:
    made = await created(house)
    path = f"/v1/webhooks/{made['uuid']}"
    delivery = (await house.owner.post(f"{path}/test")).json()["delivery"]["uuid"]
    foreign = await new_house(operator)
    for method, where, code in (
        ("GET", path, "webhookNotFound"),
        ("DELETE", path, "webhookNotFound"),
        ("POST", f"{path}/rotate", "webhookNotFound"),
        ("POST", f"{path}/test", "webhookNotFound"),
        ("GET", f"{path}/deliveries", "webhookNotFound"),
        ("GET", f"/v1/webhook-deliveries/{delivery}", "webhookDeliveryNotFound"),
        ("POST", f"/v1/webhook-deliveries/{delivery}/replay", "webhookDeliveryNotFound"),
    ):
        assert await reason(foreign, method, where) == (404, code)
    assert (await house.operator.get(path)).status_code == 200, "an operator selects the workspace"


async def test_the_worker_sends(runtime: Runtime) -> None:
    assert "send_webhooks" in [job.name for job in jobs(runtime.settings)]
