"""Limits of receipts, estimates and simulations, and which runs are the newest."""

import datetime as dt
from uuid import UUID

import pytest

from tallystick.domain.metering.prices import PriceBook
from tallystick.domain.runs.simulation import Levers
from tallystick.flows.catalog import CatalogCache
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries import past_runs, receipts, simulations
from tallystick.queries.past_runs import Past
from tallystick.store.database import Connection, Database
from tests import make

NOW = dt.datetime(2026, 3, 14, 9, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
LATELY = Past(NOW - 30 * DAY, NOW + DAY)


@pytest.fixture(scope="module")
async def workspace(database: Database) -> UUID:
    """Runs 1 to 5, the later the newer, of as many credits as their number, in two charges each."""
    await make.catalog(database, NOW)
    workspace_id = await make.bare_workspace(database, NOW - 30 * DAY)
    reports = [
        {"type": "direct.charge", "id": f"{run}-{part}", "run": f"run-{run}", "quantity": f"{run / 2}", "at": at}
        for run in range(1, 6)
        for part, at in ((1, NOW - (9 - run) * DAY), (2, NOW - run * dt.timedelta(minutes=1)))
    ]
    await make.Meter(database).report(workspace_id, *reports, now=NOW)
    return workspace_id


async def book_of(conn: Connection) -> PriceBook:
    return (await CatalogCache().current(conn)).prices


async def test_the_newest_runs_are_those_charged_last(database: Database, workspace: UUID) -> None:
    found = await past_runs.samples(database, workspace, LATELY, runs_max=2, now=NOW)
    assert sorted(found.credits) == [1 * NANO, 2 * NANO]
    whole = await past_runs.samples(database, workspace, LATELY, runs_max=100, now=NOW)
    assert sorted(whole.credits) == [run * NANO for run in range(1, 6)]


async def test_a_range_chooses_runs_and_counts_them_whole(database: Database, workspace: UUID) -> None:
    days = Past(NOW - 5 * DAY, NOW - 4 * DAY + dt.timedelta(seconds=1))
    found = await past_runs.samples(database, workspace, days, runs_max=100, now=NOW)
    assert sorted(found.credits) == [4 * NANO, 5 * NANO]


@pytest.mark.parametrize(("limit", "refused"), [(1, True), (2, False)])
async def test_a_receipt_has_a_limit_that_is_told(
    database: Database, workspace: UUID, limit: int, refused: bool
) -> None:
    asked = receipts.receipt(database, workspace, "run-3", charges_max=limit, resolve=make.MODELS.resolve)
    if not refused:
        assert (await asked)[0].sums.credits == 3 * NANO
        return
    with pytest.raises(TallystickError) as error:
        await asked
    assert (error.value.code, error.value.details["limit"]) == ("tooManyCharges", limit)


@pytest.mark.parametrize(("limit", "refused"), [(1, True), (9, True), (10, False)])
async def test_a_simulation_takes_all_runs_or_none(
    database: Database, workspace: UUID, limit: int, refused: bool
) -> None:
    asked = simulations.simulation(
        database,
        workspace,
        LATELY,
        Levers(max_steps=0),
        prices=book_of,
        resolve=make.MODELS.resolve,
        charges_max=limit,
        now=NOW,
    )
    if not refused:
        found = await asked
        assert (found.runs, found.charges, found.outcome.before.credits) == (5, 10, 15 * NANO)
        return
    with pytest.raises(TallystickError) as error:
        await asked
    assert error.value.code == "tooManyCharges"
