"""What of a run can still be taken back."""

from uuid import UUID

from tallystick.domain.texts import as_uuid
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)


async def standing_rows(conn: Connection, workspace_id: UUID, run: str) -> list[Row]:
    """Rows of `usage_event` of this run that nothing takes back, in the order of their booking."""
    given = {"workspace_id": workspace_id, "run": run}
    return list(await (await conn.execute(SQL["standing_rows"], given)).fetchall())


async def is_known(conn: Connection, workspace_id: UUID, run: str) -> bool:
    """Whether anything was ever booked for the run, or it was asked for or started."""
    given = {"workspace_id": workspace_id, "run": run, "id": as_uuid(run)}
    row = await (await conn.execute(SQL["is_known"], given)).fetchone()
    return row is not None and bool(row["known"])
