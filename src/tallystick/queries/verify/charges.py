"""From keys to events to charges: each event is what its key was made of and costs what its recorded price gives."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncCursor, AsyncServerCursor
from psycopg.rows import TupleRow, dict_row, tuple_row
from psycopg.types.string import ByteaBinaryLoader

from tallystick.domain.differences import Figure, figure, figures
from tallystick.domain.metering.events import event_hash, read_data
from tallystick.domain.metering.rederiving import (
    MEASURED,
    Measured,
    Rerating,
    Stored,
    Tiling,
    UnknownPriceError,
    UnreadableError,
    reversed_figures,
)
from tallystick.kernel.errors import TallystickError
from tallystick.queries.verify.checking import Check, Group, given_for
from tallystick.store import subscriptions
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_CHUNK: Final = 500
"""Rows of one fetch: about what a socket holds, so that the server works on the next ones meanwhile."""

_COMMIT_BITS: Final = 20
"""Low bits in which the ids of one commit differ (flows/booking.py)."""

_FIRST_MEASURE: Final = 11


async def check(conn: Connection, group: Group, rerating: Rerating) -> None:
    """Every key, event, charge, correction and tier counter of a group of workspaces."""
    calendars = await subscriptions.calendars(conn, group.keys())
    charges = {one.bytes: _Charges(group[one], rerating, calendars.get(one)) for one in group}
    async with conn.cursor("verify_events", row_factory=tuple_row) as cursor:
        _take_raw(cursor)
        # Every row is wanted, so the plan that is fastest to its end, not to its first rows.
        await conn.execute("SET LOCAL cursor_tuple_fraction = 1")
        await cursor.execute(SQL["events"], given_for(group), binary=True)
        async for rows in _chunks(cursor):
            for row in rows:
                charges[row[-1]].check_event(row)
            one = next(iter(group.values()))
            one.checked.events += len(rows)
            one.progress()
    for each in charges.values():
        await each.check_corrections(conn)
        await each.check_keys(conn)
        await each.check_counters(conn)


class _Charges:
    """What has been seen of one workspace so far: never more than a chunk of its events."""

    def __init__(self, check: Check, rerating: Rerating, calendar: subscriptions.Calendar | None) -> None:
        self._check = check
        self._rerating = rerating
        self._calendar = calendar
        self._tiling = Tiling()
        self._keyed = 0

    def check_event(self, row: TupleRow) -> None:
        """An event that is no reversal, against its key and its price."""
        type_, subject, data, hash_, keyed, own = row[3:9]
        if not keyed:
            self._found("eventUnkeyed", row, _stored(row, "credits"))
        else:
            self._keyed += 1
            made = blake2b(f"{type_}\0{subject}\0".encode() + data, digest_size=16).digest()
            if made != hash_ and _hash(type_, subject, data) != hash_:
                self._found("eventChanged", row, (figure("hash", hash_.hex(), made.hex()),))
        if not own:
            return
        used_at, meter = row[9:11]
        state, version, before, dated = row[17:21]
        stored = Stored(type_, meter, data, used_at, state, version, before, row[16], row[14])
        try:
            expected = self._rerating.measured(stored)
        except UnknownPriceError:
            self._found("unknownPrice", row, (figure("price_version", None, _uuid(version)),))
            return
        except UnreadableError:
            self._found("eventChanged", row, (figure("data", None, data[:200].decode(errors="replace")),))
            return
        if expected != row[_FIRST_MEASURE:17]:
            self._found("chargeDiffers", row, figures(MEASURED, expected, row[_FIRST_MEASURE:17]))
        if not dated or (version is not None) != (state == "priced"):
            self._found("chargeDiffers", row, (figure("state", None, state), figure("used_at", None, used_at)))
        if before is not None:
            self._fill(UUID(bytes=row[0]), version, used_at, before, row[_FIRST_MEASURE])

    def _fill(self, id_: UUID, version: bytes | None, used_at: dt.datetime, before: Any, quantity: Any) -> None:
        price = self._rerating.version(version)
        if price is not None:
            start = subscriptions.period_start(self._calendar, used_at)
            self._tiling.add(price.target, start, before, quantity, id_)

    async def check_corrections(self, conn: Connection) -> None:
        """Reversals and late prices, against what they name."""
        async with conn.cursor("verify_corrections", row_factory=dict_row) as cursor:
            cursor.adapters.register_loader("json", ByteaBinaryLoader)
            await cursor.execute(SQL["corrections"], self._check.given, binary=True)
            async for rows in _chunks(cursor):
                for row in rows:
                    if row["reverses"] is not None:
                        self._check.checked.events += 1
                        self._check_reversal_key(row)
                    self._check_correction(row)

    def _check_reversal_key(self, row: Row) -> None:
        """A reversal has the key of the event that asked for it, whose own row may be another of the same commit."""
        if row["hash"] is None or (row["event_id"].int ^ row["id"].int) >> _COMMIT_BITS:
            self._correction("eventUnkeyed", row, (figure("credits", None, row["credits"]),))
            return
        self._keyed += row["event_id"] == row["id"]
        if _hash(row["type"], row["subject"], row["data"]) != row["hash"]:
            self._correction("eventChanged", row, (figure("hash", row["hash"].hex(), None),))
        if row["again"]:
            self._correction("eventDoubled", row, (figure("credits", 0, row["credits"]),))

    def _check_correction(self, row: Row) -> None:
        if row["original_id"] is None:
            self._correction("correctionDiffers", row, (figure("original", row["reverses"] or row["adjusts"], None),))
            return
        try:
            expected = self._reversed(row) if row["reverses"] is not None else self._late(row)
        except (UnknownPriceError, UnreadableError):
            self._correction("unknownPrice", row, (figure("price_version", None, row["price_version_id"]),))
            return
        found = tuple(row[name] for name in MEASURED)
        if expected != found:
            self._correction("chargeDiffers", row, figures(MEASURED, expected, found))
        same = ("covered_by",) if row["reverses"] is None else ("covered_by", "state", "price_version_id", "adjusts")
        unlike = figures(same, tuple(row[f"original_{name}"] for name in same), tuple(row[name] for name in same))
        if unlike:
            self._correction("correctionDiffers", row, unlike)
        if row["counter_before"] is not None:
            version = row["price_version_id"]
            self._fill(
                row["id"], version.bytes if version else None, row["used_at"], row["counter_before"], row["quantity"]
            )

    def _reversed(self, row: Row) -> Measured:
        version = row["price_version_id"]
        tier = self._rerating.version(version.bytes) if version else None
        original = tuple(row[f"original_{name}"] for name in MEASURED)
        return reversed_figures(original, tier if tier and tier.is_tiered else None, row["counter_before"])

    def _late(self, row: Row) -> Measured:
        version = row["price_version_id"]
        stored = Stored(
            row["original_type"],
            row["meter"],
            row["original_data"],
            row["used_at"],
            row["state"],
            version.bytes if version else None,
            row["counter_before"],
            row["original_provider_cost"],
            row["credits"],
        )
        if row["original_state"] != "unpriced" or row["original_reverses"] or row["original_adjusts"]:
            self._correction("correctionDiffers", row, (figure("state", "unpriced", row["original_state"]),))
        quantity, _, _, charged, _, _ = self._rerating.measured(stored)
        # Counted when it was reported; only its price is new.
        return quantity, 0, 0, charged, 0, None

    async def check_keys(self, conn: Connection) -> None:
        """Keys whose event is gone; looked for only where there are more keys than events that have one."""
        row = await (await conn.execute(SQL["key_count"], self._check.given)).fetchone()
        count = row["keys"] if row else 0
        self._check.checked.keys += count
        if count == self._keyed:
            return
        for lost in await (await conn.execute(SQL["lost_events"], self._check.given)).fetchall():
            commit = UUID(int=lost["event_id"].int >> _COMMIT_BITS << _COMMIT_BITS)
            self._check.found(
                "eventMissing",
                {
                    "eventUuid": lost["event_id"],
                    "source": lost["source"],
                    "id": lost["id"],
                    "usedAt": lost["used_at"],
                    "transactionUuid": commit,
                },
                (figure("events", 1, 0),),
            )

    async def check_counters(self, conn: Connection) -> None:
        """The counters of tiered prices, against the stretches that charges say they filled."""
        rows = await (await conn.execute(SQL["tier_counters"], self._check.given)).fetchall()
        stored = {(row["target"], row["period_start"]): row["quantity"] for row in rows}
        for target, start in sorted(stored.keys() | self._tiling.counters()):
            self._check.checked.counters += 1
            for event_id, gap in self._tiling.gaps(target, start, stored.get((target, start))):
                ids = {"target": target, "periodStart": start} | ({"eventUuid": event_id} if event_id else {})
                self._check.found("counterDiffers", ids, (gap,))

    def _found(self, code: str, row: TupleRow, differing: tuple[Figure, ...]) -> None:
        ids = {"eventUuid": UUID(bytes=row[0]), "source": row[1], "id": row[2], "usedAt": row[9]}
        self._check.found(code, ids, differing)

    def _correction(self, code: str, row: Row, differing: tuple[Figure, ...]) -> None:
        ids = {"eventUuid": row["id"], "source": row["source"], "id": row["source_id"], "usedAt": row["used_at"]}
        for name in ("reverses", "adjusts"):
            if row[name] is not None:
                ids[name] = row[name]
        self._check.found(code, ids, differing)


def _take_raw(cursor: AsyncCursor[Any]) -> None:
    """Bytes instead of UUIDs and decoded JSON: nothing is made of a value that is only compared."""
    for name in ("uuid", "json"):
        cursor.adapters.register_loader(name, ByteaBinaryLoader)


async def _chunks(cursor: AsyncServerCursor[Any]) -> AsyncIterator[list[Any]]:
    """All rows, in chunks; the next one is asked for before this one is looked at."""
    ahead = asyncio.ensure_future(cursor.fetchmany(_CHUNK))
    try:
        while rows := await ahead:
            ahead = asyncio.ensure_future(cursor.fetchmany(_CHUNK))
            await asyncio.sleep(0)
            yield rows
    finally:
        if not ahead.done():
            with contextlib.suppress(Exception):
                await ahead


def _hash(type_: str, subject: str, data: bytes) -> bytes | None:
    """The hash of what is stored, brought into canonical form first; None where that can't be done."""
    try:
        return event_hash(type_, subject, read_data(data)[1])
    except TallystickError:
        return None


def _uuid(raw: bytes | None) -> UUID | None:
    return None if raw is None else UUID(bytes=raw)


def _stored(row: TupleRow, name: str) -> tuple[Figure, ...]:
    return (figure(name, None, row[_FIRST_MEASURE + MEASURED.index(name)]),)
