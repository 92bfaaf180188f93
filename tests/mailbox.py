"""A real SMTP server that takes mails, or refuses them in every way that servers do."""

import asyncio
import email
import re
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


@dataclass
class Mailbox:
    """What was taken. `answer` is asked before each mail is taken, with the number of those offered until then."""

    port: int = 0
    taken: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    offered: int = 0
    at_mail: Callable[[str], str | None] = lambda _: None
    at_rcpt: Callable[[str], str | None] = lambda _: None
    at_data: Callable[[int], str | None] = lambda _: None
    seconds: float = 0
    drops: bool = False
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def messages(self) -> list[EmailMessage]:
        return [email.message_from_bytes(raw, policy=policy.default) for raw in self.taken]  # type: ignore[misc]

    @property
    def counts(self) -> Counter[str]:
        """How often each Message-ID came."""
        return Counter(map(message_id, self.taken))

    @property
    def contents(self) -> dict[str, set[bytes]]:
        """The different mails that came under each Message-ID: one each."""
        found: dict[str, set[bytes]] = {}
        for raw in self.taken:
            found.setdefault(message_id(raw), set()).add(raw)
        return found

    async def handle_MAIL(self, _: Any, __: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        refused = self.at_mail(address)
        if refused:
            return refused
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        refused = self.at_rcpt(address)
        if refused:
            return refused
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: Any, _: Any, envelope: Any) -> str:  # noqa: N802
        self.offered += 1
        if self.seconds:
            await asyncio.sleep(self.seconds)
        refused = self.at_data(self.offered)
        if refused:
            return refused
        self.taken.append(envelope.original_content)
        self.recipients += envelope.rcpt_tos
        if self.drops:
            # It has the mail, and nobody will ever hear so.
            server.transport.abort()
        return "250 taken"


def message_id(raw: bytes) -> str:
    """Its Message-ID, without parsing all of it."""
    found = re.search(rb"^Message-ID:\s*(\S+)", raw, re.MULTILINE)
    assert found is not None
    return found[1].decode()


@contextmanager
def mailbox(
    *,
    tls: ssl.SSLContext | None = None,
    starttls: ssl.SSLContext | None = None,
    login: tuple[bytes, bytes] | None = None,
) -> Iterator[Mailbox]:
    """A server on a free port. `tls` from the start, `starttls` when asked; `login` is then required."""
    box = Mailbox()

    def check(_: Any, __: Any, ___: Any, ____: Any, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        box.logins.append((given.login, given.password))
        return AuthResult(success=(given.login, given.password) == login, handled=False)

    class Listening(Controller):
        def factory(self) -> SMTP:
            return SMTP(
                self.handler,
                hostname="mail.test",
                tls_context=starttls,
                require_starttls=starttls is not None,
                authenticator=check,
                auth_required=login is not None,
            )

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Listening(box, hostname="127.0.0.1", port=port, ssl_context=tls)
    controller.start()
    box.port = port
    try:
        yield box
    finally:
        controller.stop()
