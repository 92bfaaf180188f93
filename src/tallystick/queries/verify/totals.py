"""From charges to sums of them: ledger transactions, days and hours, and the keys under which totals stand."""

import datetime as dt
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallystick.domain.differences import figure, figures
from tallystick.domain.metering.rollups import MEASURES, Dimensions, HourDimensions, WorkflowDimensions, bucket_of
from tallystick.queries.verify.checking import Check, Group, given_for
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_HOUR_MEASURES: Final = ("events", "quantity", "credits", "tool_runs")


@dataclass(frozen=True, slots=True)
class _Total:
    """One table of totals: the query that compares it, that of what is stored, the column of time, what it sums."""

    query: str
    stored: str
    at: str
    shape: type[Dimensions] | type[HourDimensions] | type[WorkflowDimensions]
    measures: tuple[str, ...]


_TOTALS: Final = (
    _Total("days", "stored_day", "day", Dimensions, MEASURES),
    _Total("workflow_days", "stored_workflow_day", "day", WorkflowDimensions, ("events", "quantity", "credits")),
    _Total("hours", "stored_hour", "hour", HourDimensions, _HOUR_MEASURES),
)
_UNITS: Final = ("credits", "tool_runs")


async def check(conn: Connection, group: Group, hours_since: dt.datetime) -> None:
    """Everything of a group of workspaces that is a sum of charges; hours only from `hours_since` on, as kept."""
    # A row for each bucket is small, but the planner can't know: without room by its guess it would sort.
    await conn.execute("SET LOCAL work_mem = '128MB'")
    await conn.execute("SET LOCAL cursor_tuple_fraction = 1")
    given = {**given_for(group), "hours_since": _whole_hour(hours_since)}
    for total in _TOTALS:
        async for row in _rows(conn, total.query, given):
            await _total_differs(conn, group[row["workspace_id"]], row, total)
    async for row in _rows(conn, "bookings", given):
        await _transaction_differs(conn, group[row["workspace_id"]], row)
    await _check_buckets(conn, group)


async def _rows(conn: Connection, query: str, given: Mapping[str, object]) -> AsyncIterator[Row]:
    async with conn.cursor(f"verify_{query}") as cursor:
        await cursor.execute(SQL[query], given)
        async for row in cursor:
            yield row


def _whole_hour(instant: dt.datetime) -> dt.datetime:
    """The first hour that begins at or after an instant: the one before may be counted in part."""
    begun = instant.replace(minute=0, second=0, microsecond=0)
    return begun if begun == instant else begun + dt.timedelta(hours=1)


async def _total_differs(conn: Connection, check: Check, row: Row, total: _Total) -> None:
    """A day or an hour of one combination of dimensions; `row` has by how much its events exceed its total."""
    at, names = total.at, total.measures
    dimensions = {name: row[name] for name in total.shape._fields}
    given = {**check.given, at: row[at], **dimensions}
    stored = await (await conn.execute(SQL[total.stored], given)).fetchone()
    if stored is None:
        raise AssertionError("a sum answers a row")
    # Amounts are integers, however wide the column is that sums them.
    there = {name: stored[name] if name == "quantity" else int(stored[name]) for name in names}
    expected = tuple(there[name] + (row[name] if name == "quantity" else int(row[name])) for name in names)
    found = tuple(there[name] if stored["rows"] else None if row[name] else 0 for name in names)
    ids = {at: row[at], **{name: value for name, value in dimensions.items() if value is not None}}
    check.found("rollupDiffers", ids, figures(names, expected, found))


async def _transaction_differs(conn: Connection, check: Check, row: Row) -> None:
    given = {**check.given, "id": row["transaction_id"], "covered": row["covered"]}
    booked = {found["unit"]: found for found in await (await conn.execute(SQL["booked_usage"], given)).fetchall()}
    for unit in _UNITS:
        if row[unit]:
            there = booked[unit]["amount"] if unit in booked else 0
            ids: dict[str, Any] = {"transactionUuid": row["transaction_id"], "unit": unit}
            if unit in booked:
                ids["seq"] = booked[unit]["seq"]
            check.found("transactionDiffersFromEvents", ids, (figure("amount", there + row[unit], there),))


async def _check_buckets(conn: Connection, group: Group) -> None:
    for query, shape in (("day_buckets", Dimensions), ("hour_buckets", HourDimensions)):
        async for row in _rows(conn, query, given_for(group)):
            check = group[row["workspace_id"]]
            check.checked.buckets += 1
            dimensions = shape(*(row[name] for name in shape._fields))
            expected = bucket_of(dimensions)
            if expected != row["bucket"]:
                ids = {name: value for name, value in dimensions._asdict().items() if value is not None}
                check.found("bucketDiffers", ids, (figure("bucket", expected, row["bucket"]),))
