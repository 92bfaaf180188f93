"""Fine-tuning jobs. The workspace's balances must be locked by whoever writes here."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tallystick.domain.deployments.fine_tuning import Job, Work, job_not_found, plain
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)


async def find(conn: Connection, workspace_id: UUID, job_id: UUID) -> Job:
    """One job, not locked. Raises `fineTuningJobNotFound`."""
    return await _one(conn, "by_id", workspace_id, job_id)


async def lock(conn: Connection, workspace_id: UUID, job_id: UUID) -> Job:
    """One job, locked until the transaction ends. Raises `fineTuningJobNotFound`."""
    return await _one(conn, "lock", workspace_id, job_id)


async def insert(conn: Connection, job: Job) -> None:
    """Add a job that runs."""
    given = {
        "workspace_id": job.workspace_id,
        "id": job.id,
        "base_model": job.base_model,
        "model": job.model,
        "resource_id": job.resource_id,
        "status": job.status,
        "training_tokens": job.asked.training_tokens,
        "epochs": job.asked.epochs,
        "complexity": job.asked.complexity,
        "profile": job.asked.profile,
        "seconds": job.asked.seconds,
        "estimate": job.estimate,
        "hold_id": job.hold_id,
        "created_by": job.created_by,
        "created_at": job.created_at,
    }
    await conn.execute(SQL["insert"], given)


async def finish(conn: Connection, job: Job) -> None:
    """Write how a job ended."""
    work = job.reported
    if work is None:
        raise AssertionError("a job that ended was reported")
    reported: dict[str, Any] = {
        "trainingTokens": work.training_tokens,
        "epochs": plain(work.epochs),
        "seconds": plain(work.seconds),
    }
    given = {
        "workspace_id": job.workspace_id,
        "id": job.id,
        "status": job.status,
        "reported": Jsonb(reported),
        "credits": job.charged,
        "reason": job.reason,
        "finished_at": job.finished_at,
    }
    await conn.execute(SQL["finish"], given)


async def has_profile(conn: Connection, key: str) -> bool:
    """Whether there is such hardware for language models, still offered."""
    return await (await conn.execute(SQL["profile"], {"key": key})).fetchone() is not None


def job_of(row: Row) -> Job:
    """The job of a row of `fine_tuning_job`. What it trained of its own class and hardware never differs from asked."""
    asked = Work(row["training_tokens"], row["epochs"], row["complexity"], row["profile"], row["seconds"])
    done = row["reported"]
    reported = None
    if done is not None:
        figures = Decimal(done["epochs"]), Decimal(done["seconds"])
        reported = Work(done["trainingTokens"], figures[0], row["complexity"], row["profile"], figures[1])
    return Job(
        workspace_id=row["workspace_id"],
        id=row["id"],
        base_model=row["base_model"],
        model=row["model"],
        resource_id=row["resource_id"],
        status=row["status"],
        asked=asked,
        estimate=row["estimate"],
        hold_id=row["hold_id"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        reported=reported,
        charged=row["credits"],
        reason=row["reason"],
        finished_at=row["finished_at"],
    )


async def _one(conn: Connection, name: str, workspace_id: UUID, job_id: UUID) -> Job:
    row = await (await conn.execute(SQL[name], {"workspace_id": workspace_id, "id": job_id})).fetchone()
    if row is None:
        raise job_not_found(job_id)
    return job_of(row)
