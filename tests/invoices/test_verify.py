"""`tally verify` finds an invoice that does not follow from what it rests on."""

import pytest

from tallystick.domain.billing.invoices import new_line
from tallystick.domain.differences import Difference
from tallystick.flows import due, invoicing
from tallystick.queries.verify import invoices
from tallystick.store.database import Connection, Database
from tests import bills, make
from tests.invoices import closings
from tests.invoices.closings import BIRTH, HOUR, at, charge
from tests.make import IDS

END = at(2, 28, 9, 30)


@pytest.mark.parametrize(
    ("spoil", "code", "figure"),
    [
        ("UPDATE invoice SET net_minor = net_minor + 1 WHERE workspace_id = %s", "invoiceDiffers", "net_minor"),
        ("UPDATE invoice SET credited_minor = 5 WHERE workspace_id = %s", "invoiceDiffers", "credited_minor"),
        (
            """UPDATE invoice SET taxes = jsonb_set(taxes, '{0,amount_minor}', '7'), tax_minor = 7,
            total_minor = net_minor + 7 WHERE workspace_id = %s""",
            "invoiceDiffers",
            "tax",
        ),
        ("UPDATE invoice_line SET amount_minor = 1 WHERE workspace_id = %s", "invoiceDiffers", "net_minor"),
        ("UPDATE invoice_line SET credits = 1 WHERE workspace_id = %s", "invoiceUsageDiffers", "credits"),
        ("UPDATE invoice_usage SET credits = 1 WHERE workspace_id = %s", "invoiceUsageDiffers", "credits"),
        ("DELETE FROM invoice_usage WHERE workspace_id = %s", "invoiceUsageDiffers", "events"),
    ],
)
async def test_what_was_changed_is_found(database: Database, spoil: str, code: str, figure: str) -> None:
    await make.catalog(database, BIRTH)
    workspace_id = await make.bare_workspace(database, BIRTH, plan="pro")
    await make.Meter(database).report(workspace_id, charge("a", "10", at(2, 3)), now=at(2, 3))
    await closings.issue_due(database, workspace_id, END + HOUR)
    assert await make.differences(database, workspace_id) == []

    async def work(conn: Connection) -> None:
        await conn.execute(spoil.encode(), [workspace_id])

    await database.run(work)
    found = await make.differences(database, workspace_id)
    assert code in {one.code for one in found}
    assert figure in {entry.name for one in found for entry in one.figures}


async def test_a_number_that_is_missing_is_found(database: Database) -> None:
    workspace_id = await make.bare_workspace(database, BIRTH)
    terms = bills.billing(invoice_series="HOLE")

    async def work(conn: Connection) -> None:
        await due.lock(conn, {workspace_id}, now=BIRTH, ids=IDS)
        for _ in range(3):
            line = new_line("custom", "Work", 100)
            await invoicing.issue_now(conn, terms, workspace_id, "custom", [line], now=BIRTH, ids=IDS)
        await conn.execute("DELETE FROM invoice_line WHERE workspace_id = %s", [workspace_id])
        await conn.execute("DELETE FROM invoice WHERE workspace_id = %s AND number = 'HOLE-000002'", [workspace_id])

    await database.run(work)
    found: list[Difference] = []
    async with database.read() as conn:
        await invoices.check_numbers(conn, found.append)
    [gap] = [one for one in found if one.ids["series"] == "HOLE"]
    assert (gap.code, gap.figures[0].expected, gap.figures[0].found) == ("numberGap", 3, 2)
