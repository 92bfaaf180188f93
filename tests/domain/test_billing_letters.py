"""Letters about money: each says the amount, what follows and when, and one way on; two are never about one thing."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.telling import facts, figures
from tallystick.domain.telling.facts import KINDS, Fact
from tallystick.domain.telling.letters import Account, Circumstances
from tallystick.domain.telling.mails import dedup_of
from tallystick.domain.telling.writing import WRITTEN, write
from tallystick.gateways.letters import render_html, render_plain
from tallystick.kernel.credits import NANO

AT = dt.datetime(2026, 3, 14, 22, 30, tzinfo=dt.UTC)
ABOUT = Circumstances(
    "Acme",
    "Europe/Berlin",
    Account(5 * NANO, 75 * NANO),
    Account(100 * NANO, 10_000 * NANO),
    25 * NANO,
    -10 * NANO,
    support_email="help@tally.example",
    method="your Visa card ending in 4242",
    payment_url="https://tally.example/pay",
    invoice_urls={str(UUID(int=5)): "https://tally.example/invoice.pdf"},
)
VISA = {"kind": "card", "brand": "visa", "last4": "4242", "expMonth": 4, "expYear": 2027}
INVOICE: dict[str, Any] = {
    "invoiceUuid": str(UUID(int=5)),
    "number": "INV-0042",
    "purpose": "period",
    "status": "issued",
    "currency": "usd",
    "amount": 11_781,
    "taxAmount": 1_881,
    "openAmount": 11_781,
    "dueAt": "2026-03-28T22:30:00Z",
    "periodStart": "2026-02-14T23:00:00Z",
    "periodEnd": "2026-03-14T23:00:00Z",
}
PAYMENT: dict[str, Any] = {
    "purpose": "invoice",
    "currency": "usd",
    "amount": 11_781,
    "method": VISA,
    "errorMessage": "Your card has insufficient funds.",
    "invoiceUuid": str(UUID(int=5)),
    "invoiceNumber": "INV-0042",
    "nextAttemptAt": "2026-03-15T22:30:00Z",
    "stopsAt": "2026-03-28T22:30:00Z",
}
PRO = {"plan": "pro", "name": "Pro", "cadence": "monthly", "price": 9_900, "currency": "usd"}
LIFE: dict[str, Any] = {
    "plan": PRO,
    "trialEndsAt": "2026-03-24T09:00:00Z",
    "periodEnd": "2026-04-14T09:00:00Z",
}
PURCHASE: dict[str, Any] = {
    "credits": Decimal(500),
    "amount": 500,
    "currency": "usd",
    "automatic": False,
    "invoiceUuid": str(UUID(int=5)),
    "expiresAt": "2027-03-14T22:30:00Z",
}


def fact(kind: str, data: dict[str, Any] | None = None, **more: Any) -> Fact:
    return Fact(UUID(int=7), UUID(int=1), kind, AT, (data or {}) | more)


SAID: list[tuple[Fact, str, list[str]]] = [
    (
        fact(facts.INVOICE_ISSUED, INVOICE),
        "Invoice INV-0042 for Acme",
        [
            "$117.81 is collected from your Visa card ending in 4242 on its own; there is nothing to do.",
            "Of it tax: $18.81",
            "Period: 15 Feb 2026 to 15 Mar 2026",
            "Read the invoice: https://tally.example/invoice.pdf",
        ],
    ),
    (
        fact(facts.INVOICE_PAID, INVOICE, status="paid", openAmount=0),
        "Receipt: $117.81 for INV-0042",
        ["Invoice INV-0042 of Acme is paid since 14 Mar 2026."],
    ),
    (
        fact(facts.INVOICE_PAST_DUE, INVOICE, attempted=False, stopsAt="2026-04-11T22:30:00Z"),
        "Invoice INV-0042 of Acme is past due",
        [
            "Invoice INV-0042 ($117.81) was due 28 Mar 2026, and nothing has come yet.",
            "Everything goes on until 12 Apr 2026. From then on new runs are paused until it is paid",
        ],
    ),
    (
        fact(facts.INVOICE_REMINDER, INVOICE, reminder=2),
        "Invoice INV-0042 of Acme is still unpaid",
        ["by transfer with INV-0042 as the reference"],
    ),
    (fact(facts.INVOICE_UNCOLLECTIBLE, INVOICE), "Invoice INV-0042 of Acme was written off", ["new runs stay paused"]),
    (
        fact(facts.INVOICE_VOIDED, INVOICE, reason="made twice"),
        "Invoice INV-0042 of Acme was voided",
        ["Nothing is to be paid for invoice INV-0042 of $117.81. The reason: made twice."],
    ),
    (
        fact(facts.CREDIT_NOTE_ISSUED, INVOICE, number="CN-0003", amount=1_200, invoiceNumber="INV-0042"),
        "Credit note CN-0003 for Acme",
        ["It takes $12.00 off invoice INV-0042."],
    ),
    (
        fact(facts.PAYMENT_FAILED, PAYMENT),
        "Payment of $117.81 by Acme failed",
        [
            "Your bank declined $117.81",
            "We could not collect $117.81 for INV-0042 from your Visa card ending in 4242. The answer was: Your card",
            "We try again 15 Mar 2026.",
            "Update payment: https://tally.example/pay",
        ],
    ),
    (
        fact(facts.PAYMENT_FAILED, PAYMENT, nextAttemptAt=None, stopsAt=None),
        "Payment of $117.81 by Acme failed",
        ["We do not try again by ourselves."],
    ),
    (
        fact(facts.PAYMENT_ACTION_REQUIRED, PAYMENT, actionUrl="https://bank.example/3ds"),
        "Confirm a payment of $117.81 by Acme",
        ["Confirm payment: https://bank.example/3ds"],
    ),
    (
        fact(facts.PAYMENT_REFUNDED, PAYMENT, refundedAmount=1_200),
        "$12.00 was refunded to Acme",
        ["$12.00 goes back to your Visa card ending in 4242."],
    ),
    (
        fact(facts.PAYMENT_DISPUTED, PAYMENT, disputedAmount=11_781),
        "A payment of $117.81 by Acme was disputed",
        ["Contact Support (help@tally.example) if this was not meant, or pay again."],
    ),
    (
        fact(facts.METHOD_UPDATED, {"method": VISA}),
        "Payment method of Acme changed",
        ["What is past due, and automatic top-up, use it at once."],
    ),
    (
        fact(facts.METHOD_UPDATED, {"method": None}),
        "Payment method of Acme removed",
        ["Invoices are not collected by themselves any more."],
    ),
    (
        fact(facts.METHOD_EXPIRING, {"method": VISA, "endsAt": "2027-04-30T22:00:00Z"}),
        "The card of Acme ends soon",
        ["It is good until 1 May 2027."],
    ),
    (
        fact(facts.CREDITS_PURCHASED, PURCHASE),
        "500 credits for Acme: $5.00",
        ["Credits remaining: 5", "can be used until 14 Mar 2027"],
    ),
    (
        fact(facts.TOP_UP_SUCCEEDED, PURCHASE, automatic=True),
        "500 credits for Acme: $5.00",
        ["500 credits added by automatic top-up", "Your balance fell below what you set"],
    ),
    (
        fact(facts.TOP_UP_STOPPED, PURCHASE, error="Your card was declined."),
        "Automatic top-up of Acme has stopped",
        ["A payment failed: Your card was declined. Nothing was charged, and no credits were added."],
    ),
    (
        fact(facts.TRIAL_STARTED, LIFE),
        "Acme tries Pro",
        ["has all of Pro until 24 Mar 2026, 10:00 CET, at no cost", "Pro: $99.00 a month"],
    ),
    (
        fact(facts.TRIAL_ENDING, LIFE),
        "The trial of Acme ends 24 Mar 2026, 10:00 CET",
        ["no payment method is on file", "Add payment method: https://tally.example/pay"],
    ),
    (
        fact(facts.TRIAL_ENDED, LIFE),
        "The trial of Acme has ended",
        ["New runs are paused and schedules skip", "resume at once when you add a payment method or move to Free."],
    ),
    (
        fact(facts.PLAN_CHANGED, LIFE, previousPlan=PRO | {"name": "Free"}),
        "Acme is on Pro",
        ["Acme is on Pro since 14 Mar 2026, before on Free: $99.00 a month, next on 14 Apr 2026."],
    ),
    (
        fact(facts.CHANGE_PENDING, LIFE, change="downgrade", nextPlan=PRO | {"name": "Free"}),
        "The plan of Acme changes to Free on 14 Apr 2026",
        ["Pro goes on as it is until 14 Apr 2026; then Acme is on Free."],
    ),
    (
        fact(facts.CHANGE_PENDING, LIFE, change="cancel"),
        "The plan of Acme ends on 14 Apr 2026",
        ["take the change back before 14 Apr 2026"],
    ),
    (fact(facts.CHANGE_REVOKED, LIFE), "Acme stays on Pro", ["Pro goes on at $99.00 a month."]),
    (
        fact(facts.SUBSCRIPTION_PAST_DUE, LIFE),
        "New runs of Acme are paused",
        ["new runs are refused since 14 Mar 2026, 23:30 CET", "Update payment: https://tally.example/pay"],
    ),
    (fact(facts.SUBSCRIPTION_RESUMED, LIFE), "Acme is active again", ["Acme is active on Pro again: new runs start."]),
    (fact(facts.SUBSCRIPTION_PAUSED, LIFE), "New runs of Acme are paused", ["Acme was paused 14 Mar 2026"]),
    (
        fact(facts.SUBSCRIPTION_CANCELED, {"plan": PRO | {"name": "Free", "price": 0}, "previousPlan": PRO}),
        "The Pro of Acme has ended",
        ["It is on Free now. Bought credits stay."],
    ),
    (fact(facts.WORKSPACE_CLOSED), "Acme was closed", ["a last invoice covers what was used"]),
]


@pytest.mark.parametrize(("told", "subject", "words"), SAID, ids=[told.kind for told, *_ in SAID])
def test_a_letter_says_what_follows_and_when(told: Fact, subject: str, words: list[str]) -> None:
    letter = write(told, ABOUT)
    text = " ".join(render_plain(letter, sender="Tally").split())
    assert letter.subject == subject
    assert letter.steps
    for said in words:
        assert said in text
    assert dedup_of(told, "UTC") == f"fact:{UUID(int=1)}"


def test_every_fact_about_money_with_a_letter_is_in_the_table() -> None:
    billing = {kind for kind in WRITTEN if KINDS[kind].topic == "billing" and not kind.startswith("webhook.")}
    assert billing == {told.kind for told, *_ in SAID}


def test_without_anything_on_file_an_invoice_says_how_to_transfer() -> None:
    about = replace(ABOUT, method=None, invoice_urls={})
    text = " ".join(render_plain(write(fact(facts.INVOICE_ISSUED, INVOICE), about), sender="Tally").split())
    assert "Please transfer $117.81 by 28 Mar 2026, and give INV-0042 as the reference." in text
    assert "Pay: https://tally.example/pay" in text
    nowhere = replace(about, payment_url=None)
    assert "mailto:help@tally.example" in render_plain(write(fact(facts.INVOICE_ISSUED, INVOICE), nowhere), sender="T")


@pytest.mark.parametrize(
    "told",
    [
        fact(facts.INVOICE_ISSUED, INVOICE, amount=0),
        fact(facts.INVOICE_PAID, INVOICE, amount=0),
        fact(facts.INVOICE_ISSUED, INVOICE, purpose="purchase"),
        fact(facts.INVOICE_PAID, INVOICE, purpose="purchase"),
        fact(facts.INVOICE_VOIDED, INVOICE, purpose="purchase"),
        fact(facts.INVOICE_PAST_DUE, INVOICE),
        fact(facts.PAYMENT_FAILED, PAYMENT, purpose="topup"),
        fact(facts.CREDITS_PURCHASED, PURCHASE, automatic=True),
        fact(facts.SUBSCRIPTION_PAUSED, LIFE, reason="trialEnded"),
        fact(facts.SUBSCRIPTION_RENEWED, LIFE),
        fact(facts.PAYMENT_SUCCEEDED, PAYMENT),
    ],
    ids=lambda told: f"{told.kind} {told.data.get('purpose', '')}",
)
def test_nobody_gets_two_letters_about_one_thing_or_one_about_nothing(told: Fact) -> None:
    assert dedup_of(told, "UTC") is None


@pytest.mark.parametrize("address", ["javascript:alert(1)", "http://bank.example", "data:text/html,x", 7])
def test_only_a_banks_secure_page_is_linked(address: object) -> None:
    told = fact(facts.PAYMENT_ACTION_REQUIRED, PAYMENT, actionUrl=address)
    assert 'href="https://tally.example/pay"' in render_html(write(told, ABOUT), sender="Tally")


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (9_900, "usd", "$99.00"),
        (0, "usd", "$0.00"),
        (5, "eur", "€0.05"),
        (123_456_789, "gbp", "£1,234,567.89"),
        (1_200, "jpy", "¥1,200"),
        (-1_200, "usd", "−$12.00"),
        (-5, "chf", "−CHF 0.05"),
        (1_234_567, "kwd", "KWD 1,234.567"),
    ],
)
def test_money_reads_as_people_write_it(minor: int, currency: str, shown: str) -> None:
    assert figures.money(minor, currency) == shown


GOLDENS = Path(__file__).parent / "letters"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("invoice_issued", fact(facts.INVOICE_ISSUED, INVOICE)),
        ("payment_failed", fact(facts.PAYMENT_FAILED, PAYMENT)),
        ("trial_ending", fact(facts.TRIAL_ENDING, LIFE)),
        ("new_runs_paused", fact(facts.SUBSCRIPTION_PAST_DUE, LIFE)),
    ],
)
def test_letters_about_money_read_as_their_goldens(name: str, told: Fact) -> None:
    letter = write(told, ABOUT)
    assert render_plain(letter, sender="Acme AI") == (GOLDENS / f"{name}.txt").read_text(encoding="utf-8")
    assert render_html(letter, sender="Acme AI") == (GOLDENS / f"{name}.html").read_text(encoding="utf-8")
