"""Webhooks: who may tell us something, and what is understood of it."""

import datetime as dt
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe import WebhookSignature

from tallystick.domain.billing.accounts import Method
from tallystick.domain.billing.payments import Told
from tallystick.gateways.payments.stripe import StripeProvider
from tallystick.gateways.payments.stripe_webhooks import TYPES, read
from tallystick.kernel.errors import TallystickError
from tests.conftest import NOW
from tests.stripe.front import SECRET, Front
from tests.stripe.test_provider import AUTHENTICATED, card, customer, paying, payment, signed

EVENT = {"id": "evt_1", "object": "event", "type": "a.b", "created": 1_700_000_000, "data": {"object": {}}}


def sign(body: str, secret: str = SECRET, at: dt.datetime = NOW) -> dict[str, str]:
    return {"Stripe-Signature": WebhookSignature.generate_signature_header(body, secret, int(at.timestamp()))}


def taken(body: str, headers: dict[str, str], *secrets: str) -> Told:
    return read(body.encode(), headers, secrets or (SECRET,), NOW)


def test_what_we_do_not_know_is_other() -> None:
    told = taken(json.dumps(EVENT), sign(json.dumps(EVENT)))
    at = dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)
    assert told == Told(id="evt_1", kind="other", at=at, type="a.b")


BODY = json.dumps(EVENT)


@pytest.mark.parametrize(
    ("why", "body", "headers"),
    [
        ("no signature", BODY, {}),
        ("empty", BODY, {"stripe-signature": ""}),
        ("nonsense", BODY, {"stripe-signature": "t=now,v1=abc"}),
        ("no time", BODY, {"stripe-signature": "v1=abc"}),
        ("another secret", BODY, sign(BODY, "whsec_other")),
        ("another body", BODY + " ", sign(BODY)),
        ("another scheme", BODY, {"stripe-signature": sign(BODY)["Stripe-Signature"].replace("v1=", "v0=")}),
        ("too old", BODY, sign(BODY, at=NOW - dt.timedelta(minutes=6))),
        ("from the future", BODY, sign(BODY, at=NOW + dt.timedelta(minutes=6))),
    ],
)
def test_only_stripe_may_tell_us(why: str, body: str, headers: dict[str, str]) -> None:
    with pytest.raises(TallystickError) as refused:
        taken(body, headers)
    assert refused.value.code == "invalidSignature", why
    assert "whsec" not in str(refused.value) + repr(refused.value.details)


def test_without_a_secret_nobody_may() -> None:
    for secrets in ((), ("",)):
        with pytest.raises(TallystickError):
            read(BODY.encode(), sign(BODY, secrets[0] if secrets else "x"), secrets, NOW)


def test_during_a_rotation_either_secret_signs() -> None:
    assert taken(BODY, sign(BODY, "whsec_old"), "whsec_new", "whsec_old").id == "evt_1"
    both = sign(BODY, "whsec_gone")["Stripe-Signature"] + "," + sign(BODY)["Stripe-Signature"].split(",")[1]
    assert taken(BODY, {"stripe-signature": both}).id == "evt_1"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "1",
        "{",
        "{}",
        json.dumps(EVENT | {"id": None}),
        json.dumps(EVENT | {"id": "x" * 300}),
        json.dumps(EVENT | {"id": "a\0b"}),
        json.dumps(EVENT | {"type": 5}),
        json.dumps(EVENT | {"created": "soon"}),
        json.dumps(EVENT | {"created": 10**30}),
        json.dumps(EVENT | {"type": "payment_intent.succeeded"}),
        json.dumps(EVENT | {"type": "payment_intent.succeeded", "data": None}),
        json.dumps(EVENT | {"type": "payment_intent.succeeded", "data": {"object": []}}),
        "[" * 100_000,
    ],
)
def test_what_is_signed_and_no_webhook_is_named(body: str) -> None:
    with pytest.raises(TallystickError) as refused:
        taken(body, sign(body))
    assert refused.value.code == "invalidWebhook"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(TallystickError) as refused:
        read(b"\xff\xfe", {"stripe-signature": "t=1,v1=a"}, (SECRET,), NOW)
    assert refused.value.code == "invalidSignature"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("id", "status", "customer", "payment_intent", "payment_method", "metadata", "amount_total", "next_action")


@given(kind=st.sampled_from(TYPES), about=st.dictionaries(st.sampled_from(NAMES), ANYTHING), before=ANYTHING)
def test_whatever_an_object_holds_it_is_understood_or_named(kind: str, about: dict[str, Any], before: Any) -> None:
    body = json.dumps(EVENT | {"type": kind, "data": {"object": about, "previous_attributes": before}})
    try:
        told = taken(body, sign(body))
    except TallystickError as refused:
        assert refused.code == "invalidWebhook"  # noqa: PT017
    else:
        assert told.type == kind


def test_the_guide_names_every_event_that_an_endpoint_should_be_sent() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "stripe.md").read_text(encoding="utf-8")
    named: set[str] = set()
    for row in (line for line in guide.splitlines() if line.startswith("| `")):
        before = ""
        for name in re.findall(r"`([^`]+)`", row.split("|")[1]):
            before = name if not name.startswith(".") else before.rpartition(".")[0] + name
            named.add(before)
    assert set(TYPES) <= named


async def heard(provider: StripeProvider, front: Front, kind: str) -> Told:
    """The last webhook of this kind, read and brought up to now."""
    return await provider.refresh(provider.read_webhook(*signed(front, kind), NOW))


async def test_a_payment_is_told_with_what_it_is_for(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front)
    asked = payment(method)
    outcome = await provider.charge(asked, ref, method, description="INV-1")
    told = await heard(provider, front, "payment_intent.succeeded")
    assert (told.kind, told.ref, told.customer_ref, told.outcome) == ("payment", outcome.ref, ref, outcome)
    assert told.metadata["tallystick_payment"] == str(asked.id)


async def test_an_old_picture_is_taken_anew(provider: StripeProvider, front: Front) -> None:
    ref = await customer(provider)
    method = await provider.attach(ref, await front.new_account(), key="a:1")
    outcome = await provider.charge(payment(method, currency="eur"), ref, method, description="INV-1")
    await front.settle(str(outcome.ref))
    told = provider.read_webhook(*signed(front, "payment_intent.processing"), NOW)
    assert told.outcome is not None
    assert told.outcome.status == "processing"
    fresh = await provider.refresh(told)
    assert fresh.outcome is not None
    assert fresh.outcome.status == "succeeded"


async def test_a_payment_on_its_way_to_the_cardholder_is_not_told_as_failed(
    provider: StripeProvider, front: Front
) -> None:
    ref, method = await paying(provider, front, AUTHENTICATED)
    asked = payment(method)
    outcome = await provider.charge(asked, ref, method, description="INV-1")
    told = await heard(provider, front, "payment_intent.payment_failed")
    assert told.outcome == outcome
    front.shown[str(outcome.ref)] |= {
        "status": "requires_payment_method",
        "last_payment_error": {"code": "authentication_required"},
    }
    assert (await heard(provider, front, "payment_intent.payment_failed")).kind == "other"


async def test_refunds_are_told_by_what_was_given_back_in_all(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front)
    asked = payment(method)
    paid = replace(asked, ref=(await provider.charge(asked, ref, method, description="INV-1")).ref)
    await provider.refund(paid, 1_000, key="r:1")
    first = signed(front, "charge.refunded")
    second = await provider.refund(paid, 2_000, key="r:2")
    for one in (first, signed(front, "charge.refunded"), signed(front, "refund.created")):
        told = await provider.refresh(provider.read_webhook(*one, NOW))
        assert (told.kind, told.ref, told.amount_minor) == ("refund", paid.ref, 3_000)
        assert told.metadata["tallystick_payment"] == str(asked.id)
    await front.fail_refund(str(second.ref))
    assert (await heard(provider, front, "refund.failed")).amount_minor == 1_000


async def test_disputes_are_told_as_they_stand(provider: StripeProvider, front: Front) -> None:
    ref, method = await paying(provider, front)
    outcome = await provider.charge(payment(method), ref, method, description="INV-1")
    dispute = await front.dispute(str(outcome.ref), 4_000)
    told = await heard(provider, front, "charge.dispute.created")
    assert (told.kind, told.amount_minor, told.ref) == ("dispute", 4_000, outcome.ref)
    await front.close_dispute(dispute, won=True)
    for kind in ("charge.dispute.created", "charge.dispute.closed"):
        told = await heard(provider, front, kind)
        assert (told.kind, told.amount_minor) == ("dispute_won", 0)
    lost = await front.dispute(str(outcome.ref), 5_000)
    await front.close_dispute(lost, won=False)
    told = await heard(provider, front, "charge.dispute.closed")
    assert (told.kind, told.amount_minor) == ("dispute", 5_000)


async def test_methods_are_told_with_how_they_are_shown(provider: StripeProvider, front: Front) -> None:
    ref = await customer(provider)
    secret = await provider.setup_intent(ref, key="s:1")
    method = await front.new_card()
    await front.finish_setup(secret, method)
    shown = Method(method, "card", "visa", "4242", 12, 2031)
    set_up = await heard(provider, front, "setup_intent.succeeded")
    attached = await heard(provider, front, "payment_method.attached")
    assert [(one.kind, one.fits, one.customer_ref, one.method) for one in (set_up, attached)] == [
        ("method", "any", ref, shown),
        ("method", "none", ref, shown),
    ]
    await front.renew_card(method, "9999", 2036)
    renewed = await heard(provider, front, "payment_method.automatically_updated")
    assert (renewed.fits, renewed.method) == ("same", replace(shown, last4="9999", exp_year=2036))
    await front.detach(method)
    removed = await heard(provider, front, "payment_method.detached")
    assert (removed.kind, removed.ref, removed.customer_ref) == ("method_removed", method, ref)
    assert (await heard(provider, front, "setup_intent.succeeded")).kind == "other"


async def test_another_card_chosen_on_the_portal_is_told(provider: StripeProvider, front: Front) -> None:
    ref, _ = await paying(provider, front)
    second = await card(provider, front, ref)
    told = await heard(provider, front, "customer.updated")
    assert (told.kind, told.ref, told.fits) == ("method", second.id, "any")
    await front.inner("POST", f"/v1/customers/{ref}", {"name": "Other"})
    front.tell("customer.updated", await front.inner("GET", f"/v1/customers/{ref}"), {"name": "Acme"})
    assert (await heard(provider, front, "customer.updated")).kind == "other"


async def test_what_is_gone_is_of_no_interest(provider: StripeProvider, front: Front) -> None:
    front.tell("payment_method.attached", {"id": "pm_gone", "customer": "cus_1"})
    assert (await heard(provider, front, "payment_method.attached")).kind == "other"
