"""Facts about money become mails, from a card that fails to all going on, with links that work without a login."""

import datetime as dt
import re
from dataclasses import replace

import pytest

from tallystick.flows import accounts, collecting, documents, links
from tallystick.flows.portal import PURPOSE
from tallystick.flows.telling import LINKED_FOR
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests.bills import CARD, OTHER_CARD, CardHouse, billing, owed, payer
from tests.conftest import NOW
from tests.make import IDS
from tests.telling.post_office import LETTERHEAD, empty_outbox, fan, outbox, person

DAY = dt.timedelta(days=1)
PUBLIC = replace(LETTERHEAD, public_url="https://tally.acme.example/")


async def test_from_a_card_that_fails_to_all_going_on_each_step_is_one_mail(database: Database) -> None:
    house = CardHouse(declines={CARD.id})
    terms = billing(house)
    async with empty_outbox(database):
        workspace = await payer(database, NOW, house)
        invoice = await owed(database, workspace, 9_900, NOW)
        await person(database, workspace, "owner", NOW)
        for day in (0, 1, 3, 5, 7, 14, 15):
            now = NOW + day * DAY
            if day == 15:
                await accounts.set_method(database, terms, workspace, OTHER_CARD, actor="test", now=now, ids=IDS)
            await collecting.turn(database, terms, workspace, now=now, ids=IDS)
            await fan(database, now, PUBLIC)
        mails = await outbox(database, workspace)
    assert [(mail["created_at"] - NOW).days for mail in mails if mail["kind"] == "payment.failed"] == [0, 1, 3, 5, 7]
    assert [mail["subject"] for mail in mails if mail["kind"] != "payment.failed"] == [
        "Payment method of Acme changed",
        "New runs of Acme are paused",
        f"Receipt: $99.00 for {invoice.number}",
        "Payment method of Acme changed",
        "Acme is active again",
    ]
    first, last = [mail for mail in mails if mail["kind"] == "payment.failed"][:: len("fail")]
    assert "We try again 15 Mar 2026." in first["plain"]
    assert "We do not try again by ourselves." in last["plain"]
    assert "from your Visa card ending in 4242" in " ".join(first["plain"].split())


async def test_the_link_of_a_mail_is_good_for_two_weeks_and_for_that_workspace_alone(database: Database) -> None:
    workspace = await payer(database, NOW, CardHouse())
    async with empty_outbox(database):
        await person(database, workspace, "admin", NOW)
        await owed(database, workspace, 9_900, NOW - 20 * DAY, next_at=NOW, status="past_due")
        house = CardHouse(declines={CARD.id})
        await collecting.turn(database, billing(house), workspace, now=NOW, ids=IDS)
        await fan(database, NOW, PUBLIC)
        [mail] = [one for one in await outbox(database, workspace) if one["kind"] == "payment.failed"]
        await fan(database, NOW)
    [text] = set(re.findall(r"https://tally\.acme\.example/pay/(\S+)", mail["plain"]))
    found = await links.check(database, text, PURPOSE, now=NOW + LINKED_FOR - dt.timedelta(seconds=1))
    assert found.workspace_id == workspace
    with pytest.raises(TallystickError, match="expired"):
        await links.check(database, text, PURPOSE, now=NOW + LINKED_FOR)


async def test_an_invoice_is_read_by_the_link_of_its_mail(database: Database) -> None:
    async with empty_outbox(database):
        workspace = await payer(database, NOW, CardHouse())
        await person(database, workspace, "owner", NOW)
        invoice = await owed(database, workspace, 9_900, NOW)
        await collecting.turn(database, billing(CardHouse()), workspace, now=NOW, ids=IDS)
        await fan(database, NOW, PUBLIC)
        [mail] = [one for one in await outbox(database, workspace) if one["kind"] == "invoice.paid"]
    [text] = set(re.findall(r"https://tally\.acme\.example/v1/documents/(\S+)", mail["plain"]))
    assert await documents.opened(database, text, now=NOW + DAY) == (workspace, invoice.id)


async def test_without_an_address_of_ours_a_letter_about_money_leads_to_support(database: Database) -> None:
    async with empty_outbox(database):
        workspace = await payer(database, NOW, CardHouse())
        await person(database, workspace, "owner", NOW)
        await fan(database, NOW)
        [mail] = await outbox(database, workspace)
    assert "https://acme-ai.example/support" in mail["plain"]
    assert "/pay/" not in mail["plain"]
