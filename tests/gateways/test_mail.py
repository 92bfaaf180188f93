"""Mails to a real SMTP server that takes them, or refuses them in every way that servers do."""

import asyncio
import datetime as dt
import socket
import ssl
import threading
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import trustme

from tallystick.domain.telling import facts
from tallystick.domain.telling.mails import Mail
from tallystick.gateways import mail as gateway
from tallystick.gateways.mail import NotSentError, Post, Sender, Server, message_of, read_sender, read_server
from tallystick.kernel.errors import TallystickError
from tests.mailbox import Mailbox, mailbox

SENDER = Sender("Acme AI — Billing", "billing@acme-ai.example")
NOW = dt.datetime(2026, 3, 14, 9, 41, 7, tzinfo=dt.UTC)
MAIL = Mail(
    workspace_id=UUID(int=7),
    id=UUID(int=8),
    fact_id=UUID(int=9),
    person_id=UUID(int=10),
    kind=facts.CREDITS_EXHAUSTED,
    dedup="credits:100:2026-03-14",
    to_address="ada@acme.example",
    message_id=f"<{UUID(int=8)}@acme-ai.example>",
    subject="Alle Guthaben von Größe & Söhne sind verbraucht",
    html="<p>−3.20 credits</p>",
    plain="−3.20 credits\n" + "a line " * 200 + "\n.\nafter a dot",
    status="queued",
    attempts=0,
    next_at=NOW,
    error=None,
    created_at=NOW,
    sent_at=None,
)


def post(box: Mailbox, scheme: str = "smtp+plain", user: str = "", host: str = "127.0.0.1") -> Post:
    return Post(read_server(f"{scheme}://{user}{host}:{box.port}"), SENDER, "help@acme-ai.example")


async def refused(box: Mailbox, **options: str) -> NotSentError:
    with pytest.raises(NotSentError) as caught:
        await post(box, **options).send(MAIL)
    return caught.value


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's TLS with a certificate that this process trusts."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


async def test_a_mail_arrives_whole_with_both_parts_and_the_headers_of_a_machine() -> None:
    with mailbox() as box:
        await post(box).send(MAIL)
    [message] = box.messages
    assert box.recipients == ["ada@acme.example"]
    assert message["From"] == "Acme AI — Billing <billing@acme-ai.example>"
    assert (message["To"], message["Subject"]) == ("ada@acme.example", MAIL.subject)
    assert message["Message-ID"] == MAIL.message_id
    assert message["Date"].datetime == NOW
    assert (message["Auto-Submitted"], message["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
    assert message["List-Id"] == "<credits.tallystick.acme-ai.example>"
    assert message["List-Unsubscribe"] == "<mailto:help@acme-ai.example?subject=Unsubscribe%20credits>"
    plain, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    assert plain.get_content().replace("\r\n", "\n").strip() == MAIL.plain.strip()
    assert html.get_content().strip() == MAIL.html
    assert box.taken[0].isascii()
    assert max(map(len, box.taken[0].splitlines())) < 998


async def test_every_attempt_is_the_same_to_the_byte() -> None:
    with mailbox() as box:
        for _ in range(3):
            await post(box).send(MAIL)
    assert len(box.taken) == 3
    assert len(set(box.taken)) == 1


@pytest.mark.parametrize(
    ("step", "answer", "is_final"),
    [
        ("at_mail", "451 try later", False),
        ("at_mail", "550 no such sender", True),
        ("at_rcpt", "450 greylisted", False),
        ("at_rcpt", "550 no such user", True),
        ("at_rcpt", "552 mailbox full", True),
        ("at_data", "452 no room", False),
        ("at_data", "421 going down", False),
        ("at_data", "554 spam", True),
    ],
)
async def test_a_refusal_is_final_when_the_server_says_so_of_this_mail(step: str, answer: str, is_final: bool) -> None:
    with mailbox() as box:
        setattr(box, step, lambda _: answer)
        error = await refused(box)
    assert (error.is_final, answer[:3] in error.why, box.taken) == (is_final, True, [])


async def test_a_connection_that_ends_after_the_mail_was_taken_is_no_answer() -> None:
    with mailbox() as box:
        box.drops = True
        error = await refused(box)
        assert not error.is_final
        assert len(box.taken) == 1


async def test_a_server_that_is_slow_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "STEP_SECONDS", 0.2)
    with mailbox() as box:
        box.seconds = 0.6
        error = await refused(box)
    assert (error.is_final, "Timeout" in error.why) == (False, True)


async def test_a_server_that_says_a_word_now_and_then_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "MAIL_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            client, _ = listening.accept()
            with client:
                for _ in range(20):
                    try:
                        client.sendall(b"220-hello\r\n")
                    except OSError:
                        return
                    threading.Event().wait(0.1)

        thread = threading.Thread(target=drip)
        thread.start()
        error = await refused(Mailbox(port=listening.getsockname()[1]))
        await asyncio.to_thread(thread.join)
    assert not error.is_final


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert not (await refused(Mailbox(port=port))).is_final


async def test_without_tls_nothing_is_sent_and_no_password_told() -> None:
    with mailbox(login=(b"ada", b"secret")) as box:
        error = await refused(box, scheme="smtp", user="ada:secret@")
    assert (error.is_final, box.taken, box.logins) == (False, [], [])
    assert "secret" not in error.why


async def test_a_server_without_tls_gets_nothing_also_where_it_asks_for_no_login() -> None:
    with mailbox() as box:
        error = await refused(box, scheme="smtp")
        assert (error.is_final, box.offered) == (False, 0)


async def test_starttls_and_login(trusted: ssl.SSLContext) -> None:
    with mailbox(starttls=trusted, login=(b"ada@acme", b"s e/cret")) as box:
        await post(box, "smtp", "ada%40acme:s%20e%2Fcret@", "localhost").send(MAIL)
    assert (len(box.taken), box.logins) == (1, [(b"ada@acme", b"s e/cret")])


async def test_a_refused_login_is_no_fault_of_the_mail(trusted: ssl.SSLContext) -> None:
    with mailbox(starttls=trusted, login=(b"ada", b"right")) as box:
        error = await refused(box, scheme="smtp", user="ada:wrong@", host="localhost")
    assert (error.is_final, "535" in error.why, "wrong" in error.why) == (False, True, False)


async def test_tls_from_the_start(trusted: ssl.SSLContext) -> None:
    with mailbox(tls=trusted) as box:
        await post(box, "smtps", host="localhost").send(MAIL)
    assert len(box.taken) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_certificate_of_nobody_is_refused(scheme: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    with mailbox(tls=context) if scheme == "smtps" else mailbox(starttls=context) as box:
        error = await refused(box, scheme=scheme)
    assert (error.is_final, box.taken) == (False, [])


@pytest.mark.parametrize(
    "address",
    [
        "ada@acme.example\r\nBcc: victim@example.com",
        "ada@acme.example, victim@example.com",
        "ada@acme.example>, <victim@example.com",
        '"victim@example.com "@acme.example',
        "ada",
        "@acme.example",
        "ada@",
        "ädä@acme.example",
        "ada@acme..example",
        "ada@größe.example",
        ".ada@acme.example",
        "=?utf-8?q?a?=@acme.example x",
    ],
)
async def test_an_address_that_no_header_can_hold_is_refused_before_anything_is_sent(address: str) -> None:
    with mailbox() as box:
        with pytest.raises(NotSentError) as caught:
            await post(box).send(replace(MAIL, to_address=address))
        assert (caught.value.is_final, box.offered) == (True, 0)


@pytest.mark.parametrize(
    ("address", "sent"),
    [("ada@müller.example", "ada@xn--mller-kva.example"), ("a+b_c@x-y.example", "a+b_c@x-y.example")],
)
async def test_other_addresses_go_as_ascii(address: str, sent: str) -> None:
    with mailbox() as box:
        await post(box).send(replace(MAIL, to_address=address))
    assert box.recipients == [sent]


def test_a_subject_can_bring_no_header() -> None:
    with pytest.raises(ValueError):
        message_of(replace(MAIL, subject="Hello\r\nBcc: victim@example.com"), SENDER)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", Server("mail.example", 587, "starttls")),
        ("smtps://mail.example", Server("mail.example", 465, "tls")),
        ("smtp+plain://127.0.0.1:1025", Server("127.0.0.1", 1025, "plain")),
        ("smtp://u%40x:p%3A1@mail.example:2525", Server("mail.example", 2525, "starttls", "u@x", "p:1")),
    ],
)
def test_the_url_says_where_and_how(url: str, server: Server) -> None:
    assert read_server(url) == server


@pytest.mark.parametrize(
    "url",
    ["http://mail.example", "mail.example", "smtp://", "smtp://u:secret@", "smtp://u:secret@h:99999", "smtp://h/x"],
)
def test_a_url_that_says_neither_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(TallystickError) as caught:
        read_server(url)
    assert caught.value.code == "invalidSetting"
    assert "secret" not in repr(caught.value)


def test_the_sender_is_an_address_perhaps_with_a_name() -> None:
    assert read_sender("Tallystick <billing@localhost>") == Sender("Tallystick", "billing@localhost")
    assert read_sender("a@b.example") == Sender("", "a@b.example")
    for wrong in ("", "Acme", "Acme <>"):
        with pytest.raises(TallystickError):
            read_sender(wrong)
