"""What past runs would have cost with other settings, from what was booked for them (row A12)."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from tallystick.domain.metering.meters import LLM_TOKENS
from tallystick.domain.metering.prices import PriceBook
from tallystick.domain.runs.booked import Used, uses_of
from tallystick.domain.runs.repricing import Repricer, Resolve
from tallystick.domain.runs.simulation import Levers, Outcome, Run, simulate
from tallystick.domain.texts import as_uuid
from tallystick.kernel.errors import TallystickError
from tallystick.queries import past_runs, receipts
from tallystick.queries.past_runs import Past
from tallystick.store.database import Connection, Database
from tallystick.store.named_sql import load

SQL = load(__file__)

Prices = Callable[[Connection], Awaitable[PriceBook]]


@dataclass(frozen=True, slots=True)
class Simulated:
    """`alone` is what each lever does by itself."""

    runs: int
    charges: int
    outcome: Outcome
    alone: tuple[tuple[str, Outcome], ...]


async def simulation(
    database: Database,
    workspace_id: UUID,
    chosen: Past | str,
    levers: Levers,
    *,
    prices: Prices,
    resolve: Resolve,
    charges_max: int,
    now: dt.datetime,
) -> Simulated:
    """Price past runs again: the one that is named, or all of a batch or workflow.

    Raises `runNotFound` where there is nothing, `tooManyCharges` beyond `charges_max`, `nodeNotFound` for a filter that
    none of the runs came to, `unknownLanguageModel` for a model without any price.
    """
    async with database.read(workspace_id) as conn:
        book = await prices(conn)
        repricer = Repricer(book, resolve)
        names = [chosen] if isinstance(chosen, str) else await _runs(conn, workspace_id, chosen, charges_max, now)
        booked = await receipts.booked_of_runs(conn, workspace_id, names, most=charges_max + 1)
        charges = sum(map(len, booked.values()))
        if charges > charges_max:
            raise TallystickError(
                "tooManyCharges", f"These runs have more than {charges_max} charges.", limit=charges_max
            )
        if not booked:
            raise TallystickError("runNotFound", "There are no such runs, or nothing was charged for them.")
        uses = {name: uses_of(rows) for name, rows in booked.items()}
        if levers.language_model is not None:
            _check_model(levers.language_model, uses, repricer)
        runs = [Run(tuple(found)) for found in uses.values()]
        if levers.filter_node is not None:
            levers, runs = await _filtered(conn, workspace_id, levers, uses)
    return await asyncio.to_thread(_simulated, runs, charges, levers, repricer)


def _simulated(runs: Sequence[Run], charges: int, levers: Levers, repricer: Repricer) -> Simulated:
    alone = tuple((name, simulate(runs, lever, repricer)) for name, lever in levers.each())
    outcome = alone[0][1] if len(alone) == 1 else simulate(runs, levers, repricer)
    return Simulated(len(runs), charges, outcome, alone)


def _check_model(model: str, uses: Mapping[str, Sequence[Used]], repricer: Repricer) -> None:
    """A model that none of the calls could have been priced by would seem to save everything."""
    calls = [used for found in uses.values() for used in found if used.event.meter == LLM_TOKENS]
    if calls and not any(repricer.has_price(used, model) for used in calls):
        raise TallystickError("unknownLanguageModel", "There is no price for this language model.", model=model)


async def _runs(conn: Connection, workspace_id: UUID, past: Past, most: int, now: dt.datetime) -> Sequence[str]:
    batch = as_uuid(past.batch or "")
    if batch is not None:
        given = {"workspace_id": workspace_id, "batch": batch, "runs": most + 1}
        rows = await (await conn.execute(SQL["runs_of_batch"], given)).fetchall()
        if rows:
            return [row["run"] for row in rows]
    # Each run has a charge, so that one too many of either is noticed.
    return await past_runs.newest(conn, workspace_id, past, runs_max=most + 1, charges_max=most + 1, now=now)


async def _filtered(
    conn: Connection, workspace_id: UUID, levers: Levers, uses: dict[str, list[Used]]
) -> tuple[Levers, list[Run]]:
    """The runs with what their runner said of the filter; events name nodes of ours by uuid, people by slug."""
    named = levers.filter_node or ""
    own = [as_uuid(name) for name in uses]
    given = {"workspace_id": workspace_id, "runs": [name for name in own if name], "node": named}
    rows = await (await conn.execute(SQL["filters"], given)).fetchall()
    said = {row["run"]: row["status"] == "skipped" for row in rows}
    node = rows[0]["node"] if rows else named
    if not any(used.event.facts.node == node for found in uses.values() for used in found):
        raise TallystickError("nodeNotFound", "None of these runs came to such a node.", node=named)
    runs = [Run(tuple(found), said.get(name)) for name, found in uses.items()]
    return replace(levers, filter_node=node), runs
