"""Usage events, the keys that make them exactly-once, their rollups and the counters of tiered prices."""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from psycopg.errors import UniqueViolation

from tallystick.domain.charging import Charge
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

Key = tuple[UUID, str, str]
"""The identity of an event: workspace, source, id."""
CounterKey = tuple[UUID, str, dt.datetime]
"""A tiered price's counter: workspace, target, start of the billing period."""

# Column, type on the wire. `text` for data: its binary form is the same, and the server checks the JSON.
_EVENT_COLUMNS: Final = (
    ("workspace_id", "uuid"),
    ("used_at", "timestamptz"),
    ("id", "uuid"),
    ("source", "text"),
    ("source_id", "text"),
    ("type", "text"),
    ("subject", "text"),
    ("time", "timestamptz"),
    ("received_at", "timestamptz"),
    ("data", "text"),
    ("run", "text"),
    ("meter", "text"),
    ("category", "text"),
    ("slug", "text"),
    ("status", "text"),
    ("project_id", "uuid"),
    ("user_id", "uuid"),
    ("workflow_id", "uuid"),
    ("agent_id", "uuid"),
    ("connector_id", "uuid"),
    ("tool_id", "uuid"),
    ("table_id", "uuid"),
    ("language_model", "text"),
    ("integration", "text"),
    ("quantity", "numeric"),
    ("tokens_in", "int8"),
    ("tokens_out", "int8"),
    ("credits", "int8"),
    ("tool_runs", "int8"),
    ("provider_cost", "int8"),
    ("state", "text"),
    ("price_version_id", "uuid"),
    ("counter_before", "numeric"),
    ("overdrawn", "bool"),
    ("covered_by", "uuid"),
    ("reverses", "uuid"),
    ("adjusts", "uuid"),
    ("transaction_id", "uuid"),
    ("bucket", "uuid"),
    ("hour_bucket", "uuid"),
)
_COPY_EVENTS: Final = f"COPY stage_event ({', '.join(name for name, _ in _EVENT_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_EVENT_TYPES: Final = [kind for _, kind in _EVENT_COLUMNS]
_COPY_KEYS: Final = "COPY event_key (workspace_id, source, id, hash, used_at, event_id) FROM STDIN (FORMAT BINARY)"
_KEY_TYPES: Final = ["uuid", "text", "text", "bytea", "timestamptz", "uuid"]
_KEY_ARRAYS: Final = ("workspace_ids", "sources", "ids", "hashes", "used_at", "event_ids")
STAGES: Final = {
    "event": "CREATE TEMPORARY TABLE IF NOT EXISTS stage_event"
    " (LIKE usage_event, bucket uuid NOT NULL, hour_bucket uuid NOT NULL) ON COMMIT DELETE ROWS",
}
"""Tables of a connection's own, through which events and their totals are added."""


async def insert_keys(conn: Connection, charges: Sequence[Charge]) -> int:
    """Claim the identity of each charge's event; how many were not taken yet.

    Replays are rare, so the keys are copied straight into the table; only where one is taken they are added singly.
    """
    try:
        async with conn.transaction():
            await _copy_keys(conn, charges)
    except UniqueViolation:
        given = {
            name: list(column)
            for name, column in zip(_KEY_ARRAYS, zip(*map(_key_row, charges), strict=True), strict=True)
        }
        return (await conn.execute(SQL["insert_keys"], given)).rowcount
    return len(charges)


async def _copy_keys(conn: Connection, charges: Iterable[Charge]) -> None:
    async with conn.cursor() as cursor, cursor.copy(_COPY_KEYS) as copy:
        copy.set_types(_KEY_TYPES)
        for charge in charges:
            await copy.write_row(_key_row(charge))


def _key_row(charge: Charge) -> tuple[UUID, str, str, bytes, dt.datetime, UUID]:
    event = charge.event
    return charge.attribution.workspace_id, event.source, event.source_id, event.hash, charge.used_at, charge.id


async def keys(conn: Connection, wanted: Collection[Key]) -> dict[Key, Row]:
    """Those of the keys that exist: hash, used_at and event_id of each."""
    workspace_ids, sources, ids = zip(*wanted, strict=True) if wanted else ((), (), ())
    given = {"workspace_ids": list(workspace_ids), "sources": list(sources), "ids": list(ids)}
    rows = await (await conn.execute(SQL["keys"], given)).fetchall()
    return {(row["workspace_id"], row["source"], row["id"]): row for row in rows}


async def events(conn: Connection, wanted: Collection[tuple[UUID, dt.datetime, UUID]]) -> dict[tuple[UUID, UUID], Row]:
    """Stored events by (workspace, id), as rows, looked up by (workspace, used_at, id)."""
    workspace_ids, used_at, ids = zip(*wanted, strict=True) if wanted else ((), (), ())
    given = {"workspace_ids": list(workspace_ids), "used_at": list(used_at), "ids": list(ids)}
    rows = await (await conn.execute(SQL["events"], given)).fetchall()
    return {(row["workspace_id"], row["id"]): row for row in rows}


async def adjustments(conn: Connection, wanted: Collection[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], list[Row]]:
    """What was booked later on these events, by (workspace, id of the event)."""
    found: dict[tuple[UUID, UUID], list[Row]] = {}
    for row in await (await conn.execute(SQL["adjustments"], _pairs(wanted))).fetchall():
        found.setdefault((row["workspace_id"], row["adjusts"]), []).append(row)
    return found


async def reversed_ids(conn: Connection, wanted: Collection[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
    """Those of the events (workspace, id) that were cancelled or replaced already."""
    rows = await (await conn.execute(SQL["reversed"], _pairs(wanted))).fetchall()
    return {(row["workspace_id"], row["reverses"]) for row in rows}


def _pairs(wanted: Collection[tuple[UUID, UUID]]) -> dict[str, list[UUID]]:
    return {
        "workspace_ids": sorted({workspace_id for workspace_id, _ in wanted}),
        "ids": [event_id for _, event_id in wanted],
    }


async def add_events(
    conn: Connection, charges: Iterable[Charge], transaction_id: UUID, *, hours_since: dt.datetime, now: dt.datetime
) -> None:
    """Append the charges' rows and add them to the totals of their days, and of their hours from `hours_since` on.

    The rows are copied once, into a table of this connection's own; the database makes the rest of them.
    """
    await conn.execute(STAGES["event"])
    await _copy_events(conn, charges, transaction_id, now)
    await conn.execute(SQL["add_events"])
    await conn.execute(SQL["add_daily"])
    await conn.execute(SQL["add_hourly"], {"hours_since": hours_since})


async def _copy_events(conn: Connection, charges: Iterable[Charge], transaction_id: UUID, now: dt.datetime) -> None:
    async with conn.cursor() as cursor, cursor.copy(_COPY_EVENTS) as copy:
        copy.set_types(_EVENT_TYPES)
        for charge in charges:
            event, attribution = charge.event, charge.attribution
            d = attribution.dimensions
            await copy.write_row(
                (
                    attribution.workspace_id,
                    charge.used_at,
                    charge.id,
                    event.source,
                    event.source_id,
                    event.type,
                    event.subject,
                    event.time,
                    now,
                    event.data,
                    event.facts.run,
                    *d[:13],
                    charge.quantity,
                    charge.tokens_in,
                    charge.tokens_out,
                    charge.credits,
                    charge.tool_runs,
                    charge.provider_cost,
                    charge.state,
                    charge.price_version_id,
                    charge.counter_before,
                    charge.overdrawn,
                    charge.covered_by,
                    charge.reverses,
                    charge.adjusts,
                    transaction_id,
                    attribution.bucket,
                    attribution.hour_bucket,
                )
            )


async def counters(
    conn: Connection, workspace_ids: Collection[UUID], targets: Collection[str]
) -> dict[CounterKey, Any]:
    """How far each tiered price has been filled. The workspaces' balances must be locked."""
    given = {"workspace_ids": sorted(workspace_ids), "targets": sorted(targets)}
    rows = await (await conn.execute(SQL["counters"], given)).fetchall()
    return {(row["workspace_id"], row["target"], row["period_start"]): whole(row["quantity"]) for row in rows}


def whole(value: Decimal) -> int | Decimal:
    """The same figure as an int where it is one."""
    return int(value) if value == value.to_integral_value() else value


async def save_counters(conn: Connection, filled: dict[CounterKey, int | Decimal]) -> None:
    """Write counters back."""
    ordered = sorted(filled.items(), key=lambda item: item[0])
    given = {
        "workspace_ids": [key[0] for key, _ in ordered],
        "targets": [key[1] for key, _ in ordered],
        "period_starts": [key[2] for key, _ in ordered],
        "quantities": [Decimal(quantity) for _, quantity in ordered],
    }
    await conn.execute(SQL["save_counters"], given)


async def forget_hours(conn: Connection, before: dt.datetime) -> int:
    """Drop hourly totals older than `before`; the daily ones stay. How many rows went."""
    return (await conn.execute(SQL["forget_hours"], {"before": before})).rowcount
