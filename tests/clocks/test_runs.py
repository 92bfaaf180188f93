"""Runs of a workspace on a test clock: the gate and the usage go by that clock, leases by the machine's."""

import datetime as dt

from tests import make
from tests.clocks.conftest import Eras
from tests.conftest import NOW
from tests.surfaces.test_orchestration import AT, claim, create, put

BORN = dt.datetime(2024, 1, 31, 10, 30, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def text(instant: dt.datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


async def test_a_lease_is_on_the_machines_clock_and_its_task_says_what_time_it_is(eras: Eras) -> None:
    era = await eras.born(BORN, plan="pro")
    run = await create(era.owner, await put(era.owner))
    assert run["createdAt"] == text(BORN)
    [task] = await claim(era.owner, leaseSeconds=30)
    assert (task["run"]["uuid"], task["clock"]) == (run["uuid"], text(BORN))
    assert task["leaseExpiresAt"] == text(NOW + dt.timedelta(seconds=30))
    # Nobody else gets it because months pass here.
    await era.to(BORN + 90 * DAY)
    assert await claim(era.owner) == []
    beat = await era.owner.post(f"{AT}/runs/{run['uuid']}/heartbeat", {"lease": task["lease"], "leaseSeconds": 60})
    assert beat.json()["leaseExpiresAt"] == text(NOW + dt.timedelta(seconds=60))
    # Nor is its runner taken for lost when somebody cancels it, by a clock that is far ahead.
    await era.to(NOW + 400 * DAY)
    for _ in range(2):
        cancelled = await era.owner.post(f"{AT}/runs/cancel", {"uuids": [run["uuid"]]})
        assert cancelled.status_code == 200, cancelled.text
    assert (await era.owner.get(f"{AT}/runs/{run['uuid']}")).json()["run"]["status"] == "cancelling"
    ended = await era.owner.post(f"{AT}/runs/{run['uuid']}/finish", {"lease": task["lease"], "status": "cancelled"})
    assert (ended.status_code, ended.json()["run"]["status"]) == (200, "cancelled")


async def test_an_operators_runner_asks_the_gate_at_the_time_of_each_workspace(eras: Eras) -> None:
    """A batch's runs pass the gate when they are claimed: nothing may be settled by the machine's time then."""
    era = await eras.born(BORN, plan="pro")
    await era.grant(50, BORN + DAY)
    made = await era.owner.post(
        f"{AT}/batches", {"workflowUuid": await put(era.owner), "data": [{"age": 18}, {"age": 19}]}
    )
    assert made.status_code == 201, made.text
    tasks = [task for task in await claim(era.operator, limit=100) if task["run"]["workspaceUuid"] == str(era.uuid)]
    assert [task["clock"] for task in tasks] == [text(BORN)] * 2
    assert await era.posted() == 10_050
    assert at_most(await make.rows(eras.database, SETTLED, era.uuid)) <= BORN


SETTLED = "SELECT max(effective_at) AS at FROM ledger_transaction WHERE workspace_id = %s"


def at_most(rows: list[dict[str, dt.datetime]]) -> dt.datetime:
    return rows[0]["at"]
