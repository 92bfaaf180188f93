"""Which facts make mails, how often, and that a letter stands whatever a fact holds."""

import datetime as dt
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.telling import facts, figures
from tallystick.domain.telling.facts import KINDS, Fact
from tallystick.domain.telling.letters import Account, Circumstances, subject_line
from tallystick.domain.telling.mails import MAILED, Recipient, dedup_of, mail_id, message_id, pause_after
from tallystick.domain.telling.writing import WRITTEN, write
from tallystick.gateways.letters import render_html, render_plain
from tallystick.kernel.credits import NANO

WORKSPACE = UUID(int=7)
AT = dt.datetime(2026, 3, 14, 22, 30, tzinfo=dt.UTC)
ABOUT = Circumstances(
    "Acme", "UTC", Account(5 * NANO, 75 * NANO), Account(100 * NANO, 10_000 * NANO), 25 * NANO, -10 * NANO
)


def fact(kind: str, at: dt.datetime = AT, **data: Any) -> Fact:
    return Fact(WORKSPACE, UUID(int=1), kind, at, data)


@pytest.mark.parametrize(
    ("told", "zone", "dedup"),
    [
        (fact(facts.CREDITS_THRESHOLD, threshold=20), "UTC", None),
        (fact(facts.CREDITS_THRESHOLD, threshold=50), "UTC", "credits:50:2026-03-14"),
        (fact(facts.CREDITS_THRESHOLD, threshold=70), "UTC", "credits:70:2026-03-14"),
        (fact(facts.CREDITS_THRESHOLD, threshold=80), "UTC", "credits:80:2026-03-14"),
        (fact(facts.CREDITS_THRESHOLD, threshold=90), "UTC", "credits:90:2026-03-14"),
        (fact(facts.CREDITS_THRESHOLD, threshold=90), "Asia/Tokyo", "credits:90:2026-03-15"),
        (fact(facts.CREDITS_THRESHOLD, threshold="none"), "UTC", None),
        (fact(facts.CREDITS_THRESHOLD), "UTC", None),
        (fact(facts.TOOL_RUNS_THRESHOLD, threshold=50), "UTC", "tool_runs:50:2026-03-14"),
        (fact(facts.CREDITS_EXHAUSTED, threshold=100), "UTC", "credits:100:2026-03-14"),
        (fact(facts.TOOL_RUNS_EXHAUSTED, threshold=100), "America/New_York", "tool_runs:100:2026-03-14"),
        (fact(facts.CREDITS_EXPIRED, amount=1), "UTC", "credits:expired:2026-03-14"),
        (fact(facts.CREDITS_EXPIRED, amount=1, renewed=True), "UTC", None),
        (fact(facts.CREDITS_GRANTED, amount=1), "UTC", None),
        (fact(facts.CREDITS_ADJUSTED, amount=1), "UTC", None),
        (fact(facts.DEPLOYMENT_CREATED), "UTC", None),
        (fact(facts.DEPLOYMENT_SCALED), "UTC", None),
        (fact(facts.DEPLOYMENT_DEPLOYED), "UTC", f"fact:{UUID(int=1)}"),
        (fact(facts.LOW_REACHED), "UTC", f"fact:{UUID(int=1)}"),
        (fact("something.new"), "UTC", None),
    ],
)
def test_a_fact_makes_a_mail_once_a_threshold_and_day_of_the_workspaces_zone(
    told: Fact, zone: str, dedup: str | None
) -> None:
    assert dedup_of(told, zone) == dedup


def test_every_kind_that_makes_a_mail_has_a_letter_and_no_other() -> None:
    assert MAILED == WRITTEN
    assert set(KINDS) >= WRITTEN


@pytest.mark.parametrize(
    ("role", "muted", "wants"),
    [
        ("owner", frozenset(), True),
        ("admin", frozenset(), True),
        ("admin", frozenset({"credits"}), False),
        ("admin", frozenset({"deployments"}), True),
        ("member", frozenset(), False),
        ("viewer", frozenset(), False),
    ],
)
def test_owners_and_admins_get_what_they_did_not_turn_off(role: str, muted: frozenset[str], wants: bool) -> None:
    assert Recipient(UUID(int=2), "a@b.example", "", role, muted).wants("credits") is wants


def test_pauses_grow_to_eight_hours_and_ten_attempts_take_about_a_day() -> None:
    pauses = [pause_after(attempt, 0).total_seconds() for attempt in range(1, 11)]
    assert pauses == [30, 90, 270, 810, 2_430, 7_290, 21_870, 28_800, 28_800, 28_800]
    assert pause_after(1, 1_000).total_seconds() == 37.5
    assert pause_after(50, 10**9) == dt.timedelta(hours=10)
    assert dt.timedelta(hours=20) < sum(map(dt.timedelta, [0] * 9, pauses[:9]), dt.timedelta()) < dt.timedelta(days=2)


def test_a_mail_has_one_id_however_often_it_is_made() -> None:
    told = fact(facts.CREDITS_EXHAUSTED)
    assert mail_id(told, UUID(int=2)) == mail_id(told, UUID(int=2)) != mail_id(told, UUID(int=3))
    later = fact(facts.CREDITS_EXHAUSTED, AT + dt.timedelta(milliseconds=1))
    assert all(mail_id(told, UUID(int=n)) < mail_id(later, UUID(int=m)) for n in range(9) for m in range(9))
    assert message_id(UUID(int=2), "tally.example") == f"<{UUID(int=2)}@tally.example>"


@pytest.mark.parametrize(
    ("nano", "shown", "exact"),
    [
        (0, "0", None),
        (75 * NANO, "75", None),
        (212_160_000_000, "212.16", None),
        (12_899_500_000_000, "12,899.5", None),
        (12_899_512_345_678, "12,899.5", "12899.512345678"),
        (-3_200_000_000, "−3.20", None),
        (-3_201_234_567, "−3.20", "−3.201234567"),
        (481_200_000, "0.4812", None),
        (1, "0.000000001", None),
        (-1, "−0.000000001", None),
        (49_999, "0.000049999", None),
        (1_005_000_000, "1.00", "1.005"),
        (1_015_000_000, "1.02", "1.015"),
        (999_999_999_999, "1,000.00", "999.999999999"),
    ],
)
def test_amounts_are_rounded_for_people_and_exact_beside_it(nano: int, shown: str, exact: str | None) -> None:
    assert (figures.amount(nano), figures.exact(nano)) == (shown, exact)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC", "14 Mar 2026, 22:30 UTC"),
        ("Asia/Tokyo", "15 Mar 2026, 07:30 JST"),
        ("America/Sao_Paulo", "14 Mar 2026, 19:30 UTC-03"),
    ],
)
def test_moments_are_told_in_the_workspaces_zone(zone: str, shown: str) -> None:
    assert figures.moment(AT, zone) == shown


def test_the_subjects_of_scripts_are_word_for_word() -> None:
    subjects = [
        write(fact(kind, deploymentKind="script", name="enrich"), ABOUT).subject
        for kind in (facts.DEPLOYMENT_DEPLOYED, facts.DEPLOYMENT_UNDEPLOYED)
    ]
    assert subjects == [
        "Custom script deployed successfully - API Endpoint Available",
        "Your custom script has been undeployed successfully",
    ]


@pytest.mark.parametrize("kind", sorted(WRITTEN))
def test_every_letter_says_what_is_left_what_there_was_and_the_next_step(kind: str) -> None:
    data = {"threshold": 80, "name": "enrich", "deploymentKind": "script", "url": "https://hook.example"}
    letter = write(fact(kind, **data), ABOUT)
    assert letter.steps
    assert letter.paragraphs
    assert "Acme" in render_plain(letter, sender="Tally")
    if KINDS[kind].topic != "billing":
        labels = " ".join(figure.label for figure in letter.figures)
        assert "remaining" in labels
        assert "Total" in labels


@pytest.mark.parametrize(
    ("posted", "said"),
    [
        (26, "no job starts once 25 or fewer remain"),
        (25, "Fine-tuning is disabled"),
        (3, "more than 25 credits remain"),
    ],
)
def test_a_letter_about_low_credits_names_the_rule_of_fine_tuning_and_how_to_top_up(posted: int, said: str) -> None:
    about = Circumstances(
        "Acme",
        "UTC",
        ABOUT.credits,
        ABOUT.tool_runs,
        25 * NANO,
        -10 * NANO,
        "help@tally.example",
        "https://help.example",
    )
    text = " ".join(render_plain(write(_low(posted), about), sender="Tally").split())
    assert said in text
    assert "Contact Support (help@tally.example, https://help.example) to add credits before they run out." in text
    assert "getting low" in text
    without = render_plain(write(_low(posted), ABOUT), sender="Tally")
    assert "Contact Support to add credits" in without


def _low(posted: int) -> Fact:
    return fact(facts.CREDITS_THRESHOLD, threshold=90, posted=Decimal(posted), granted=Decimal(300))


GOLDENS = Path(__file__).parent / "letters"
SUPPORTED = replace(ABOUT, support_email="help@acme-ai.example", support_url="https://acme-ai.example/support")
LETTERS = {
    "credits_70": fact(
        facts.CREDITS_THRESHOLD,
        threshold=70,
        granted=Decimal(13_325),
        posted=Decimal("3901.123456789"),
        usedPercent=Decimal("70.72"),
    ),
    "script_deployed": fact(
        facts.DEPLOYMENT_DEPLOYED,
        deploymentKind="script",
        name="enrich <leads>",
        version="v2",
        language="Python",
        languageVersion="3.10.15",
        profile="script.2x4",
        replicas=2,
        creditsPerHour=Decimal("0.30792"),
        endpoint="https://api.acme-ai.example/v1/scripts/enrich-leads/versions/2/execute?environment=production",
        access="Send your API key in the header x-api-key.",
        creditsRemaining=Decimal("62.5"),
        creditsPosted=Decimal("62.5"),
        creditsTotal=Decimal(75),
    ),
    "negative_reached": fact(
        facts.NEGATIVE_REACHED,
        negativeLimit=Decimal(-10),
        creditsPosted=Decimal("-10.000000001"),
        creditsTotal=Decimal(75),
        complyBy="2026-03-14T22:35:00Z",
    ),
}


@pytest.mark.parametrize("name", LETTERS)
def test_letters_read_as_their_goldens(name: str) -> None:
    letter = write(LETTERS[name], SUPPORTED)
    assert render_plain(letter, sender="Acme AI") == (GOLDENS / f"{name}.txt").read_text(encoding="utf-8")
    assert render_html(letter, sender="Acme AI") == (GOLDENS / f"{name}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LETTERS)
def test_a_letters_html_fetches_nothing_and_names_what_clients_need(name: str) -> None:
    html = render_html(write(LETTERS[name], SUPPORTED), sender="Acme AI")
    assert not re.search(r"<(img|link|script|iframe|object|video|svg)\b|url\(|@import|src=", html)
    assert set(re.findall(r'href="([^"]*)"', html)) <= {"https://acme-ai.example/support"}
    assert '<meta name="color-scheme" content="light dark">' in html
    assert '<html lang="en"' in html
    # Gmail cuts what is larger.
    assert len(html.encode()) < 102_000


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.decimals(),
    st.text(),
    st.lists(st.text(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.text(), max_size=2),
)
KEYS = (
    *("threshold", "posted", "granted", "usedPercent", "amount", "free", "renewed", "limit", "negativeLimit"),
    *("lowLimit", "creditsPosted", "creditsTotal", "creditsPerHour", "complyBy", "deploymentKind", "name", "endpoint"),
    *("access", "reason", "profile", "replicas", "version", "language", "url", "amount", "openAmount", "taxAmount"),
    *("currency", "number", "dueAt", "stopsAt", "nextAttemptAt", "periodStart", "periodEnd", "method", "plan", "error"),
    *("previousPlan", "pendingPlan", "pendingKind", "trialEndsAt", "credits", "invoiceUuid", "actionUrl", "endsAt"),
)


@given(
    st.sampled_from(sorted(WRITTEN)),
    st.dictionaries(st.sampled_from(KEYS), VALUES),
    st.text(),
    st.sampled_from(["UTC", "Asia/Kathmandu", "America/Sao_Paulo"]),
)
def test_whatever_a_fact_holds_there_is_a_letter_of_sane_lines(
    kind: str, data: dict[str, Any], workspace: str, zone: str
) -> None:
    about = Circumstances(workspace, zone, ABOUT.credits, ABOUT.tool_runs, 25 * NANO, -10 * NANO)
    told = fact(kind, **data)
    dedup_of(told, zone)
    letter = write(told, about)
    assert len(letter.subject.splitlines()) <= 1
    assert len(letter.subject) <= 160
    assert "=?" not in letter.subject
    for text in (render_html(letter, sender="Tally"), render_plain(letter, sender="Tally")):
        text.encode()


HOSTILE = [
    '<script>alert("x")</script>',
    "<img src=x onerror=alert(1)>",
    '"><a href="https://evil.example">Pay here</a>',
    "{{ 7 * 7 }}{% for x in y %}",
    "Acme\r\nBcc: victim@example.com",
    "Acme\u2028Bcc: victim@example.com",
    "=?utf-8?q?a=0D=0ABcc:_victim@example.com?=",
    "\u202egro.live\u202c",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_name_is_text_in_every_part(hostile: str) -> None:
    about = Circumstances(hostile, "UTC", ABOUT.credits, ABOUT.tool_runs, 25 * NANO, -10 * NANO, hostile, None)
    told = fact(
        facts.DEPLOYMENT_DEPLOYED,
        name=hostile,
        deploymentKind="model",
        endpoint=hostile,
        access=hostile,
        profile=hostile,
    )
    letter = write(told, about)
    html = render_html(letter, sender="Tally")
    for forbidden in ("<script", "<img", 'href="https://evil', "\u202e", "\u2028"):
        assert forbidden not in html
    assert html.count("<a ") == 0
    assert "{{ 7 * 7 }}" in html or "7 * 7" not in hostile
    assert not any(line.startswith("Bcc:") for line in render_plain(letter, sender="Tally").splitlines())
    assert letter.subject.isprintable()
    assert subject_line(hostile).isprintable()
    assert "=?" not in letter.subject
