"""The audit log: every change of money or rights, written in the transaction that makes it."""

import datetime as dt
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tallystick.domain.identity.workspaces import NO_WORKSPACE
from tallystick.kernel.ids import Ids
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)


async def record(
    conn: Connection,
    action: str,
    *,
    workspace_id: UUID | None,
    actor: str,
    now: dt.datetime,
    ids: Ids,
    reason: str = "",
    **details: Any,
) -> None:
    """Write that `actor` did `action` (such as `member.removed`), and why. Details are JSON values."""
    await conn.execute(
        SQL["insert_audit_entry"],
        {
            "workspace_id": workspace_id or NO_WORKSPACE,
            "id": ids.new(now),
            "at": now,
            "actor": actor,
            "action": action,
            "reason": reason,
            "details": Jsonb(details),
        },
    )
