"""`tally verify` on bought credits: clean whatever happened to them, and every tampering is told."""

import datetime as dt
from uuid import UUID

import pytest

from tallystick.flows import buying, revenue, reversals
from tallystick.kernel.credits import NANO
from tallystick.store.database import Connection, Database
from tests import make
from tests.bills import CardHouse, billing, payer
from tests.conftest import NOW
from tests.flows.test_purchases import author
from tests.make import IDS

DAY = dt.timedelta(days=1)


async def use(database: Database, workspace: UUID, amount: str, now: dt.datetime) -> None:
    """Whole credits, used by an event."""
    report = {"type": "direct.charge", "id": str(IDS.new(now)), "quantity": amount, "at": now}
    (outcome,) = await make.Meter(database).report(workspace, report, now=now)
    assert outcome.kind == "accepted", outcome


async def eventful(database: Database) -> UUID:
    """Three purchases: one used and refunded in part, one charged back, one declined."""
    await make.catalog(database, NOW - 400 * DAY)
    house = CardHouse()
    terms = billing(house)
    workspace = await payer(database, NOW, house, plan="free")
    first = await buying.buy(database, terms, 1_000 * NANO, author(workspace))
    await use(database, workspace, "333.000000007", NOW + DAY)
    await buying.refund(database, terms, first.id, 100 * NANO, "why", author(workspace, now=NOW + 2 * DAY))
    second = await buying.buy(database, terms, 500 * NANO, author(workspace, now=NOW + 3 * DAY))
    await use(database, workspace, "600", NOW + 4 * DAY)
    assert second.payment_id is not None
    await reversals.disputed(
        database, terms, workspace, second.payment_id, second.total_minor, now=NOW + 5 * DAY, ids=IDS
    )
    await revenue.recognise(database, workspace, now=NOW + 5 * DAY, ids=IDS)
    # Used since it was last recognised: no difference.
    await use(database, workspace, "5", NOW + 6 * DAY)
    house.declines.add("pm_card")
    await buying.buy(database, terms, 100 * NANO, author(workspace, now=NOW + 7 * DAY))
    return workspace


async def test_what_the_flows_book_is_clean(database: Database) -> None:
    workspace = await eventful(database)
    assert await make.differences(database, workspace) == []


@pytest.mark.parametrize(
    ("tampering", "codes"),
    [
        (
            "UPDATE money_entry SET amount_minor = amount_minor + 1 WHERE workspace_id = %s AND account = 'revenue'",
            {"moneyUnbalanced", "moneyDiffers"},
        ),
        ("DELETE FROM money_entry WHERE workspace_id = %s AND cause = 'use'", {"moneyDiffers"}),
        (
            "UPDATE credit_purchase SET recognised_used = 1 WHERE workspace_id = %s AND status = 'paid'",
            {"purchaseDiffers"},
        ),
        (
            "UPDATE credit_purchase SET price_minor = price_minor + 10 WHERE workspace_id = %s AND status = 'paid'",
            {"purchaseDiffers", "moneyDiffers"},
        ),
        (
            "UPDATE credit_purchase SET taken = 0 WHERE workspace_id = %s AND status = 'paid'",
            {"purchaseDiffers", "moneyDiffers"},
        ),
        ("UPDATE credit_purchase SET status = 'failed' WHERE workspace_id = %s AND status = 'paid'", {"moneyDiffers"}),
        ("DELETE FROM credit_purchase WHERE workspace_id = %s AND status = 'paid'", {"moneyDiffers"}),
    ],
)
async def test_what_was_tampered_with_is_told(database: Database, tampering: str, codes: set[str]) -> None:
    workspace = await eventful(database)

    async def work(conn: Connection) -> None:
        assert (await conn.execute(tampering.encode(), [workspace])).rowcount

    await database.run(work)
    found = {one.code for one in await make.differences(database, workspace)}
    assert codes <= found
