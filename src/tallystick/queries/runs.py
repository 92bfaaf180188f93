"""Runs with their executions, batches and workflows, each with what it has cost (row A13; rule M4)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from tallystick.domain.metering.resources import resource_id
from tallystick.domain.runs.states import Batch, Execution, Run, batch_not_found, run_not_found, workflow_not_found
from tallystick.domain.runs.workflows import Workflow
from tallystick.domain.texts import as_uuid, check_key
from tallystick.kernel.errors import TallystickError
from tallystick.store import runs as store
from tallystick.store import workflows
from tallystick.store.database import Connection, Database
from tallystick.store.named_sql import load

SQL = load(__file__)


@dataclass(frozen=True, slots=True)
class Used:
    """Nano-credits charged for a run: all of it, and by node what its providers cost."""

    credits: int = 0
    by_node: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run with its executions, in the order in which they began."""

    run: Run
    executions: Sequence[Execution]
    used: Used

    def credits_of(self, execution: Execution) -> int:
        """Nano-credits that its node's providers cost (rule M4); of several executions of a node the last has them."""
        last = next(one for one in reversed(self.executions) if one.node_id == execution.node_id)
        return self.used.by_node.get(str(execution.node_id), 0) if execution is last else 0


@dataclass(frozen=True, slots=True)
class ShownBatch:
    """A batch, and the nano-credits charged for its runs."""

    batch: Batch
    credits: int


async def run(database: Database, workspace_id: UUID, run_id: UUID) -> ShownRun:
    """One run. Raises `runNotFound`."""
    async with database.read(workspace_id) as conn:
        found = await _shown(conn, workspace_id, [run_id])
    if run_id not in found:
        raise run_not_found(run_id)
    return found[run_id]


async def runs(
    database: Database,
    workspace_id: UUID,
    *,
    workflow_id: UUID | None = None,
    batch_id: UUID | None = None,
    status: str | None = None,
    limit: int,
    offset: int = 0,
) -> list[ShownRun]:
    """A page of the runs that fit all that is given, newest first."""
    given = {
        "workspace_id": workspace_id,
        "workflow_id": workflow_id,
        "batch_id": batch_id,
        "status": status,
        "limit": limit,
        "offset": offset,
    }
    async with database.read(workspace_id) as conn:
        ids = [row["id"] for row in await (await conn.execute(SQL["run_ids"], given)).fetchall()]
        found = await _shown(conn, workspace_id, ids)
    return [found[run_id] for run_id in ids]


async def several(database: Database, workspace_id: UUID, run_ids: Sequence[UUID]) -> list[ShownRun]:
    """Those of the runs that exist, in this order."""
    async with database.read(workspace_id) as conn:
        found = await _shown(conn, workspace_id, run_ids)
    return [found[run_id] for run_id in run_ids if run_id in found]


async def tasks(
    database: Database, workspace_id: UUID, run_ids: Sequence[UUID]
) -> tuple[list[ShownRun], dict[UUID, Workflow]]:
    """The runs that a runner was given, and by release what they run."""
    async with database.read(workspace_id) as conn:
        found = await _shown(conn, workspace_id, run_ids)
        releases = await workflows.released(conn, workspace_id, {shown.run.release_id for shown in found.values()})
    return [found[run_id] for run_id in run_ids], releases


async def batch(database: Database, workspace_id: UUID, batch_id: UUID) -> ShownBatch:
    """One batch. Raises `batchNotFound`."""
    found = await _batches(database, workspace_id, batch_id=batch_id, limit=1)
    if not found:
        raise batch_not_found(batch_id)
    return found[0]


async def batches(
    database: Database,
    workspace_id: UUID,
    *,
    workflow_id: UUID | None = None,
    status: str | None = None,
    limit: int,
    offset: int = 0,
) -> list[ShownBatch]:
    """A page of the batches that fit all that is given, newest first."""
    return await _batches(database, workspace_id, workflow_id=workflow_id, status=status, limit=limit, offset=offset)


async def workflow(database: Database, workspace_id: UUID, name: str) -> Workflow:
    """The workflow that a UUID or key names. Raises `workflowNotFound`, and `nodesNotFound` where it has no nodes."""
    check_key(name)
    async with database.read(workspace_id) as conn:
        found_id = as_uuid(name)
        if found_id is None:
            there = await workflows.of_key(conn, workspace_id, name)
            found_id = next(iter(there.values()), resource_id(workspace_id, "tool", name))
        found = await workflows.current(conn, workspace_id, found_id)
        if found is None and not await workflows.is_known(conn, workspace_id, found_id):
            raise workflow_not_found(name)
    if found is None:
        raise TallystickError("nodesNotFound", "Nobody has said yet what this workflow runs.", workflow=name)
    return found


async def _shown(conn: Connection, workspace_id: UUID, run_ids: Collection[UUID]) -> dict[UUID, ShownRun]:
    if not run_ids:
        return {}
    given = {"workspace_id": workspace_id, "ids": list(run_ids)}
    found = [store.run_of(row) for row in await (await conn.execute(SQL["runs"], given)).fetchall()]
    executions: dict[UUID, list[Execution]] = {run.id: [] for run in found}
    asked = {"workspace_id": workspace_id, "run_ids": list(executions)}
    for row in await (await conn.execute(SQL["executions"], asked)).fetchall():
        executions[row["run_id"]].append(store.execution_of(row))
    used = await _used(conn, workspace_id, executions)
    return {run.id: ShownRun(run, executions[run.id], used.get(str(run.id), Used())) for run in found}


async def _used(conn: Connection, workspace_id: UUID, run_ids: Collection[UUID]) -> dict[str, Used]:
    totals: dict[str, int] = {}
    nodes: dict[str, dict[str, int]] = {}
    given = {"workspace_id": workspace_id, "runs": [str(run_id) for run_id in run_ids]}
    for row in await (await conn.execute(SQL["credits_of_runs"], given)).fetchall():
        totals[row["run"]] = totals.get(row["run"], 0) + row["credits"]
        if row["node"] is not None:
            nodes.setdefault(row["run"], {})[row["node"]] = row["provider_credits"]
    return {name: Used(total, nodes.get(name, {})) for name, total in totals.items()}


async def _batches(
    database: Database,
    workspace_id: UUID,
    *,
    batch_id: UUID | None = None,
    workflow_id: UUID | None = None,
    status: str | None = None,
    limit: int,
    offset: int = 0,
) -> list[ShownBatch]:
    given = {
        "workspace_id": workspace_id,
        "id": batch_id,
        "workflow_id": workflow_id,
        "status": status,
        "limit": limit,
        "offset": offset,
    }
    async with database.read(workspace_id) as conn:
        found = [store.batch_of(row) for row in await (await conn.execute(SQL["batches"], given)).fetchall()]
        asked = {"workspace_id": workspace_id, "ids": [one.id for one in found]}
        rows = await (await conn.execute(SQL["credits_of_batches"], asked)).fetchall()
    charged = {row["batch_id"]: row["credits"] for row in rows}
    return [ShownBatch(one, charged.get(one.id, 0)) for one in found]
