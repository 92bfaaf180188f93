"""All that a document of an invoice is made of, read at one instant (rows D6, E13)."""

from uuid import UUID

from tallystick.domain.billing.documents import NO_AGENT, Corrected, Document, UsedBy, not_issued
from tallystick.domain.billing.invoices import Invoice, Used
from tallystick.kernel.errors import TallystickError
from tallystick.store import invoices
from tallystick.store.database import Connection, Database
from tallystick.store.named_sql import load

SQL = load(__file__)


async def document(database: Database, workspace_id: UUID, invoice_id: UUID, *, locale: str | None = None) -> Document:
    """An issued invoice or credit note with its lines, the usage behind it and the names of agents.

    `locale` stands over the account's. Raises `invoiceNotFound`, and `invoiceNotIssued` for a draft.
    """
    async with database.read(workspace_id) as conn:
        invoice = await invoices.find(conn, workspace_id, invoice_id)
        if invoice.number is None or invoice.issued_at is None or invoice.seller is None or invoice.buyer is None:
            raise not_issued(invoice)
        readers = await (await conn.execute(SQL["readers"], {"workspace_id": workspace_id})).fetchone()
        if readers is None:
            raise TallystickError("workspaceNotFound", "There is no such workspace.", id=str(workspace_id))
        lines = await invoices.lines(conn, workspace_id, invoice_id)
        used = await invoices.used(conn, workspace_id, invoice_id)
        return Document(
            invoice=invoice,
            lines=tuple(lines),
            used=await _named(conn, workspace_id, used),
            zone=readers["zone"],
            locale=locale or readers["locale"],
            is_collected=readers["is_collected"],
            corrected=await _corrected(conn, invoice),
        )


async def _named(conn: Connection, workspace_id: UUID, used: list[Used]) -> tuple[UsedBy, ...]:
    ids = sorted({row.agent_id for row in used} - {NO_AGENT})
    given = {"workspace_id": workspace_id, "ids": ids}
    found = await (await conn.execute(SQL["agents"], given)).fetchall() if ids else []
    names = {row["id"]: row["name"] for row in found}
    return tuple(
        UsedBy(
            row.period_start,
            row.category,
            None if row.agent_id == NO_AGENT else row.agent_id,
            names.get(row.agent_id, ""),
            row.events,
            row.quantity,
            row.credits,
            row.tool_runs,
        )
        for row in used
    )


async def _corrected(conn: Connection, invoice: Invoice) -> Corrected | None:
    if invoice.corrects is None:
        return None
    earlier = await invoices.find(conn, invoice.workspace_id, invoice.corrects)
    if earlier.number is None or earlier.issued_at is None:
        return None
    return Corrected(earlier.number, earlier.issued_at)
