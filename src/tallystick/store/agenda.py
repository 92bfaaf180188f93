"""What is to be done about money owed, over all nouns: whatever the clock asks for, in order of time."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from tallystick.domain.billing.accounts import Method
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A draft, an invoice or a payment whose turn came at `at`."""

    at: dt.datetime
    kind: Literal["draft", "invoice", "payment"]
    workspace_id: UUID
    id: UUID


@dataclass(frozen=True, slots=True)
class Card:
    """The card on file of a workspace, and since when."""

    workspace_id: UUID
    method: Method
    since: dt.datetime | None
    zone: str


async def due(conn: Connection, now: dt.datetime, most: int, *, workspace_id: UUID | None) -> list[Entry]:
    """What is due at `now`; of one workspace, or of all without a test clock."""
    given = {"now": now, "limit": most, "workspace_id": workspace_id}
    rows = await (await conn.execute(SQL["due"], given)).fetchall()
    return [Entry(row["next_at"], row["kind"], row["workspace_id"], row["id"]) for row in rows]


async def cards(conn: Connection, first: int, last: int, *, workspace_id: UUID | None) -> list[Card]:
    """Cards that end within these months, both inclusive: year × 12 + month."""
    given = {"first": first, "last": last, "workspace_id": workspace_id}
    rows = await (await conn.execute(SQL["cards"], given)).fetchall()
    return [Card(row["workspace_id"], Method(**row["method"]), row["method_at"], row["zone"]) for row in rows]
