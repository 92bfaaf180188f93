"""Usage reports: sums over any one or two dimensions, by day or over the whole range (rows B6 to B10, D9).

Where metrics are the narrow question that other people's clients ask, a report has every measure and dimension that
the daily totals keep. A range is read as in `domain/metering/metrics.py`.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from tallystick.domain.metering.metrics import GROUPS, nano
from tallystick.kernel.errors import TallystickError

DIMENSIONS: Final = (*GROUPS, "project_uuid", "tool_uuid", "slug", "type", "status")
"""What a report can be grouped by, metrics' dimensions first; the place in this list is the number in the query."""

MOST_DIMENSIONS: Final = 2


@dataclass(frozen=True, slots=True)
class ReportFilters:
    """Each narrows what is summed; None leaves it open."""

    workflow_id: UUID | None = None
    table_id: UUID | None = None
    connector_id: UUID | None = None
    agent_id: UUID | None = None
    user_id: UUID | None = None
    project_id: UUID | None = None
    tool_id: UUID | None = None
    integration: str | None = None
    language_model: str | None = None
    category: str | None = None
    slug: str | None = None


class Sums(NamedTuple):
    """Measures of some usage: `quantity`, `credits` and `tool_runs` in 10⁻⁹, `provider_cost` in nano-USD.

    `quantity` adds what each type of event counts; over several types it means nothing.
    """

    events: int = 0
    quantity: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    credits: int = 0
    tool_runs: int = 0
    provider_cost: int = 0
    unpriced: int = 0


class Line(NamedTuple):
    """The sums of one day (None: of the whole range) and one group; `members` has one entry for each dimension."""

    day: dt.date | None
    members: tuple[str | None, ...]
    sums: Sums


@dataclass(frozen=True, slots=True)
class Report:
    """`names` are the last known names of resources among the members, deleted ones included (rule M30)."""

    totals: Sums
    lines: tuple[Line, ...]
    names: dict[str, str]


def parse_dimensions(asked: Sequence[str]) -> tuple[str, ...]:
    """At most two different dimensions. Raises `invalidGroupBy`, naming those there are."""
    unknown = [name for name in asked if name not in DIMENSIONS]
    if unknown or len(asked) > MOST_DIMENSIONS or len(set(asked)) < len(asked):
        raise TallystickError(
            "invalidGroupBy",
            f"groupBy takes at most {MOST_DIMENSIONS} different dimensions of {', '.join(DIMENSIONS)}.",
            groupBy=[name[:64] for name in asked[:10]],
            allowed=list(DIMENSIONS),
        )
    return tuple(asked)


def sums_of(row: Sequence[int | Decimal]) -> Sums:
    """Stored measures, in the order of `Sums`, as exact integers."""
    values = [int(value) for value in row]
    values[1] = nano(Decimal(row[1]))
    return Sums(*values)


def total_of(lines: Iterable[Line]) -> Sums:
    columns = zip(*(line.sums for line in lines), strict=True)
    return Sums(*(sum(column) for column in columns))


def in_order(line: Line) -> tuple[str, tuple[tuple[bool, str], ...]]:
    """Sort key: by day, then by members, what is not attributable last."""
    return str(line.day or ""), tuple((member is None, member or "") for member in line.members)
