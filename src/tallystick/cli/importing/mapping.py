"""Which column becomes which field of an event: given on the command line, in a small TOML file, or both."""

import datetime as dt
import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tallystick.cli.importing.moments import UNITS, Clockwork
from tallystick.cli.importing.rows import Row, Source
from tallystick.client.events import COUNTERS, DECIMALS, ON_THE_WIRE, WHOLE
from tallystick.kernel.errors import TallystickError

ENVELOPE: Final = ("id", "source", "type", "subject", "time")
DATA: Final = tuple(name for name in ON_THE_WIRE.values() if name != "replaces")
DEFAULT_SOURCE: Final = "tally-import"

_TABLES: Final = ("map", "set", "where", "time")
_TIME_KEYS: Final = ("unit", "base", "timezone")
_CONDITION: Final = re.compile(r"(?P<path>.+?)(?P<sign>!?=)(?P<value>.*)", re.DOTALL)
_WHOLE: Final = re.compile(r"\d{1,19}(\.0*)?", re.ASCII)


class RowError(ValueError):
    """A row that becomes no event; `reason` is a code, the text a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Condition:
    """`path` holds `value`, or with `wanted` False anything else."""

    path: str
    value: str
    wanted: bool = True

    def holds(self, row: Mapping[str, Any]) -> bool:
        found = lookup(row, self.path)
        return (found is not None and _text(found) == self.value) is self.wanted


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """`columns`: field → path in a row; `constants`: field → value; a row counts when all `conditions` hold."""

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    conditions: Sequence[Condition] = ()
    clockwork: Clockwork = field(default_factory=Clockwork)

    def wants(self, row: Row) -> bool:
        return all(condition.holds(row.values) for condition in self.conditions)

    def event(self, row: Row, source: Source) -> dict[str, Any]:
        """The CloudEvent of a row, ready for JSON. Raises `RowError`."""
        if row.problem:
            raise RowError("unreadableRow", f"The row {row.problem}.")
        given = dict(self.constants)
        given_paths = self.columns or _own_names(row.values)
        values: dict[str, Any] = dict(given)
        for name, path in given_paths.items():
            found = lookup(row.values, path)
            if found is not None and found != "":
                values[name] = found
        return self._envelope(values, row, source)

    def _envelope(self, values: dict[str, Any], row: Row, source: Source) -> dict[str, Any]:
        data: dict[str, Any] = {}
        if not self.columns and isinstance(row.values.get("data"), dict):
            data.update(row.values["data"])  # a CloudEvent as it is; the server checks what it says
        for name, value in values.items():
            if name not in ENVELOPE:
                data[name.removeprefix("data.")] = _exact(name, value)
        type_ = values.get("type") or ("llm.tokens" if any(name in COUNTERS for name in data) else None)
        if type_ is None:
            raise RowError("typeMissing", "Nothing says which type of event this is: use --set type=….")
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": _text(values.get("id") or f"{source.digest}:{row.number}"),
            "source": _text(values.get("source") or DEFAULT_SOURCE),
            "type": _text(type_),
            "data": data,
        }
        if "subject" in values:
            event["subject"] = _text(values["subject"])
        event["time"] = self._time(values)
        return event

    def _time(self, values: Mapping[str, Any]) -> dt.datetime:
        if "time" not in values:
            raise RowError("timeMissing", "The row has no time: a history without times can't be booked.")
        try:
            return self.clockwork.read(values["time"])
        except ValueError as error:
            raise RowError("invalidTime", f"{error}.") from None


def lookup(row: Mapping[str, Any], path: str) -> Any:
    """What stands at a path: a column of that very name, else step by step into objects; None when nothing does."""
    if path in row:
        return row[path]
    found: Any = row
    for step in path.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found


def read_mapping(
    file: Path | None,
    maps: Sequence[str],
    sets: Sequence[str],
    wheres: Sequence[str],
    unit: str | None,
    base: str | None,
    timezone: str | None,
) -> FieldMapping:
    """The mapping of a file and of options; an option stands over the file. Raises `invalidMapping`."""
    tables = _read_file(file) if file is not None else {}
    columns = {**_strings(tables.get("map", {}), "map"), **dict(_pair(text, "--map", short=True) for text in maps)}
    constants = {**_strings(tables.get("set", {}), "set"), **dict(_pair(text, "--set") for text in sets)}
    for name in (*columns, *constants):
        _check_field(name)
    for text in sets:
        # A column stands over a constant; but what is said on the command line stands over the file.
        name, _ = _pair(text, "--set")
        if not any(_pair(mapped, "--map", short=True)[0] == name for mapped in maps):
            columns.pop(name, None)
    conditions = [Condition(path, value) for path, value in _strings(tables.get("where", {}), "where").items()]
    conditions += [_condition(text) for text in wheres]
    times = _strings(tables.get("time", {}), "time")
    for key in times:
        if key not in _TIME_KEYS:
            raise _invalid(f"[time] has no key {key!r}; it has {', '.join(_TIME_KEYS)}.")
    return FieldMapping(
        columns,
        constants,
        tuple(conditions),
        clockwork(unit or times.get("unit"), base or times.get("base"), timezone or times.get("timezone")),
    )


def clockwork(unit: str | None, base: str | None, timezone: str | None) -> Clockwork:
    """The reader of times that options or a file describe. Raises `invalidMapping`."""
    plain = Clockwork()
    if unit is not None and unit not in UNITS:
        raise _invalid(f"The unit of times is one of {', '.join(UNITS)}, not {unit!r}.")
    if timezone is not None:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise _invalid(f"{timezone!r} is not an IANA time zone such as Europe/Berlin.") from None
    zone = timezone or plain.zone
    try:
        start = plain.base if base is None else Clockwork(zone=zone).read(base)
    except ValueError as error:
        raise _invalid(f"The base of times: {error}.") from None
    return Clockwork(unit or plain.unit, start, zone)


def _own_names(row: Mapping[str, Any]) -> dict[str, str]:
    """Without a mapping, columns that are named like fields are those fields."""
    return {name: name for name in (*ENVELOPE, *DATA) if name in row}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"{path.name} is not TOML: {error}.") from error
    for name in tables:
        if name not in _TABLES:
            raise _invalid(f"{path.name} has no table {name!r}; it has {', '.join(f'[{known}]' for known in _TABLES)}.")
    return tables


def _strings(table: Any, name: str) -> dict[str, str]:
    if not isinstance(table, dict) or any(isinstance(value, dict | list) for value in table.values()):
        raise _invalid(f"[{name}] holds one value per key; a key with dots stands in quotes.")
    return {key: _text(value) for key, value in table.items()}


def _pair(text: str, option: str, *, short: bool = False) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign and short:
        return name, name
    if not sign or not name or not value:
        raise _invalid(f"{option} wants field=value, not {text!r}.")
    return name.strip(), value


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise _invalid(f"--where wants column=value or column!=value, not {text!r}.")
    return Condition(found["path"].strip(), found["value"], found["sign"] == "=")


def _check_field(name: str) -> None:
    if name in ENVELOPE or name in DATA or (name.startswith("data.") and len(name) > len("data.")):
        return
    near = difflib.get_close_matches(name, (*ENVELOPE, *DATA), 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise _invalid(f"{name!r} is no field of an event.{hint} A field of your own is written data.{name}.")


def _exact(name: str, value: Any) -> Any:
    """The value in the form that the field has on the wire."""
    if name in WHOLE:
        text = _text(value).strip()
        if not _WHOLE.fullmatch(text):
            raise RowError("invalidNumber", f"{name} must be a whole number, not {text[:40]!r}.")
        return int(text.partition(".")[0])
    if name in DECIMALS:
        return _decimal(name, _text(value).strip())
    if name in DATA:
        return _text(value)
    return f"{value:f}" if isinstance(value, Decimal) else value


def _decimal(name: str, text: str) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > 40:
        raise RowError("invalidNumber", f"{name} must be a decimal number, not {text[:40]!r}.")
    return f"{number:f}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _invalid(message: str) -> TallystickError:
    return TallystickError("invalidMapping", message)
