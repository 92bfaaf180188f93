"""The grants of a workspace, with what is left of each."""

from uuid import UUID

from tallystick.domain.credits.grants import Grant
from tallystick.store.database import Database
from tallystick.store.ledger import grant_of
from tallystick.store.named_sql import load

SQL = load(__file__)


async def grants(database: Database, workspace_id: UUID, *, ended: bool, limit: int, offset: int) -> list[Grant]:
    """A page of them, the newest first, those that have ended only with `ended`. Settle what is due first."""
    given = {"workspace_id": workspace_id, "ended": ended, "limit": limit, "offset": offset}
    async with database.read(workspace_id) as conn:
        return [grant_of(row) for row in await (await conn.execute(SQL["grants"], given)).fetchall()]
