"""What each balance of a workspace shows (rule M18)."""

from uuid import UUID

from tallystick.domain.credits.balances import Shown, shown
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tallystick.store.named_sql import load

SQL = load(__file__)


async def balances(database: Database, workspace_id: UUID) -> list[Shown]:
    """Credits, then tool runs, as of the last booking: the caller settles what is due first (flows/due.py).

    Raises `workspaceNotFound`.
    """
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(SQL["balances"], {"workspace_id": workspace_id})).fetchall()
    if not rows:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    return [shown(row["unit"], posted=row["posted"], held=row["held"], allocation=row["allocation"]) for row in rows]
