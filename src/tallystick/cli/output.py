"""Answers on stdout: the server's JSON, indented and otherwise untouched, or a table that Rich draws for people."""

import enum
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tallystick.client.replies import Call


class Format(enum.StrEnum):
    """`json` for programs, `table` for people."""

    json = "json"
    table = "table"


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by heading, which may depend on the decoded answer, and how it becomes rows; numbers arrive as they were
    written.

    `lookups` are the calls whose lists say what the uuids in it are called, from the command's options.
    """

    columns: Sequence[str] | Callable[[Any], Sequence[str]]
    rows: Callable[[Any], Sequence[Sequence[object]]]
    lookups: Callable[[Mapping[str, Any]], "Sequence[Call[Any]]"] = lambda _: ()


def listed(key: str, *names: str) -> Table:
    """The table of a list of objects, by their fields' names."""
    return Table(names, lambda answer: [[row.get(name) for name in names] for row in answer[key]])


_LONGEST_CELL: Final = 60


def print_json(raw: bytes) -> None:
    """Indent; no number is ever decoded on the way."""
    import msgspec

    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.format(raw, indent=2) + b"\n")
    sys.stdout.buffer.flush()


def print_answer(
    raw: bytes, form: Format, table: Table | None = None, names: Mapping[object, str] = MappingProxyType({})
) -> None:
    """The answer of a command; in a table a uuid that has a name is shown by it."""
    if form is Format.json:
        print_json(raw)
        return
    import msgspec

    draw(msgspec.json.Decoder(float_hook=Decimal).decode(raw), table, names)


def names_in(raw: bytes) -> dict[object, str]:
    """What each resource of a list is called, by uuid."""
    import msgspec

    lists = [value for value in msgspec.json.decode(raw).values() if isinstance(value, list)]
    return {row["uuid"]: row["name"] for rows in lists for row in rows if row.get("name")}


def draw(answer: Any, table: Table | None, names: Mapping[object, str] = MappingProxyType({})) -> None:
    """A table of the answer: as the command says, else of its one list, else of its fields."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    shown = table or _guess(answer)
    columns = shown.columns(answer) if callable(shown.columns) else shown.columns
    drawn = RichTable(*columns, box=box.SIMPLE_HEAD)
    for row in shown.rows(answer):
        drawn.add_row(*(names[value] if isinstance(value, str) and value in names else cell(value) for value in row))
    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 500  # nobody's window: a pipe gets every column whole
    console.print(drawn)


def cell(value: object) -> str:
    """A value as text; decimals with all their digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict | list):
        import msgspec

        text = msgspec.json.encode(value).decode()
        return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"
    return str(value)


def _guess(answer: Any) -> Table:
    lists = [value for value in answer.values() if isinstance(value, list)]
    if len(lists) == 1 and all(isinstance(row, dict) for row in lists[0]):
        rows = lists[0]
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = [name for name in names if any(row.get(name) not in (None, "", [], {}) for row in rows)]
        return Table(columns or names, lambda _: [[row.get(name) for name in columns] for row in rows])
    fields = (
        next(iter(answer.values())) if len(answer) == 1 and isinstance(next(iter(answer.values())), dict) else answer
    )
    return Table(("field", "value"), lambda _: list(fields.items()))
