"""Background work is seen: by the operator's list, by /metrics, and by name in /readyz, which stays 200."""

import datetime as dt
from collections.abc import AsyncIterator

import pytest

from tallystick.runtime import Runtime
from tallystick.surfaces import worker
from tests import make
from tests.conftest import NOW
from tests.make import IDS
from tests.surfaces.conftest import Caller


@pytest.fixture
async def two_jobs(runtime: Runtime) -> AsyncIterator[None]:
    """One that was done just now, and one that nobody has done for an hour."""

    async def well(_: Runtime, now: dt.datetime) -> int:
        return 3

    async def fails(_: Runtime, now: dt.datetime) -> int:
        raise RuntimeError("no good")

    often = dt.timedelta(seconds=5)
    good, bad = worker.Job("good", often, well), worker.Job("bad", often, fails)
    await worker.register(runtime, [good, bad])
    await execute(runtime, "UPDATE job_turn SET well_at = %s WHERE name = 'bad'", NOW - dt.timedelta(hours=1))
    await worker.turn(good, runtime)
    await worker.turn(bad, runtime)
    await worker.turn(bad, runtime)
    yield
    await worker.register(runtime, [])


async def execute(runtime: Runtime, query: str, *given: object) -> None:
    async with runtime.database.admin() as conn:
        await conn.execute(query.encode(), given)


@pytest.mark.usefixtures("two_jobs")
async def test_a_late_job_is_named_and_the_server_stays_ready(operator: Caller) -> None:
    ready = await operator.get("/readyz")
    assert (ready.status_code, ready.json()["ready"], ready.json()["lateJobs"]) == (200, True, ["bad"])
    bad, good = (await operator.get("/v1/jobs")).json()["jobs"]
    assert (bad["name"], bad["late"], bad["failures"], bad["error"]) == ("bad", True, 2, "RuntimeError")
    assert (good["name"], good["late"], good["failures"], good["done"]) == ("good", False, 0, 3)
    lines = (await operator.get("/metrics")).text.splitlines()
    for line in (
        "# TYPE tally_job_age_seconds gauge",
        'tally_job_age_seconds{job="bad"} 3600',
        'tally_job_age_seconds{job="good"} 0',
        'tally_job_failures{job="bad"} 2',
        'tally_job_late{job="bad"} 1',
        'tally_job_late{job="good"} 0',
    ):
        assert line in lines


async def test_what_waits_to_be_told_is_measured_by_the_machines_clock(operator: Caller, runtime: Runtime) -> None:
    async def oldest(kind: str) -> int:
        lines = (await operator.get("/metrics")).text.splitlines()
        prefix = f'tally_outbox_oldest_seconds{{kind="{kind}"}} '
        return int(next(line for line in lines if line.startswith(prefix)).removeprefix(prefix))

    # Whatever other tests have left waiting was written a day ago at most.
    since = NOW - dt.timedelta(days=400)
    workspace = await make.bare_workspace(runtime.database, since)
    fact = "INSERT INTO fact (workspace_id, id, kind, at, data, created_at) VALUES (%s, %s, 'x', %s, '{}', %s)"
    await execute(runtime, fact, workspace, IDS.new(NOW), since, since)
    delivery = (
        "INSERT INTO webhook_delivery (workspace_id, id, endpoint_id, fact_id, status, next_at, created_at)"
        " VALUES (%s, %s, %s, %s, 'queued', %s, %s)"
    )
    await execute(runtime, delivery, workspace, IDS.new(NOW), IDS.new(NOW), IDS.new(NOW), since, since)
    assert (await oldest("fact"), await oldest("delivery")) == (400 * 86_400, 400 * 86_400)
    await execute(runtime, "UPDATE workspace SET clock_at = %s WHERE id = %s", since, workspace)
    assert await oldest("fact") < 400 * 86_400
    await execute(runtime, "DELETE FROM fact WHERE workspace_id = %s", workspace)
    await execute(runtime, "DELETE FROM webhook_delivery WHERE workspace_id = %s", workspace)
