"""Money that goes back: never twice, never more than came; a bank that takes a payment back makes it owed again."""

import asyncio

import pytest

from tallystick.domain.billing.invoices import Invoice
from tallystick.domain.billing.payments import Outcome, Payment
from tallystick.flows import payments, reversals, transfers
from tallystick.flows.transfers import Marked
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests import bills, make
from tests.bills import CardHouse, author, billing, invoice_now, owed, payer, payments_of
from tests.conftest import NOW
from tests.make import IDS


async def paid(database: Database, house: CardHouse, amount: int = 9_900) -> tuple[Invoice, Payment]:
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, amount, NOW)
    payment = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
    assert payment is not None and payment.status == "succeeded"
    return invoice, payment


async def give_back(
    database: Database, house: CardHouse, payment: Payment, amount: int | None = None, key: str | None = None
) -> str:
    by = author(payment.workspace_id, NOW, key, str(amount).encode())
    done = await reversals.refund(database, billing(house), payment.id, by, amount_minor=amount, reason="goodwill")
    return done.status


async def notes_of(database: Database, invoice: Invoice) -> list[int]:
    found = await make.rows(
        database,
        "SELECT total_minor FROM invoice WHERE workspace_id = %s AND corrects = %s ORDER BY created_at, id",
        invoice.workspace_id,
        invoice.id,
    )
    return [row["total_minor"] for row in found]


async def test_what_was_owed_goes_back_with_a_credit_note(database: Database) -> None:
    house = CardHouse()
    invoice, payment = await paid(database, house)
    assert await give_back(database, house, payment, 2_500) == "succeeded"
    stands = await invoice_now(database, invoice)
    assert (stands.status, stands.paid_minor, stands.credited_minor) == ("paid", 7_400, 2_500)
    assert await notes_of(database, invoice) == [2_500]
    assert await give_back(database, house, payment) == "succeeded"
    assert sum(house.refunds.values()) == 9_900
    assert (await invoice_now(database, invoice)).paid_minor == 0


async def test_what_was_paid_too_much_needs_no_credit_note(database: Database) -> None:
    workspace = await make.bare_workspace(database, NOW, plan="pro")
    invoice = await owed(database, workspace, 9_900, NOW)
    marked = Marked(NOW.date(), amount_minor=12_000, may_overpay=True)
    payment = await transfers.mark_paid(database, billing(), invoice.id, marked, author(workspace))
    assert await give_back(database, CardHouse(), payment, 2_100) == "succeeded"
    stands = await invoice_now(database, invoice)
    assert (stands.status, stands.paid_minor, stands.credited_minor) == ("paid", 9_900, 0)


async def test_never_more_goes_back_than_came_however_many_ask_at_once(database: Database) -> None:
    house = CardHouse()
    _, payment = await paid(database, house)
    done = await asyncio.gather(*(give_back(database, house, payment, 4_000) for _ in range(5)), return_exceptions=True)
    assert [one for one in done if one == "succeeded"] == ["succeeded"] * 2
    refused = [one.code for one in done if isinstance(one, TallystickError)]
    assert refused == ["refundTooLarge"] * 3 and sum(house.refunds.values()) == 8_000


async def test_the_same_request_gives_back_once(database: Database) -> None:
    house = CardHouse()
    invoice, payment = await paid(database, house)
    for _ in range(3):
        assert await give_back(database, house, payment, 1_000, key="k") == "succeeded"
    assert sum(house.refunds.values()) == 1_000
    assert (await invoice_now(database, invoice)).paid_minor == 8_900


async def test_an_answer_that_was_lost_is_asked_for_again_by_itself_and_counts_once(database: Database) -> None:
    house = CardHouse()
    invoice, payment = await paid(database, house)
    house.loses = 1
    with pytest.raises(TallystickError):
        await give_back(database, house, payment, 1_000)
    (waiting,) = await payments_of(database, invoice)
    assert (waiting.refunded_minor, waiting.next_at) == (0, NOW + payments.LOOK_AGAIN)
    # What is perhaps on its way can't go back a second time.
    with pytest.raises(TallystickError) as raised:
        await give_back(database, house, payment, 9_000)
    assert raised.value.code == "refundTooLarge"
    for _ in range(2):
        await payments.look_again(database, billing(house), payment.workspace_id, payment.id, now=NOW, ids=IDS)
    (after,) = await payments_of(database, invoice)
    assert (after.refunded_minor, after.next_at) == (1_000, None)
    assert sum(house.refunds.values()) == 1_000


async def test_what_did_not_come_cant_go_back(database: Database) -> None:
    house = CardHouse(declines={"pm_card"})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    failed = await payments.collect(database, billing(house), workspace, invoice.id, now=NOW, ids=IDS)
    assert failed is not None
    for amount in (None, 1):
        with pytest.raises(TallystickError) as raised:
            await give_back(database, house, failed, amount)
        assert raised.value.code == "paymentNotRefundable"


async def test_a_dispute_makes_the_invoice_owed_again_until_it_is_won(database: Database) -> None:
    house = CardHouse()
    invoice, payment = await paid(database, house)
    terms = billing(house)
    for _ in range(2):
        await reversals.disputed(database, terms, payment.workspace_id, payment.id, 9_900, now=NOW, ids=IDS)
        stands = await invoice_now(database, invoice)
        assert (stands.status, stands.paid_minor, stands.open_minor) == ("past_due", 0, 9_900)
        assert stands.next_at is not None
    for _ in range(2):
        await reversals.disputed(database, terms, payment.workspace_id, payment.id, 0, now=NOW, ids=IDS)
        stands = await invoice_now(database, invoice)
        assert (stands.status, stands.paid_minor, stands.next_at) == ("paid", 9_900, None)
    told = await bills.facts_of(database, payment.workspace_id)
    assert told.count("payment.disputed") == 1


async def test_a_dispute_that_is_told_before_the_success_ends_the_same(database: Database) -> None:
    house = CardHouse(slow={"pm_card"})
    workspace = await payer(database, NOW, house)
    invoice = await owed(database, workspace, 9_900, NOW)
    terms = billing(house)
    payment = await payments.collect(database, terms, workspace, invoice.id, now=NOW, ids=IDS)
    assert payment is not None and payment.status == "processing"
    await reversals.disputed(database, terms, workspace, payment.id, 9_900, now=NOW, ids=IDS)
    await payments.record(database, terms, workspace, payment.id, Outcome("succeeded", "pi"), now=NOW, ids=IDS)
    stands = await invoice_now(database, invoice)
    assert (stands.status, stands.paid_minor) == ("past_due", 0)


async def test_what_was_given_back_elsewhere_is_learnt_once(database: Database) -> None:
    house = CardHouse()
    invoice, payment = await paid(database, house)
    for total in (1_000, 1_000, 400, 3_000):
        await reversals.refunded(database, billing(house), payment.workspace_id, payment.id, total, now=NOW, ids=IDS)
    (after,) = await payments_of(database, invoice)
    stands = await invoice_now(database, invoice)
    assert (after.refunded_minor, stands.paid_minor, sorted(await notes_of(database, invoice))) == (
        3_000,
        6_900,
        [1_000, 2_000],
    )
