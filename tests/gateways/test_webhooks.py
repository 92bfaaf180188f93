"""Posting a webhook to a real receiver: the signature, every way to fail, and where it may not go."""

import asyncio
import ipaddress
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

from tallystick.domain.telling.webhooks import LONGEST_ANSWER, secret_text
from tallystick.gateways.webhooks import Answer, Letter, WebhookPoster
from tallystick.kernel.addresses import Allowed, is_public
from tallystick.kernel.clock import SystemClock
from tallystick.kernel.ids import SystemIds
from tests.telling.receiver import Receiver, receiving

SECRET = secret_text(SystemIds().secret())
OLD = secret_text(SystemIds().secret())
PAYLOAD = '{"type":"credits.exhausted","data":{"used":0.000000001}}'


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def post(
    url: str, *allowed: str, secrets: tuple[str, ...] = (SECRET,), seconds: int = 1, **options: Any
) -> Answer:
    poster = WebhookPoster(Allowed(allowed), seconds=seconds, **options)
    try:
        return await poster.post(Letter(url, "fact_1", PAYLOAD, secrets), SystemClock().now())
    finally:
        await poster.close()


async def test_what_arrives_is_signed_as_the_standard_says(receiver: Receiver) -> None:
    answer = await post(receiver.url("/ok?key=1"), "127.0.0.1")
    assert (answer.status_code, answer.error) == (200, None)
    assert answer.answer == "status 200 \N{REPLACEMENT CHARACTER}"
    (one,) = receiver.received
    assert (one.path, one.id, one.body) == ("/ok?key=1", "fact_1", PAYLOAD.encode())
    assert one.headers["content-type"] == "application/json"
    assert one.is_signed_with(SECRET)
    assert not one.is_signed_with(OLD)


async def test_two_secrets_sign_beside_each_other(receiver: Receiver) -> None:
    await post(receiver.url("/ok"), "127.0.0.1", secrets=(SECRET, OLD))
    assert [receiver.received[0].is_signed_with(secret) for secret in (SECRET, OLD)] == [True, True]


@pytest.mark.parametrize("status", [204, 302, 404, 410, 500])
async def test_the_status_is_kept_whatever_it_is(receiver: Receiver, status: int) -> None:
    answer = await post(receiver.url(f"/status/{status}"), "127.0.0.1")
    assert (answer.status_code, answer.error) == (status, None)


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    answer = await post(receiver.url("/away"), "127.0.0.1")
    assert answer.status_code == 302
    assert [one.path for one in receiver.received] == ["/away"]


@pytest.mark.parametrize("path", ["/drop", "/rubbish", "/hold"])
async def test_no_answer_is_told_with_its_reason(receiver: Receiver, path: str) -> None:
    answer = await post(receiver.url(path), "127.0.0.1")
    assert answer.status_code is None
    assert answer.error
    assert ("within 1 s" in answer.error) is (path == "/hold")


@pytest.mark.parametrize("path", ["/endless", "/drip", "/half"])
async def test_who_said_yes_has_taken_it_however_the_answer_goes_on(receiver: Receiver, path: str) -> None:
    answer = await post(receiver.url(path), "127.0.0.1")
    assert (answer.status_code, answer.error) == (200, None)
    assert 0 < len(answer.answer) <= LONGEST_ANSWER
    assert answer.milliseconds < 1_500


async def test_nobody_listens(receiver: Receiver) -> None:
    async with receiving() as gone:
        url = gone.url("/ok")
    answer = await post(url, "127.0.0.1")
    assert answer.status_code is None
    assert answer.error is not None
    assert answer.error.startswith("Not reached")


async def test_a_name_without_an_address_is_no_crash() -> None:
    answer = await post("http://nowhere.invalid/")
    assert answer.status_code is None
    assert answer.error is not None
    assert "nowhere.invalid" in answer.error


def test_a_letter_shows_no_secret() -> None:
    assert SECRET not in repr(Letter("https://x.example", "fact_1", PAYLOAD, (SECRET,)))


# Where it may not go.


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("10.0.0.1", False),
        ("172.31.255.255", False),
        ("172.32.0.1", True),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.100.100.200", False),
        ("192.0.0.192", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:0:10.0.0.1", False),
        ("::ffff:192.0.0.192", False),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b:1::10.0.0.1", False),
        ("2002:a00:1::", False),
        ("2001::1", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
    ],
)
def test_private_addresses_are_seen_through_every_disguise(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "127.1", "0"]
)
async def test_this_machine_is_not_reached_by_any_of_its_names(receiver: Receiver, host: str) -> None:
    answer = await post(f"http://{host}:{receiver.port}/ok")
    assert answer.status_code is None
    assert answer.error
    assert receiver.received == []


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names are at these addresses, at each asking the next ones; who was asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(2, 1, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


async def test_names_that_nobody_answers_for_hold_up_no_other(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, go_on = socket.getaddrinfo, threading.Event()

    def getaddrinfo(host: str, port: int, **options: Any) -> list[Any]:
        if host == "slow.example":
            go_on.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return list(real(host, port, **options))

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    poster = WebhookPoster(Allowed(["127.0.0.1"]), seconds=2)

    async def to(url: str) -> Answer:
        return await poster.post(Letter(url, "fact_1", PAYLOAD, (SECRET,)), SystemClock().now())

    slow = [asyncio.create_task(to("http://slow.example/")) for _ in range(40)]
    await asyncio.sleep(0)
    assert (await to(receiver.url("/ok"))).status_code == 200
    assert not any(task.done() for task in slow)
    assert {(await task).error for task in slow} == {"No answer within 2 s."}
    go_on.set()
    await poster.close()


@pytest.mark.parametrize(
    "found", [["10.0.0.1"], ["169.254.169.254"], ["1.1.1.1", "127.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%eth0"]]
)
async def test_a_name_that_is_private_is_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    resolving(monkeypatch, found)
    answer = await post(f"http://inside.example:{receiver.port}/ok")
    assert answer.error is not None
    assert "no public address" in answer.error
    assert receiver.received == []


async def test_the_checked_address_is_the_one_that_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is elsewhere when it is asked for a second time gains nothing by it."""
    asked = resolving(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    answer = await post(f"http://rebinding.example:{receiver.port}/ok", "127.0.0.1")
    assert (answer.status_code, asked) == (200, ["rebinding.example"])
    assert receiver.received[0].headers["host"] == f"rebinding.example:{receiver.port}"


# Who it is, at the other end.


@pytest.fixture(scope="module")
def authority() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a receiver named receiver.example shows, and what believes it."""
    issuer = trustme.CA()
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert("receiver.example").configure_cert(shown)
    believing = ssl.create_default_context()
    issuer.configure_trust(believing)
    return shown, believing


@pytest.mark.parametrize(
    ("host", "believed", "status"),
    [("receiver.example", True, 200), ("other.example", True, None), ("receiver.example", False, None)],
)
async def test_a_certificate_has_to_be_of_the_name_and_of_somebody_believed(
    authority: tuple[ssl.SSLContext, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    believed: bool,
    status: int | None,
) -> None:
    shown, believing = authority
    async with receiving(shown) as receiver:
        resolving(monkeypatch, ["127.0.0.1"])
        options = {"certificates": believing} if believed else {}
        answer = await post(f"https://{host}:{receiver.port}/ok", "127.0.0.1", seconds=5, **options)
        assert answer.status_code == status
        if status is None:
            assert answer.error is not None
            assert "certificate" in answer.error.lower()
            assert receiver.received == []
