"""Reading files and mapping rows, without a server: formats, damage, times, numbers, conditions."""

import datetime as dt
import gzip
import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallystick.cli.importing import rows as reading
from tallystick.cli.importing.mapping import RowError, read_mapping
from tallystick.cli.importing.moments import Clockwork
from tallystick.cli.importing.rows import Row, look_at
from tallystick.kernel.errors import TallystickError

RECORDS: list[dict[str, Any]] = [
    {"a": "1", "b": 'x,"y"'},
    {"a": "2", "b": "línea\nnueva"},
    {"a": "3", "b": ""},
]


def read(path: Path) -> list[Row]:
    return list(look_at(path).rows())


def as_csv(path: Path) -> bytes:
    return b'\xef\xbb\xbfa,b\r\n1,"x,""y"""\r\n2,"l\xc3\xadnea\nnueva"\r\n3,\r\n\r\n'


def as_ndjson(path: Path) -> bytes:
    return b"\n".join(json.dumps(record).encode() for record in RECORDS) + b"\n\n"


def as_array(path: Path) -> bytes:
    return json.dumps(RECORDS, indent=1).encode()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("write", [as_csv, as_ndjson, as_array])
def test_the_same_rows_come_out_of_every_format_whatever_the_file_is_called(
    tmp_path: Path, write: Any, pack: Any
) -> None:
    path = tmp_path / "history.dat"
    content = write(path)
    path.write_bytes(pack(content))
    found = read(path)
    assert [(row.number, row.values, row.problem) for row in found] == [
        (number, record, "") for number, record in enumerate(RECORDS, start=1)
    ]
    assert look_at(path).digest == hashlib.sha256(content).hexdigest()


@example([{"a": "1"}, {"b": '"'}, {"c": "2"}])
@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text()), max_size=3), max_size=6))
def test_an_array_is_cut_right_wherever_the_chunks_end(records: list[dict[str, Any]]) -> None:
    content = json.dumps(records, ensure_ascii=False, indent=1).encode(errors="replace")
    expected = json.loads(content)
    whole = reading._CHUNK
    try:
        for chunk in (1, 2, 7, *range(13, 40)):
            reading._CHUNK = chunk  # type: ignore[misc]
            stream: Any = _Stream(content)
            found = list(reading._json_rows(stream, Path("x")))
            assert [dict(row.values) for row in found] == expected
    finally:
        reading._CHUNK = whole  # type: ignore[misc]


class _Stream:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int) -> bytes:
        head, self._content = self._content[:size], self._content[size:]
        return head


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a,b\n1,2\n3\n4,5\n", "fields where the header"),
        (b'{"a": 1}\n{"a": \n{"a": 3}\n', "is not JSON"),
        (b'{"a": 1}\n[2]\n{"a": 3}\n', "is not a JSON object"),
        (b'[{"a": 1}, 2, {"a": 3}]', "is not a JSON object"),
        (b'[{"a": 1}, {"a": nul}, {"a": 3}]', "is not JSON"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_the_next_ones_are_read(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    first, bad, last = read(path)
    assert (first.problem, last.problem, bad.number, last.number) == ("", "", 2, 3)
    assert problem in bad.problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"a": 1}, {"a": 2', "ends in the middle"),
        (b"[", "ends in the middle"),
        (b'[{"a": 1}] [2]', "goes on after"),
        (b'a,b\n1,"2\n', "can't be read as CSV"),
        (b"a,a\n1,2\n", "names a column twice"),
        (b"a,b\n1,\xff\xfe\n", "UTF-8"),
        (gzip.compress(b"a,b\n1,2\n" * 999, mtime=0)[:-9], "is damaged"),
        (b"\x1f\x8bnot gzip at all", "is damaged"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(TallystickError, match=said) as caught:
        read(path)
    assert caught.value.code == "unreadableFile"


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"[]", b" [ ]\n", b"\n\n"])
def test_an_empty_file_has_no_rows(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    assert read(path) == []


UTC = "2023-11-16T18:17:03.979960+00:00"


@pytest.mark.parametrize(
    ("value", "clockwork", "instant"),
    [
        ("2023-11-16 18:17:03.9799600", Clockwork(), UTC),
        ("2023-11-16T18:17:03.9799609Z", Clockwork(), UTC),
        ("2023-11-16T18:17:03,97996 UTC", Clockwork(), UTC),
        ("2023-11-16T19:17:03.97996+0100", Clockwork(), UTC),
        ("2023-11-16T12:47:03.97996-05:30", Clockwork(), UTC),
        ("2023-11-16 19:17:03.97996", Clockwork(zone="Europe/Berlin"), UTC),
        ("2023-11-16", Clockwork(), "2023-11-16T00:00:00+00:00"),
        ("2023-11-16 18:17", Clockwork(), "2023-11-16T18:17:00+00:00"),
        ("2023-12-31 23:59:59.9999999", Clockwork(), "2023-12-31T23:59:59.999999+00:00"),
        ("2023-10-29 02:30:00", Clockwork(zone="Europe/Berlin"), "2023-10-29T00:30:00+00:00"),
        (1755100406, Clockwork(), "2025-08-13T15:53:26+00:00"),
        ("1755100406.1234569", Clockwork(), "2025-08-13T15:53:26.123456+00:00"),
        (Decimal("1755100406123.4569"), Clockwork("ms"), "2025-08-13T15:53:26.123456+00:00"),
        (1755100406123456789, Clockwork("ns"), "2025-08-13T15:53:26.123456+00:00"),
        (27482, Clockwork("ms", dt.datetime(2024, 1, 1, tzinfo=dt.UTC)), "2024-01-01T00:00:27.482000+00:00"),
        (-1, Clockwork("ns"), "1969-12-31T23:59:59.999999+00:00"),
    ],
    ids=str,
)
def test_times_become_instants_in_utc_with_six_decimals_cut_not_rounded(
    value: Any, clockwork: Clockwork, instant: str
) -> None:
    assert clockwork.read(value).isoformat() == instant


@pytest.mark.parametrize(
    "value", ["", "yesterday", "2023-13-01", "2023-11-16T25:00:00Z", "16.11.2023", True, None, [], "9" * 30, "1e400"]
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"time|calendar"):
        Clockwork().read(value)


def event_of(values: dict[str, Any], *maps: str, sets: tuple[str, ...] = (), file: Path | None = None) -> Any:
    path = Path("x")
    source = reading.Source(path, "d1", "ndjson", "", False, 0)
    mapping = read_mapping(file, maps, sets, (), None, None, None)
    return mapping.event(Row(7, values), source)


def test_a_row_becomes_an_event_with_an_id_of_content_and_number() -> None:
    values = {"at": "2024-05-02T10:00:00+02:00", "u": {"in": "12"}, "price": Decimal("1E-7")}
    maps = ("time=at", "inputTokens=u.in", "cost=price", "agent=none")
    made = event_of(values, *maps, sets=("model=gpt-4o",))
    assert made == {
        "specversion": "1.0",
        "id": "d1:7",
        "source": "tally-import",
        "type": "llm.tokens",
        "time": dt.datetime(2024, 5, 2, 8, tzinfo=dt.UTC),
        "data": {"model": "gpt-4o", "inputTokens": 12, "cost": "0.0000001"},
    }


def test_without_a_mapping_columns_that_are_named_like_fields_are_those_fields() -> None:
    values = {"id": "i", "type": "tool.call", "time": 0, "tool": "search", "quantity": "2.50", "other": "x"}
    made = event_of(values)
    assert (made["id"], made["type"], made["data"]) == ("i", "tool.call", {"tool": "search", "quantity": "2.50"})


def test_a_cloudevent_stays_as_it_is() -> None:
    given_event = {
        "specversion": "1.0",
        "id": "e1",
        "source": "app",
        "type": "llm.tokens",
        "subject": "acme",
        "time": "2024-05-02T08:00:00Z",
        "data": {"model": "gpt-4o", "inputTokens": 5, "replaces": {"source": "a", "id": "b"}},
    }
    made = event_of(given_event)
    assert made | {"time": given_event["time"]} == given_event


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"time": 0, "n": "1.5"}, "invalidNumber"),
        ({"time": 0, "n": "-1"}, "invalidNumber"),
        ({"time": 0, "n": "many"}, "invalidNumber"),
        ({"time": 0, "n": True}, "invalidNumber"),
        ({"time": "soon", "n": 1}, "invalidTime"),
        ({"n": 1}, "timeMissing"),
        ({"time": 0}, "typeMissing"),
        ({"time": 0, "n": 1, "c": "NaN"}, "invalidNumber"),
    ],
    ids=str,
)
def test_a_row_that_is_no_event_has_a_reason(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError) as caught:
        event_of(values, "time", "inputTokens=n", "cost=c")
    assert caught.value.reason == reason


def test_options_stand_over_the_file_and_columns_over_constants(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text('[map]\ntime="t"\nmodel="m"\ninputTokens="n"\n[set]\nagent="a"\nuser="u"\n[time]\nunit="ms"\n')
    row = {"t": 1000, "m": "column", "n": 1, "who": "w"}
    made = event_of(row, "user=who", sets=("model=constant",), file=file)
    assert made["data"] == {"agent": "a", "user": "w", "model": "constant", "inputTokens": 1}
    assert made["time"] == dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)
    assert event_of({**row, "m": ""}, "model=m", sets=("model=fallback",), file=file)["data"]["model"] == "fallback"


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        (["k=a"], [0]),
        (["k!=a"], [1, 2, 3]),
        (["o.n=1"], [1]),
        (["k=b", "o.n=1"], [1]),
        (["x="], [3]),
        (["k=true"], [2]),
    ],
    ids=str,
)
def test_conditions_choose_rows(where: list[str], kept: list[int]) -> None:
    rows: list[dict[str, Any]] = [{"k": "a"}, {"k": "b", "o": {"n": 1}}, {"k": True}, {"x": ""}]
    mapping = read_mapping(None, [], [], where, None, None, None)
    assert [at for at, row in enumerate(rows) if mapping.wants(Row(at, row))] == kept


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"maps": ["inputToken=x"]}, "Did you mean inputTokens"),
        ({"maps": ["weather=x"]}, r"data\.weather"),
        ({"sets": ["model"]}, "field=value"),
        ({"wheres": ["event"]}, "column=value"),
        ({"unit": "h"}, "s, ms, us, ns"),
        ({"timezone": "Mars/Olympus"}, "IANA"),
        ({"base": "soon"}, "base of times"),
    ],
    ids=str,
)
def test_a_mapping_that_makes_no_sense_is_refused_before_anything_is_read(options: dict[str, Any], said: str) -> None:
    given_options = {"maps": [], "sets": [], "wheres": [], "unit": None, "base": None, "timezone": None, **options}
    with pytest.raises(TallystickError, match=said) as caught:
        read_mapping(None, **given_options)
    assert caught.value.code == "invalidMapping"


@pytest.mark.parametrize(
    ("text", "said"),
    [("[map", "not TOML"), ("[maps]\n", "no table"), ("[map.a]\nb=1\n", "one value"), ("[time]\nz=1", "no key")],
)
def test_a_mapping_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "m.toml"
    file.write_text(text)
    with pytest.raises(TallystickError, match=said):
        read_mapping(file, [], [], [], None, None, None)
