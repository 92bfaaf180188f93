"""Asking for runs and batches of runs, and cancelling them: each public function one transaction (row A13).

Rows are locked in one order throughout: balances, batches, workflows, runs.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.runs.states import ENDED, MOST_WAITING, Batch, Run, batch_not_found, run_not_found
from tallystick.domain.runs.workflows import Workflow, check_graph, read_nodes
from tallystick.flows import workflows
from tallystick.flows.admission import Gate
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import runs
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once


@dataclass(frozen=True, slots=True)
class NewRun:
    """One run to make: `data` and, in place of the workflow's own, `nodes` are JSON texts."""

    workflow_id: UUID
    data: str
    nodes: str | None = None


async def create(
    database: Database,
    new: NewRun,
    *,
    workspace_id: UUID,
    request: RequestKey | None,
    now: dt.datetime,
    ids: Ids,
) -> UUID:
    """Make one run of a tool and let it wait for a runner; its id, the same for a repeat of the same request.

    It counts against the plan's run quota. Raises `workflowNotFound`, `playNotCompatible`, what `check_graph` raises,
    `concurrencyLimitReached`, `idempotencyConflict`, and what the gate refuses with (domain/credits/gates.py).
    """
    if new.nodes is not None:
        check_graph(read_nodes(new.nodes))

    async def work(conn: Connection) -> UUID:
        async def make() -> Mapping[str, Any]:
            gate = await Gate.lock(conn, workspace_id, now=now, ids=ids)
            workflow = await workflows.find_in(conn, workspace_id, new.workflow_id)
            if workflow.kind == "play":
                raise TallystickError(
                    "playNotCompatible", "A play runs by itself, or in a batch.", workflowUuid=str(workflow.id)
                )
            await _check_room(conn, workflow, 1)
            run_id = ids.new(now)
            (await gate.decide(conn, str(run_id), workflow.id)).check()
            waiting = runs.NewRuns(
                workspace_id, workflow.id, workflow.release_id, "pending", [run_id], [new.data], nodes=new.nodes
            )
            await runs.insert(conn, waiting, now)
            gate.count(str(run_id))
            await gate.save(conn)
            return {"runUuid": str(run_id)}

        return UUID((await once(conn, request, now, make))["runUuid"])

    return await database.run(work)


async def create_batch(
    database: Database,
    workflow_id: UUID,
    data: Sequence[str],
    *,
    workspace_id: UUID,
    request: RequestKey | None,
    now: dt.datetime,
    ids: Ids,
) -> UUID:
    """Make a batch of one run for each record, a JSON text; its id, the same for a repeat of the same request.

    Its runs are idle: each passes the gate, and counts against the run quota, when its turn has come. So the batch
    itself is refused only for what waiting does not mend. Raises `workflowNotFound`, `nodesNotFound`,
    `concurrencyLimitReached`, `idempotencyConflict`, and what the gate refuses with.
    """

    async def work(conn: Connection) -> UUID:
        async def make() -> Mapping[str, Any]:
            gate = await Gate.lock(conn, workspace_id, now=now, ids=ids)
            workflow = await workflows.find_in(conn, workspace_id, workflow_id)
            await _check_room(conn, workflow, len(data))
            batch_id = ids.new(now)
            run_ids = [ids.new(now) for _ in data]
            (await gate.decide(conn, str(run_ids[0]), workflow.id, patient=True)).check()
            await runs.insert_batch(
                conn,
                workspace_id,
                batch_id=batch_id,
                workflow_id=workflow.id,
                release_id=workflow.release_id,
                runs=len(data),
                now=now,
            )
            idle = runs.NewRuns(
                workspace_id, workflow.id, workflow.release_id, "idle", run_ids, data, batch_id=batch_id
            )
            await runs.insert(conn, idle, now)
            return {"batchUuid": str(batch_id)}

        return UUID((await once(conn, request, now, make))["batchUuid"])

    return await database.run(work)


async def cancel(database: Database, run_ids: Collection[UUID], *, workspace_id: UUID, now: dt.datetime) -> None:
    """Cancel runs: what no runner has ends at once, a runner is asked to let go, what has ended stays as it is.

    Raises `runNotFound`, and then nothing is cancelled.
    """

    async def work(conn: Connection) -> None:
        locked = await lock_in(conn, workspace_id, run_ids)
        for run_id in run_ids:
            if run_id not in locked.runs:
                raise run_not_found(run_id)
        for run in locked.runs.values():
            before = run.status
            run.move("cancel", now)
            if run.status == "cancelling" and run.has_lapsed(now):
                run.move("abandon", now)
            locked.ended(run, before, now)
        await locked.save(conn, now)

    await database.run(work)


async def cancel_batch(database: Database, batch_id: UUID, *, workspace_id: UUID, now: dt.datetime) -> None:
    """Cancel a batch: runs that no runner has end at once, the others when their runner lets go, or is lost.

    A batch that has ended stays as it is. Raises `batchNotFound`.
    """

    async def work(conn: Connection) -> None:
        batch = (await runs.lock_batches(conn, workspace_id, [batch_id])).get(batch_id)
        if batch is None:
            raise batch_not_found(batch_id)
        batch.move("cancel", now)
        if batch.status == "cancelling":
            batch.count("cancelled", now, await runs.cancel_of_batch(conn, workspace_id, batch_id, now))
        await runs.update_batch(conn, batch)

    await database.run(work)


class Locked:
    """Runs and their batches under lock, and which of them have ended since."""

    def __init__(self, workspace_id: UUID, found: dict[UUID, Run], batches: dict[UUID, Batch]) -> None:
        self.workspace_id = workspace_id
        self.runs = found
        self.batches = batches
        self._ended: list[UUID] = []

    def ended(self, run: Run, before: str, now: dt.datetime) -> None:
        """Count a run that was in status `before` in its batch, if it has ended."""
        if before in ENDED or run.status not in ENDED:
            return
        self._ended.append(run.id)
        if run.batch_id is not None:
            self.batches[run.batch_id].count(run.status, now)

    async def save(self, conn: Connection, now: dt.datetime) -> None:
        """Write everything back."""
        await runs.update(conn, self.workspace_id, list(self.runs.values()))
        await runs.end_executions(conn, self.workspace_id, self._ended, now)
        for batch in self.batches.values():
            await runs.update_batch(conn, batch)


async def lock_in(conn: Connection, workspace_id: UUID, run_ids: Collection[UUID]) -> Locked:
    """Those of the runs that exist, with their batches, locked in order."""
    known = await runs.outlines(conn, workspace_id, run_ids)
    batches = await runs.lock_batches(
        conn, workspace_id, {one.batch_id for one in known.values() if one.batch_id is not None}
    )
    return Locked(workspace_id, await runs.lock(conn, workspace_id, known), batches)


async def _check_room(conn: Connection, workflow: Workflow, more: int) -> None:
    waiting = await runs.waiting(conn, workflow.workspace_id, workflow.id)
    if waiting + more > MOST_WAITING:
        raise TallystickError(
            "concurrencyLimitReached",
            f"At most {MOST_WAITING} runs of a workflow may wait at once.",
            waiting=waiting,
            limit=MOST_WAITING,
            concurrencyLimit=workflow.concurrency_limit,
        )
