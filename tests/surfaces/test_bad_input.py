"""Malformed input: a named 4xx, never a 5xx, and nothing half-written."""

import json
from typing import Any, Final

import httpx2
import msgspec
import pytest

from tallystick.runtime import Runtime
from tallystick.surfaces.api import problems
from tallystick.surfaces.api.endpoints import LARGEST_BODY, Endpoint
from tests.surfaces.conftest import Caller, House, new_house
from tests.surfaces.test_authorization import ENDPOINTS, TABLE, _filled

JSON: Final = {"content-type": "application/json"}
BODIES: Final = sorted(
    name for name, e in ENDPOINTS.items() if isinstance(e.body, type) and issubclass(e.body, msgspec.Struct)
)
QUERIES: Final = sorted(name for name, e in ENDPOINTS.items() if e.query is not None)

NOT_JSON: Final[dict[str, tuple[bytes, str]]] = {
    "empty": (b"", "malformedJson"),
    "cut": (b'{"name": "x', "malformedJson"),
    "trailing": (b"{} {}", "malformedJson"),
    "byte order mark": (b"\xef\xbb\xbf{}", "malformedJson"),
    "utf-16": ('{"name": "x"}'.encode("utf-16"), "malformedJson"),
    "bad utf-8": (b'{"name": "\xff\xfe", "email": "\xc0\x80"}', "malformedJson"),
    "encoded surrogate": (b'{"name": "\xed\xa0\x80"}', "malformedJson"),
    "lone surrogate": (rb'{"name": "\ud800"}', "malformedJson"),
    "raw control character": (b'{"name": "a\x00b"}', "malformedJson"),
    "deep lists": (b"[" * 200_000, "malformedJson"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "malformedJson"),
    "deep and unknown": (b'{"unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformedJson"),
    "NaN": (b'{"amount": NaN}', "invalidAmount"),
    "Infinity": (b'{"amount": -Infinity}', "invalidAmount"),
    "a list": (b"[]", "invalidRequest"),
    "a number": (b"1", "invalidRequest"),
    "null": (b"null", "invalidRequest"),
    "text": (b'"x"', "invalidRequest"),
    "too large": (b'{"name": "' + b"x" * LARGEST_BODY + b'"}', "bodyTooLarge"),
}

VALUES: Final[dict[str, bytes]] = {
    "null": b"null",
    "true": b"true",
    "zero": b"0",
    "negative": b"-1",
    "negative zero": b"-0.0",
    "fraction": b"0.5",
    "ten decimals": b"0.0000000001",
    "64 bits": b"18446744073709551616",
    "huge": b"1" * 4000,
    "huge exponent": b"1e400",
    "endless exponent": b"1e999999999999999999999",
    "tiny": b"1e-400",
    "empty": b'""',
    "blank": b'"  "',
    "NUL": rb'"a\u0000b"',
    "newline": rb'"a\nb"',
    "right to left": '"\u202e"'.encode(),
    "astral": '"😀"'.encode(),
    "long": b'"' + b"x" * 100_000 + b'"',
    "NaN": b'"NaN"',
    "sNaN": b'"sNaN"',
    "infinite": b'"-Infinity"',
    "exponent": b'"1e30"',
    "underscores": b'"1_000"',
    "arabic digits": '"١٢"'.encode(),
    "a date": b'"2026-02-30T00:00:00Z"',
    "year one": b'"0001-01-01T00:00:00+23:59"',
    "last year": b'"9999-12-31T23:59:59.999999-23:59"',
    "no zone": b'"2030-01-01T00:00:00"',
    "leap second": b'"2016-12-31T23:59:60Z"',
    "a uuid": b'"00000000-0000-0000-0000-000000000000"',
    "almost a uuid": b'"00000000-0000-0000-0000-00000000000g"',
    "sql": b'"\'; DROP TABLE workspace; --"',
    "a list": b"[]",
    "a list of anything": rb'[null, 1, "\u0000", {}, []]',
    "an object": b"{}",
    "an object of anything": rb'{"a\u0000": 1}',
    "many": b"[" + b",".join([b'"x"'] * 5000) + b"]",
    "deep": b"[" * 500 + b"]" * 500,
}

TEXTS: Final = (
    "",
    "%00",
    "%ff",
    "%ED%A0%80",
    "%0a",
    "NaN",
    "-1",
    "1.5",
    "9" * 400,
    "x" * 20_000,
    "2026-02-30",
    "0000-00-00",
    "9999-12-31",
    "99999-01-01",
    "2026-03-01T00:00:00",
    "%27%3B--",
    "%F0%9F%98%80",
    "null",
)


@pytest.fixture(scope="module")
async def house(operator: Caller) -> House:
    return await new_house(operator)


async def rows(runtime: Runtime) -> dict[str, int]:
    tables = ("workspace", "person", "member", "api_token", "resource", "credit_grant", "ledger_transaction")
    tables += ("audit_entry", "idempotency_key", "usage_event", "price_version", "meter")
    counted = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in tables)
    async with runtime.database.read() as conn:
        row = await (await conn.execute(f"SELECT {counted}".encode())).fetchone()
    return dict(row or {})


def assert_named(answer: httpx2.Response) -> str:
    """It is a 4xx in our shape, of a code that has this very status."""
    assert 400 <= answer.status_code < 500, answer.text
    if answer.headers["content-type"].startswith("text/html"):
        # A page says it in words, to a person.
        assert "<h1>" in answer.text
        return ""
    reason = str(answer.json()["reason"])
    assert problems.STATUS[reason] == answer.status_code
    assert set(answer.json()) == {"errorMessage", "reason", "details"}
    return reason


def path_of(endpoint: Endpoint) -> str:
    return endpoint.path.replace(":path}", "}").format(**TABLE[endpoint.operation].parts)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (operation, kind)
        for operation in BODIES
        for kind in sorted(NOT_JSON)
        if kind != "empty" or not ENDPOINTS[operation].optional_body
    ],
)
async def test_a_body_that_is_not_what_it_should_be_is_named(
    operation: str, kind: str, house: House, runtime: Runtime
) -> None:
    raw, expected = NOT_JSON[kind]
    endpoint = ENDPOINTS[operation]
    before = await rows(runtime)
    answer = await house.operator.send(endpoint.method, path_of(endpoint), content=raw, headers=JSON)
    # What is cut short, or of the wrong shape at its first byte, is refused before the rest is read.
    assert assert_named(answer) in (expected, "invalidRequest")
    assert await rows(runtime) == before


FIELDS: Final = [
    (name, field.encode_name)
    for name in BODIES
    for field in msgspec.structs.fields(ENDPOINTS[name].body)  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("operation", "name"), FIELDS)
async def test_any_value_in_any_field_is_taken_or_named(
    operation: str, name: str, house: House, runtime: Runtime
) -> None:
    endpoint = ENDPOINTS[operation]
    good = _filled(TABLE[operation].body, {"{workspace}": str(house.uuid), "{caller}": "bad-input"})
    # What is a person's own an operator has no say in.
    caller = house.operator if "operator" in TABLE[operation].who else house.owner
    before = await rows(runtime)
    for kind, value in VALUES.items():
        others = {key: member for key, member in good.items() if key != name}
        members = [json.dumps(key).encode() + b":" + json.dumps(member).encode() for key, member in others.items()]
        raw = b"{" + b",".join([*members, json.dumps(name).encode() + b":" + value]) + b"}"
        answer = await caller.send(endpoint.method, path_of(endpoint), content=raw, headers=JSON)
        after = await rows(runtime)
        assert answer.status_code < 500, (kind, answer.text)
        if answer.status_code >= 400:
            assert_named(answer)
            assert after == before, kind
        before = after


@pytest.mark.parametrize("operation", QUERIES)
async def test_any_query_parameter_is_taken_or_named(operation: str, house: House) -> None:
    endpoint = ENDPOINTS[operation]
    good = "&".join(f"{name}={value}" for name, value in TABLE[operation].params.items())
    assert endpoint.query is not None
    names = [field.encode_name for field in msgspec.structs.fields(endpoint.query)]
    queries = [f"{good}&{name}{form}={text}" for name in [*names, "unheardOf"] for form in ("", "[]") for text in TEXTS]
    queries += [f"{good}&&&=&=x&%00=%00&a%ff=1", "&".join(f"p{n}=1" for n in range(5000)), f"{good}&{good}"]
    for query in queries:
        answer = await house.operator.send(
            endpoint.method, f"{path_of(endpoint)}?{query}", content=b"[]" if endpoint.body else None, headers=JSON
        )
        assert answer.status_code < 500, (query[:100], answer.text)
        if answer.status_code >= 400:
            assert_named(answer)


@pytest.mark.parametrize("operation", sorted(name for name, e in ENDPOINTS.items() if e.parts))
async def test_any_part_of_a_path_is_taken_or_named(operation: str, house: House) -> None:
    endpoint = ENDPOINTS[operation]
    for part in endpoint.parts:
        for text in (*TEXTS, "..", "%2e%2e", "a%2Fb", "/", "%252F", ";x=1", "{uuid}"):
            parts = {**TABLE[operation].parts, part: text}
            path = endpoint.path.replace(":path}", "}").format(**parts)
            answer = await house.operator.send(endpoint.method, path, content=b"{}", headers=JSON)
            assert answer.status_code < 500, (text[:100], answer.text)
            if answer.status_code >= 400:
                assert_named(answer)


@pytest.mark.parametrize(
    "value", [b"x", b"\xff\xfe", b"x" * 10_000, b"00000000000070008000000000000000", b"{}", b"a, b"]
)
async def test_a_workspace_header_that_is_no_uuid_is_named(
    http: httpx2.AsyncClient, house: House, value: bytes
) -> None:
    headers = [(b"authorization", f"Bearer {house.owner.token}".encode()), (b"selected-workspace-uuid", value)]
    answer = await http.get("/v1/workspaceManagement/workspaces/current", headers=headers)
    assert assert_named(answer) == "invalidHeader"


@pytest.mark.parametrize("value", [b"", b"\xff", b"x" * 256, b"a\tb", "ключ".encode()])
async def test_an_idempotency_key_that_cannot_be_kept_is_named(
    http: httpx2.AsyncClient, house: House, runtime: Runtime, value: bytes
) -> None:
    before = await rows(runtime)
    headers = [(b"authorization", f"Bearer {house.operator.token}".encode()), (b"idempotency-key", value)]
    answer = await http.post("/v1/workspaces", json={"name": "x"}, headers=headers)
    assert assert_named(answer) == "invalidIdempotencyKey"
    assert await rows(runtime) == before


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("APPLICATION/JSON", 201),
        ("application/vnd.acme+json", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/xml", 415),
        ("json", 415),
        ("+json", 415),
        (";;;", 201),  # no type at all: the body says what it is
    ],
)
async def test_the_content_type_decides_whether_a_body_is_read(operator: Caller, given: str, status: int) -> None:
    answer = await operator.send("POST", "/v1/workspaces", content=b'{"name": "x"}', headers={"content-type": given})
    assert answer.status_code == status
    if status == 415:
        assert assert_named(answer) == "unsupportedMediaType"


async def test_a_body_that_does_not_say_its_size_is_cut_off_at_the_limit(operator: Caller) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b"x" * 65_536

    answer = await operator.send("POST", "/v1/workspaces", content=endless(), headers=JSON)
    assert assert_named(answer) == "bodyTooLarge"


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("GET", "/v1", "notFound"),
        ("GET", "/v2/workspaces", "notFound"),
        ("GET", "/v1/workspaces/%00", "notFound"),
        ("GET", "/%ff%fe", "notFound"),
        ("GET", "/" + "a/" * 2000, "notFound"),
        ("DELETE", "/v1/workspaces", "methodNotAllowed"),
        ("PATCH", "/v1/grants", "methodNotAllowed"),
        ("BREW", "/healthz", "methodNotAllowed"),
    ],
)
async def test_an_address_or_method_that_is_not_there_is_named(
    http: httpx2.AsyncClient, method: str, path: str, reason: str
) -> None:
    answer = await http.request(method, path)
    assert assert_named(answer) == reason
    if reason == "methodNotAllowed":
        assert answer.headers["allow"]
