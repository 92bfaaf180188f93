"""Canonical data: what is read in one go is what the long way makes of it, whatever is sent."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.metering.events import EventData, _read_data_whole, read_data
from tallystick.kernel.errors import TallystickError

NAMES = [field.encode_name for field in msgspec.structs.fields(EventData)]
VALUES = st.one_of(
    st.text(max_size=12),
    st.integers(-5, 10**12),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.dictionaries(st.sampled_from(["source", "id", "x"]), st.text(max_size=3)),
)
ANYTHING = st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=4)), VALUES, max_size=8)
USUAL = st.dictionaries(st.sampled_from(NAMES), st.one_of(st.text(max_size=6), st.integers(0, 10**6)), max_size=6)


def read(way: Any, raw: bytes) -> Any:
    try:
        facts, canonical = way(raw)
    except TallystickError as error:
        return error.code, error.message
    return canonical, [getattr(facts, name) for name in EventData.__struct_fields__]


@given(st.one_of(ANYTHING, USUAL), st.booleans())
@settings(max_examples=2_000)
def test_both_ways_read_the_same_facts_and_write_the_same_bytes(data: dict[str, Any], ascii_only: bool) -> None:
    raw = json.dumps(data, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert read(read_data, raw) == read(_read_data_whole, raw)
