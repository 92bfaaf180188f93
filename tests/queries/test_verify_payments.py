"""What was paid is re-derived, invoices from payments and payments from refunds; what is changed by hand shows."""

import pytest

from tallystick.domain.billing.invoices import Invoice
from tallystick.flows import payments, reversals, transfers
from tallystick.flows.transfers import Marked
from tallystick.store.database import Database
from tests import make
from tests.bills import CardHouse, author, billing, owed, payer
from tests.conftest import NOW
from tests.make import IDS


async def busy(database: Database) -> Invoice:
    """One invoice paid by card, one in part by transfer and given back, one disputed, one refused."""
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    terms = billing(house)
    first, second, third, fourth = [await owed(database, workspace, 9_900, NOW) for _ in range(4)]
    await payments.collect(database, terms, workspace, first.id, now=NOW, ids=IDS)
    marked = Marked(NOW.date(), amount_minor=12_000, may_overpay=True)
    payment = await transfers.mark_paid(database, terms, second.id, marked, author(workspace))
    await reversals.refund(database, terms, payment.id, author(workspace), amount_minor=3_000, reason="goodwill")
    taken = await payments.collect(database, terms, workspace, third.id, now=NOW, ids=IDS)
    assert taken is not None
    await reversals.disputed(database, terms, workspace, taken.id, 9_900, now=NOW, ids=IDS)
    house.declines.add("pm_card")
    await payments.collect(database, terms, workspace, fourth.id, now=NOW, ids=IDS)
    return first


async def codes(database: Database, invoice: Invoice) -> list[tuple[str, tuple[str, ...]]]:
    found = await make.differences(database, invoice.workspace_id)
    return [(one.code, tuple(figure.name for figure in one.figures)) for one in found if one.code == "paymentDiffers"]


async def test_what_the_flows_did_follows_from_its_payments(database: Database) -> None:
    assert await codes(database, await busy(database)) == []


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        ("UPDATE invoice SET paid_minor = paid_minor + 1 WHERE workspace_id = %s AND id = %s", ("paid",)),
        ("UPDATE invoice SET status = 'issued' WHERE workspace_id = %s AND id = %s", ("open",)),
        ("DELETE FROM payment WHERE workspace_id = %s AND invoice_id = %s", ("paid", "open")),
        ("UPDATE payment SET status = 'failed' WHERE workspace_id = %s AND invoice_id = %s", ("paid", "open")),
        (
            (
                "INSERT INTO payment_refund (workspace_id, id, payment_id, status, amount_minor, reason, created_by, "
                "created_at) SELECT workspace_id, gen_random_uuid(), id, 'succeeded', 5, '', '', now() FROM payment "
                "WHERE workspace_id = %s AND invoice_id = %s"
            ),
            ("refunded",),
        ),
    ],
)
async def test_what_is_changed_by_hand_shows(database: Database, change: str, figures: tuple[str, ...]) -> None:
    invoice = await busy(database)
    await database.run(lambda conn: conn.execute(change.encode(), [invoice.workspace_id, invoice.id]))
    assert await codes(database, invoice) == [("paymentDiffers", figures)]
