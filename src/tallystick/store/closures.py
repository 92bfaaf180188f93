"""What the end of a workspace takes: closing its row, and blanking what was personal (rule M30)."""

import datetime as dt
from uuid import UUID

from tallystick.domain.credits.holds import Hold
from tallystick.store.database import Connection
from tallystick.store.holds import hold_of
from tallystick.store.named_sql import load

SQL = load(__file__)


async def lock(conn: Connection, workspace_id: UUID) -> dt.datetime | None:
    """When the workspace was closed, None where it is open; locked until the transaction ends."""
    row = await (await conn.execute(SQL["lock"], {"workspace_id": workspace_id})).fetchone()
    found: dt.datetime | None = row["closed_at"] if row else None
    return found


async def close(conn: Connection, workspace_id: UUID, now: dt.datetime, real: dt.datetime) -> None:
    """Close the workspace at `now` by its own clock, and revoke all its tokens at `real`, by the machine's."""
    await conn.execute(SQL["close"], {"workspace_id": workspace_id, "now": now})
    await conn.execute(SQL["revoke_tokens"], {"workspace_id": workspace_id, "now": real})


async def open_holds(conn: Connection, workspace_id: UUID) -> list[Hold]:
    """Every open hold, in order of id."""
    rows = await (await conn.execute(SQL["open_holds"], {"workspace_id": workspace_id})).fetchall()
    return [hold_of(row) for row in rows]


async def drafts(conn: Connection, workspace_id: UUID) -> list[UUID]:
    """Invoices that are not issued yet, in order of their periods."""
    rows = await (await conn.execute(SQL["drafts"], {"workspace_id": workspace_id})).fetchall()
    return [row["id"] for row in rows]


async def to_blank(conn: Connection, closed_before: dt.datetime, most: int) -> list[UUID]:
    """Workspaces that were closed before an instant and whose personal data is still there."""
    given = {"before": closed_before, "limit": most}
    return [row["id"] for row in await (await conn.execute(SQL["to_blank"], given)).fetchall()]


async def blank(conn: Connection, workspace_id: UUID, now: dt.datetime) -> None:
    """Blank what was personal of a closed workspace; people who belong nowhere else are nobody afterwards."""
    given = {"workspace_id": workspace_id, "now": now}
    for query in (
        "blank_people",
        "blank_members",
        "blank_users",
        "blank_mails",
        "blank_account",
        "blank_workspace",
    ):
        await conn.execute(SQL[query], given)
