"""What an operator's word about an invoice sets going: who is past due goes on when nothing is owed any more."""

import pytest

from tallystick.domain.billing.invoices import PAST_DUE
from tallystick.flows import invoices, lifecycle
from tallystick.flows.invoices import Asked
from tallystick.store.database import Connection, Database
from tests import bills, make
from tests.conftest import NOW
from tests.make import IDS

ASKED = Asked("operator:test", "agreed on the phone")


@pytest.mark.parametrize("way", ["void", "credit", "giveUp"])
async def test_who_is_past_due_goes_on_when_nothing_is_asked_for(database: Database, way: str) -> None:
    workspace_id = await make.bare_workspace(database, NOW, plan="pro")
    invoice = await bills.owed(database, workspace_id, 5_000, NOW, status=PAST_DUE)

    async def suspend(conn: Connection) -> None:
        await lifecycle.past_due_in(conn, workspace_id, now=NOW, ids=IDS)

    await database.run(suspend)
    assert await _status(database, workspace_id) == "past_due"
    if way == "void":
        await invoices.void(database, workspace_id, invoice.id, ASKED, now=NOW, ids=IDS)
    elif way == "credit":
        await invoices.credit(database, bills.billing(), workspace_id, invoice.id, ASKED, now=NOW, ids=IDS)
    else:
        await invoices.give_up(database, workspace_id, invoice.id, ASKED, now=NOW, ids=IDS)
    assert await _status(database, workspace_id) == ("past_due" if way == "giveUp" else "active")


async def _status(database: Database, workspace_id: object) -> str:
    [row] = await make.rows(database, "SELECT status FROM subscription WHERE workspace_id = %s", workspace_id)
    return str(row["status"])
