"""Being paid through Stripe: what is lost, doubled, late, declined, disputed; and each ends as it must, paid once."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tallystick.domain.billing.invoices import Invoice
from tallystick.kernel.errors import TallystickError
from tests import make
from tests.stripe.objects import Fault
from tests.stripe.shop import ADDRESS, Shop
from tests.stripe.test_provider import AUTHENTICATED, FAULTS

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""A database takes its time: what fails is short enough to be read as it is found."""


async def standing(shop: Shop, invoice: Invoice) -> tuple[str, int]:
    found = await shop.invoice(invoice)
    return found.status, found.paid_minor


async def test_a_card_on_file_pays_and_webhooks_of_it_change_nothing(shop: Shop) -> None:
    workspace_id = await shop.payer()
    invoice = await shop.owes(workspace_id)
    payment = await shop.collect(invoice)
    assert payment is not None
    assert payment.status == "succeeded"
    assert await standing(shop, invoice) == ("paid", 9_900)
    events = shop.front.take()
    assert [event["type"] for event in events] == ["payment_intent.succeeded"]
    assert await shop.deliver(events) == ["applied"]
    assert await shop.deliver(events) == ["duplicate"]
    assert await standing(shop, invoice) == ("paid", 9_900)
    assert (await shop.facts(workspace_id)).count("payment.succeeded") == 1
    assert (await shop.front.books()).taken == [9_900]


@pytest.mark.parametrize("how", ["told", "told twice", "lost"])
async def test_an_answer_that_was_lost_is_told_or_looked_up(how: str, shop: Shop) -> None:
    workspace_id = await shop.payer()
    invoice = await shop.owes(workspace_id)
    shop.front.faults.append(Fault("lost"))
    with pytest.raises(TallystickError):
        await shop.collect(invoice)
    assert [(one.status, one.ref) for one in await shop.attempts(invoice)] == [("created", None)]
    if how == "lost":
        shop.lose()
        shop.pass_(days=2)
        shop.front.forget_keys()
        await shop.turn(workspace_id)
    else:
        await shop.deliver(shop.front.take() * (2 if how == "told twice" else 1))
    assert await standing(shop, invoice) == ("paid", 9_900)
    assert [one.status for one in await shop.attempts(invoice)] == ["succeeded"]
    assert (await shop.front.books()).taken == [9_900]


@pytest.mark.parametrize("told", [True, False])
async def test_a_bank_debit_takes_days(told: bool, shop: Shop) -> None:
    workspace_id = await shop.payer(iban="DE89370400440532013000")
    invoice = await shop.owes(workspace_id, currency="eur")
    payment = await shop.collect(invoice)
    assert payment is not None
    assert payment.status == "processing"
    assert (await shop.invoice(invoice)).status == "issued"
    shop.pass_(days=4)
    await shop.front.settle(str(payment.ref))
    if told:
        await shop.deliver()
    else:
        shop.lose()
        await shop.turn(workspace_id)
    assert await standing(shop, invoice) == ("paid", 9_900)
    assert len(await shop.attempts(invoice)) == 1


@pytest.mark.parametrize("told", [True, False])
async def test_a_bank_debit_that_comes_back_is_dunned(told: bool, shop: Shop) -> None:
    workspace_id = await shop.payer(iban="DE89370400440532013000")
    invoice = await shop.owes(workspace_id, currency="eur")
    payment = await shop.collect(invoice)
    assert payment is not None
    shop.pass_(days=4)
    await shop.front.settle(str(payment.ref), "insufficient_funds")
    if told:
        await shop.deliver()
    else:
        shop.lose()
        await shop.look(payment)
    assert await standing(shop, invoice) == ("past_due", 0)
    attempt = (await shop.attempts(invoice))[0]
    assert (attempt.status, attempt.error_message) == ("failed", "There is not enough money on the account.")
    assert "invoice.past_due" in await shop.facts(workspace_id)


async def test_a_declined_card_is_tried_again_and_a_new_one_pays_at_once(shop: Shop) -> None:
    workspace_id = await shop.payer()
    invoice = await shop.owes(workspace_id)
    shop.front.declines[(await shop.method(workspace_id)).id] = "insufficient_funds"
    await shop.turn(workspace_id)
    assert await standing(shop, invoice) == ("past_due", 0)
    shop.pass_(days=1, minutes=1)
    await shop.turn(workspace_id)
    assert [one.status for one in await shop.attempts(invoice)] == ["failed", "failed"]
    shop.pass_(minutes=5)
    await shop.put_on_file(workspace_id, "4242424242424242")
    await shop.turn(workspace_id)
    assert await standing(shop, invoice) == ("paid", 9_900)
    assert [one.status for one in await shop.attempts(invoice)] == ["failed", "failed", "succeeded"]
    assert (await shop.front.books()).taken == [9_900]
    assert set(await shop.deliver()) == {"applied"}
    assert await standing(shop, invoice) == ("paid", 9_900)


@pytest.mark.parametrize("told", [True, False])
async def test_the_cardholder_confirms_and_has_paid(told: bool, shop: Shop) -> None:
    workspace_id = await shop.payer(AUTHENTICATED)
    invoice = await shop.owes(workspace_id)
    payment = await shop.collect(invoice)
    assert payment is not None
    assert (payment.status, payment.action_url) == ("action_required", f"{shop.front.url}/3ds/{payment.ref}")
    await shop.deliver()
    assert (await shop.attempts(invoice))[0].status == "action_required"
    await shop.front.authenticate(str(payment.ref))
    if told:
        await shop.deliver()
    else:
        shop.lose()
        shop.pass_(days=1)
        await shop.turn(workspace_id)
    assert await standing(shop, invoice) == ("paid", 9_900)


async def test_a_new_card_gives_up_what_waits_for_the_cardholder(shop: Shop) -> None:
    workspace_id = await shop.payer(AUTHENTICATED)
    invoice = await shop.owes(workspace_id)
    waiting = await shop.collect(invoice)
    assert waiting is not None
    shop.pass_(minutes=1)
    await shop.put_on_file(workspace_id, "4242424242424242")
    await shop.collect(invoice)
    assert await standing(shop, invoice) == ("paid", 9_900)
    assert [one.status for one in await shop.attempts(invoice)] == ["canceled", "succeeded"]
    with pytest.raises(AssertionError):
        await shop.front.authenticate(str(waiting.ref))
    assert (await shop.front.books()).taken == [9_900]


async def test_who_confirmed_before_a_new_card_came_has_paid_with_the_old_one(shop: Shop) -> None:
    workspace_id = await shop.payer(AUTHENTICATED)
    invoice = await shop.owes(workspace_id)
    waiting = await shop.collect(invoice)
    assert waiting is not None
    await shop.front.authenticate(str(waiting.ref))
    shop.pass_(minutes=1)
    await shop.put_on_file(workspace_id, "4242424242424242")
    await shop.collect(invoice)
    assert await standing(shop, invoice) == ("paid", 9_900)
    assert (await shop.front.books()).taken == [9_900]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=PHASES)
@given(
    faults=st.lists(st.sampled_from((*FAULTS, "day")), max_size=6),
    arrives=st.booleans(),
    seed=st.integers(0, 1_000),
)
async def test_whatever_is_lost_doubled_or_mixed_up_an_invoice_is_paid_once(
    faults: list[str], arrives: bool, seed: int, shop: Shop
) -> None:
    order = random.Random(seed)
    workspace_id = await shop.payer()
    invoice = await shop.owes(workspace_id)
    before = len((await shop.front.books()).taken)
    for fault in faults:
        if fault == "day":
            shop.front.forget_keys()
            shop.pass_(days=1, minutes=1)
        else:
            shop.front.faults.append(Fault(fault))
        await shop.turn(workspace_id)
        if arrives:
            await shop.deliver(order=order)
    for _ in range(3):
        shop.front.faults.clear()
        shop.front.forget_keys()
        shop.pass_(days=8)
        await shop.turn(workspace_id)
    await shop.deliver(order=order)
    assert await standing(shop, invoice) == ("paid", 9_900)
    assert len((await shop.front.books()).taken) - before == 1
    assert (await shop.facts(workspace_id)).count("payment.succeeded") == 1


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=PHASES)
@given(seed=st.integers(0, 10_000), won=st.booleans())
async def test_the_order_of_webhooks_does_not_matter(seed: int, won: bool, shop: Shop) -> None:
    """Charged, partly refunded in the dashboard, disputed, and the dispute closed: all told at the end, mixed up."""
    order = random.Random(seed)
    workspace_id = await shop.payer()
    invoice = await shop.owes(workspace_id)
    payment = await shop.collect(invoice)
    assert payment is not None
    await shop.runtime.billing.provider("stripe").refund(payment, 900, key=f"dashboard:{payment.id}")
    dispute = await shop.front.dispute(str(payment.ref), 5_000)
    await shop.front.close_dispute(dispute, won=won)
    await shop.deliver(order=order)
    found = (await shop.attempts(invoice))[0]
    assert (found.status, found.refunded_minor, found.disputed_minor) == ("succeeded", 900, 0 if won else 5_000)
    after = await shop.invoice(invoice)
    assert (after.status, after.credited_minor) == ("paid" if won else "past_due", 900)
    assert after.paid_minor == 9_000 - (0 if won else 5_000)


async def test_a_dispute_is_owed_again_until_it_is_won(shop: Shop) -> None:
    workspace_id = await shop.payer()
    invoice = await shop.owes(workspace_id)
    payment = await shop.collect(invoice)
    assert payment is not None
    dispute = await shop.front.dispute(str(payment.ref))
    await shop.deliver()
    assert await standing(shop, invoice) == ("past_due", 0)
    assert "payment.disputed" in await shop.facts(workspace_id)
    await shop.front.close_dispute(dispute, won=True)
    await shop.deliver()
    assert await standing(shop, invoice) == ("paid", 9_900)
    assert await make.differences(shop.runtime.database, workspace_id) == []


async def test_what_is_told_before_our_own_answer_is_written_counts_once(shop: Shop) -> None:
    """The webhook overtakes the answer to our own call."""
    workspace_id = await shop.payer()
    invoice = await shop.owes(workspace_id)
    shop.front.faults.append(Fault("lost"))
    with pytest.raises(TallystickError):
        await shop.collect(invoice)
    payment = (await shop.attempts(invoice))[0]
    await shop.deliver()
    outcome = await shop.runtime.billing.provider("stripe").look(replace(payment, ref=None))
    assert outcome is not None
    assert (await shop.look(payment)).status == "succeeded"
    assert await standing(shop, invoice) == ("paid", 9_900)


async def test_a_dispute_of_which_nobody_told_us_is_asked_for(shop: Shop) -> None:
    workspace_id = await shop.payer()
    invoice = await shop.owes(workspace_id)
    payment = await shop.collect(invoice)
    assert payment is not None
    await shop.deliver()
    await shop.runtime.billing.provider("stripe").refund(payment, 900, key=f"dashboard:{payment.id}")
    await shop.front.dispute(str(payment.ref), 5_000)
    for number in range(5):
        shop.front.tell("invoice.finalized", {"id": f"in_{number}"})
    shop.lose()
    # With what was told of the card at the beginning.
    assert await shop.catch_up() == 6
    found = (await shop.attempts(invoice))[0]
    assert (found.refunded_minor, found.disputed_minor) == (900, 5_000)
    assert await standing(shop, invoice) == ("past_due", 4_000)
    assert await shop.catch_up() == 0
    shop.pass_(days=4)
    shop.front.is_down = True
    with pytest.raises(TallystickError):
        await shop.catch_up()


async def test_the_same_webhook_at_once_counts_once(shop: Shop) -> None:
    workspace_id = await shop.payer()
    invoice = await shop.owes(workspace_id)
    shop.front.faults.append(Fault("lost"))
    with pytest.raises(TallystickError):
        await shop.collect(invoice)
    event = shop.front.take("payment_intent.succeeded")[0]
    answers = await asyncio.gather(*(shop.post(event) for _ in range(6)))
    assert sorted(one.json()["outcome"] for one in answers) == ["applied"] + ["duplicate"] * 5
    assert await standing(shop, invoice) == ("paid", 9_900)
    assert (await shop.facts(workspace_id)).count("payment.succeeded") == 1


# --- methods ---


async def test_a_card_added_in_the_browser_counts_though_nobody_came_back(shop: Shop) -> None:
    workspace_id = await shop.payer()
    account = await shop.account(workspace_id)
    secret = await shop.runtime.billing.provider("stripe").setup_intent(str(account.customer_ref), key="s:1")
    method = await shop.front.new_card(year=2039)
    await shop.front.finish_setup(secret, method)
    assert set(await shop.deliver()) == {"applied"}
    assert (await shop.method(workspace_id)).exp_year == 2039


async def test_a_renewed_card_is_shown_and_a_removed_one_is_off_file(shop: Shop) -> None:
    workspace_id = await shop.payer()
    first = await shop.method(workspace_id)
    await shop.front.renew_card(first.id, "1111", 2040)
    await shop.deliver()
    assert await shop.method(workspace_id) == replace(first, last4="1111", exp_year=2040)
    await shop.front.detach(first.id)
    gone = shop.front.take()
    await shop.deliver(gone)
    assert (await shop.account(workspace_id)).method is None
    second = await shop.put_on_file(workspace_id, "4242424242424242")
    await shop.deliver(gone)
    assert (await shop.method(workspace_id)).id == second


async def test_another_card_of_the_customer_stays_beside_the_one_on_file(shop: Shop) -> None:
    workspace_id = await shop.payer()
    first = await shop.method(workspace_id)
    account = await shop.account(workspace_id)
    await shop.front._attach({"customer": account.customer_ref}, await shop.front.new_card())
    await shop.deliver()
    assert await shop.method(workspace_id) == first


# --- who is told what ---


async def test_what_is_of_nobody_here_is_answered_and_ignored(shop: Shop) -> None:
    strange: list[dict[str, Any]] = [
        shop.front.tell("invoice.finalized", {"id": "in_1"}),
        shop.front.tell("payment_intent.succeeded", {"id": "pi_of_others", "status": "succeeded"}),
        shop.front.tell("payment_method.attached", {"id": "pm_1", "customer": "cus_of_others"}),
        shop.front.tell("charge.refunded", {"id": "ch_1", "payment_intent": "pi_of_others"}),
        shop.front.tell("charge.refunded", {"id": "ch_2", "payment_intent": None}),
        shop.front.tell(
            "payment_intent.succeeded",
            {
                "id": "pi_2",
                "status": "succeeded",
                "metadata": {
                    "tallystick_workspace": "00000000-0000-4000-8000-000000000000",
                    "tallystick_payment": "00000000-0000-4000-8000-000000000001",
                },
            },
        ),
        shop.front.tell("payment_intent.succeeded", {"id": "pi_3", "metadata": {"tallystick_workspace": "x"}}),
    ]
    assert set(await shop.deliver(strange)) == {"ignored"}
    assert set(await shop.deliver(strange)) == {"duplicate"}


async def test_a_webhook_that_we_can_not_look_into_is_sent_again(shop: Shop) -> None:
    workspace_id = await shop.payer(iban="DE89370400440532013000")
    invoice = await shop.owes(workspace_id, currency="eur")
    payment = await shop.collect(invoice)
    assert payment is not None
    await shop.front.settle(str(payment.ref), "account_closed")
    event = shop.front.take("payment_intent.payment_failed")[0]
    shop.front.is_down = True
    answer = await shop.post(event)
    assert (answer.status_code, answer.json()["reason"]) == (503, "paymentProviderUnavailable")
    shop.front.is_down = False
    assert (await shop.post(event)).json() == {"outcome": "applied"}
    assert (await shop.attempts(invoice))[0].error_message == "The bank account is closed."


async def test_only_what_stripe_signed_is_heard(shop: Shop) -> None:
    event = shop.front.tell("invoice.finalized", {"id": "in_1"})
    assert (await shop.post(event, secret="whsec_wrong")).status_code == 400
    assert (await shop.post(event, secret="whsec_before")).status_code == 200
    body, signature = shop.front.signed(event)
    for headers, content, status, reason in (
        ({}, body, 400, "invalidSignature"),
        ({"stripe-signature": signature}, body + b" ", 400, "invalidSignature"),
        ({"stripe-signature": signature}, b"x" * 300_000, 413, "bodyTooLarge"),
        ({"stripe-signature": signature, "content-type": "text/html"}, body, 415, "unsupportedMediaType"),
    ):
        answer = await shop.http.post(ADDRESS, content=content, headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)
