"""The money side of bought credits: entries of accounts in minor units, and what the ledger says that was burnt."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

import msgspec

from tallystick.domain.billing.revenue import ACCOUNTS
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)


@dataclass(frozen=True, slots=True)
class MoneyEntry:
    """`amount_minor` on an account at an instant, debit positive; those of one `transaction_id` sum to zero."""

    workspace_id: UUID
    id: UUID
    transaction_id: UUID
    at: dt.datetime
    account: str
    amount_minor: int
    currency: str
    purchase_id: UUID
    cause: str


@dataclass(frozen=True, slots=True)
class Burn:
    """What the ledger moved on a grant within a UTC month, in nano-credits; `at` is the last such transaction's.

    `taken` was taken back by a refund. Returns make `used` negative.
    """

    grant_id: UUID
    at: dt.datetime
    used: int
    expired: int
    taken: int


async def insert(conn: Connection, entries: Sequence[MoneyEntry]) -> None:
    """Add entries."""
    if entries:
        await conn.execute(SQL["insert"], {"rows": msgspec.json.encode([asdict(one) for one in entries]).decode()})


async def standing(conn: Connection, workspace_id: UUID, purchase_id: UUID) -> Mapping[str, int]:
    """What every account holds of a purchase by its entries."""
    given = {"workspace_id": workspace_id, "purchase_id": purchase_id}
    rows = await (await conn.execute(SQL["standing"], given)).fetchall()
    return dict.fromkeys(ACCOUNTS, 0) | {row["account"]: row["amount"] for row in rows}


async def burnt(conn: Connection, workspace_id: UUID, since: int, grant_ids: Collection[UUID]) -> list[Burn]:
    """What became of grants by the ledger's transactions after number `since`, by UTC month in order of time."""
    given = {"workspace_id": workspace_id, "since": since, "grant_ids": sorted(grant_ids)}
    return [Burn(**row) for row in await (await conn.execute(SQL["burnt"], given)).fetchall()]


async def paid_out(conn: Connection, workspace_id: UUID, purchase_id: UUID) -> int:
    """Minor units of a purchase's refunds that have reached the customer."""
    given = {"workspace_id": workspace_id, "purchase_id": purchase_id}
    row = await (await conn.execute(SQL["paid_out"], given)).fetchone()
    return int(row["amount"]) if row else 0


async def last_seq(conn: Connection, workspace_id: UUID) -> int:
    """The number of the last transaction of the workspace's ledger of credits."""
    row = await (await conn.execute(SQL["last_seq"], {"workspace_id": workspace_id})).fetchone()
    return int(row["seq"]) if row else 0
