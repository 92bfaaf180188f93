"""What a run came to, from its booked events and the price versions that they name (rows D5, E2)."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.domain.metering.events import EventData
from tallystick.domain.metering.meters import LLM_TOKENS
from tallystick.domain.metering.prices import PriceVersion
from tallystick.domain.runs.booked import Booked
from tallystick.domain.runs.receipts import Receipt, receipt_of
from tallystick.domain.texts import as_uuid
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection, Database, Row
from tallystick.store.named_sql import load
from tallystick.store.prices import version_of
from tallystick.store.usage import whole

SQL = load(__file__)

Resolve = Callable[[str, str | None], tuple[str, str] | None]
"""From a reported model and integration to (provider, model) among public prices."""

_PIECE: Final = 500
_decode: Final = msgspec.json.Decoder(EventData).decode
_SAME: Final = (
    *("id", "source", "source_id", "type", "meter", "category", "slug", "status", "used_at", "workflow_id"),
    *("agent_id", "connector_id", "tool_id", "language_model", "integration", "tokens_in", "tokens_out", "credits"),
    *("tool_runs", "provider_cost", "state", "price_version_id", "overdrawn", "over_budget", "reverses", "adjusts"),
)


async def receipt(
    database: Database, workspace_id: UUID, run: str, *, charges_max: int, resolve: Resolve
) -> tuple[Receipt, dict[str, str]]:
    """The receipt of a run as events name it, and what the resources in it are called, by uuid.

    Raises `runNotFound` for a run that nothing is known of, `tooManyCharges` beyond `charges_max` booked rows.
    """
    async with database.read(workspace_id) as conn:
        booked = (await booked_of_runs(conn, workspace_id, [run], most=charges_max + 1)).get(run, [])
        if not booked and not await _is_known(conn, workspace_id, run):
            raise TallystickError("runNotFound", "There is no such run.", run=run)
        if len(booked) > charges_max:
            raise TallystickError(
                "tooManyCharges", f"The run has more than {charges_max} charges.", run=run, limit=charges_max
            )
        found = await versions(conn, {row.price_version_id for row in booked if row.price_version_id})
        public = await _public(conn, booked, found, resolve)
        names = await _names(conn, workspace_id, run, booked)
    # Ten thousand charges are a second of arithmetic, which others need not wait for.
    return await asyncio.to_thread(receipt_of, run, booked, found, public), names


async def booked_of_runs(
    conn: Connection, workspace_id: UUID, runs: Sequence[str], *, most: int
) -> dict[str, list[Booked]]:
    """Everything booked for these runs, by run; at most `most` rows."""
    given = {"workspace_id": workspace_id, "runs": list(runs), "most": most}
    found: dict[str, list[Booked]] = {}
    # Fetched in pieces, so that others get their turn between two of them.
    async with conn.cursor("booked_rows") as cursor:
        await cursor.execute(SQL["rows_of_runs"], given)
        while rows := await cursor.fetchmany(_PIECE):
            for row in rows:
                found.setdefault(row["run"], []).append(booked_of(row))
    return found


async def versions(conn: Connection, ids: Iterable[UUID]) -> dict[UUID, PriceVersion]:
    """Price versions by id."""
    rows = await (await conn.execute(SQL["versions"], {"ids": sorted(ids)})).fetchall()
    return {row["id"]: version_of(row) for row in rows}


def booked_of(row: Row) -> Booked:
    """One row of `usage_event`, with its data as text."""
    same: dict[str, Any] = {name: row[name] for name in _SAME}
    before = row["counter_before"]
    return Booked(
        **same,
        booked_at=row["received_at"],
        facts=_decode(row["data"]),
        quantity=whole(row["quantity"]),
        counter_before=None if before is None else whole(before),
    )


async def _is_known(conn: Connection, workspace_id: UUID, run: str) -> bool:
    given = {"workspace_id": workspace_id, "run": run, "id": as_uuid(run)}
    row = await (await conn.execute(SQL["is_known"], given)).fetchone()
    return row is not None and row["known"]


async def _public(
    conn: Connection, booked: Iterable[Booked], found: dict[UUID, PriceVersion], resolve: Resolve
) -> dict[tuple[str, str | None], list[PriceVersion]]:
    """Public prices of the models whose charge is a share of a cost that nobody reported."""
    wanted: dict[tuple[str, str | None], str] = {}
    for row in booked:
        version = found.get(row.price_version_id) if row.price_version_id else None
        if version is not None and version.model == "percentage" and row.meter == LLM_TOKENS and row.language_model:
            canonical = resolve(row.language_model, row.integration)
            if canonical is not None:
                wanted[row.language_model, row.integration] = f"{LLM_TOKENS}/{canonical[0]}/{canonical[1]}"
    if not wanted:
        return {}
    given = {"targets": sorted(set(wanted.values()))}
    by_target: dict[str, list[PriceVersion]] = {}
    for found_row in await (await conn.execute(SQL["public_versions"], given)).fetchall():
        by_target.setdefault(found_row["target"], []).append(version_of(found_row))
    return {key: by_target.get(target, []) for key, target in wanted.items()}


async def _names(conn: Connection, workspace_id: UUID, run: str, booked: Iterable[Booked]) -> dict[str, str]:
    ids = {
        id_
        for row in booked
        for id_ in (row.workflow_id, row.agent_id, row.connector_id, row.tool_id)
        if id_ is not None
    }
    found: dict[str, str] = {}
    own = as_uuid(run)
    if own is not None:
        rows = await (await conn.execute(SQL["nodes"], {"workspace_id": workspace_id, "run": own})).fetchall()
        found = {row["id"]: row["name"] for row in rows}
    if ids:
        given = {"workspace_id": workspace_id, "ids": sorted(ids)}
        rows = await (await conn.execute(SQL["names"], given)).fetchall()
        found |= {row["id"]: row["name"] for row in rows}
    return found
