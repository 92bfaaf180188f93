"""The spending limits that count for a workspace, and which of them are its own (rule M16)."""

from uuid import UUID

from tallystick.domain.credits.limits import Limits, OwnLimits
from tallystick.store import limits
from tallystick.store.database import Database


async def of_workspace(database: Database, workspace_id: UUID) -> tuple[Limits, OwnLimits]:
    """What counts, and what the workspace says itself."""
    async with database.read(workspace_id) as conn:
        return await limits.effective(conn, workspace_id), await limits.own(conn, workspace_id)
