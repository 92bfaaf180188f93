"""What was paid: each invoice against the payments for it, each payment against its refunds (rows D7, D11)."""

from tallystick.domain.differences import figures
from tallystick.queries.verify.checking import Check
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)


async def check(conn: Connection, check: Check) -> None:
    """Every invoice and every payment of one workspace. The database compares; only what differs is read."""
    for row in await (await conn.execute(SQL["paid"], check.given)).fetchall():
        is_open = row["status"] in ("issued", "past_due")
        should = row["owed"] > row["came"] if is_open or row["status"] == "paid" else is_open
        wrong = figures(("paid", "open"), (row["came"], should), (row["paid_minor"], is_open))
        check.found("paymentDiffers", {"invoiceUuid": row["id"], "number": row["number"]}, wrong)
    for row in await (await conn.execute(SQL["refunded"], check.given)).fetchall():
        wrong = figures(("refunded",), (row["given"],), (row["refunded_minor"],))
        check.found("paymentDiffers", {"paymentUuid": row["id"]}, wrong)
