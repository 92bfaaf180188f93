"""Runs and batches through the real flows: asked for, claimed, reported, cancelled; twice, at once, late, and lost."""

import asyncio
import datetime as dt
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.runs.states import MOST_CLAIMS
from tallystick.flows import claims, due, runs, workflows
from tallystick.flows.claims import Claimant, Ending, Lease, Report
from tallystick.flows.runs import NewRun
from tallystick.flows.workflows import Definition
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import SystemIds
from tallystick.queries import runs as queries
from tallystick.store.database import Connection, Database
from tests.conftest import NOW
from tests.make import Meter, bare_workspace, catalog, grant, rows

IDS = SystemIds()
FILTER, WRITE, SEND = (UUID(int=number) for number in (1, 2, 3))
NODES = [
    {"uuid": str(FILTER), "slug": "filter", "kind": "native", "actionSlug": "filter", "childrenUuids": [str(WRITE)]},
    {"uuid": str(WRITE), "slug": "write", "kind": "agent", "childrenUuids": [str(SEND)]},
    {"uuid": str(SEND), "slug": "send", "kind": "connector", "integrationSlug": "crm", "actionSlug": "send"},
]


def text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@dataclass
class Plant:
    """A workspace with money and a tool of three nodes; `now` moves when told."""

    database: Database
    workspace_id: UUID
    workflow_id: UUID
    now: dt.datetime = NOW
    made: list[UUID] = field(default_factory=list)

    def later(self, seconds: int) -> "Plant":
        self.now += dt.timedelta(seconds=seconds)
        return self

    async def put(self, key: str = "qualify", nodes: Any = NODES, **terms: Any) -> UUID:
        definition = Definition(text(nodes), **terms)
        stored, _ = await workflows.put(
            self.database, key, definition, workspace_id=self.workspace_id, now=self.now, ids=IDS
        )
        return stored.id

    async def create(self, workflow_id: UUID | None = None, key: str | None = None, **data: Any) -> UUID:
        new = NewRun(workflow_id or self.workflow_id, text(data))
        request = None if key is None else RequestKey(self.workspace_id, "create_run", key, text(data).encode())
        return await runs.create(
            self.database, new, workspace_id=self.workspace_id, request=request, now=self.now, ids=IDS
        )

    async def batch(self, records: int, workflow_id: UUID | None = None) -> UUID:
        return await runs.create_batch(
            self.database,
            workflow_id or self.workflow_id,
            [text({"n": number}) for number in range(records)],
            workspace_id=self.workspace_id,
            request=None,
            now=self.now,
            ids=IDS,
        )

    async def claim(self, limit: int = 1, seconds: int = 60, runner: str = "one") -> list[Lease]:
        return await claims.claim(
            self.database, Claimant(runner, limit, seconds), workspace_id=self.workspace_id, now=self.now, ids=IDS
        )

    async def report(
        self, lease: Lease, node: UUID, status: str, execution: UUID, attempt: int = 1, **more: Any
    ) -> bool:
        told = Report(execution, node, attempt, status, **more)
        return await claims.report(
            self.database, lease.run_id, lease.lease, told, workspace_id=self.workspace_id, now=self.now
        )

    async def finish(self, lease: Lease, status: str = "success", **more: Any) -> None:
        await claims.finish(
            self.database,
            lease.run_id,
            lease.lease,
            Ending(status, **more),
            workspace_id=self.workspace_id,
            now=self.now,
        )

    async def heartbeat(self, lease: Lease, seconds: int = 60) -> bool:
        cancelling, _ = await claims.heartbeat(
            self.database, lease.run_id, lease.lease, seconds=seconds, workspace_id=self.workspace_id, now=self.now
        )
        return cancelling

    async def cancel(self, *run_ids: UUID) -> None:
        await runs.cancel(self.database, run_ids, workspace_id=self.workspace_id, now=self.now)

    async def cancel_batch(self, batch_id: UUID) -> None:
        await runs.cancel_batch(self.database, batch_id, workspace_id=self.workspace_id, now=self.now)

    async def status(self, run_id: UUID) -> str:
        return (await queries.run(self.database, self.workspace_id, run_id)).run.status

    async def shown(self, batch_id: UUID) -> tuple[str, int, int, int, int, int]:
        batch = (await queries.batch(self.database, self.workspace_id, batch_id)).batch
        return batch.status, batch.executed, batch.succeeded, batch.failed, batch.skipped, batch.cancelled

    async def hold(self, amount: int) -> None:
        """As open holds do: set aside, not used."""

        async def work(conn: Connection) -> None:
            await conn.execute(
                "UPDATE balance SET held = %s WHERE workspace_id = %s AND unit = 'credits'",
                [amount, self.workspace_id],
            )

        await self.database.run(work)


@pytest.fixture
async def plant(database: Database) -> Plant:
    workspace_id = await bare_workspace(database, NOW)
    await catalog(database, NOW)
    await grant(database, workspace_id, 10, NOW)
    plant = Plant(database, workspace_id, UUID(int=0))
    plant.workflow_id = await plant.put()
    return plant


async def refusal(work: Any) -> TallystickError:
    with pytest.raises(TallystickError) as refused:
        await work
    return refused.value


async def test_a_run_goes_from_a_question_to_an_answer(plant: Plant) -> None:
    run_id = await plant.create(name="Ann")
    assert await plant.status(run_id) == "pending"
    [lease] = await plant.claim()
    assert (lease.run_id, await plant.status(run_id)) == (run_id, "running")
    execution = IDS.new(NOW)
    assert await plant.report(lease, FILTER, "running", execution) is False
    await plant.report(lease, FILTER, "success", execution, output=text({"kept": True}))
    await plant.finish(lease, output=text({"ok": 1}))
    shown = await queries.run(plant.database, plant.workspace_id, run_id)
    assert (shown.run.status, shown.run.output, shown.run.data) == ("success", '{"ok":1}', '{"name":"Ann"}')
    [done] = shown.executions
    assert (done.node_slug, done.node_kind, done.node_action, done.status) == ("filter", "native", "filter", "success")
    assert await plant.claim() == []


async def test_putting_a_workflow_twice_adds_no_release_and_running_ones_keep_theirs(plant: Plant) -> None:
    run_id = await plant.create()
    before = await queries.workflow(plant.database, plant.workspace_id, "qualify")
    await plant.later(5).put()
    assert await queries.workflow(plant.database, plant.workspace_id, "qualify") == before
    await plant.put(nodes=NODES[2:], max_steps=3)
    after = await queries.workflow(plant.database, plant.workspace_id, "qualify")
    assert (after.version, after.max_steps, after.id) == (2, 3, before.id)
    shown, releases = await queries.tasks(plant.database, plant.workspace_id, [run_id])
    assert msgspec.json.decode(releases[shown[0].run.release_id].nodes) == NODES


async def test_limit_and_switch_change_without_a_release(plant: Plant) -> None:
    await plant.put(concurrency_limit=2, is_enabled=False, name="Qualify leads")
    now = await queries.workflow(plant.database, plant.workspace_id, str(plant.workflow_id))
    assert (now.version, now.concurrency_limit, now.is_enabled, now.name) == (1, 2, False, "Qualify leads")
    await plant.put(concurrency_limit=None)
    now = await queries.workflow(plant.database, plant.workspace_id, str(plant.workflow_id))
    assert (now.concurrency_limit, now.is_enabled, now.name) == (None, False, "Qualify leads")


async def test_a_play_is_not_run_by_hand_and_what_has_no_nodes_not_at_all(plant: Plant) -> None:
    play = await plant.put("nightly", kind="play")
    assert (await refusal(plant.create(play))).code == "playNotCompatible"
    assert (await plant.shown(await plant.batch(1, play)))[0] == "pending"
    assert (await refusal(plant.create(IDS.new(NOW)))).code == "workflowNotFound"
    meter = Meter(plant.database)
    await meter.report(
        plant.workspace_id, {"type": "orchestration.execution", "id": "1", "workflow": "seen"}, now=plant.now
    )
    [seen] = await rows(
        plant.database, "SELECT id FROM resource WHERE workspace_id = %s AND key = 'seen'", plant.workspace_id
    )
    assert (await refusal(plant.create(seen["id"]))).code == "nodesNotFound"
    assert (await refusal(plant.put("seen", kind="tool"))).code == "resourceKindConflict"
    assert await plant.put("seen") == seen["id"]


async def test_the_same_request_makes_one_run_and_another_under_its_key_is_refused(plant: Plant) -> None:
    first = await plant.create(key="k", a=1)
    assert await plant.later(5).create(key="k", a=1) == first
    assert (await refusal(plant.create(key="k", a=2))).code == "idempotencyConflict"
    at_once = await asyncio.gather(*(plant.create(key="many", a=1) for _ in range(8)))
    assert len(set(at_once)) == 1


async def test_runs_of_a_workspace_without_money_are_refused(plant: Plant, database: Database) -> None:
    poor = Plant(database, await bare_workspace(database, NOW), UUID(int=0))
    poor.workflow_id = await poor.put()
    refused = await refusal(poor.create())
    assert (refused.code, refused.details["available"]) == ("notEnoughCredits", 0)
    assert (await refusal(poor.batch(2))).code == "notEnoughCredits"
    assert await rows(database, "SELECT 1 FROM run_start WHERE workspace_id = %s", poor.workspace_id) == []
    await plant.hold(10_000_000_000)
    assert (await refusal(plant.create())).code == "notEnoughCredits"


async def test_each_run_counts_once_against_the_plans_quota(plant: Plant) -> None:
    async def left(runs_: int) -> None:
        await plant.database.run(
            lambda conn: conn.execute(
                "UPDATE billing_period SET runs_started = %s WHERE workspace_id = %s",
                [1000 - runs_, plant.workspace_id],
            )
        )

    await left(2)
    await plant.create(key="once")
    await plant.create(key="once")
    await plant.create()
    refused = await refusal(plant.create())
    assert refused.code == "runQuotaReached"
    [period] = await rows(
        plant.database, "SELECT runs_started FROM billing_period WHERE workspace_id = %s", plant.workspace_id
    )
    assert period["runs_started"] == 1000
    await left(3)
    batch = await plant.batch(5)
    assert len(await plant.claim(limit=10)) == 5  # two alone, three of the batch
    assert (await plant.shown(batch))[4] == 2
    [skipped, _] = await queries.runs(plant.database, plant.workspace_id, batch_id=batch, status="skipped", limit=10)
    assert skipped.run.reason == "runQuotaReached"


async def test_two_claimers_never_get_one_run(plant: Plant) -> None:
    for _ in range(12):
        await plant.create()
    await plant.batch(12)
    taken: list[UUID] = []
    while True:
        turns = await asyncio.gather(*(plant.claim(limit=2, runner=f"r{n}") for n in range(4)))
        if not any(turns):
            break
        taken += [lease.run_id for turn in turns for lease in turn]
    assert (len(taken), len(set(taken))) == (24, 24)


async def test_claimers_who_come_together_all_get_something_while_there_is_something(plant: Plant) -> None:
    for _ in range(5):
        await plant.batch(4)
        turns = await asyncio.gather(*(plant.claim(runner=f"r{n}") for n in range(4)))
        assert [len(turn) for turn in turns] == [1, 1, 1, 1]


async def test_runs_are_given_out_in_the_order_they_were_made_and_a_batch_in_that_of_its_records(plant: Plant) -> None:
    alone = [await plant.later(1).create() for _ in range(4)]
    assert [(await plant.claim())[0].run_id for _ in range(4)] == alone
    batch = await plant.batch(4)
    listed = await queries.runs(plant.database, plant.workspace_id, batch_id=batch, limit=10)
    assert [(await plant.claim())[0].run_id for _ in range(4)] == [shown.run.id for shown in listed]
    assert [shown.run.data for shown in listed] == ['{"n":0}', '{"n":1}', '{"n":2}', '{"n":3}']


async def test_nobody_waits_for_the_end_of_a_long_batch(plant: Plant) -> None:
    await plant.batch(20)
    going = await plant.claim(limit=4)
    alone = await plant.later(1).create()
    other = await plant.put("other")
    second = await plant.later(1).batch(20, other)
    given = [lease.run_id for lease in await plant.claim(limit=2)]
    assert alone in given
    [first] = await queries.runs(plant.database, plant.workspace_id, batch_id=second, status="running", limit=9)
    assert set(given) == {alone, first.run.id}
    for lease in going:
        await plant.finish(lease)
    assert len(await plant.claim(limit=6)) == 6
    of_second = await queries.runs(plant.database, plant.workspace_id, batch_id=second, status="running", limit=9)
    assert len(of_second) in (3, 4)  # by halves


async def test_a_limit_of_concurrent_runs_holds_for_any_number_of_claimers(plant: Plant) -> None:
    limited = await plant.put("limited", concurrency_limit=2)
    for _ in range(6):
        await plant.create(limited)
    other = await plant.later(1).create()
    turns = await asyncio.gather(*(plant.claim(limit=3, runner=f"r{n}") for n in range(5)))
    given = [lease for turn in turns for lease in turn]
    assert len(given) == 3
    assert other in {lease.run_id for lease in given}  # a full workflow stands in nobody's way
    assert await plant.claim(limit=5) == []
    ours = next(lease for lease in given if lease.run_id != other)
    await plant.finish(ours)
    assert len(await plant.claim(limit=5)) == 1


async def test_a_limit_holds_though_claimers_looked_before_others_claimed(plant: Plant) -> None:
    limited = await plant.put("limited", concurrency_limit=2)
    waiting = [await plant.create(limited) for _ in range(6)]

    async def claim(*run_ids: UUID) -> int:
        work = claims.Claiming(plant.workspace_id, list(run_ids), Claimant("r", 9, 60), NOW, IDS, None)
        return len(await plant.database.run(work))

    at_once = await asyncio.gather(*(claim(*waiting[start : start + 2]) for start in (0, 2, 4)))
    assert sum(at_once) == 2
    assert await claim(*waiting) == 0


async def test_what_is_not_enabled_waits(plant: Plant) -> None:
    await plant.put(is_enabled=False)
    run_id = await plant.create()
    assert await plant.claim() == []
    await plant.put(is_enabled=True)
    assert [lease.run_id for lease in await plant.claim()] == [run_id]


async def test_a_lost_runners_run_goes_to_another_and_the_first_is_told(plant: Plant) -> None:
    run_id = await plant.create()
    [first] = await plant.claim(seconds=30, runner="first")
    done = IDS.new(NOW)
    await plant.report(first, FILTER, "success", done, output=text({"kept": 1}))
    assert await plant.later(29).claim(runner="second") == []
    await plant.heartbeat(first, seconds=30)
    assert await plant.later(29).claim(runner="second") == []
    [second] = await plant.later(1).claim(runner="second")
    assert (second.run_id, second.lease == first.lease) == (run_id, False)
    for late in (
        plant.report(first, WRITE, "running", IDS.new(NOW)),
        plant.report(first, FILTER, "success", done),
        plant.heartbeat(first),
        plant.finish(first),
    ):
        assert (await refusal(late)).code == "leaseLost"
    [shown], _ = await queries.tasks(plant.database, plant.workspace_id, [run_id])
    assert [(one.id, one.output) for one in shown.executions] == [(done, '{"kept":1}')]
    await plant.finish(second)
    assert await plant.status(run_id) == "success"


async def test_a_late_report_counts_as_long_as_nobody_else_has_the_run(plant: Plant) -> None:
    await plant.create()
    [lease] = await plant.claim(seconds=1)
    plant.later(3600)
    assert await plant.report(lease, FILTER, "success", IDS.new(NOW)) is False
    await plant.finish(lease)
    assert await plant.status(lease.run_id) == "success"


async def test_whatever_is_said_twice_changes_nothing_the_second_time(plant: Plant) -> None:
    await plant.create()
    [lease] = await plant.claim()
    execution = IDS.new(NOW)
    await plant.report(lease, FILTER, "error", execution, error_message="no answer")
    before = await queries.run(plant.database, plant.workspace_id, lease.run_id)
    await plant.later(1).report(lease, FILTER, "error", execution, error_message="no answer")
    assert await queries.run(plant.database, plant.workspace_id, lease.run_id) == before
    await plant.report(lease, FILTER, "running", execution, attempt=2)
    await plant.report(lease, FILTER, "error", execution, attempt=1)
    [known] = (await queries.run(plant.database, plant.workspace_id, lease.run_id)).executions
    assert (known.attempt, known.status, known.error_message, known.finished_at) == (2, "running", None, None)
    await plant.finish(lease, "error", reason="nodeFailed")
    ended = await queries.run(plant.database, plant.workspace_id, lease.run_id)
    assert [one.status for one in ended.executions] == ["cancelled"]
    await plant.later(1).finish(lease, "error")
    assert await queries.run(plant.database, plant.workspace_id, lease.run_id) == ended
    assert (await refusal(plant.finish(lease, "success"))).code == "runNotOpen"
    assert (await refusal(plant.heartbeat(lease))).code == "runNotOpen"
    assert (await refusal(plant.report(lease, WRITE, "running", IDS.new(NOW)))).code == "runNotOpen"


async def test_a_report_about_no_node_of_the_run_is_refused(plant: Plant) -> None:
    await plant.create()
    [lease] = await plant.claim()
    assert (await refusal(plant.report(lease, UUID(int=99), "running", IDS.new(NOW)))).code == "nodesNotFound"


async def test_a_run_that_takes_every_runner_down_ends(plant: Plant) -> None:
    run_id = await plant.create()
    for _ in range(3):
        [lease] = await plant.claim(seconds=1)
        await plant.report(lease, FILTER, "success", IDS.new(NOW))  # it gets on, so these are not counted
        plant.later(2)
    for _ in range(MOST_CLAIMS - 1):
        assert len(await plant.claim(seconds=1)) == 1
        plant.later(2)
    assert await plant.claim() == []
    run = (await queries.run(plant.database, plant.workspace_id, run_id)).run
    assert (run.status, run.reason) == ("error", "runnerLost")


@pytest.mark.parametrize("state", ["idle", "pending", "running", "cancelling", "lost", "success", "error", "skipped"])
async def test_a_run_is_cancelled_in_every_state(plant: Plant, state: str) -> None:
    batch = await plant.batch(1)
    [shown] = await queries.runs(plant.database, plant.workspace_id, batch_id=batch, limit=1)
    run_id = shown.run.id
    if state == "pending":
        await plant.cancel(run_id)
        run_id = await plant.create()
    lease = None
    if state not in ("idle", "pending"):
        [lease] = await plant.claim()
    if state in ("success", "error", "skipped") and lease is not None:
        await plant.finish(lease, state)
    if state in ("cancelling", "lost"):
        await plant.cancel(run_id)
    if state == "lost":
        plant.later(61)
    await plant.cancel(run_id)
    expected = {"running": "cancelling", "cancelling": "cancelling"}.get(
        state, state if state in ("success", "error", "skipped") else "cancelled"
    )
    assert await plant.status(run_id) == expected
    if expected == "cancelling" and lease is not None:
        assert await plant.report(lease, FILTER, "running", IDS.new(NOW)) is True
        assert await plant.heartbeat(lease) is True
        await plant.finish(lease, "cancelled")
        assert await plant.status(run_id) == "cancelled"
    await plant.cancel(run_id)
    assert (await plant.shown(batch))[1] == 1


async def test_a_run_that_ended_before_it_heard_of_its_cancellation_stays_as_it_ended(plant: Plant) -> None:
    await plant.create()
    [lease] = await plant.claim()
    await plant.cancel(lease.run_id)
    await plant.finish(lease, "success", output="1")
    assert await plant.status(lease.run_id) == "success"


async def test_cancelling_one_that_is_not_there_cancels_none(plant: Plant) -> None:
    run_id = await plant.create()
    assert (await refusal(plant.cancel(run_id, IDS.new(NOW)))).code == "runNotFound"
    assert await plant.status(run_id) == "pending"


@pytest.mark.parametrize("by", ["claim", "sweep"])
async def test_a_cancelled_run_whose_runner_was_lost_ends_when_its_lease_does(plant: Plant, by: str) -> None:
    batch = await plant.batch(1)
    [lease] = await plant.claim(seconds=60)
    await plant.cancel_batch(batch)
    assert (await plant.shown(batch))[0] == "cancelling"
    plant.later(61)
    if by == "claim":
        assert await plant.claim() == []
    else:
        await claims.end_lost(plant.database, now=plant.now)
    assert await plant.status(lease.run_id) == "cancelled"
    assert (await plant.shown(batch))[0] == "cancelled"
    assert await claims.end_lost(plant.database, now=plant.now) == 0


async def test_a_batch_counts_its_runs_as_they_end(plant: Plant) -> None:
    batch = await plant.batch(4)
    leases = await plant.claim(limit=4)
    assert (await plant.shown(batch))[0] == "running"
    for lease, ending in zip(leases, ["success", "error", "skipped", "success"], strict=True):
        await plant.finish(lease, ending)
        await plant.finish(lease, ending)
    assert await plant.shown(batch) == ("success", 4, 2, 1, 1, 0)


async def test_a_cancelled_batch_ends_when_runners_have_let_go(plant: Plant) -> None:
    batch = await plant.batch(5)
    leases = await plant.claim(limit=2)
    await plant.finish(leases[0])
    await plant.cancel_batch(batch)
    assert await plant.shown(batch) == ("cancelling", 4, 1, 0, 0, 3)
    assert await plant.heartbeat(leases[1]) is True
    await plant.finish(leases[1], "cancelled")
    assert await plant.shown(batch) == ("cancelled", 5, 1, 0, 0, 4)
    await plant.cancel_batch(batch)
    assert await plant.shown(batch) == ("cancelled", 5, 1, 0, 0, 4)


async def test_a_batch_of_fifty_ends_right_with_runners_at_once(plant: Plant) -> None:
    batch = await plant.batch(50)

    async def runner(name: str) -> int:
        done = 0
        while leases := await plant.claim(limit=3, runner=name):
            for lease in leases:
                await plant.report(lease, FILTER, "success", IDS.new(NOW))
                await plant.finish(lease, "error" if lease.run_id.int % 5 == 0 else "success")
                done += 1
        return done

    assert sum(await asyncio.gather(*(runner(f"r{n}") for n in range(5)))) == 50
    status, executed, succeeded, failed, skipped, cancelled = await plant.shown(batch)
    assert (status, executed, succeeded + failed, skipped, cancelled) == ("success", 50, 50, 0, 0)


async def test_the_counts_of_a_batch_are_those_of_its_runs_whatever_happens_at_once(plant: Plant) -> None:
    chance = random.Random(7)
    batches = [await plant.batch(20), await plant.batch(20)]
    every = [
        one.run.id
        for batch in batches
        for one in await queries.runs(plant.database, plant.workspace_id, batch_id=batch, limit=20)
    ]

    async def runner(name: str) -> None:
        for _ in range(12):
            for lease in await plant.claim(limit=2, runner=name, seconds=chance.choice([1, 60])):
                await plant.heartbeat(lease)
                await plant.report(lease, FILTER, "success", IDS.new(NOW))
                if chance.random() < 0.8:  # else it is lost
                    await plant.finish(lease, chance.choice(["success", "error", "skipped", "cancelled"]))

    async def canceller() -> None:
        for _ in range(8):
            await plant.cancel(*chance.sample(every, 3))
        await plant.cancel_batch(batches[0])

    await asyncio.gather(*(runner(f"r{number}") for number in range(4)), canceller())
    plant.later(3600)
    while leases := await plant.claim(limit=10):
        for lease in leases:
            await plant.finish(lease)
    for batch in batches:
        runs_ = await queries.runs(plant.database, plant.workspace_id, batch_id=batch, limit=20)
        ended = Counter(one.run.status for one in runs_)
        expected = [ended[name] for name in ("success", "error", "skipped", "cancelled")]
        status, executed, *counts = await plant.shown(batch)
        assert (counts, executed) == (expected, 20)
        assert status in (("cancelled",) if batch == batches[0] else ("success", "error"))


async def test_when_the_money_is_gone_the_rest_of_a_batch_is_skipped_and_says_why(plant: Plant) -> None:
    batch = await plant.batch(10)
    leases = await plant.claim(limit=3)
    meter = Meter(plant.database)
    await meter.report(plant.workspace_id, {"type": "direct.charge", "id": "all", "quantity": 10}, now=plant.now)
    assert await plant.claim(limit=5) == []
    assert await plant.shown(batch) == ("running", 7, 0, 0, 7, 0)
    for lease in leases:
        await plant.finish(lease)
    shown = (await queries.batch(plant.database, plant.workspace_id, batch)).batch
    assert (shown.status, shown.reason) == ("success", "notEnoughCredits")
    skipped = await queries.runs(plant.database, plant.workspace_id, batch_id=batch, status="skipped", limit=10)
    assert {(one.run.reason, one.run.error_message) for one in skipped} == {("notEnoughCredits", shown.error_message)}


async def test_what_open_holds_set_aside_is_waited_for(plant: Plant) -> None:
    batch = await plant.batch(2)
    await plant.hold(10_000_000_000)
    assert await plant.claim(limit=5) == []
    assert (await plant.shown(batch))[:2] == ("pending", 0)
    waiting = await plant.batch(1)
    assert (await plant.shown(waiting))[0] == "pending"
    await plant.hold(0)
    assert len(await plant.claim(limit=5)) == 3


async def test_each_node_shows_what_its_providers_cost_and_the_run_everything(plant: Plant) -> None:
    batch = await plant.batch(1)
    [lease] = await plant.claim()
    run = str(lease.run_id)
    for attempt in (1, 2):
        await plant.later(1).report(lease, WRITE, "success", IDS.new(plant.now), attempt=attempt)
    await plant.later(1).report(lease, SEND, "success", IDS.new(plant.now))
    meter = Meter(plant.database)
    where = {"run": run, "batch": str(batch), "workflow": str(plant.workflow_id)}
    tokens = {"type": "llm.tokens", "model": "openai/gpt-4o-mini", "inputTokens": 10_000, "outputTokens": 1_000}
    await meter.report(
        plant.workspace_id,
        {"id": "1", "node": str(WRITE), **tokens, **where},
        {"id": "2", "node": str(WRITE), "type": "orchestration.execution", "status": "success", **where},
        {"id": "3", "node": str(SEND), "type": "storage.records", "quantity": 2, **where},
        {"id": "4", "node": str(SEND), "type": "direct.charge", "quantity": "0.5", **where},
        {"id": "5", "type": "direct.charge", "quantity": "0.25", **where},
        now=plant.now,
    )
    shown = await queries.run(plant.database, plant.workspace_id, lease.run_id)
    llm = 210_000_000  # 10,000 × $0.15 and 1,000 × $0.60 a million, 100 credits a dollar
    assert [shown.credits_of(one) for one in shown.executions] == [0, llm, 500_000_000]
    assert shown.used.credits == llm + 10_000_000 + 2_000_000 + 750_000_000
    assert (await queries.batch(plant.database, plant.workspace_id, batch)).credits == shown.used.credits


async def test_an_operators_runner_claims_in_every_workspace(plant: Plant, database: Database) -> None:
    other = Plant(database, await bare_workspace(database, NOW), UUID(int=0))
    await grant(database, other.workspace_id, 1, NOW)
    other.workflow_id = await other.put()
    made = {await plant.create(), await other.create()}
    found: set[UUID] = set()
    everywhere = Claimant("all", 100, 60)
    while leases := await claims.claim(database, everywhere, workspace_id=None, now=NOW, ids=IDS):
        found |= {lease.run_id for lease in leases}  # also what other tests have left behind
    assert made <= found


async def test_workspaces_take_turns(plant: Plant, database: Database) -> None:
    other = Plant(database, await bare_workspace(database, NOW), UUID(int=0))
    await grant(database, other.workspace_id, 1, NOW)
    other.workflow_id = await other.put()
    long, short = await plant.batch(40), await other.later(60).batch(1)
    everywhere = Claimant("all", 100, 60)
    while await claims.claim(database, replace(everywhere, limit=20), workspace_id=None, now=other.now, ids=IDS):
        if (await other.shown(short))[0] == "running":
            break
    [waiting] = [one.run for one in await queries.runs(database, plant.workspace_id, batch_id=long, limit=40)][-1:]
    assert (await other.shown(short))[0] == "running"
    assert waiting.status == "idle"


async def test_a_run_of_another_workspace_is_not_there(plant: Plant, database: Database) -> None:
    run_id = await plant.create()
    [lease] = await plant.claim()
    batch_id = await plant.batch(1)
    other = Plant(database, await bare_workspace(database, NOW), UUID(int=0))
    for work in (
        other.cancel(run_id),
        other.heartbeat(lease),
        other.finish(lease),
        other.report(lease, FILTER, "running", IDS.new(NOW)),
    ):
        assert (await refusal(work)).code == "runNotFound"
    assert (await refusal(other.cancel_batch(batch_id))).code == "batchNotFound"
    assert await plant.status(run_id) == "running"


async def test_what_is_due_is_settled_before_the_gate_decides(database: Database) -> None:
    poor = Plant(database, await bare_workspace(database, NOW), UUID(int=0))
    poor.workflow_id = await poor.put()
    await grant(database, poor.workspace_id, 5, NOW, expires_at=NOW + dt.timedelta(hours=1))
    await poor.create()
    assert (await refusal(poor.later(3600).create())).code == "notEnoughCredits"
    await due.bring_up(database, poor.workspace_id, now=poor.now, ids=IDS)
