"""Purchases of credits as people see them: with their invoice, their grant's end, and what is awaited."""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tallystick.domain.billing.accounts import Account
from tallystick.domain.billing.purchases import Purchase
from tallystick.store import accounts, purchases
from tallystick.store.database import Connection, Database, Row
from tallystick.store.named_sql import load

SQL = load(__file__)


@dataclass(frozen=True, slots=True)
class ShownPurchase:
    """`action_url`: its owner has to confirm the payment there; `is_open`: its invoice is still to be paid."""

    purchase: Purchase
    invoice_number: str | None
    due_at: dt.datetime | None
    is_open: bool
    provider: str
    expires_at: dt.datetime | None
    action_url: str | None


@dataclass(frozen=True, slots=True)
class ShownTopUp:
    """`bought_today` in nano-credits: what automatic purchases of this UTC day come to that did not fail."""

    account: Account
    bought_today: int


async def page(
    database: Database, workspace_id: UUID, *, status: str | None, limit: int, offset: int
) -> list[ShownPurchase]:
    """A page of them, the newest first."""
    given = {"workspace_id": workspace_id, "status": status, "limit": limit, "offset": offset}
    async with database.read(workspace_id) as conn:
        return await _shown(conn, "page", given)


async def one(database: Database, workspace_id: UUID, purchase_id: UUID) -> ShownPurchase:
    """One of them. Raises `purchaseNotFound`."""
    async with database.read(workspace_id) as conn:
        found = await _shown(conn, "one", {"workspace_id": workspace_id, "id": purchase_id})
    if not found:
        raise purchases.not_found(purchase_id)
    return found[0]


async def top_up(database: Database, workspace_id: UUID, *, now: dt.datetime) -> ShownTopUp:
    """How automatic top-up stands, and what it bought today."""
    async with database.read(workspace_id) as conn:
        account = await accounts.read(conn, workspace_id)
        _, bought, _ = await purchases.automatic(conn, workspace_id, now.astimezone(dt.UTC).date(), None)
    return ShownTopUp(account, bought)


async def _shown(conn: Connection, query: str, given: dict[str, Any]) -> list[ShownPurchase]:
    return [_of(row) for row in await (await conn.execute(SQL[query], given)).fetchall()]


def _of(row: Row) -> ShownPurchase:
    return ShownPurchase(
        purchase=purchases.purchase_of(row),
        invoice_number=row["invoice_number"],
        due_at=row["due_at"],
        is_open=row["invoice_status"] in ("issued", "past_due"),
        provider=row["provider"] or "offline",
        expires_at=row["expires_at"],
        action_url=row["action_url"],
    )
