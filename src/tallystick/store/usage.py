"""Usage events, the keys that make them exactly-once, their rollups and the counters of tiered prices."""

import datetime as dt
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from struct import Struct
from typing import Any, Final
from uuid import UUID

from psycopg.errors import UniqueViolation

from tallystick.domain.metering.attribution import Attribution
from tallystick.domain.metering.charging import Charge
from tallystick.domain.metering.rollups import DIMENSION_COLUMNS
from tallystick.store import copying
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

Key = tuple[UUID, str, str]
"""The identity of an event: workspace, source, id."""
CounterKey = tuple[UUID, str, dt.datetime]
"""A tiered price's counter: workspace, target, start of the billing period."""

# As the rows are encoded: what an attribution's charges share, what a commit's do, then each one's own.
_EVENT_COLUMNS: Final = (
    "workspace_id",
    *DIMENSION_COLUMNS,
    "bucket",
    "hour_bucket",
    "received_at",
    "transaction_id",
    "used_at",
    "id",
    "time",
    "source",
    "type",
    "subject",
    "source_id",
    "hash",
    "data",
    "run",
    "quantity",
    "tokens_in",
    "tokens_out",
    "credits",
    "tool_runs",
    "provider_cost",
    "state",
    "price_version_id",
    "overdrawn",
    "over_budget",
    "counter_before",
    "covered_by",
    "reverses",
    "adjusts",
)
_COPY_EVENTS: Final = f"COPY stage_event ({', '.join(_EVENT_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_COPY_KEYS: Final = "COPY event_key (workspace_id, source, id, hash, used_at, event_id) FROM STDIN (FORMAT BINARY)"
_EVENT_START: Final = copying.columns(len(_EVENT_COLUMNS))
_KEY_START: Final = copying.columns(6)
_NOTHING_RARE: Final = copying.NULL * 4
_pack_instant_and_id = Struct(">iqi16s").pack
_pack_instant_id_and_time = Struct(">iqi16siq").pack
_pack_figures = Struct(">iqiqiqiq").pack
_KEY_ARRAYS: Final = ("workspace_ids", "sources", "ids", "hashes", "used_at", "event_ids")
STAGES: Final = {
    "event": "CREATE TEMPORARY TABLE IF NOT EXISTS stage_event"
    " (LIKE usage_event, bucket uuid NOT NULL, hour_bucket uuid NOT NULL, hash bytea NOT NULL) ON COMMIT DELETE ROWS",
}
"""Tables of a connection's own, through which events and their totals are added."""


async def insert_keys(conn: Connection, charges: Sequence[Charge]) -> int:
    """Claim the identity of each charge's event; how many were not taken yet.

    Replays are rare, so the keys are copied straight into the table; only where one is taken they are added singly.
    """
    try:
        async with conn.transaction():
            await copying.copy(conn, _COPY_KEYS, _encoded_keys(charges))
    except UniqueViolation:
        given = {
            name: list(column)
            for name, column in zip(_KEY_ARRAYS, zip(*map(_key_row, charges), strict=True), strict=True)
        }
        return (await conn.execute(SQL["insert_keys"], given)).rowcount
    return len(charges)


def _key_row(charge: Charge) -> tuple[UUID, str, str, bytes, dt.datetime, UUID]:
    event = charge.event
    return charge.attribution.workspace_id, event.source, event.source_id, event.hash, charge.used_at, charge.id


def _encoded_keys(charges: Iterable[Charge]) -> Iterator[bytes]:
    for charge in charges:
        event = charge.event
        yield b"".join(
            (
                _KEY_START,
                copying.uuid(charge.attribution.workspace_id),
                copying.text(event.source),
                copying.text(event.source_id),
                copying.raw(event.hash),
                _pack_instant_and_id(8, copying.microseconds(charge.used_at), 16, charge.id.bytes),
            )
        )


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


class TakenError(Exception):
    """A key that was to be claimed is another event's; the transaction is lost."""


@asynccontextmanager
async def claiming(claim: bool) -> AsyncIterator[None]:
    """Around the pipeline in which `add_events` may claim keys. With `claim` raises `TakenError` where one is taken."""
    try:
        yield
    except UniqueViolation as error:
        if not claim:
            raise
        raise TakenError from error


async def stage_events(conn: Connection, charges: Iterable[Charge], transaction_id: UUID, *, now: dt.datetime) -> None:
    """Copy the charges' rows into a table of this connection's own, for `add_events`."""
    await conn.execute(STAGES["event"])
    await copying.copy(conn, _COPY_EVENTS, _encoded_events(charges, transaction_id, now))


async def add_events(conn: Connection, *, hours_since: dt.datetime, claim: bool = False) -> None:
    """Append the rows staged in this transaction, and add them to the totals of their days and of their hours.

    Hours before `hours_since` have none. With `claim` also their keys: every charge must then be its event's own. Call
    it in a pipeline, with `claim` within `claiming`: the database goes from one to the next without waiting for us.
    """
    if claim:
        await conn.execute(SQL["claim_keys"])
    await conn.execute(SQL["add_events"])
    await conn.execute(SQL["add_daily"])
    await conn.execute(SQL["add_workflows"])
    await conn.execute(SQL["add_hourly"], {"hours_since": hours_since})


def _encoded_events(charges: Iterable[Charge], transaction_id: UUID, now: dt.datetime) -> Iterator[bytes]:
    commit = copying.timestamp(now) + copying.uuid(transaction_id)
    repeated: dict[tuple[str, ...], tuple[bytes, bytes]] = {}
    for charge in charges:
        event, attribution = charge.event, charge.attribution
        words = event.source, event.type, event.subject, charge.state
        known = repeated.get(words)
        if known is None:
            *origin, state = map(copying.text, words)
            known = repeated[words] = b"".join(origin), state
        used_at = copying.microseconds(charge.used_at)
        # The same object, but for what is booked on an earlier event.
        time = used_at if event.time is charge.used_at else copying.microseconds(event.time)
        yield b"".join(
            (
                attribution.encoded or _encode(attribution),
                commit,
                _pack_instant_id_and_time(8, used_at, 16, charge.number.to_bytes(16, "big"), 8, time),
                known[0],
                copying.text(event.source_id),
                copying.raw(event.hash),
                copying.text(event.data),
                copying.text(charge.run),
                copying.numeric(charge.quantity),
                _pack_figures(8, charge.tokens_in, 8, charge.tokens_out, 8, charge.credits, 8, charge.tool_runs),
                copying.int8(charge.provider_cost),
                known[1],
                copying.uuid(charge.price_version_id),
                copying.TRUE if charge.overdrawn else copying.FALSE,
                copying.TRUE if charge.over_budget else copying.FALSE,
                _rare(charge),
            )
        )


def _rare(charge: Charge) -> bytes:
    before, covered_by, reverses, adjusts = charge.counter_before, charge.covered_by, charge.reverses, charge.adjusts
    if before is None and covered_by is None and reverses is None and adjusts is None:
        return _NOTHING_RARE
    return copying.numeric(before) + copying.uuid(covered_by) + copying.uuid(reverses) + copying.uuid(adjusts)


def _encode(attribution: Attribution) -> bytes:
    """The beginning of each row of this attribution's, kept with it."""
    values = (attribution.workspace_id, *attribution.dimensions, attribution.bucket, attribution.hour_bucket)
    fields = (copying.uuid(value) if isinstance(value, UUID) else copying.text(value) for value in values)
    attribution.encoded = _EVENT_START + b"".join(fields)
    return attribution.encoded


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
