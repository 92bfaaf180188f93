"""The events door: content types, compression, mixed batches, other people's subjects, and all that is malformed."""

import datetime as dt
import gzip
import json
from typing import Any

import pytest
import zstandard
from cloudevents.v1.conversion import to_binary, to_structured
from cloudevents.v1.http import CloudEvent as SdkEvent

from tests.surfaces.conftest import NOW, Caller, House, new_house

BATCH = "application/cloudevents-batch+json"


def event(id_: str, type_: str = "orchestration.execution", **changes: Any) -> dict[str, Any]:
    data = changes.pop("data", {"workflow": "wf", "status": "success"})
    return {
        "specversion": "1.0",
        "id": id_,
        "source": "test",
        "type": type_,
        "time": NOW.isoformat(),
        "data": data,
    } | changes


async def send(caller: Caller, body: Any, content_type: str = "application/json", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await caller.send("POST", "/v1/events", content=content, headers={"content-type": content_type} | headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def posted(house: House) -> float:
    body = (await house.owner.get("/v1/balances")).json()
    return float(next(row["posted"] for row in body["balances"] if row["unit"] == "credits"))


NDJSON = b"\n".join(json.dumps(event(f"n{n}")).encode() for n in range(3)) + b"\n\n"


@pytest.mark.parametrize(
    ("content_type", "body", "accepted"),
    [
        ("application/cloudevents+json", event("1"), 1),
        ("application/cloudevents+json; charset=utf-8", event("1"), 1),
        (BATCH, [event("1"), event("2")], 2),
        (BATCH, [], 0),
        ("application/json", event("1"), 1),
        ("application/json", [event("1"), event("2")], 2),
        ("application/x-ndjson", NDJSON, 3),
    ],
)
async def test_every_content_type_books_the_same(house: House, content_type: str, body: Any, accepted: int) -> None:
    answer = await send(house.owner, body, content_type)
    assert answer == {
        "accepted": accepted,
        "duplicates": 0,
        "conflicts": [],
        "rejected": [],
        "chargedCredits": pytest.approx(accepted / 100),
    }
    assert await posted(house) == pytest.approx(75 - accepted / 100)
    again = await send(house.owner, body, content_type)
    assert (again["accepted"], again["duplicates"]) == (0, accepted)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:40]) + gzip.compress(body[40:])),
        ("zstd", zstandard.compress),
        ("identity", bytes),
    ],
    ids=["gzip", "gzip-members", "zstd", "identity"],
)
async def test_a_compressed_body_is_read(house: House, encoding: str, compress: Any) -> None:
    body = compress(json.dumps([event("1"), event("2")]).encode())
    assert (await send(house.owner, body, BATCH, **{"content-encoding": encoding}))["accepted"] == 2


@pytest.mark.parametrize("mode", [to_structured, to_binary])
async def test_the_cloudevents_sdk_is_understood_in_both_modes(house: House, mode: Any) -> None:
    made = SdkEvent(
        {"type": "tool.call", "source": "sdk", "id": "call 1", "time": NOW.isoformat()},
        {"integration": "hubspot", "action": "enrich"},
    )
    headers, body = mode(made)
    answer = await house.owner.send("POST", "/v1/events", content=body, headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1), answer.text


async def test_good_events_of_a_mixed_batch_are_kept_and_bad_ones_named(house: House) -> None:
    body = [
        event("ok"),
        event("no-type", type_=""),
        {"id": "incomplete"},
        event("unknown", "search.nothing"),
        event("future", time=(NOW + dt.timedelta(minutes=6)).isoformat()),
        event("old", time=(NOW - dt.timedelta(days=401)).isoformat()),
        event("counters", "llm.tokens", data={"model": "gpt-4o", "inputTokens": 1, "cachedInputTokens": 2}),
        event("model", "llm.tokens", data={"inputTokens": 1}),
        event("status", data={"status": "so-so"}),
        event("ok", data={"workflow": "other", "status": "success"}),
        event("elsewhere", subject="somebody-else"),
        7,
        event("huge", "direct.charge", data={"quantity": "1e15"}),
        event("negative", "direct.charge", data={"quantity": -1}),
        event("fine", "direct.charge", data={"quantity": "0.0000000001"}),
        event("ok2", subject=str(house.uuid)),
    ]
    answer = await send(house.owner, body, BATCH)
    assert (answer["accepted"], answer["duplicates"]) == (2, 0)
    assert [(entry["index"], entry["id"], entry["reason"]) for entry in answer["rejected"]] == [
        (1, "no-type", "invalidEvent"),
        (2, "incomplete", "invalidEvent"),
        (3, "unknown", "unknownType"),
        (4, "future", "timeInFuture"),
        (5, "old", "timeTooOld"),
        (6, "counters", "invalidCounters"),
        (7, "model", "invalidData"),
        (8, "status", "invalidData"),
        (10, "elsewhere", "forbidden"),
        (11, None, "invalidEvent"),
        (12, "huge", "invalidAmount"),
        (13, "negative", "invalidQuantity"),
        (14, "fine", "invalidQuantity"),
    ]
    assert [(entry["index"], entry["id"], entry["reason"]) for entry in answer["conflicts"]] == [(9, "ok", "conflict")]
    assert await posted(house) == pytest.approx(74.98)


async def test_litellm_names_its_end_user_as_subject(house: House) -> None:
    data = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "model": "gpt-4o", "cost": 0.0035}
    answer = await send(house.owner, event("1", "litellm_tokens", subject="user-7", data=data))
    assert answer["chargedCredits"] == pytest.approx(0.35)
    users = (await house.owner.get("/v1/resources/user")).json()
    assert "user-7" in json.dumps(users)


async def test_an_operator_reports_for_any_workspace_by_uuid_or_key(house: House, operator: Caller) -> None:
    other = await new_house(operator)
    body = [
        event("1", subject=str(house.uuid)),
        event("1", subject=str(other.uuid)),
        event("2"),
        event("3", subject="x"),
    ]
    answer = await send(operator, body)
    assert answer["accepted"] == 2
    assert [entry["reason"] for entry in answer["rejected"]] == ["subjectRequired", "workspaceNotFound"]


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "status", "reason"),
    [
        (b"{", "application/json", "", 400, "malformedJson"),
        (b"[{]", BATCH, "", 400, "malformedJson"),
        (b"\xff\xfe", "application/json", "", 400, "malformedJson"),
        (b"", "application/json", "", 400, "malformedJson"),
        (b"[" * 100_000, BATCH, "", 400, "malformedJson"),
        (b'{"a":' * 100_000, "application/json", "", 400, "malformedJson"),
        (b"{}", "text/plain", "", 415, "unsupportedMediaType"),
        (b"not gzip", BATCH, "gzip", 400, "invalidEncoding"),
        (gzip.compress(b"[]")[:-3], BATCH, "gzip", 400, "invalidEncoding"),
        (b"not zstd", BATCH, "zstd", 400, "invalidEncoding"),
        (b"[]", BATCH, "br", 400, "invalidEncoding"),
        (gzip.compress(b" " * 20_000_000), BATCH, "gzip", 413, "bodyTooLarge"),
        (zstandard.compress(b" " * 20_000_000), BATCH, "zstd", 413, "bodyTooLarge"),
        (json.dumps([event(str(n)) for n in range(10_001)]).encode(), BATCH, "", 400, "tooManyEvents"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value),
)
async def test_a_body_that_cannot_be_read_is_refused_whole(
    house: House, body: bytes, content_type: str, encoding: str, status: int, reason: str
) -> None:
    headers = {"content-type": content_type, "content-encoding": encoding}
    answer = await house.owner.send("POST", "/v1/events", content=body, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert await posted(house) == 75


BAD_DATA: list[bytes] = [
    b'{"quantity": NaN}',
    b'{"quantity": 1e400}',
    b'{"quantity": 1e30}',
    b'{"quantity": -1}',
    b'{"quantity": "NaN"}',
    b'{"quantity": "Infinity"}',
    b'{"quantity": "1_000"}',
    b'{"quantity": true}',
    b'{"quantity": [1]}',
    b'{"workflow": 7}',
    b'{"workflow": "a\\u0000b"}',
    b'{"note": "a\\u0000b"}',
    b'{"workflow": "\\ud800"}',
    b'{"workflow": "' + b"w" * 201 + b'"}',
    b'{"note": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"note": "' + b"x" * 70_000 + b'"}',
    b'{"cost": 1e30}',
    b'{"cost": -0.1}',
    b'"text"',
    b"[1]",
    b"3",
]


@pytest.mark.parametrize("data", BAD_DATA, ids=lambda data: data[:30].decode())
async def test_bad_data_is_rejected_by_name_and_nothing_is_written(house: House, data: bytes) -> None:
    envelope = b'{"specversion":"1.0","id":"b","source":"s","type":"tool.call","data":%s}' % data
    answer = await house.owner.send(
        "POST", "/v1/events", content=b"[" + envelope + b"]", headers={"content-type": BATCH}
    )
    body = answer.json()
    if answer.status_code == 400:
        assert body["reason"] == "malformedJson"
    else:
        assert answer.status_code == 200
        assert (body["accepted"], len(body["rejected"])) == (0, 1)
        assert body["rejected"][0]["reason"].startswith(("invalid", "eventTooLarge", "amountTooLarge"))
    balances = (await house.owner.get("/v1/balances")).json()["balances"]
    assert {row["unit"]: row["posted"] for row in balances} == {"credits": 75, "toolRuns": 10_000}


@pytest.mark.parametrize(
    "time",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z", "yesterday", 17, "", None],
)
async def test_dates_at_the_edges_are_answered(house: House, time: Any) -> None:
    answer = await send(house.owner, [event("1", time=time)], BATCH)
    assert answer["accepted"] + len(answer["rejected"]) == 1
    assert answer["accepted"] == (1 if time is None else 0)


@pytest.mark.parametrize("field", ["id", "source"])
@pytest.mark.parametrize("value", ["", "x" * 1025, "é" * 600, "a\nb", "a\x00b"])
async def test_an_identity_is_text_of_bounded_length(house: House, field: str, value: str) -> None:
    answer = await send(house.owner, [event("1") | {field: value}], BATCH)
    assert [entry["reason"] for entry in answer["rejected"]] == ["invalidEvent"]


async def test_an_identity_of_the_greatest_length_is_kept(house: House) -> None:
    answer = await send(house.owner, [event("i" * 1024, source="s" * 1024)], BATCH)
    assert answer["accepted"] == 1


async def test_a_client_of_another_service_gets_what_it_expects(house: House) -> None:
    headers = {"content-type": "application/cloudevents+json", "accept": "application/problem+json"}
    body = json.dumps(event("1")).encode()
    silent = await house.owner.send("POST", "/api/v1/events", content=body, headers=headers)
    assert (silent.status_code, silent.content) == (204, b"")
    refused = await house.owner.send(
        "POST", "/api/v1/events", content=json.dumps(event("2", "no.such")).encode(), headers=headers
    )
    assert refused.status_code == 400
    told = await house.owner.post("/api/v1/events", event("1"))
    assert (told.status_code, told.json()["duplicates"]) == (200, 1)


async def test_an_import_takes_any_past_and_leaves_the_balance_alone(house: House) -> None:
    old = event("1", "direct.charge", time="2023-11-16T18:15:46.680590Z", data={"quantity": 1000})
    path = "/v1/imports/azure/events"
    answer = await house.owner.post(path, [old])
    assert answer.json()["chargedCredits"] == 1000
    assert await posted(house) == 75
    paid = await house.owner.post(f"{path}?debit=true", [old | {"id": "2"}])
    assert paid.json()["accepted"] == 1
    assert await posted(house) == -925
    member = await house.caller("member")
    assert (await member.post(path, [old | {"id": "3"}])).status_code == 403
