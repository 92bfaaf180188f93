"""Usage reports from the daily totals: every measure by any one or two dimensions."""

from dataclasses import asdict
from typing import Final
from uuid import UUID

from psycopg.rows import tuple_row

from tallystick.domain.metering.metrics import Range
from tallystick.domain.metering.reports import DIMENSIONS, Line, Report, ReportFilters, in_order, sums_of, total_of
from tallystick.store.database import Connection, Database
from tallystick.store.named_sql import load

SQL = load(__file__)

_NUMBERS: Final = {name: number for number, name in enumerate(DIMENSIONS, start=1)}
_EVERYTHING: Final = ReportFilters()


async def report(
    database: Database,
    workspace_id: UUID,
    days: Range,
    *,
    dimensions: tuple[str, ...] = (),
    daily: bool = True,
    filters: ReportFilters = _EVERYTHING,
) -> Report:
    """Sums by day (unless `daily` is False) and by at most two dimensions, ascending; a sum of nothing is left out.

    Corrections and late prices are counted on the day of use (rules M6, M28); days are UTC days (M29).
    """
    one, two = (*(_NUMBERS[name] for name in dimensions), 0, 0)[:2]
    given = asdict(filters) | {
        "workspace_id": workspace_id,
        "first": days.first,
        "last": days.last,
        "daily": daily,
        "one": one,
        "two": two,
    }
    async with database.read(workspace_id) as conn:
        async with conn.cursor(row_factory=tuple_row) as cursor:
            # Not prepared: a plan for these very values drops the filters and groups that are not asked for.
            await cursor.execute(SQL["report"], given, prepare=False)
            rows = await cursor.fetchall()
        found = (Line(row[0], row[1 : 1 + len(dimensions)], sums_of(row[3:])) for row in rows)
        lines = tuple(sorted((line for line in found if any(line.sums)), key=in_order))
        names = await _names(conn, workspace_id, dimensions, lines)
    return Report(total_of(lines), lines, names)


async def _names(
    conn: Connection, workspace_id: UUID, dimensions: tuple[str, ...], lines: tuple[Line, ...]
) -> dict[str, str]:
    places = [place for place, name in enumerate(dimensions) if name.endswith("_uuid")]
    ids = {member for line in lines for place in places if (member := line.members[place]) is not None}
    if not ids:
        return {}
    rows = await (await conn.execute(SQL["names"], {"workspace_id": workspace_id, "ids": sorted(ids)})).fetchall()
    return {row["id"]: row["name"] for row in rows}
