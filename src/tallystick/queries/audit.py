"""The audit log, as it is read: every change of money or rights, with who, when and why."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from tallystick.domain.identity.workspaces import NO_WORKSPACE
from tallystick.store.database import Database
from tallystick.store.named_sql import load

SQL = load(__file__)


@dataclass(frozen=True, slots=True)
class Entry:
    """`workspace_id` is None for what concerns no single workspace. `details` are JSON values."""

    workspace_id: UUID | None
    id: UUID
    at: dt.datetime
    actor: str
    action: str
    reason: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Each narrows what is found; None leaves it open. From `since` on, before `until`."""

    action: str | None = None
    actor: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


async def entries(
    database: Database, workspace_id: UUID | None, wanted: Wanted, *, limit: int, offset: int
) -> list[Entry]:
    """A page of the log of one workspace, or with None of all, the newest entry first."""
    given = asdict(wanted) | {"workspace_id": workspace_id, "limit": limit, "offset": offset}
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(SQL["entries"], given)).fetchall()
    return [
        Entry(
            workspace_id=None if row["workspace_id"] == NO_WORKSPACE else row["workspace_id"],
            id=row["id"],
            at=row["at"],
            actor=row["actor"],
            action=row["action"],
            reason=row["reason"],
            details=row["details"],
        )
        for row in rows
    ]
