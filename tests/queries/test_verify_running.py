"""Verify names time of deployments that is not charged, charged twice or charged for nothing."""

import datetime as dt
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.differences import CODES, Difference
from tallystick.store.database import Database
from tests import deploying, make
from tests.deploying import instant

T0 = instant("2026-03-02 10:00:17.25")
HOUR = dt.timedelta(hours=1)
SECOND = 1_000_000


@pytest.fixture(scope="session")
async def priced(database: Database) -> Database:
    await make.catalog(database, instant("2024-01-01"))
    return database


class Site:
    """A workspace in which a script ran for three hours and a model still runs."""

    def __init__(self, database: Database, workspace_id: UUID, script: UUID, model: UUID) -> None:
        self.database, self.workspace_id, self.script, self.model = database, workspace_id, script, model

    async def plant(self, statement: str, **given: Any) -> dict[str, list[Difference]]:
        """What verify says of deployments after one statement behind the back of the flows; it changes one row."""
        given |= {"w": self.workspace_id, "script": self.script, "model": self.model}
        async with self.database.data() as conn:
            assert (await conn.execute(statement.encode(), given)).rowcount == 1
        found: dict[str, list[Difference]] = {}
        for difference in await make.differences(self.database, self.workspace_id):
            assert difference.code in CODES
            found.setdefault(difference.code, []).append(difference)
        return found

    async def piece(self, number: int) -> dict[str, Any]:
        """One piece that was charged of the script, from 0."""
        found = await make.rows(
            self.database,
            "SELECT * FROM usage_event WHERE workspace_id = %s AND data ->> 'deployment' = %s ORDER BY used_at",
            self.workspace_id,
            str(self.script),
        )
        return found[number]


@pytest.fixture
async def site(priced: Database) -> Site:
    shop = await make.bare_workspace(priced, T0)
    await make.grant(priced, shop, 1_000, T0)
    script = await deploying.deploy(priced, shop, T0, replicas=2)
    model = await deploying.deploy(priced, shop, T0 + HOUR, profile="gpu-t4", key="llama")
    await deploying.change(priced, shop, script, "scale", T0 + 2 * HOUR, replicas=3)
    await deploying.change(priced, shop, script, "undeploy", T0 + 3 * HOUR)
    await deploying.settle(priced, shop, T0 + 5 * HOUR)
    assert await make.differences(priced, shop) == []
    return Site(priced, shop, script, model)


def told(differences: list[Difference]) -> list[tuple[Any, ...]]:
    return [
        (str(one.ids["deploymentUuid"]), *((f.name, f.expected, f.found) for f in one.figures)) for one in differences
    ]


async def test_time_that_no_event_charges_is_named(site: Site) -> None:
    piece = await site.piece(1)
    found = await site.plant("DELETE FROM usage_event WHERE workspace_id = %(w)s AND id = %(i)s", i=piece["id"])
    [missing] = found["deploymentTimeMissing"]
    assert (missing.ids["from"], missing.ids["until"]) == (instant("2026-03-02 11:00"), T0 + HOUR)
    [figure] = missing.figures
    assert (figure.expected, figure.found) == (2 * 17_250_000, 0)
    assert {"eventMissing", "deploymentTimeDiffers", "transactionDiffersFromEvents"} <= found.keys()


async def test_time_that_two_events_charge_is_named(site: Site) -> None:
    piece = await site.piece(1)
    found = await site.plant(
        "UPDATE usage_event SET data = jsonb_set(data::jsonb, '{until}', to_jsonb(%(until)s::text))::json "
        "WHERE workspace_id = %(w)s AND id = %(i)s",
        until="2026-03-02T11:00:27.250000Z",
        i=piece["id"],
    )
    assert told(found["deploymentTimeDoubled"]) == [(str(site.script), ("microseconds", 0, 2 * 10 * SECOND))]
    assert "eventChanged" in found


async def test_time_charged_while_it_was_not_deployed_is_named(site: Site) -> None:
    found = await site.plant(
        "UPDATE deployment_change SET at = at - interval '10 seconds' "
        "WHERE workspace_id = %(w)s AND deployment_id = %(script)s AND asked = 'undeploy'"
    )
    assert told(found["deploymentTimeUnfounded"]) == [(str(site.script), ("microseconds", 0, 3 * 10 * SECOND))]
    assert found.keys() == {"deploymentTimeUnfounded"}


async def test_time_deployed_longer_than_charged_is_named(site: Site) -> None:
    found = await site.plant(
        "UPDATE deployment_change SET at = at - interval '10 seconds' "
        "WHERE workspace_id = %(w)s AND deployment_id = %(model)s AND asked = 'succeed'"
    )
    assert told(found["deploymentTimeMissing"]) == [(str(site.model), ("microseconds", 10 * SECOND, 0))]


async def test_other_replicas_than_charged_are_named(site: Site) -> None:
    found = await site.plant(
        "UPDATE deployment_change SET replicas = 4 "
        "WHERE workspace_id = %(w)s AND deployment_id = %(script)s AND asked = 'scale'"
    )
    hour = 3_600 * SECOND
    missing, unfounded = told(found["deploymentTimeMissing"]), told(found["deploymentTimeUnfounded"])
    assert sum(time[1] for _, time in missing) == 4 * hour
    assert sum(time[2] for _, time in unfounded) == 3 * hour


@pytest.mark.parametrize(("column", "by"), [("microseconds", 5), ("credits", -1)])
async def test_a_changed_day_is_named_with_both_figures(site: Site, column: str, by: int) -> None:
    found = await site.plant(
        f"UPDATE deployment_day SET {column} = {column} + %(by)s "
        "WHERE workspace_id = %(w)s AND deployment_id = %(model)s",
        by=by,
    )
    [day] = found.pop("deploymentTimeDiffers")
    [(_, (name, expected, there))] = told([day])
    assert (name, there - expected) == (column, by)
    assert day.ids["day"] == T0.date() and not found


async def test_a_day_that_is_gone_is_named(site: Site) -> None:
    found = await site.plant("DELETE FROM deployment_day WHERE workspace_id = %(w)s AND deployment_id = %(model)s")
    assert found.keys() == {"deploymentTimeDiffers"}


async def test_a_deployment_that_runs_on_uncharged_is_named(site: Site) -> None:
    found = await site.plant("UPDATE deployment SET metered_until = NULL WHERE workspace_id = %(w)s AND id = %(model)s")
    [difference] = found["deploymentDiffers"]
    assert [figure.name for figure in difference.figures] == ["metered_until"]


async def test_a_state_that_no_change_led_to_is_named(site: Site) -> None:
    found = await site.plant("UPDATE deployment SET state = 'failed' WHERE workspace_id = %(w)s AND id = %(script)s")
    assert told(found["deploymentDiffers"]) == [(str(site.script), ("state", "ready", "failed"))]


async def test_charges_up_to_an_instant_that_was_pushed_ahead_are_missing(site: Site) -> None:
    found = await site.plant(
        "UPDATE deployment SET metered_until = metered_until + interval '1 minute' "
        "WHERE workspace_id = %(w)s AND id = %(model)s"
    )
    assert told(found["deploymentTimeMissing"]) == [(str(site.model), ("microseconds", 60 * SECOND, 0))]


async def test_what_runs_and_is_never_due_is_named(site: Site) -> None:
    found = await site.plant(
        "UPDATE balance SET due_at = due_at + interval '2 hours' WHERE workspace_id = %(w)s AND unit = 'credits'"
    )
    assert [figure.name for figure in found["balanceDiffers"][0].figures] == ["due_at"]
