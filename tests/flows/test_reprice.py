"""Unpriced usage is priced when its price comes, once, on the day of use."""

import datetime as dt
from uuid import UUID

import pytest

from tallystick.flows import prices
from tallystick.flows.reprice import price_unpriced
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tests import make
from tests.flows.test_ingest import figures
from tests.make import IDS, Meter

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


async def run(meter: Meter) -> int:
    return await price_unpriced(
        meter.database, catalogs=meter.catalogs, models=make.MODELS, hourly_days=35, now=T0, ids=IDS
    )


async def unpriced_rows(database: Database, workspace_id: UUID) -> list[tuple[object, ...]]:
    found = await make.rows(
        database,
        "SELECT day, events, unpriced, tokens_in, credits FROM rollup_daily WHERE workspace_id = %s",
        workspace_id,
    )
    return [tuple(row.values()) for row in found]


@pytest.mark.parametrize("model", ["tokens", "graduated"])
async def test_a_price_that_comes_later_is_booked_once_and_can_be_taken_back(database: Database, model: str) -> None:
    await make.catalog(database, T0 - 400 * DAY)
    meter = Meter(database)
    workspace = await make.bare_workspace(database, T0 - 10 * DAY)
    await make.grant(database, workspace, 75, T0 - 10 * DAY)
    name = f"in-house-{workspace.hex}"
    report = {"type": "llm.tokens", "model": name, "inputTokens": 1_000_000, "at": T0 - 2 * DAY}
    await meter.report(workspace, report | {"id": "1"}, report | {"id": "2"}, now=T0 - DAY)
    day = (T0 - 2 * DAY).date()
    assert await unpriced_rows(database, workspace) == [(day, 2, 2, 2_000_000, 0)]
    await run(meter)
    assert (await figures(database, workspace))["credits"] == 75 * NANO

    rates = {
        "tokens": {"perMillion": {"inputTokens": "5"}},
        "graduated": {
            "tiers": [{"upTo": 1_000_000, "amount": "6", "per": 1_000_000}, {"amount": "4", "per": 1_000_000}]
        },
    }[model]
    await prices.add_version(
        database,
        target=f"llm.tokens/*/{name}",
        model=model,
        rates=rates,
        now=T0,
        ids=IDS,
        actor="test",
        valid_from=T0 - 30 * DAY,
    )
    assert await run(meter) == 2
    assert await run(meter) == 0
    assert (await figures(database, workspace))["credits"] == 65 * NANO
    assert await unpriced_rows(database, workspace) == [(day, 2, 0, 2_000_000, 10 * NANO)]

    for number in ("1", "2"):
        cancel = make.cancellation(f"c{number}", "test", number, workspace, T0)
        await meter.book(make.Batch([make.Item(workspace, cancel)], T0))
    assert (await figures(database, workspace))["credits"] == 75 * NANO
    assert await unpriced_rows(database, workspace) == [(day, 0, 0, 0, 0)]
    assert await run(meter) == 0
