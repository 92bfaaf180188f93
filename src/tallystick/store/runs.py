"""Runs, their executions, and batches. Locked in the order batch, workflow, run, each sorted by id."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final
from uuid import UUID

from tallystick.domain.runs.states import Batch, Execution, Run
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_MOST_LOOKED_AT: Final = 1_000
_RUN_FIELDS: Final = tuple(field.name for field in fields(Run))
_BATCH_FIELDS: Final = tuple(field.name for field in fields(Batch))
_EXECUTION_FIELDS: Final = tuple(field.name for field in fields(Execution))


@dataclass(frozen=True, slots=True)
class Outline:
    """What says which rows have to be locked before a run's."""

    id: UUID
    workflow_id: UUID
    batch_id: UUID | None
    status: str


@dataclass(frozen=True, slots=True)
class NewRuns:
    """Runs to add: one for each record, a JSON text; all of one workflow, and of one batch or none."""

    workspace_id: UUID
    workflow_id: UUID
    release_id: UUID
    status: str
    ids: Sequence[UUID]
    data: Sequence[str]
    batch_id: UUID | None = None
    nodes: str | None = None


async def insert(conn: Connection, new: NewRuns, now: dt.datetime) -> None:
    """Add them in their order."""
    given = {
        "workspace_id": new.workspace_id,
        "workflow_id": new.workflow_id,
        "release_id": new.release_id,
        "status": new.status,
        "batch_id": new.batch_id,
        "nodes": new.nodes,
        "ids": list(new.ids),
        "data": list(new.data),
        "positions": list(range(len(new.ids))),
        "now": now,
    }
    await conn.execute(SQL["insert"], given)


async def update(conn: Connection, workspace_id: UUID, runs: Sequence[Run]) -> None:
    """Write back what changes of locked runs."""
    if not runs:
        return
    given = {
        "workspace_id": workspace_id,
        "ids": [run.id for run in runs],
        "statuses": [run.status for run in runs],
        "reasons": [run.reason for run in runs],
        "error_messages": [run.error_message for run in runs],
        "outputs": [run.output for run in runs],
        "runners": [run.runner for run in runs],
        "leases": [run.lease for run in runs],
        "lease_ends": [run.lease_expires_at for run in runs],
        "claims": [run.claims for run in runs],
        "updated_at": [run.updated_at for run in runs],
        "started_at": [run.started_at for run in runs],
        "finished_at": [run.finished_at for run in runs],
    }
    await conn.execute(SQL["update"], given)


async def lock(conn: Connection, workspace_id: UUID, run_ids: Collection[UUID]) -> dict[UUID, Run]:
    """Those of the runs that exist, locked."""
    given = {"workspace_id": workspace_id, "ids": sorted(run_ids)}
    rows = await (await conn.execute(SQL["lock"], given)).fetchall()
    return {row["id"]: run_of(row) for row in rows}


async def lock_free(conn: Connection, workspace_id: UUID, run_ids: Collection[UUID], now: dt.datetime) -> list[Run]:
    """Those of the runs that a runner may have, locked, oldest first; what another transaction holds is passed over."""
    given = {"workspace_id": workspace_id, "ids": sorted(run_ids), "now": now}
    return [run_of(row) for row in await (await conn.execute(SQL["lock_free"], given)).fetchall()]


async def outlines(conn: Connection, workspace_id: UUID, run_ids: Collection[UUID]) -> dict[UUID, Outline]:
    """Those of the runs that exist, not locked."""
    given = {"workspace_id": workspace_id, "ids": sorted(run_ids)}
    rows = await (await conn.execute(SQL["outlines"], given)).fetchall()
    return {row["id"]: Outline(**row) for row in rows}


async def waiting(conn: Connection, workspace_id: UUID, workflow_id: UUID) -> int:
    """How many runs of a workflow wait, those of open batches that go on counted too."""
    given = {"workspace_id": workspace_id, "workflow_id": workflow_id}
    row = await (await conn.execute(SQL["waiting_count"], given)).fetchone()
    return int(row["waiting"]) if row else 0


async def going(conn: Connection, workspace_id: UUID, workflow_ids: Collection[UUID]) -> dict[UUID, int]:
    """How many runs of each workflow runners have."""
    given = {"workspace_id": workspace_id, "workflow_ids": sorted(workflow_ids)}
    rows = await (await conn.execute(SQL["going_counts"], given)).fetchall()
    return {row["workflow_id"]: int(row["going"]) for row in rows}


async def claimable(
    conn: Connection, workspace_id: UUID | None, limit: int, now: dt.datetime
) -> list[tuple[UUID, UUID]]:
    """Runs that a runner may have, as (workspace, run), not locked: what was lost first, then each queue in its turn.

    At most `limit` of each queue, so that what can't start yet hides nothing that can.
    """
    given = {"workspace_id": workspace_id, "limit": limit, "most": _MOST_LOOKED_AT, "now": now}
    rows = await (await conn.execute(SQL["claimable"], given)).fetchall()
    return [(row["workspace_id"], row["id"]) for row in rows]


async def refuse_idle(
    conn: Connection,
    workspace_id: UUID,
    batch_id: UUID,
    *,
    spared: Collection[UUID],
    reason: str | None,
    message: str,
    now: dt.datetime,
) -> int:
    """Skip every run of a locked batch that waits for its turn but those `spared`; how many there were."""
    given = {
        "workspace_id": workspace_id,
        "batch_id": batch_id,
        "spared": list(spared),
        "reason": reason,
        "error_message": message,
        "now": now,
    }
    return (await conn.execute(SQL["refuse_idle"], given)).rowcount


async def cancel_of_batch(conn: Connection, workspace_id: UUID, batch_id: UUID, now: dt.datetime) -> int:
    """Cancel every run of a locked batch that no runner has, and ask runners for the others; how many have ended."""
    given = {"workspace_id": workspace_id, "batch_id": batch_id, "now": now}
    ended = (await conn.execute(SQL["cancel_waiting"], given)).rowcount
    await conn.execute(SQL["cancel_going"], given)
    return ended


async def insert_batch(
    conn: Connection,
    workspace_id: UUID,
    *,
    batch_id: UUID,
    workflow_id: UUID,
    release_id: UUID,
    runs: int,
    now: dt.datetime,
) -> None:
    """Add a batch of so many runs."""
    given = {
        "workspace_id": workspace_id,
        "id": batch_id,
        "workflow_id": workflow_id,
        "release_id": release_id,
        "runs": runs,
        "now": now,
    }
    await conn.execute(SQL["insert_batch"], given)


async def lock_batches(conn: Connection, workspace_id: UUID, batch_ids: Collection[UUID]) -> dict[UUID, Batch]:
    """Those of the batches that exist, locked."""
    if not batch_ids:
        return {}
    given = {"workspace_id": workspace_id, "ids": sorted(batch_ids)}
    rows = await (await conn.execute(SQL["lock_batches"], given)).fetchall()
    return {row["id"]: batch_of(row) for row in rows}


async def update_batch(conn: Connection, batch: Batch) -> None:
    """Write back what changes of a locked batch."""
    await conn.execute(SQL["update_batch"], asdict(batch))


async def end_executions(conn: Connection, workspace_id: UUID, run_ids: Collection[UUID], now: dt.datetime) -> None:
    """End what still goes on in these runs, which have ended."""
    if run_ids:
        given = {"workspace_id": workspace_id, "run_ids": sorted(run_ids), "now": now}
        await conn.execute(SQL["end_executions"], given)


async def lost_cancelling(conn: Connection, limit: int, now: dt.datetime) -> list[tuple[UUID, UUID]]:
    """Runs, as (workspace, run), that are to be cancelled and whose runner was lost; not locked."""
    rows = await (await conn.execute(SQL["lost_cancelling"], {"limit": limit, "now": now})).fetchall()
    return [(row["workspace_id"], row["id"]) for row in rows]


async def executions(conn: Connection, workspace_id: UUID, run_ids: Collection[UUID]) -> dict[UUID, list[Execution]]:
    """What is known of the nodes of each run, in the order in which they began."""
    found: dict[UUID, list[Execution]] = {run_id: [] for run_id in run_ids}
    given = {"workspace_id": workspace_id, "run_ids": sorted(run_ids)}
    for row in await (await conn.execute(SQL["executions"], given)).fetchall():
        found[row["run_id"]].append(execution_of(row))
    return found


async def execution(conn: Connection, workspace_id: UUID, run_id: UUID, execution_id: UUID) -> Execution | None:
    """One execution of a run that is locked."""
    given = {"workspace_id": workspace_id, "run_id": run_id, "id": execution_id}
    row = await (await conn.execute(SQL["execution"], given)).fetchone()
    return execution_of(row) if row else None


async def put_execution(conn: Connection, execution: Execution) -> None:
    """Add it, or write what changes of it."""
    await conn.execute(SQL["put_execution"], asdict(execution))


def run_of(row: Row) -> Run:
    """The run of a row that has all its fields."""
    return Run(**{name: row[name] for name in _RUN_FIELDS})


def batch_of(row: Row) -> Batch:
    """The batch of a row that has all its fields."""
    return Batch(**{name: row[name] for name in _BATCH_FIELDS})


def execution_of(row: Row) -> Execution:
    """The execution of a row that has all its fields."""
    return Execution(**{name: row[name] for name in _EXECUTION_FIELDS})
