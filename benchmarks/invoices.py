"""P5: closing billing periods and issuing their invoices, by the jobs that do it; then the PDF of each."""

import asyncio
import datetime as dt
import tempfile
import time
from pathlib import Path
from uuid import UUID

import msgspec

from benchmarks.figures import Figure, keep
from tallystick.domain.identity.rights import PERMISSIONS, Principal
from tallystick.domain.metering.events import Window, read_event
from tallystick.flows import collecting, due, ingest, workspaces
from tallystick.flows.batches import Batch
from tallystick.flows.names import Item
from tallystick.flows.workspaces import NewWorkspace
from tallystick.kernel.clock import FrozenClock
from tallystick.queries import documents
from tallystick.runtime import Runtime
from tallystick.settings import Settings

BORN = dt.datetime(2026, 3, 14, 9, 41, tzinfo=dt.UTC)
USED = (BORN + dt.timedelta(days=3), BORN + dt.timedelta(days=17))
ENDED = dt.datetime(2026, 4, 14, 9, 41, tzinfo=dt.UTC)
GRACE = dt.timedelta(hours=1)
AGENTS = ("Ada", "Bob", "Cleo")
TYPES = ("orchestration.execution", "storage.records", "tool.call", "direct.charge")
WARM = 100
_MOST = 1_000
_DOCUMENTS = 300
_OPERATOR = Principal("operator", UUID(int=1), "benchmark", None, None, None, frozenset(PERMISSIONS))


async def fill(runtime: Runtime, count: int) -> list[UUID]:
    """So many workspaces on Pro, each with usage of three agents in four categories on two days."""
    made = []
    for number in range(count):
        created = await workspaces.create(
            runtime.database,
            NewWorkspace(name=f"Customer {number}", grants=(), plan="pro"),
            principal=_OPERATOR,
            text=runtime.ids.secret(),
            request=None,
            now=BORN,
            ids=runtime.ids,
        )
        made.append(created.workspace.id)
    for at in USED:
        items = [_item(one, at, agent, type_) for one in made for agent in AGENTS for type_ in TYPES]
        for place in range(0, len(items), 2_000):
            await ingest.book(
                runtime.database,
                [Batch(items[place : place + 2_000], at)],
                names_cache=runtime.names,
                catalogs=runtime.catalogs,
                limits=ingest.IngestLimits(),
                ids=runtime.ids,
            )
    return made


def _item(workspace_id: UUID, at: dt.datetime, agent: str, type_: str) -> Item:
    event = read_event(
        specversion="1.0",
        source="benchmark",
        source_id=f"{workspace_id}:{agent}:{type_}:{at.day}",
        type_=type_,
        subject=str(workspace_id),
        time=at,
        data=msgspec.json.encode({"agent": agent, "quantity": 3}),
        now=at,
        window=Window(None, dt.timedelta(minutes=5)),
    )
    return Item(workspace_id, event)


async def close(runtime: Runtime) -> tuple[float, float]:
    """What the worker does when periods end: seconds of renewing all workspaces, and of issuing their invoices."""
    begun = time.perf_counter()
    await due.sweep(runtime.database, now=ENDED, ids=runtime.ids)
    closed = time.perf_counter()
    await collecting.turn(runtime.database, runtime.billing, None, now=ENDED + GRACE, ids=runtime.ids)
    return closed - begun, time.perf_counter() - closed


async def _issued(runtime: Runtime) -> list[tuple[UUID, UUID]]:
    async with runtime.database.read() as conn:
        rows = await conn.execute("SELECT workspace_id, id FROM invoice WHERE number IS NOT NULL ORDER BY number")
        return [(row["workspace_id"], row["id"]) for row in await rows.fetchall()]


async def _print(runtime: Runtime, wanted: list[tuple[UUID, UUID]]) -> float:
    """Seconds of making these PDFs, as many at once as the printer takes."""

    async def one(workspace_id: UUID, invoice_id: UUID) -> int:
        found = await documents.document(runtime.database, workspace_id, invoice_id)
        return len(await runtime.printer.pdf(found))

    # The first loads the fonts.
    await one(*wanted[0])
    begun = time.perf_counter()
    for place in range(0, len(wanted), 8):
        await asyncio.gather(*(one(*key) for key in wanted[place : place + 8]))
    return time.perf_counter() - begun


async def _measure(home: Path, count: int) -> None:
    runtime = await Runtime.open(Settings(home=home), clock=FrozenClock(BORN))
    try:
        await fill(runtime, WARM)
        await close(runtime)
        made = await fill(runtime, count)
        closing, issuing = await close(runtime)
        issued = (await _issued(runtime))[WARM:]
        if len(issued) != len(made):
            raise RuntimeError(f"{len(made)} periods ended, and {len(issued)} invoices were issued")
        some = issued[:_DOCUMENTS]
        printing = await _print(runtime, some) / len(some) * count
    finally:
        await runtime.close()
    note = f"{count / closing:,.0f}/s closed, {count / issuing:,.0f}/s issued"
    keep(
        "invoices",
        [
            Figure("P5", "invoices/s, closing and issuing", count / (closing + issuing), "/s", 100, 1_000, note=note),
            Figure(
                "P5",
                "invoices/s with the PDF of each",
                count / (closing + issuing + printing),
                "/s",
                20,
                80,
                note=f"{count / printing:,.0f} PDFs/s",
            ),
        ],
        invoices=count,
        usage_rows=len(AGENTS) * len(TYPES),
    )


def run(events: int) -> None:
    """Close so many periods, at most 1,000."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as temporary:
        asyncio.run(_measure(Path(temporary) / "home", max(min(events, _MOST), 1)))
