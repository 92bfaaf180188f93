"""The rules of webhooks: who gets what, what is posted, when it is tried again."""

import base64
import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.telling import facts
from tallystick.domain.telling.facts import KINDS, Fact
from tallystick.domain.telling.webhooks import (
    JITTER_MAX,
    LARGEST_PAYLOAD,
    TEST,
    Endpoint,
    Outcome,
    check_kinds,
    check_url,
    outcome,
    pause,
    payload,
    secret_text,
    webhook_id,
)
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import SequentialIds, SystemIds
from tests.conftest import NOW

WORKSPACE, OTHER, ENDPOINT, FACT = (UUID(int=number) for number in (1, 2, 3, 4))


def endpoint(**more: Any) -> Endpoint:
    given: dict[str, Any] = {
        "workspace_id": WORKSPACE,
        "id": ENDPOINT,
        "url": "https://x.example/",
        "description": "",
        "kinds": (),
        "secret": "whsec_now",
        "previous_secret": None,
        "previous_until": None,
        "is_enabled": True,
        "disabled_because": None,
        "failing_since": None,
        "failing_told_at": None,
        "created_at": NOW,
        "updated_at": NOW,
        "deleted_at": None,
    }
    return Endpoint(**given | more)


def fact(kind: str = facts.CREDITS_EXHAUSTED, workspace: UUID = WORKSPACE, **data: Any) -> Fact:
    return Fact(workspace, FACT, kind, NOW, data)


@pytest.mark.parametrize(
    ("tries", "least", "most"),
    [
        (1, dt.timedelta(seconds=5), dt.timedelta(seconds=6)),
        (2, dt.timedelta(minutes=5), dt.timedelta(minutes=6)),
        (3, dt.timedelta(minutes=30), dt.timedelta(minutes=36)),
        (4, dt.timedelta(hours=2), dt.timedelta(hours=2, minutes=24)),
        (5, dt.timedelta(hours=5), dt.timedelta(hours=6)),
        (6, dt.timedelta(hours=10), dt.timedelta(hours=12)),
        (7, dt.timedelta(hours=14), dt.timedelta(hours=16, minutes=48)),
        (8, dt.timedelta(hours=20), dt.timedelta(hours=24)),
        (9, dt.timedelta(hours=24), dt.timedelta(hours=28, minutes=48)),
        (10, dt.timedelta(hours=24), dt.timedelta(hours=28, minutes=48)),
        (50, dt.timedelta(hours=24), dt.timedelta(hours=28, minutes=48)),
    ],
)
def test_the_pauses_are_those_of_the_standard(tries: int, least: dt.timedelta, most: dt.timedelta) -> None:
    assert (pause(tries, 0), pause(tries, JITTER_MAX)) == (least, most)
    assert least < pause(tries, JITTER_MAX // 2) < most


@pytest.mark.parametrize(
    ("status", "means"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (299, "delivered"),
        (410, "gone"),
        (None, "retry"),
        (100, "retry"),
        (199, "retry"),
        (301, "retry"),
        (304, "retry"),
        (400, "retry"),
        (404, "retry"),
        (429, "retry"),
        (500, "retry"),
    ],
)
def test_what_an_answer_means(status: int | None, means: Outcome) -> None:
    assert outcome(status) == means


@pytest.mark.parametrize(
    ("more", "told", "wanted"),
    [
        ({}, fact(), True),
        ({"kinds": (facts.CREDITS_EXHAUSTED,)}, fact(), True),
        ({"kinds": (facts.CREDITS_GRANTED,)}, fact(), False),
        ({"is_enabled": False}, fact(), False),
        ({"deleted_at": NOW}, fact(), False),
        ({}, fact(workspace=OTHER), False),
        ({}, fact(facts.WEBHOOK_FAILING, webhookUuid=str(ENDPOINT)), False),
        ({}, fact(facts.WEBHOOK_FAILING, webhookUuid=str(OTHER)), True),
    ],
)
def test_who_gets_a_fact(more: dict[str, Any], told: Fact, wanted: bool) -> None:
    assert endpoint(**more).wants(told) is wanted


@pytest.mark.parametrize(
    ("until", "signing"),
    [
        (NOW + dt.timedelta(microseconds=1), ("whsec_now", "whsec_before")),
        (NOW, ("whsec_now",)),
        (NOW - dt.timedelta(days=1), ("whsec_now",)),
    ],
)
def test_the_old_secret_signs_until_its_end(until: dt.datetime, signing: tuple[str, ...]) -> None:
    assert endpoint(previous_secret="whsec_before", previous_until=until).secrets(NOW) == signing
    assert endpoint().secrets(NOW) == ("whsec_now",)


def test_an_endpoint_shows_no_secret_of_its_own() -> None:
    assert "whsec" not in repr(endpoint(previous_secret="whsec_before"))


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=9))
def test_amounts_keep_every_digit(amount: Decimal) -> None:
    text = payload(WORKSPACE, facts.CREDITS_GRANTED, NOW, f'{{"amount": {amount:f}}}')
    assert f"{amount:f}" in text
    read = msgspec.json.Decoder(float_hook=Decimal).decode(text)
    assert Decimal(read["data"]["amount"]) == amount


def test_a_payload_says_what_when_where_and_the_data() -> None:
    at = dt.datetime(2026, 3, 14, 10, 41, 7, 5, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert payload(WORKSPACE, "credits.exhausted", at, '{"a": 1}') == (
        '{"type":"credits.exhausted","timestamp":"2026-03-14T09:41:07.000005Z",'
        f'"workspaceUuid":"{WORKSPACE}","data":{{"a": 1}}}}'
    )


def test_a_fact_is_told_however_much_there_is_to_say() -> None:
    assert len(payload(WORKSPACE, "x", NOW, '{"a":"' + "é" * 32_600 + '"}').encode()) <= LARGEST_PAYLOAD
    text = payload(WORKSPACE, "x", NOW, '{"a":"' + "é" * 32_768 + '"}')
    assert msgspec.json.decode(text)["data"] == {"isTooLarge": True}


def test_a_secret_is_32_bytes_in_base64() -> None:
    for ids in (SystemIds(), SequentialIds()):
        prefix, _, text = secret_text(ids.secret()).partition("_")
        assert (prefix, len(base64.b64decode(text, validate=True))) == ("whsec", 32)
    with pytest.raises(ValueError, match="256 bits"):
        secret_text("c2hvcnQ")


def test_the_id_of_a_webhook_is_that_of_its_fact() -> None:
    assert webhook_id(FACT) == f"fact_{FACT}"
    assert "." not in webhook_id(FACT)  # the standard joins with dots what it signs


def test_kinds_are_those_that_there_are() -> None:
    assert check_kinds([facts.CREDITS_GRANTED, facts.CREDITS_EXHAUSTED, facts.CREDITS_GRANTED]) == (
        facts.CREDITS_EXHAUSTED,
        facts.CREDITS_GRANTED,
    )
    assert check_kinds(list(KINDS)) == tuple(sorted(KINDS))
    for unknown in ("credits.exploded", "", TEST):
        with pytest.raises(TallystickError) as caught:
            check_kinds([unknown])
        assert caught.value.code == "unknownFactKind"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "platform.example/tally",
        "ftp://platform.example/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:password@platform.example/",
        "https://user@platform.example/",
        "https://platform.example/#part",
        "https://platform.example:0/",
        "https://platform.example:66000/",
        "https://platform.example:x/",
        "https://[::1/",
        "https://plat form.example/",
        "https://platform.example/\n",
        "https://müller.example/",
        "https://platform.example/" + "x" * 2_000,
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(TallystickError) as caught:
        check_url(url)
    assert caught.value.code == "invalidUrl"
    assert "password" not in str(caught.value.details)


@pytest.mark.parametrize(
    "url", ["https://platform.example", "http://platform.example:8080/tally?key=1", "https://[2606:4700::1111]/x"]
)
def test_addresses_of_http_and_https_are_taken(url: str) -> None:
    assert check_url(url).hostname
