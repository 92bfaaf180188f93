"""Refunds: everything that a run was charged is taken back, line by line, in one transaction (rule M11)."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.metering.catalog import Catalog
from tallystick.domain.metering.charging import Charge, reversal_of
from tallystick.domain.metering.events import UsageEvent, event_hash, read_data
from tallystick.domain.runs.refunds import REFUND, SOURCE
from tallystick.flows import booking, due
from tallystick.flows.caps import Caps
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.corrections import charge_of
from tallystick.kernel.credits import format_credits, parse_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, ledger, refunds, usage
from tallystick.store.database import Connection, Database, Row
from tallystick.store.idempotency import once


@dataclass(frozen=True, slots=True)
class Refund:
    """What one refund took back: how many charges, and what they came to in nano-units."""

    charges: int
    credits: int
    tool_runs: int


async def refund(
    database: Database,
    run: str,
    *,
    workspace_id: UUID,
    reason: str,
    catalogs: CatalogCache,
    hourly_days: int,
    request: RequestKey | None,
    now: dt.datetime,
    ids: Ids,
    actor: str,
) -> Refund:
    """Take back every charge of a run that still stands; what was taken back before is left alone (rule M11).

    What comes back refills grants as any return does (rule M21), and shows on the days of use. A second refund takes
    back what was charged since, most often nothing. Raises `runNotFound`, `workspaceNotFound`, `alreadyCorrected` and
    `idempotencyConflict`.
    """

    async def work(conn: Connection) -> Refund:
        async def make() -> Mapping[str, Any]:
            done = await _refund_in(conn, workspace_id, run, reason, catalogs, hourly_days, now, ids)
            shown = {
                "run": run,
                "charges": done.charges,
                "credits": format_credits(done.credits),
                "toolRuns": format_credits(done.tool_runs),
            }
            await audit.record(
                conn, "run.refunded", workspace_id=workspace_id, actor=actor, now=now, ids=ids, reason=reason, **shown
            )
            return shown

        answer = await once(conn, request, now, make)
        return Refund(answer["charges"], _nano(answer["credits"]), _nano(answer["toolRuns"]))

    return await database.run(work)


async def _refund_in(
    conn: Connection,
    workspace_id: UUID,
    run: str,
    reason: str,
    catalogs: CatalogCache,
    hourly_days: int,
    now: dt.datetime,
    ids: Ids,
) -> Refund:
    # Under this lock nobody else takes back anything of the workspace, nor prices it.
    books = await due.lock(conn, {workspace_id}, now=now, ids=ids, returns=True)
    if workspace_id not in books:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    rows = await refunds.standing_rows(conn, workspace_id, run)
    if not rows and not await refunds.is_known(conn, workspace_id, run):
        raise TallystickError("runNotFound", "There is no such run.", run=run)
    catalog = await catalogs.current(conn)
    charges = [_reversal(row, run, reason, catalog, now) for row in rows]
    base = booking.first_id(ids, now)
    # Each one's own number; what it takes back was booked before this commit.
    for following, charge in enumerate(charges, base + 1):
        charge.number = following
    if charges and await usage.insert_keys(conn, charges) < len(charges):
        raise TallystickError("alreadyCorrected", "An event has the identity of this refund.", run=run, source=SOURCE)
    caps = await Caps.load(conn, {workspace_id})
    hours_since = now - dt.timedelta(days=hourly_days)
    await booking.book(conn, charges, books, caps, UUID(int=base), hours_since=hours_since, now=now, ids=ids)
    await caps.save(conn)
    await ledger.save_books(conn, books, now)
    return Refund(
        len(charges), -sum(charge.credits for charge in charges), -sum(charge.tool_runs for charge in charges)
    )


def _reversal(row: Row, run: str, reason: str, catalog: Catalog, now: dt.datetime) -> Charge:
    """What takes one row back, under a key of its own, so that a row is never refunded twice."""
    said = {"refunds": {"id": row["source_id"], "source": row["source"]}, "reason": reason, "run": run}
    facts, data = read_data(msgspec.json.encode(said))
    subject = str(row["workspace_id"])
    event = UsageEvent(
        SOURCE, str(row["id"]), REFUND, subject, now, data.decode(), event_hash(REFUND, subject, data), facts
    )
    return reversal_of(charge_of(row, event, catalog), event)


def _nano(text: str) -> int:
    return parse_credits(text, signed=True)
