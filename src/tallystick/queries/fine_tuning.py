"""Fine-tuning jobs as they stand."""

from uuid import UUID

from tallystick.domain.deployments.fine_tuning import Job
from tallystick.store import fine_tuning as store
from tallystick.store.database import Database
from tallystick.store.named_sql import load

SQL = load(__file__)


async def job(database: Database, workspace_id: UUID, job_id: UUID) -> Job:
    """Raises `fineTuningJobNotFound`."""
    async with database.read(workspace_id) as conn:
        return await store.find(conn, workspace_id, job_id)


async def jobs(database: Database, workspace_id: UUID, *, status: str | None, limit: int, offset: int) -> list[Job]:
    """A page of a workspace's jobs, newest first."""
    given = {"workspace_id": workspace_id, "status": status, "limit": limit, "offset": offset}
    async with database.read(workspace_id) as conn:
        return [store.job_of(row) for row in await (await conn.execute(SQL["page"], given)).fetchall()]
