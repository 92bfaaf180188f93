"""A commit takes keys to be free; where one is not it begins again, and the next one looks first."""

import datetime as dt
from uuid import UUID

import pytest

from tallystick.flows.batches import Batch
from tallystick.flows.ingest import book
from tallystick.flows.names import Item
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tests import make
from tests.make import IDS, Meter

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)


@pytest.fixture
async def meter(database: Database) -> Meter:
    await make.catalog(database, T0 - dt.timedelta(days=400))
    return Meter(database)


@pytest.fixture
async def workspace(database: Database) -> UUID:
    return await make.bare_workspace(database, T0 - dt.timedelta(days=10))


async def send(
    meter: Meter, workspace: UUID, *reports: tuple[str, int], careful: bool = False
) -> tuple[list[str], bool]:
    """Report direct charges of (id, credits); what became of each, and whether some keys were taken."""
    events = [
        make.event_of({"type": "direct.charge", "id": name, "quantity": quantity}, workspace, T0)
        for name, quantity in reports
    ]
    batch = Batch([Item(workspace, event) for event in events], T0)
    met = await book(
        meter.database,
        [batch],
        names_cache=meter.names,
        catalogs=meter.catalogs,
        limits=meter.limits,
        ids=IDS,
        careful=careful,
    )
    return [outcome.kind for outcome in batch.outcomes if outcome is not None], met


async def used(database: Database, workspace: UUID) -> tuple[int, int]:
    """Credits used, and rows of usage."""
    [row] = await make.rows(
        database,
        "SELECT b.used, (SELECT count(*) FROM usage_event AS e WHERE e.workspace_id = b.workspace_id) AS events "
        "FROM balance AS b WHERE b.workspace_id = %s AND b.unit = 'credits'",
        workspace,
    )
    return row["used"] // NANO, row["events"]


async def test_a_taken_key_costs_a_second_attempt_and_nothing_else(meter: Meter, workspace: UUID) -> None:
    assert await send(meter, workspace, ("a", 1), ("b", 2)) == (["accepted"] * 2, False)
    mixed = [("a", 1), ("c", 4), ("b", 3), ("d", 8)]
    assert await send(meter, workspace, *mixed) == (["duplicate", "accepted", "conflict", "accepted"], True)
    assert await used(meter.database, workspace) == (15, 4)


async def test_one_that_looks_first_says_when_it_met_none(meter: Meter, workspace: UUID) -> None:
    assert await send(meter, workspace, ("a", 1), careful=True) == (["accepted"], False)
    assert await send(meter, workspace, ("a", 1), ("b", 2), careful=True) == (["duplicate", "accepted"], True)
    assert await send(meter, workspace, ("c", 4), ("c", 4), ("c", 5)) == (["accepted", "duplicate", "conflict"], False)
    assert await used(meter.database, workspace) == (7, 3)
