"""The audit log: every change of money or rights, written in the transaction that makes it."""

import datetime as dt
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from tallystick.kernel.ids import Ids
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)

NO_WORKSPACE: Final = UUID(int=0)
"""Where entries stand that concern no single workspace, such as an operator's token or a price."""


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
