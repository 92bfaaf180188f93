"""Collecting: never twice, whatever crashes or runs at once; what is told later only moves a payment forward."""

import asyncio
import datetime as dt

import pytest

from tallystick.flows import payments
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests import bills
from tests.bills import CardHouse, billing, invoice_now, owed, payer, payments_of
from tests.conftest import NOW
from tests.make import IDS

DAY = dt.timedelta(days=1)


async def test_what_is_owed_is_charged_to_the_card_on_file_and_the_invoice_is_paid(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    payment = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
    assert payment is not None and (payment.status, payment.amount_minor) == ("succeeded", 9_900)
    paid = await invoice_now(database, invoice)
    assert (paid.status, paid.paid_minor, paid.next_at, paid.paid_at) == ("paid", 9_900, None, NOW)
    assert house.taken == 9_900
    told = await bills.facts_of(database, workspace)
    assert told.count("payment.succeeded") == 1 and told.count("invoice.paid") == 1


async def test_many_who_collect_at_once_charge_once(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    terms = billing(house)
    done = await asyncio.gather(
        *(payments.collect(database, terms, workspace, invoice.id, now=NOW, ids=IDS) for _ in range(8))
    )
    assert house.taken == 9_900
    assert len({one.id for one in done if one is not None}) == 1
    assert len(await payments_of(database, invoice)) == 1
    assert (await invoice_now(database, invoice)).paid_minor == 9_900


async def test_an_answer_that_was_lost_is_looked_for_and_nobody_is_charged_again(database: Database) -> None:
    house = CardHouse(loses=1)
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    with pytest.raises(TallystickError, match="lost"):
        await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
    (waiting,) = await payments_of(database, invoice)
    assert (waiting.status, waiting.next_at) == ("created", NOW + payments.LOOK_AGAIN)
    later = NOW + payments.LOOK_AGAIN
    found = await payments.look_again(database, billing(house), workspace, waiting.id, now=later, ids=IDS)
    assert (found.status, house.asked, house.taken) == ("succeeded", 1, 9_900)
    assert (await invoice_now(database, invoice)).status == "paid"
