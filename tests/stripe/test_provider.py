"""What the provider says of everything that may happen when Stripe is asked, and that nobody is charged twice."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import stripe
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tallystick.domain.billing.accounts import Account, Address, Method
from tallystick.domain.billing.payments import Checkout, Outcome, Payment
from tallystick.gateways.payments.stripe import API_VERSION, StripeProvider
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import SystemIds
from tests.conftest import NOW
from tests.stripe.conftest import provider_of
from tests.stripe.front import Front
from tests.stripe.objects import Fault

IDS = SystemIds()
ACCOUNT = Account(UUID(int=7), "Acme Ltd", "pay@acme.example", Address("1 Road", city="Cork"), country="IE")
DECLINED_LATER = "4000000000000341"
AUTHENTICATED = "4000002500003155"


def payment(method: Method | None = None, *, amount: int = 9_900, currency: str = "usd") -> Payment:
    """One that was just written down."""
    new = IDS.new(NOW)
    return Payment(
        workspace_id=ACCOUNT.workspace_id,
        id=new,
        invoice_id=IDS.new(NOW),
        provider="stripe",
        purpose="invoice",
        key=f"invoice:{new}:1",
        status="created",
        amount_minor=amount,
        currency=currency,
        created_at=NOW,
        updated_at=NOW,
        method=method,
    )


async def customer(provider: StripeProvider) -> str:
    return await provider.customer(replace(ACCOUNT, workspace_id=IDS.new(NOW)), name="Acme", key=f"c:{IDS.new(NOW)}")


async def card(provider: StripeProvider, front: Front, ref: str, number: str = "4242424242424242") -> Method:
    return await provider.attach(ref, await front.new_card(number), key=f"a:{IDS.new(NOW)}")


async def paying(provider: StripeProvider, front: Front, number: str = "4242424242424242") -> tuple[str, Method]:
    ref = await customer(provider)
    return ref, await card(provider, front, ref, number)


async def test_a_customer_is_made_once_and_brought_up_to_date(provider: StripeProvider, front: Front) -> None:
    account = replace(ACCOUNT, workspace_id=IDS.new(NOW))
    first = await provider.customer(account, name="Acme", key="c:1")
    again = await provider.customer(replace(account, legal_name="Acme plc"), name="Acme", key="c:1")
    known = await provider.customer(replace(account, customer_ref=first, email=None), name="Acme", key="c:2")
    assert first == again == known
    assert len(front.customers) == 1
    found = await front.inner("GET", f"/v1/customers/{first}")
    assert (found["name"], found["metadata"]) == ("Acme Ltd", {"tallystick_workspace": str(account.workspace_id)})


async def test_a_browser_adds_a_card_and_it_is_put_on_file(provider: StripeProvider, front: Front) -> None:
    ref = await customer(provider)
    secret = await provider.setup_intent(ref, key="s:1")
    assert secret == await provider.setup_intent(ref, key="s:1")
    method = await front.new_card(year=2033)
    await front.finish_setup(secret, method)
    assert await provider.attach(ref, method, key="a:1") == Method(method, "card", "visa", "4242", 12, 2033)
    found = await front.inner("GET", f"/v1/customers/{ref}")
    assert found["invoice_settings"]["default_payment_method"] == method


async def test_a_bank_account_has_no_expiry(provider: StripeProvider, front: Front) -> None:
    ref = await customer(provider)
    method = await provider.attach(ref, await front.new_account(), key="a:1")
    assert method == Method(method.id, "bank", "sepa_debit", "3000")


@pytest.mark.parametrize("given", ["pm_1", "pm_../../customers", "", "card", "pm_" + "x" * 300, "pm_1\n"])
async def test_a_method_that_stripe_does_not_know_is_named(given: str, provider: StripeProvider, front: Front) -> None:
    ref = await customer(provider)
    with pytest.raises(TallystickError) as refused:
        await provider.attach(ref, given, key="a:1")
    assert refused.value.code == "paymentMethodNotFound"


async def test_a_method_of_another_customer_is_not_found(provider: StripeProvider, front: Front) -> None:
    _, method = await paying(provider, front)
    other = await customer(provider)
    with pytest.raises(TallystickError) as refused:
        await provider.attach(other, method.id, key="a:1")
    assert refused.value.code == "paymentMethodNotFound"


async def test_a_card_that_its_bank_refuses_is_not_put_on_file(provider: StripeProvider, front: Front) -> None:
    ref = await customer(provider)
    with pytest.raises(TallystickError) as refused:
        await card(provider, front, ref, "4000000000000002")
    assert (refused.value.code, refused.value.message) == ("paymentMethodRefused", "The card was declined.")


async def test_a_setup_without_a_customer_fails_by_name(provider: StripeProvider) -> None:
    with pytest.raises(TallystickError) as refused:
        await provider.setup_intent("cus_unknown", key="s:1")
    assert refused.value.code == "failedToCreateSetupIntent"


async def test_a_card_is_charged_off_session(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front)
    asked = payment()
    outcome = await provider.charge(asked, ref, method, description="INV-1")
    assert outcome.status == "succeeded"
    assert await provider.look(asked) == outcome
    assert await provider.look(replace(asked, ref=outcome.ref)) == outcome
    assert (await front.books()).taken == [9_900]
    sent = next(one for one in front.asked if one.path == "/v1/payment_intents")
    assert (sent.key, sent.version) == (asked.key, API_VERSION)
    assert sent.params["metadata"] == {
        "tallystick_workspace": str(asked.workspace_id),
        "tallystick_payment": str(asked.id),
        "tallystick_invoice": str(asked.invoice_id),
    }


async def test_asked_again_under_the_same_key_nobody_is_charged_again(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front)
    asked = payment()
    outcomes = [await provider.charge(asked, ref, method, description="INV-1") for _ in range(3)]
    assert len(set(outcomes)) == 1
    assert (await front.books()).taken == [9_900]
    assert [one.replayed for one in front.asked if one.path == "/v1/payment_intents"] == [False, True, True]


async def test_asked_again_with_another_method_the_first_attempt_counts(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front)
    asked = payment()
    first = await provider.charge(asked, ref, method, description="INV-1")
    other = await card(provider, front, ref)
    assert await provider.charge(asked, ref, other, description="INV-1") == first
    front.search_lags = True
    with pytest.raises(TallystickError) as unknown:
        await provider.charge(asked, ref, other, description="INV-1")
    assert unknown.value.code == "paymentProviderUnavailable"
    assert (await front.books()).taken == [9_900]


async def test_the_method_written_down_with_a_payment_stands_over_the_one_on_file(
    provider: StripeProvider, front: Front
) -> None:
    ref, first = await paying(provider, front)
    second = await card(provider, front, ref)
    asked = payment(first)
    await provider.charge(asked, ref, second, description="INV-1")
    await provider.charge(asked, ref, first, description="INV-1")
    assert (await front.books()).taken == [9_900]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("insufficient_funds", "There is not enough money on the account."),
        ("expired_card", "The card has expired."),
        ("stolen_card", "The card was declined."),
        ("something_new", "The card was declined."),
    ],
)
async def test_a_declined_card_says_why_in_a_sentence(
    code: str, sentence: str, provider: StripeProvider, front: Front
) -> None:
    ref, method = await paying(provider, front)
    front.declines[method.id] = code
    asked = payment()
    outcome = await provider.charge(asked, ref, method, description="INV-1")
    assert (outcome.status, outcome.error_code, outcome.error_message) == ("failed", code, sentence)
    assert outcome.ref is not None
    assert await provider.look(replace(asked, ref=outcome.ref)) == outcome
    assert (await front.books()).taken == []


async def test_a_card_that_attaches_may_still_be_declined(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front, DECLINED_LATER)
    outcome = await provider.charge(payment(), ref, method, description="INV-1")
    assert (outcome.status, outcome.error_code) == ("failed", "generic_decline")


async def test_what_can_not_be_charged_at_all_has_failed(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front)
    small = await provider.charge(payment(amount=10), ref, method, description="INV-1")
    assert (small.status, small.error_code) == ("failed", "amount_too_small")
    gone = await provider.charge(payment(), ref, replace(method, id="pm_gone"), description="INV-2")
    assert (gone.status, gone.error_code) == ("failed", "resource_missing")
    bank = await provider.attach(ref, await front.new_account(), key="a:2")
    dollars = await provider.charge(payment(), ref, bank, description="INV-3")
    assert (dollars.status, dollars.error_message) == ("failed", "The payment was refused.")
    assert (await front.books()).taken == []


async def test_a_bank_that_wants_the_cardholder_gets_a_page_to_go_to(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front, AUTHENTICATED)
    asked = payment(method)
    outcome = await provider.charge(asked, ref, method, description="INV-1")
    assert outcome.status == "action_required"
    assert outcome.action_url == f"{front.url}/3ds/{outcome.ref}"
    assert outcome.ref is not None
    assert await provider.charge(asked, ref, method, description="INV-1") == outcome
    assert await provider.look(asked) == outcome
    assert (await front.books()).taken == []
    await front.authenticate(outcome.ref)
    found = await provider.look(replace(asked, ref=outcome.ref))
    assert found == Outcome("succeeded", ref=outcome.ref)
    assert (await front.books()).taken == [9_900]


async def test_a_cardholder_who_does_not_confirm_has_not_paid(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front, AUTHENTICATED)
    asked = payment(method)
    outcome = await provider.charge(asked, ref, method, description="INV-1")
    assert outcome.ref is not None
    await front.authenticate(outcome.ref, agrees=False)
    found = await provider.look(replace(asked, ref=outcome.ref))
    assert found is not None
    assert (found.status, found.error_code) == ("failed", "payment_intent_authentication_failure")


async def test_without_an_address_to_come_back_to_it_has_failed(front: Front) -> None:
    provider = provider_of(front, return_url=None)
    ref, method = await paying(provider, front, AUTHENTICATED)
    outcome = await provider.charge(payment(method), ref, method, description="INV-1")
    assert (outcome.status, outcome.error_code) == ("failed", "authentication_required")
    await provider.close()


@pytest.mark.parametrize("kind", ["before", "lost", "error"])
async def test_an_authentication_that_was_cut_off_is_found_again(
    kind: str, provider: StripeProvider, front: Front
) -> None:
    ref, method = await paying(provider, front, AUTHENTICATED)
    asked = payment(method)
    front.faults.append(Fault(kind, on="/confirm"))
    with pytest.raises(TallystickError):
        await provider.charge(asked, ref, method, description="INV-1")
    found = await provider.look(asked)
    assert found is not None
    assert found.status == "action_required"
    assert found.action_url


async def test_an_attempt_that_waits_can_be_given_up(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front, AUTHENTICATED)
    asked = payment(method)
    outcome = await provider.charge(asked, ref, method, description="INV-1")
    waiting = replace(asked, ref=outcome.ref, status="action_required")
    canceled = await provider.cancel(waiting)
    assert canceled is not None
    assert canceled.status == "canceled"
    assert await provider.cancel(waiting) == canceled
    assert await provider.look(waiting) == canceled


async def test_an_attempt_that_succeeded_meanwhile_is_not_given_up(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front, AUTHENTICATED)
    asked = payment(method)
    outcome = await provider.charge(asked, ref, method, description="INV-1")
    assert outcome.ref is not None
    await front.authenticate(outcome.ref)
    found = await provider.cancel(replace(asked, ref=outcome.ref))
    assert found == Outcome("succeeded", ref=outcome.ref)
    assert await provider.cancel(payment()) is None


async def test_a_bank_debit_takes_days_and_may_fail(provider: StripeProvider, front: Front) -> None:
    ref = await customer(provider)
    method = await provider.attach(ref, await front.new_account(), key="a:1")
    first, second = payment(method, currency="eur"), payment(method, currency="eur", amount=500)
    outcomes = [await provider.charge(one, ref, method, description="INV") for one in (first, second)]
    assert [one.status for one in outcomes] == ["processing", "processing"]
    assert (await front.books()).taken == []
    await front.settle(str(outcomes[0].ref))
    await front.settle(str(outcomes[1].ref), "insufficient_funds")
    arrived, bounced = await provider.look(first), await provider.look(second)
    assert arrived is not None
    assert bounced is not None
    assert arrived.status == "succeeded"
    assert (bounced.status, bounced.error_message) == ("failed", "There is not enough money on the account.")
    assert (await front.books()).taken == [9_900]


async def test_what_was_never_asked_for_is_not_known(provider: StripeProvider) -> None:
    assert await provider.look(payment()) is None


@pytest.mark.parametrize("kind", ["before", "lost", "error", "kept_error", "done_error", "limited", "running"])
async def test_where_nobody_knows_what_was_done_it_is_asked_again_later(
    kind: str, provider: StripeProvider, front: Front
) -> None:
    ref, method = await paying(provider, front)
    asked = payment(method)
    front.faults.append(Fault(kind))
    with pytest.raises(TallystickError) as unknown:
        await provider.charge(asked, ref, method, description="INV-1")
    assert unknown.value.code == "paymentProviderUnavailable"
    outcome = await provider.look(asked)
    if outcome is None and kind == "kept_error":
        # The key keeps the error for a day; then it is a new one.
        with pytest.raises(TallystickError):
            await provider.charge(asked, ref, method, description="INV-1")
        front.forget_keys()
    if outcome is None:
        outcome = await provider.charge(asked, ref, method, description="INV-1")
    assert outcome.status == "succeeded"
    assert (await front.books()).taken == [9_900]


async def test_two_at_once_charge_once(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front)
    asked = payment(method)
    calls = [provider.charge(asked, ref, method, description="INV-1") for _ in range(5)]
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(one, Outcome) and one.status == "succeeded" for one in told)
    refused = [one for one in told if isinstance(one, TallystickError)]
    assert {one.code for one in refused} <= {"paymentProviderUnavailable"}
    assert (await front.books()).taken == [9_900]


FAULTS = ("before", "lost", "error", "kept_error", "done_error", "limited", "running")


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(steps=st.lists(st.sampled_from(("ask", "look", "day", *FAULTS)), max_size=10))
async def test_whatever_goes_wrong_nobody_is_charged_twice(
    steps: list[str], provider: StripeProvider, front: Front
) -> None:
    """As flows/payments does it: look first, ask only where it was never heard of."""
    ref, method = await paying(provider, front)
    before = len((await front.books()).taken)
    asked = payment(method)
    known: Outcome | None = None

    async def turn() -> Outcome | None:
        found = await provider.look(asked)
        return found or await provider.charge(asked, ref, method, description="INV-1")

    for step in (*steps, "day", "ask"):
        if step in FAULTS:
            front.faults.append(Fault(step))
        elif step == "day":
            front.forget_keys()
            front.faults.clear()
        else:
            with suppress(TallystickError):
                known = await (provider.look(asked) if step == "look" else turn())
    assert known is not None
    assert known.status == "succeeded"
    assert len((await front.books()).taken) - before == 1


async def test_a_wrong_key_is_the_operators_to_mend_and_is_not_written_down(
    front: Front, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = provider_of(front, key="sk_wrong_secret")
    with pytest.raises(TallystickError) as refused:
        await provider.customer(ACCOUNT, name="Acme", key="c:1")
    assert refused.value.code == "paymentProviderMisconfigured"
    with pytest.raises(TallystickError) as refused:
        await provider.charge(payment(), "cus_1", Method("pm_1", "card", "visa", "4242"), description="INV")
    assert refused.value.code == "paymentProviderMisconfigured"
    written = capsys.readouterr()
    assert "stripe refused our key" in written.out + written.err
    assert "sk_wro" not in written.out + written.err
    assert "sk_wrong" not in repr(provider) + repr(refused.value)
    await provider.close()


async def test_refunds_are_made_once_however_often_and_however_late_they_are_asked_for(
    provider: StripeProvider, front: Front
) -> None:
    ref, method = await paying(provider, front)
    asked = payment(method)
    paid = replace(asked, ref=(await provider.charge(asked, ref, method, description="INV-1")).ref)
    part = await provider.refund(paid, 900, key="r:1")
    assert part.status == "succeeded"
    front.forget_keys()
    assert await provider.refund(paid, 900, key="r:1") == part
    front.faults.append(Fault("lost", on="/v1/refunds"))
    with pytest.raises(TallystickError):
        await provider.refund(paid, 1_000, key="r:2")
    front.forget_keys()
    await provider.refund(paid, 1_000, key="r:2")
    assert (await front.books()).given_back == 1_900
    rest = await provider.refund(paid, 8_000, key="r:3")
    more = await provider.refund(paid, 1, key="r:4")
    assert (rest.status, more.status, more.error_code) == ("succeeded", "failed", "charge_already_refunded")
    assert (await provider.refund(payment(), 1, key="r:5")).status == "failed"


@pytest.mark.parametrize("adjustable", [True, False])
async def test_a_checkout_is_paid_on_a_page(adjustable: bool, provider: StripeProvider, front: Front) -> None:
    ref = await customer(provider)
    asked = payment()
    wanted = Checkout(
        description="1,000 credits",
        credits=1_000 if adjustable else 1,
        unit_minor=1 if adjustable else 1_190,
        currency="usd",
        success_url="http://tally.test/done",
        cancel_url="http://tally.test/back",
        metadata={"tallystick_payment": str(asked.id)},
        is_adjustable=adjustable,
    )
    url = await provider.checkout(ref, wanted, key="k:1")
    assert url == await provider.checkout(ref, wanted, key="k:1")
    assert url == await provider.checkout(ref, replace(wanted, success_url="http://tally.test/other"), key="k:1")
    assert len(front.sessions) == 1
    assert await provider.look(asked) is None
    declined = await front.new_card(DECLINED_LATER)
    assert await front.pay(url, declined) is None
    refused = await provider.look(asked)
    assert refused is not None
    assert refused.status == "created"
    await front.pay(url, await front.new_card(), quantity=1_500 if adjustable else None)
    told = provider.read_webhook(*signed(front, "checkout.session.completed"), NOW)
    told = await provider.refresh(told)
    total = 1_500 if adjustable else 1_190
    assert (told.kind, told.amount_minor, told.quantity) == ("checkout", total, 1_500 if adjustable else 1)
    assert told.outcome is not None
    assert told.outcome.status == "succeeded"
    assert told.metadata == wanted.metadata
    assert (await front.books()).taken == [total]


async def test_a_portal_is_a_new_page_each_time(provider: StripeProvider, front: Front) -> None:
    ref = await customer(provider)
    pages = [await provider.portal(ref, "http://tally.test/billing") for _ in range(2)]
    assert pages[0] != pages[1]
    with pytest.raises(TallystickError) as refused:
        await provider.portal("cus_unknown", "http://tally.test/billing")
    assert refused.value.code == "paymentProviderMisconfigured"


async def test_every_call_that_changes_something_has_a_key(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front)
    asked = payment(method)
    paid = replace(asked, ref=(await provider.charge(asked, ref, method, description="INV-1")).ref)
    await provider.refund(paid, 100, key="r" * 400)
    await provider.setup_intent(ref, key="s:1")
    await provider.portal(ref, "http://tally.test/")
    posted = [one for one in front.asked if one.method == "POST"]
    assert len(posted) >= 7
    assert all(one.key and len(one.key) <= 255 and one.version == API_VERSION for one in posted)
    assert len({one.key for one in posted}) == len(posted)


def test_the_library_is_left_as_it_was() -> None:
    assert stripe.api_key is None
    assert stripe.enable_telemetry is False


def signed(front: Front, kind: str) -> tuple[bytes, dict[str, str]]:
    """The last webhook of this kind."""
    event: dict[str, Any] = [one for one in front.events if one["type"] == kind][-1]
    body, signature = front.signed(event)
    return body, {"stripe-signature": signature}
