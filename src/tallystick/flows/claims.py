"""What a runner asks and reports: claim runs, tell of executions, keep a lease, finish (row A13).

A lease is a runner's alone until it runs out and another claims the run; what the first then says is refused. So a
run goes on after its runner, or the server, was lost, and nobody reports on it twice.
"""

import datetime as dt
from dataclasses import dataclass, replace
from uuid import UUID

from tallystick.domain.runs.states import ENDED, MOST_CLAIMS, Execution, Run, run_not_found
from tallystick.domain.runs.workflows import read_nodes
from tallystick.flows.admission import Gate
from tallystick.flows.runs import Locked, lock_in
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import runs, workflows, workspaces
from tallystick.store.database import Connection, Database

_LOOKS = 5
_SWEEP = 200


@dataclass(frozen=True, slots=True)
class Lease:
    """A run that a runner has, until `expires_at` unless it is heard of. `clock_at` is its workspace's test clock."""

    workspace_id: UUID
    run_id: UUID
    lease: UUID
    expires_at: dt.datetime
    clock_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who asks for runs: its name, how many it takes, and for how many seconds it need not be heard of."""

    runner: str
    limit: int
    lease_seconds: int


@dataclass(frozen=True, slots=True)
class Report:
    """How one execution stands; `output` and `computed_config` are JSON texts."""

    execution_id: UUID
    node_id: UUID
    attempt: int
    status: str
    title: str = ""
    output: str | None = None
    error_message: str | None = None
    computed_config: str | None = None
    child_index: int | None = None
    next_node_id: UUID | None = None
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: a status, a code, a sentence, and what came of it as JSON text."""

    status: str
    reason: str | None = None
    error_message: str | None = None
    output: str | None = None


async def claim(
    database: Database, claimant: Claimant, *, workspace_id: UUID | None, now: dt.datetime, ids: Ids
) -> list[Lease]:
    """Give runs that wait, and those whose runner was lost, to a runner; of every workspace without a `workspace_id`.

    One transaction a workspace. No run is given to two, a workflow's limit of concurrent runs holds, and an idle run
    passes the gate first: refused for good it is skipped, with its whole batch; refused for what open holds set aside,
    it stays idle. Leases are on the machine's clock, the gate decides by its workspace's.
    """
    given: list[Lease] = []
    for _ in range(_LOOKS):
        async with database.read(workspace_id) as conn:
            found = await runs.claimable(conn, workspace_id, claimant.limit, now)
            clocks = await workspaces.clocks(conn, {one for one, _ in found}) if found else {}
        raced = False
        # First those whose turn it is, of whichever workspaces; what lies behind only where that was not enough.
        for turn in (found[: claimant.limit], found[claimant.limit :]):
            for one in dict.fromkeys(workspace for workspace, _ in turn):
                rest = replace(claimant, limit=claimant.limit - len(given))
                if not rest.limit:
                    break
                here = [run_id for workspace, run_id in turn if workspace == one]
                work = Claiming(one, here, rest, now, ids, clocks.get(one))
                given += await database.run(work)
                raced = raced or work.raced
        # What another runner took while we looked is no reason to go away empty-handed.
        if given or not raced:
            break
    return given


class Claiming:
    """One claim of runs that were found free, in one workspace: a transaction, run again whole when it lost a race.

    What was found may be out of date by now, so everything is asked again under lock. `raced`: some of it was gone.
    """

    def __init__(
        self,
        workspace_id: UUID,
        run_ids: list[UUID],
        claimant: Claimant,
        now: dt.datetime,
        ids: Ids,
        clock_at: dt.datetime | None,
    ) -> None:
        self._workspace_id = workspace_id
        self._run_ids = run_ids
        self._claimant = claimant
        self._now = now
        self._clock_at = clock_at
        self._ids = ids
        self.raced = False

    async def __call__(self, conn: Connection) -> list[Lease]:
        self._given: list[Lease] = []
        self._settled_batches: set[UUID] = set()
        known = await runs.outlines(conn, self._workspace_id, self._run_ids)
        self._gate: Gate | None = None
        if any(one.status == "idle" for one in known.values()):
            self._gate = await Gate.lock(conn, self._workspace_id, now=self._clock_at or self._now, ids=self._ids)
        batch_ids = {one.batch_id for one in known.values() if one.batch_id is not None}
        batches = await runs.lock_batches(conn, self._workspace_id, batch_ids)
        workflow_ids = {one.workflow_id for one in known.values()}
        limits = await workflows.lock_limited(conn, self._workspace_id, workflow_ids)
        going = await runs.going(conn, self._workspace_id, limits) if limits else {}
        self._room = {workflow_id: limit - going.get(workflow_id, 0) for workflow_id, limit in limits.items()}
        self._locked = Locked(self._workspace_id, {}, batches)
        waiting = list(self._run_ids)
        while waiting and len(self._given) < self._claimant.limit:
            # No more at a time than are wanted, so that others find theirs.
            wanted = self._claimant.limit - len(self._given)
            chunk, waiting = waiting[:wanted], waiting[wanted:]
            free = await runs.lock_free(conn, self._workspace_id, chunk, self._now)
            self.raced = self.raced or len(free) < len(chunk)
            for run in free:
                await self._take(conn, run)
        if self._gate is not None:
            await self._gate.save(conn)
        await self._locked.save(conn, self._now)
        return self._given

    async def _take(self, conn: Connection, run: Run) -> None:
        now, before = self._now, run.status
        is_lost = before in ("running", "cancelling")
        if is_lost and (before == "cancelling" or run.claims >= MOST_CLAIMS):
            run.move("abandon", now)
            if run.status == "error":
                run.reason, run.error_message = "runnerLost", f"{run.claims} runners were lost over this run."
            self._keep(run, before)
            return
        if not is_lost and self._room.get(run.workflow_id, 1) <= 0:
            return
        if before == "idle" and not await self._admit(conn, run):
            return
        run.claim(self._claimant.runner, self._ids.new(now), self._claimant.lease_seconds, now)
        if not is_lost and run.workflow_id in self._room:
            self._room[run.workflow_id] -= 1
        if run.batch_id is not None:
            self._locked.batches[run.batch_id].start(now)
        self._keep(run, before)
        if run.lease is not None and run.lease_expires_at is not None:
            self._given.append(Lease(self._workspace_id, run.id, run.lease, run.lease_expires_at, self._clock_at))

    def _keep(self, run: Run, before: str) -> None:
        self._locked.runs[run.id] = run
        self._locked.ended(run, before, self._now)

    async def _admit(self, conn: Connection, run: Run) -> bool:
        """Whether the gate lets an idle run of a batch start. A refusal stands for every idle run of its batch."""
        if self._gate is None or run.batch_id is None or run.batch_id in self._settled_batches:
            return False
        name = str(run.id)
        if (await self._gate.decide(conn, name, run.workflow_id)).allowed:
            run.move("admit", self._now)
            self._gate.count(name)
            return True
        self._settled_batches.add(run.batch_id)
        decision = await self._gate.decide(conn, name, run.workflow_id, patient=True)
        if not decision.allowed:
            batch = self._locked.batches[run.batch_id]
            skipped = await runs.refuse_idle(
                conn,
                self._workspace_id,
                run.batch_id,
                spared=[one.run_id for one in self._given],
                reason=decision.reason,
                message=decision.message,
                now=self._now,
            )
            batch.reason, batch.error_message = decision.reason, decision.message
            batch.count("skipped", self._now, skipped)
        return False


async def end_lost(database: Database, *, now: dt.datetime) -> int:
    """End the runs that were to be cancelled and whose runner was lost; how many. Safe to run by many at once."""
    async with database.read() as conn:
        found = await runs.lost_cancelling(conn, _SWEEP, now)
    for workspace_id, run_id in found:

        async def work(conn: Connection, workspace_id: UUID = workspace_id, run_id: UUID = run_id) -> None:
            locked = await lock_in(conn, workspace_id, [run_id])
            for run in locked.runs.values():
                if run.status == "cancelling" and run.has_lapsed(now):
                    run.move("abandon", now)
                    locked.ended(run, "cancelling", now)
            await locked.save(conn, now)

        await database.run(work)
    return len(found)


async def report(
    database: Database, run_id: UUID, lease: UUID, told: Report, *, workspace_id: UUID, now: dt.datetime
) -> bool:
    """Write down how an execution stands; whether the runner is to stop. Said again, or late, it changes nothing.

    Raises `runNotFound`, `leaseLost`, `runNotOpen`, `nodesNotFound` for a node that is not in the run, and
    `executionNotOpen` or `invalidData` where it contradicts what is known.
    """

    async def work(conn: Connection) -> bool:
        run = await _lock_one(conn, workspace_id, run_id, lease)
        before = await runs.execution(conn, workspace_id, run_id, told.execution_id)
        after = _told(told, before, now) if before is not None else await _first_told(conn, told, run, now)
        if before is None or before.takes(after):
            if run.status in ENDED:
                raise _not_open(run)
            await runs.put_execution(conn, after)
            if run.claims > 1 and after.status in ENDED:
                run.claims = 1  # it gets on: what lost its runners before is not in the way
                await runs.update(conn, workspace_id, [run])
        return run.status != "running"

    return await database.run(work)


async def heartbeat(
    database: Database, run_id: UUID, lease: UUID, *, seconds: int, workspace_id: UUID, now: dt.datetime
) -> tuple[bool, dt.datetime]:
    """Keep a lease for so many seconds from now; whether the runner is to stop, and until when it has the run.

    Raises `runNotFound`, `leaseLost` and `runNotOpen`.
    """

    async def work(conn: Connection) -> tuple[bool, dt.datetime]:
        run = await _lock_one(conn, workspace_id, run_id, lease)
        if run.status in ENDED:
            raise _not_open(run)
        run.lease_expires_at = now + dt.timedelta(seconds=seconds)
        await runs.update(conn, workspace_id, [run])
        return run.status != "running", run.lease_expires_at

    return await database.run(work)


async def finish(
    database: Database, run_id: UUID, lease: UUID, ending: Ending, *, workspace_id: UUID, now: dt.datetime
) -> None:
    """End a run as its runner says; said again it changes nothing.

    Raises `runNotFound`, `leaseLost`, and `runNotOpen` when it has ended otherwise.
    """

    async def work(conn: Connection) -> None:
        locked = await lock_in(conn, workspace_id, [run_id])
        run = _own(locked.runs.get(run_id), run_id, lease)
        before = run.status
        if before == ending.status:
            return
        run.move(ending.status, now)
        run.reason, run.error_message, run.output = ending.reason, ending.error_message, ending.output
        locked.ended(run, before, now)
        await locked.save(conn, now)

    await database.run(work)


async def _lock_one(conn: Connection, workspace_id: UUID, run_id: UUID, lease: UUID) -> Run:
    """A run alone: its batch is not needed where its status stays."""
    return _own((await runs.lock(conn, workspace_id, [run_id])).get(run_id), run_id, lease)


def _own(run: Run | None, run_id: UUID, lease: UUID) -> Run:
    if run is None:
        raise run_not_found(run_id)
    run.check_lease(lease)
    return run


def _not_open(run: Run) -> TallystickError:
    return TallystickError("runNotOpen", f"The run is {run.status}.", uuid=str(run.id), status=run.status)


def _told(told: Report, before: Execution, now: dt.datetime) -> Execution:
    """The execution as it is told of by now, on what is known of it."""
    return replace(
        before,
        node_id=told.node_id,
        child_index=told.child_index,
        next_node_id=told.next_node_id,
        attempt=told.attempt,
        status=told.status,
        title=told.title,
        output=told.output,
        error_message=told.error_message,
        computed_config=told.computed_config,
        updated_at=now,
        started_at=told.started_at or before.started_at or now,
        finished_at=(told.finished_at or now) if told.status in ENDED else None,
    )


async def _first_told(conn: Connection, told: Report, run: Run, now: dt.datetime) -> Execution:
    nodes = run.nodes
    if nodes is None:
        nodes = (await workflows.released(conn, run.workspace_id, [run.release_id]))[run.release_id].nodes
    node = next((node for node in read_nodes(nodes) if node.uuid == told.node_id), None)
    if node is None:
        raise TallystickError("nodesNotFound", "The run has no such node.", missing=[str(told.node_id)])
    fresh = Execution(
        workspace_id=run.workspace_id,
        run_id=run.id,
        id=told.execution_id,
        node_id=node.uuid,
        node_slug=node.slug,
        node_kind=node.kind,
        node_action=node.action_slug,
        child_index=None,
        next_node_id=None,
        attempt=told.attempt,
        status=told.status,
        title="",
        output=None,
        error_message=None,
        computed_config=None,
        created_at=now,
        updated_at=now,
        started_at=None,
        finished_at=None,
    )
    return _told(told, fresh, now)
