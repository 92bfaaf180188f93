"""Collecting: never twice, whatever crashes or runs at once; what is told later only moves a payment forward."""

import asyncio
import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.domain.billing.payments import RANKS, Outcome
from tallystick.flows import accounts, payments, transfers
from tallystick.flows.transfers import Marked
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests import bills
from tests.bills import CardHouse, author, billing, invoice_now, owed, payer, payments_of
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


async def test_a_provider_that_never_heard_of_it_is_asked_under_the_same_key(database: Database) -> None:
    house = CardHouse(is_down=True)
    workspace = await payer(database, NOW, CardHouse())
    invoice = await owed(database, workspace, 9_900, NOW)
    for _ in range(3):
        with pytest.raises(TallystickError) as raised:
            await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
        assert raised.value.code == "paymentProviderUnavailable"
    (waiting,) = await payments_of(database, invoice)
    house.is_down = False
    payment = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
    assert payment is not None and payment.id == waiting.id
    assert list(house.charged) == [waiting.key] and house.taken == 9_900


async def test_a_declined_card_makes_the_invoice_past_due_and_the_next_attempt_has_a_key_of_its_own(
    database: Database,
) -> None:
    house = CardHouse(declines={"pm_card"})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    payment = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
    assert payment is not None and (payment.status, payment.error_code) == ("failed", "card_declined")
    after = await invoice_now(database, invoice)
    assert (after.status, after.attempts, after.next_at) == ("past_due", 1, NOW + DAY)
    house.declines.clear()
    again = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW + DAY, ids=IDS)
    assert again is not None and again.status == "succeeded" and again.key != payment.key
    assert (await invoice_now(database, invoice)).status == "paid"
    assert house.taken == 9_900


async def test_a_new_method_tries_what_is_past_due_at_once_and_nothing_else(database: Database) -> None:
    house = CardHouse(declines={"pm_card"})
    workspace = await payer(database, NOW, house)
    late = await owed(database, workspace, 9_900, NOW)
    await payments.collect(database, billing(house), workspace, late.id, now=NOW, ids=IDS)
    fresh = await owed(database, workspace, 500, NOW, next_at=NOW + 9 * DAY)
    later = NOW + dt.timedelta(hours=3)
    await accounts.set_method(database, billing(house), workspace, bills.OTHER_CARD, actor="test", now=later, ids=IDS)
    assert (await invoice_now(database, late)).next_at == later
    assert (await invoice_now(database, fresh)).next_at == NOW + 9 * DAY
    paid = await payments.collect(database, billing(house), workspace, late.id, now=later, ids=IDS)
    assert paid is not None and paid.status == "succeeded" and paid.method == bills.OTHER_CARD


async def test_an_attempt_that_waits_for_its_owner_is_given_up_for_another_card(database: Database) -> None:
    house = CardHouse(asks={"pm_card"})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    first = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
    assert first is not None and first.status == "action_required"
    again = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
    assert again is not None and again.id == first.id
    await accounts.set_method(database, billing(house), workspace, bills.OTHER_CARD, actor="test", now=NOW, ids=IDS)
    paid = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW + DAY, ids=IDS)
    assert paid is not None and paid.status == "succeeded" and paid.id != first.id
    assert [one.status for one in await payments_of(database, invoice)] == ["canceled", "succeeded"]
    assert house.taken == 9_900


async def test_what_was_paid_otherwise_meanwhile_is_not_asked_for_again(database: Database) -> None:
    house = CardHouse(is_down=True)
    workspace = await payer(database, NOW, CardHouse())
    invoice = await owed(database, workspace, 9_900, NOW)
    with pytest.raises(TallystickError):
        await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
    (waiting,) = await payments_of(database, invoice)
    await transfers.mark_paid(database, billing(house), invoice.id, Marked(NOW.date()), author(workspace))
    house.is_down = False
    looked = await payments.look_again(database, billing(house), workspace, waiting.id, now=NOW, ids=IDS)
    assert looked.status == "created"
    late = NOW + payments.ABANDONED
    given_up = await payments.look_again(database, billing(house), workspace, waiting.id, now=late, ids=IDS)
    assert (given_up.status, given_up.error_code, house.taken) == ("canceled", payments.NOT_NEEDED, 0)
    assert "payment.failed" not in await bills.facts_of(database, workspace)


async def test_nothing_is_collected_without_a_method_or_from_what_is_not_open(database: Database) -> None:
    house = CardHouse()
    workspace = await payer(database, NOW, house, method=None)
    invoice = await owed(database, workspace, 9_900, NOW)
    assert await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS) is None
    other = await payer(database, NOW, house)
    for status in ("draft", "void", "uncollectible", "paid"):
        closed = await owed(database, other, 9_900, NOW, status=status)
        assert await payments.collect(database, billing(house), other, closed.id, now=NOW, ids=IDS) is None
    assert house.asked == 0


async def test_money_that_is_on_its_way_pays_when_it_has_come(database: Database) -> None:
    house = CardHouse(slow={"pm_bank"})
    workspace = await payer(database, NOW, house, method=bills.BANK)
    invoice = await owed(database, workspace, 9_900, NOW)
    payment = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
    assert payment is not None and payment.status == "processing"
    assert (await invoice_now(database, invoice)).status == "issued"
    again = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW + DAY, ids=IDS)
    assert again is not None and again.id == payment.id and house.asked == 1
    outcome = house.settle(payment)
    await payments.record(database, billing(house), workspace, payment.id, outcome, now=NOW + 3 * DAY, ids=IDS)
    assert (await invoice_now(database, invoice)).status == "paid"


STATUSES = ("action_required", "processing", "canceled", "failed", "succeeded")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(st.sampled_from(STATUSES), min_size=1, max_size=8))
async def test_in_whatever_order_and_however_often_it_is_told_a_payment_ends_the_same(
    database: Database, said: list[str]
) -> None:
    ends = []
    for order in (said, sorted(set(said), key=RANKS.__getitem__), [*reversed(said), *said]):
        house = CardHouse(loses=1)
        workspace = await payer(database, NOW, house)
        invoice = await owed(database, workspace, 9_900, NOW)
        with pytest.raises(TallystickError):
            await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
        (payment,) = await payments_of(database, invoice)
        for status in order:
            outcome = Outcome(status, "pi_1", "declined" if status == "failed" else None)
            await payments.record(database, billing(house), workspace, payment.id, outcome, now=NOW, ids=IDS)
        (after,) = await payments_of(database, invoice)
        stands = await invoice_now(database, invoice)
        told = (await bills.facts_of(database, workspace)).count("payment.succeeded")
        ends.append((after.status, after.error_code, stands.paid_minor, stands.attempts, stands.open_minor, told))
        assert stands.status == "paid" if "succeeded" in said else stands.status in ("issued", "past_due")
    assert ends[0] == ends[1] == ends[2]


async def test_a_record_between_two_collects_that_wait_for_each_other_is_not_lost(database: Database) -> None:
    house = CardHouse(slow={"pm_card"})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    terms = billing(house)
    payment = await payments.collect(database, terms, workspace, invoice.id, now=NOW, ids=IDS)
    assert payment is not None
    done = Outcome("succeeded", "pi_1")
    await asyncio.gather(
        *(payments.collect(database, terms, workspace, invoice.id, now=NOW, ids=IDS) for _ in range(4)),
        *(payments.record(database, terms, workspace, payment.id, done, now=NOW, ids=IDS) for _ in range(4)),
    )
    stands = await invoice_now(database, invoice)
    assert (stands.status, stands.paid_minor, house.asked) == ("paid", 9_900, 1)
    assert (await bills.facts_of(database, workspace)).count("invoice.paid") == 1
