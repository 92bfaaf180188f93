"""What was paid, what is owed, and who pays: as they stand, for routes and pages alike."""

from dataclasses import dataclass
from uuid import UUID

from tallystick.domain.billing.accounts import Account, ProviderName
from tallystick.domain.billing.invoices import Invoice
from tallystick.domain.billing.payments import Payment
from tallystick.domain.billing.statements import BankTransaction
from tallystick.domain.identity.workspaces import Workspace
from tallystick.store import accounts, statements, workspaces
from tallystick.store.database import Connection, Database
from tallystick.store.invoices import invoice_of
from tallystick.store.named_sql import load
from tallystick.store.payments import payment_of

SQL = load(__file__)

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ShownPayment:
    """A payment with the number of its invoice."""

    payment: Payment
    invoice_number: str | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All that a payment page shows, of one instant: open invoices by their day, and the latest payments."""

    workspace: Workspace
    account: Account
    owed: list[Invoice]
    payments: list[ShownPayment]


async def payments(
    database: Database, workspace_id: UUID, *, invoice_id: UUID | None = None, limit: int, offset: int
) -> list[ShownPayment]:
    """A page of a workspace's payments, the newest first; of one invoice alone where one is named."""
    async with database.read(workspace_id) as conn:
        return await _payments(conn, workspace_id, invoice_id, limit, offset)


async def account(database: Database, workspace_id: UUID, *, provider: ProviderName) -> Account:
    """The billing account; one with nothing in it where none was made yet, which `provider` will collect from."""
    async with database.read(workspace_id) as conn:
        return await accounts.read(conn, workspace_id, provider=provider)


async def overview(database: Database, workspace_id: UUID, *, provider: ProviderName) -> Overview:
    """What a payment page shows. Raises `workspaceNotFound`."""
    async with database.read(workspace_id) as conn:
        workspace = await workspaces.by_id(conn, workspace_id)
        rows = await (await conn.execute(SQL["owed"], {"workspace_id": workspace_id})).fetchall()
        return Overview(
            workspace,
            await accounts.read(conn, workspace_id, provider=provider),
            [invoice_of(row) for row in rows],
            await _payments(conn, workspace_id, None, _SHOWN, 0),
        )


async def unmatched(database: Database, *, limit: int, offset: int) -> list[BankTransaction]:
    """A page of the lines of statements that wait for a person, the newest day first."""
    async with database.admin() as conn:
        return await statements.unmatched(conn, limit=limit, offset=offset)


async def _payments(
    conn: Connection, workspace_id: UUID, invoice_id: UUID | None, limit: int, offset: int
) -> list[ShownPayment]:
    given = {"workspace_id": workspace_id, "invoice_id": invoice_id, "limit": limit, "offset": offset}
    rows = await (await conn.execute(SQL["payments"], given)).fetchall()
    return [ShownPayment(payment_of(row), row["invoice_number"]) for row in rows]
