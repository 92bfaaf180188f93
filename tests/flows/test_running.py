"""Running time is charged once for every second, at the right instants, whatever happens when (rules M16, M17)."""

import datetime as dt
from uuid import UUID

import pytest

from tallystick.domain.deployments.deployment import OUT_OF_CREDITS
from tallystick.flows import due
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tests import deploying, make
from tests.deploying import instant
from tests.make import IDS

T0 = instant("2026-03-02 10:00:17.25")
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="session")
async def priced(database: Database) -> Database:
    await make.catalog(database, instant("2024-01-01"))
    return database


async def workspace(database: Database, credits: int, at: dt.datetime = T0, **terms: object) -> UUID:
    """A workspace on Free with so many credits that do not end."""
    made = await make.bare_workspace(database, at)
    if credits:
        await make.grant(database, made, credits, at, **terms)
    return made


async def test_an_hour_on_two_replicas_costs_two_hours(priced: Database) -> None:
    shop = await workspace(priced, 100)
    run = await deploying.deploy(priced, shop, T0, replicas=2)
    await deploying.change(priced, shop, run, "undeploy", T0 + HOUR)

    assert await deploying.charged(priced, shop) == 2 * 76_980_000
    assert deploying.joined(await deploying.spans(priced, run)) == [(T0, T0 + HOUR, 2)]
    assert (await deploying.balance(priced, shop))["posted"] == 100 * NANO - 2 * 76_980_000
    state = (await deploying.states(priced, shop))[run]
    assert (state["state"], state["metered_until"]) == ("ready", None)
    assert await make.differences(priced, shop) == []


async def test_each_tick_charges_up_to_it_and_asks_for_the_next(priced: Database) -> None:
    shop = await workspace(priced, 100)
    run = await deploying.deploy(priced, shop, T0)
    assert (await deploying.balance(priced, shop))["due_at"] == instant("2026-03-02 10:01")

    await due.sweep(priced, now=instant("2026-03-02 10:03:59"), ids=IDS)

    assert (await deploying.states(priced, shop))[run]["metered_until"] == instant("2026-03-02 10:03")
    assert await deploying.spans(priced, run) == [(T0, instant("2026-03-02 10:03"), 1)]
    assert (await deploying.balance(priced, shop))["due_at"] == instant("2026-03-02 10:04")
    assert await deploying.charged(priced, shop) == deploying.cost("script-1x2", instant("2026-03-02 10:03") - T0)
    assert await make.differences(priced, shop) == []
