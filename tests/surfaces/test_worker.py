"""Time as a surface: what is due happens where nobody calls, and a job that fails does not stop the others."""

import asyncio
import datetime as dt

import pytest

from tallystick.domain.credits.grants import GrantTerms
from tallystick.flows import grants, prices
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries import jobs as queries
from tallystick.runtime import Runtime
from tallystick.surfaces import worker
from tests import make
from tests.conftest import NOW
from tests.make import IDS, Meter


async def turns(runtime: Runtime, count: int) -> None:
    """So many turns of every job, in their order."""
    todo = worker.jobs(runtime.settings)
    for _ in range(count):
        for job in todo:
            await worker.turn(job, runtime)


async def test_what_is_due_and_what_can_be_priced_is_booked_though_nobody_calls(runtime: Runtime) -> None:
    database = runtime.database
    born = NOW - dt.timedelta(days=20)
    workspace = await make.bare_workspace(database, born)
    ends = NOW - dt.timedelta(days=1)
    terms = GrantTerms("credits", 5 * NANO, "promotion", key="k", expires_at=ends)
    await grants.issue(database, terms, workspace_id=workspace, now=born, ids=IDS, actor="test")
    model = f"late-{workspace.hex}"
    meter = Meter(database)
    await meter.report(workspace, {"type": "llm.tokens", "id": "1", "model": model, "inputTokens": 10}, now=born)
    rates = {"perMillion": {"inputTokens": "100000"}}
    await prices.add_version(
        database,
        target=f"llm.tokens/*/{model}",
        model="tokens",
        rates=rates,
        now=NOW,
        ids=IDS,
        actor="test",
        valid_from=born,
    )

    await turns(runtime, 2)

    [balance] = await make.rows(
        database, "SELECT * FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace
    )
    # 5 granted, 1 used by the late price once the rest had expired.
    assert (balance["expired"], balance["used"], balance["overdraft"]) == (5 * NANO, NANO, NANO)


async def test_a_job_that_fails_is_tried_again_and_a_slow_one_holds_up_no_other(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    enough = asyncio.Event()

    async def fails(_: Runtime, now: dt.datetime) -> int:
        done.append("fails")
        raise TallystickError("databaseUnavailable", "gone")

    async def hangs(_: Runtime, now: dt.datetime) -> int:
        done.append("hangs")
        await asyncio.Event().wait()
        return 0

    async def works(_: Runtime, now: dt.datetime) -> int:
        done.append("works")
        if done.count("works") >= 3 and done.count("fails") >= 3:
            enough.set()
        return 0

    often = dt.timedelta(milliseconds=1)
    found = [
        worker.Job("a-hangs", often, hangs),
        worker.Job("a-fails", often, fails),
        worker.Job("a-works", often, works),
    ]
    monkeypatch.setattr(worker, "jobs", lambda _: found)
    monkeypatch.setattr(worker, "_A_MOMENT", 0.01)
    task = asyncio.create_task(worker.work(runtime))
    try:
        await asyncio.wait_for(enough.wait(), 20)
        states: dict[str, queries.JobState] = {}

        async def all_is_written() -> None:
            # A turn is written down after it has ended, one that takes its time also while it goes on.
            while not (
                states
                and states["a-hangs"].is_running
                and states["a-fails"].failures >= 3
                and not states["a-works"].is_running
            ):
                states.update({job.name: job for job in (await queries.standing(runtime.database, NOW)).jobs})

        await asyncio.wait_for(all_is_written(), 20)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert done.count("hangs") == 1
    assert list(states) == ["a-fails", "a-hangs", "a-works"]
    assert (states["a-works"].failures, states["a-works"].error) == (0, None)
    assert states["a-fails"].error == "databaseUnavailable: gone"


@pytest.mark.parametrize(
    ("every", "well_for", "is_late"),
    [(5, 299, False), (5, 301, True), (60, 599, False), (60, 601, True), (3_600, 35_999, False), (3_600, 36_001, True)],
)
def test_a_job_is_late_after_ten_turns_without_a_good_one_but_not_before_five_minutes(
    every: int, well_for: int, is_late: bool
) -> None:
    well_at = NOW - dt.timedelta(seconds=well_for)
    state = queries.JobState("one", every, NOW, None, well_at, 0, 7, "x")
    assert state.is_late(NOW) is is_late


async def test_what_nobody_does_any_more_is_forgotten_and_what_nobody_does_yet_is_late(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_: Runtime, now: dt.datetime) -> int:
        return 1

    old, new = worker.Job("old", dt.timedelta(seconds=5), nothing), worker.Job("new", dt.timedelta(seconds=5), nothing)
    await worker.register(runtime, [old])
    assert [job.name for job in (await queries.standing(runtime.database, NOW)).jobs] == ["old"]
    await worker.register(runtime, [new])
    assert (await queries.standing(runtime.database, NOW)).late(NOW) == []
    assert (await queries.standing(runtime.database, NOW)).late(NOW + dt.timedelta(minutes=6)) == ["new"]
    await worker.turn(new, runtime)
    await worker.turn(new, runtime)
    [state] = (await queries.standing(runtime.database, NOW)).jobs
    assert (state.done, state.well_at, state.started_at, state.finished_at) == (2, NOW, NOW, NOW)


async def test_many_workers_may_do_one_job_at_once(runtime: Runtime) -> None:
    async def works(_: Runtime, now: dt.datetime) -> int:
        await asyncio.sleep(0)
        return 2

    job = worker.Job("shared", dt.timedelta(seconds=5), works)
    await worker.register(runtime, [job])
    await asyncio.gather(*(worker.turn(job, runtime) for _ in range(8)))
    [state] = (await queries.standing(runtime.database, NOW)).jobs
    assert (state.done, state.failures, state.is_running, state.error) == (16, 0, False, None)
