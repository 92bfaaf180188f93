"""What the parser itself refuses, whatever the route would make of it."""

from typing import Any

import msgspec
import pytest

from tallystick.kernel.errors import TallystickError
from tallystick.surfaces.api.parsing import decode_body, decode_query


class Note(msgspec.Struct):
    text: str = ""
    more: dict[str, Any] = {}


class Search(msgspec.Struct, rename="camel"):
    limit: int = 10
    name: str | None = None
    group_by: list[str] = []


def refusal(raw: bytes) -> str:
    with pytest.raises(TallystickError) as caught:
        decode_body(raw, Note)
    return caught.value.code


@pytest.mark.parametrize(
    "raw",
    [rb'{"text": "a\u0000"}', rb'{"more": {"a\u0000": 1}}', rb'{"more": {"a": [{"b": "\u0000"}]}}'],
)
def test_a_nul_is_found_wherever_it_hides(raw: bytes) -> None:
    assert refusal(raw) == "invalidText"


def test_what_only_looks_like_a_nul_is_taken() -> None:
    assert decode_body(rb'{"text": "a\\u0000"}', Note).text == r"a\u0000"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"text": 1}', "invalidRequest"),
        (b'{"more": {"a": NaN}}', "invalidAmount"),
        (b'{"more": {"a": Infinit}}', "malformedJson"),
        (b'{"unknown": "\xff"}', "malformedJson"),
        (b'{"more": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001, "malformedJson"),
    ],
)
def test_a_body_is_refused_by_name(raw: bytes, code: str) -> None:
    assert refusal(raw) == code


def test_a_wrong_shape_says_where() -> None:
    with pytest.raises(TallystickError) as caught:
        decode_body(b'{"text": 5}', Note)
    assert (caught.value.message, caught.value.details["path"]) == ("Expected `str`, got `int` in text.", "text")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", Search()),
        (b"limit=5&unknown=1&x[]=2", Search(limit=5)),
        (b"limit=&name=", Search()),
        (b"limit=1&limit=2", Search(limit=2)),
        (b"groupBy[]=a&groupBy[]=b", Search(group_by=["a", "b"])),
        (b"groupBy%5B%5D=a&groupBy=b", Search(group_by=["a", "b"])),
        (b"name=%C3%A9+x%26", Search(name="é x&")),
    ],
)
def test_a_query_string_is_read(query: bytes, expected: Search) -> None:
    assert decode_query(query, Search) == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (b"limit=x", "invalidRequest"),
        (b"name=%00", "invalidText"),
        (b"name=%ff", "invalidRequest"),
        (b"name=\xff", "invalidRequest"),
        (b"&".join([b"a=1"] * 1001), "invalidRequest"),
    ],
)
def test_a_query_string_is_refused_by_name(query: bytes, code: str) -> None:
    with pytest.raises(TallystickError) as caught:
        decode_query(query, Search)
    assert caught.value.code == code
