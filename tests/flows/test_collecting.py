"""What is owed is asked for in order of time, by however many at once, and whatever fails (rule M24)."""

import asyncio
import contextlib
import datetime as dt
from uuid import UUID

import pytest

from tallystick.domain.billing.invoices import Invoice
from tallystick.flows import accounts, buying, collecting, payments
from tallystick.flows.billing import Billing
from tallystick.flows.budgets import Author
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tests import make
from tests.bills import CARD, OTHER_CARD, CardHouse, billing, facts_of, invoice_now, owed, payer, payments_of
from tests.conftest import NOW
from tests.make import IDS

DAY = dt.timedelta(days=1)


async def turn(database: Database, terms: Billing, workspace_id: UUID, day: float) -> int:
    return await collecting.turn(database, terms, workspace_id, now=NOW + day * DAY, ids=IDS)


async def standing(database: Database, workspace_id: UUID) -> str:
    rows = await make.rows(
        database, "SELECT status FROM subscription WHERE workspace_id = %s AND ended_at IS NULL", workspace_id
    )
    return str(rows[0]["status"])


async def tried(database: Database, invoice: Invoice) -> list[float]:
    """The days on which it was tried."""
    return [(one.created_at - NOW) / DAY for one in await payments_of(database, invoice)]


async def told(database: Database, workspace_id: UUID) -> list[tuple[str, float]]:
    """What was told of money, and on which day."""
    rows = await make.rows(
        database,
        "SELECT kind, at FROM fact"
        " WHERE workspace_id = %s AND kind ~ '^(invoice|payment|subscription)' ORDER BY at, kind",
        workspace_id,
    )
    return [(row["kind"], (row["at"] - NOW) / DAY) for row in rows]


STORY_OF_A_BAD_CARD = [
    ("invoice.past_due", 0),
    ("payment.failed", 0),
    ("payment_method.updated", 0),
    ("payment.failed", 1),
    ("payment.failed", 3),
    ("payment.failed", 5),
    ("payment.failed", 7),
    ("subscription.past_due", 14),
]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_card_that_fails_is_tried_four_times_more_and_then_new_runs_stop(
    database: Database, times: int
) -> None:
    house = CardHouse(declines={CARD.id})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    # Every half day, once or by two at the same time.
    for half in range(40):
        if half == 28:
            assert await standing(database, workspace) == "active"
        await asyncio.gather(*(turn(database, billing(house), workspace, half / 2) for _ in range(times)))
    assert await tried(database, invoice) == [0, 1, 3, 5, 7]
    assert house.asked == 5
    assert [one for one in await told(database, workspace) if one[1] < 20] == STORY_OF_A_BAD_CARD
    assert await standing(database, workspace) == "past_due"
    now = await invoice_now(database, invoice)
    assert (now.status, now.next_at, now.attempts) == ("past_due", NOW + 90 * DAY, 5)


async def test_what_two_decide_on_at_once_is_tried_once(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    # Both have seen that nothing was tried; the second is late by a whole attempt.
    first, second = [
        await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS, after=0)
        for _ in range(2)
    ]
    assert first is not None
    assert (first.status, second) == ("failed", None)
    assert house.asked == 1


async def test_in_the_end_it_is_written_off_once(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    for day in (0, 1, 3, 5, 7, 14, 89, 90, 90, 91):
        await turn(database, billing(house), workspace, day)
    now = await invoice_now(database, invoice)
    assert (now.status, now.next_at, now.closed_at) == ("uncollectible", None, NOW + 90 * DAY)
    assert (await facts_of(database, workspace)).count("invoice.uncollectible") == 1


async def test_after_an_outage_it_is_tried_once_and_stops_only_if_that_fails(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    workspace, luckier = await payer(database, NOW, house), await payer(database, NOW, house)
    invoice, other = await owed(database, workspace, 9_900, NOW), await owed(database, luckier, 5_000, NOW)
    for one in (workspace, luckier):
        await turn(database, billing(house), one, 0)
    await turn(database, billing(house), workspace, 20)
    assert await tried(database, invoice) == [0, 20]
    assert await standing(database, workspace) == "past_due"
    house.declines.clear()
    await turn(database, billing(house), luckier, 20)
    assert await tried(database, other) == [0, 20]
    assert (await invoice_now(database, other)).status == "paid"
    assert await standing(database, luckier) == "active"
    assert "subscription.past_due" not in await facts_of(database, luckier)


async def test_a_server_that_was_not_there_when_an_invoice_was_issued_stops_nobody_for_it(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    await turn(database, billing(house), workspace, 40)
    assert await tried(database, invoice) == [40]
    assert await standing(database, workspace) == "active"
    assert (await invoice_now(database, invoice)).next_at == NOW + 41 * DAY


async def test_a_transfer_that_does_not_come_is_reminded_of_and_then_runs_stop(database: Database) -> None:
    workspace = await make.bare_workspace(database, NOW, plan="pro")
    invoice = await owed(database, workspace, 9_900, NOW, next_at=NOW + 14 * DAY)
    for half in range(80):
        await turn(database, billing(), workspace, half / 2)
    told_of = [(kind, day) for kind, day in await told(database, workspace) if day < 30]
    assert told_of == [
        ("invoice.past_due", 14),
        ("invoice.reminder", 15),
        ("invoice.reminder", 17),
        ("invoice.reminder", 19),
        ("invoice.reminder", 21),
        ("subscription.past_due", 28),
    ]
    assert await payments_of(database, invoice) == []


async def test_a_purchase_that_nobody_pays_is_given_up_and_stops_nothing(database: Database) -> None:
    workspace = await make.bare_workspace(database, NOW, plan="pro")
    author = Author(workspace, "test", None, NOW, IDS)
    purchase = await buying.buy(database, billing(), 500 * NANO, author)
    for day in range(31):
        await turn(database, billing(), workspace, day)
    told_of = [(kind, day) for kind, day in await told(database, workspace) if day < 31]
    assert told_of[-5:] == [*[("invoice.reminder", day) for day in (15, 17, 19, 21)], ("invoice.voided", 28)]
    assert "invoice.past_due" not in [kind for kind, _ in told_of]
    assert (await buying.find(database, workspace, purchase.id)).status == "failed"
    assert await standing(database, workspace) == "active"


async def test_a_new_card_is_tried_at_once_with_what_is_past_due(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    for day in (0, 1, 3, 5, 7, 14):
        await turn(database, billing(house), workspace, day)
    assert await standing(database, workspace) == "past_due"
    now = NOW + 15.5 * DAY
    await accounts.set_method(database, billing(house), workspace, OTHER_CARD, actor="test", now=now, ids=IDS)
    await turn(database, billing(house), workspace, 15.5)
    assert await tried(database, invoice) == [0, 1, 3, 5, 7, 15.5]
    assert (await invoice_now(database, invoice)).status == "paid"
    assert await standing(database, workspace) == "active"


async def test_while_money_is_on_its_way_nothing_is_asked_for_and_nothing_stops(database: Database) -> None:
    house = CardHouse(slow={CARD.id})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    for day in range(30):
        await turn(database, billing(house), workspace, day)
    assert await tried(database, invoice) == [0]
    assert await standing(database, workspace) == "active"
    [payment] = await payments_of(database, invoice)
    house.settle(payment)
    await turn(database, billing(house), workspace, 31)
    assert (await invoice_now(database, invoice)).status == "paid"


async def test_a_provider_that_is_down_is_asked_again_and_never_charges_twice(database: Database) -> None:
    house = CardHouse(is_down=True)
    workspace = await payer(database, NOW, CardHouse())
    invoice = await owed(database, workspace, 9_900, NOW)
    for minutes in range(0, 24 * 60, 7):
        await turn(database, billing(house), workspace, minutes / 1_440)
        if minutes > 300:
            house.is_down = False
    assert len(await payments_of(database, invoice)) == 1
    assert house.taken == 9_900
    assert (await invoice_now(database, invoice)).status == "paid"


async def test_one_that_fails_holds_up_no_other(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    broken = await owed(database, workspace, 100, NOW)
    good = await owed(database, workspace, 9_900, NOW + dt.timedelta(seconds=1))
    # A period's draft of no period: it can't be issued.
    await database.run(
        lambda conn: conn.execute(
            "UPDATE invoice SET status = 'draft', number = NULL WHERE workspace_id = %s AND id = %s",
            [workspace, broken.id],
        )
    )
    with pytest.raises(AssertionError):
        await turn(database, billing(house), workspace, 1)
    assert (await invoice_now(database, good)).status == "paid"
    waits = (await invoice_now(database, broken)).next_at
    assert waits is not None and waits > NOW + DAY


async def test_what_a_closed_workspace_owes_is_still_asked_for(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    await database.run(lambda conn: conn.execute("UPDATE workspace SET closed_at = %s WHERE id = %s", [NOW, workspace]))
    for day in (0, 1, 3, 5, 7, 14):
        await turn(database, billing(house), workspace, day)
    assert await tried(database, invoice) == [0, 1, 3, 5, 7]
    house.declines.clear()
    await database.run(
        lambda conn: conn.execute(
            "UPDATE billing_account SET method_at = %s WHERE workspace_id = %s", [NOW + 15 * DAY, workspace]
        )
    )
    await collecting.at_once(database, billing(house), workspace, now=NOW + 90 * DAY, ids=IDS)
    assert (await invoice_now(database, invoice)).status == "paid"


async def test_workspaces_with_a_clock_are_left_to_it(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    await database.run(lambda conn: conn.execute("UPDATE workspace SET clock_at = %s WHERE id = %s", [NOW, workspace]))
    # A draft that another test spoiled is looked at too, and told of at the end.
    with contextlib.suppress(AssertionError):
        await collecting.turn(database, billing(house), None, now=NOW, ids=IDS)
    assert await payments_of(database, invoice) == []
    await turn(database, billing(house), workspace, 0)
    assert (await invoice_now(database, invoice)).status == "paid"
