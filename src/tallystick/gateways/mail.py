"""Mail: one message to an SMTP server, and what its answer means.

Nothing falls back to a connection without TLS: `smtp://` is STARTTLS or nothing, `smtps://` TLS from the start, and
only `smtp+plain://`, for a server on the same machine or in a closed network, does without.
"""

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib

from tallystick.domain.telling.letters import one_line
from tallystick.domain.telling.mails import Mail
from tallystick.kernel.errors import TallystickError

Security = Literal["starttls", "tls", "plain"]

STEP_SECONDS: Final = 20
"""What one step of the conversation may take: a connection, an answer."""

MAIL_SECONDS: Final = 60
"""What all of one mail may take, however slowly a server answers."""

_SCHEMES: Final[dict[str, tuple[Security, int]]] = {
    "smtp": ("starttls", 587),
    "smtps": ("tls", 465),
    "smtp+plain": ("plain", 25),
}
_LONGEST_ERROR: Final = 500
_OTHERWISE: Final = frozenset("ßς\u200c\u200d")
_WORD: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
# What needs quotes in an address is refused: nobody has such an address, and somebody could hide another one in it.
_ADDRESS: Final = re.compile(rf"{_WORD}(\.{_WORD})*@[A-Za-z0-9](-*[A-Za-z0-9])*(\.[A-Za-z0-9](-*[A-Za-z0-9])*)*\.?")
_POLICY: Final = policy.SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who mails are from: a name, which may be empty, and an address of ASCII."""

    name: str
    address: str

    @property
    def host(self) -> str:
        """The part of the address that says whose it is."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Server:
    """Where mails are handed in."""

    host: str
    port: int
    security: Security
    user: str | None = None
    password: str | None = None


class NotSentError(Exception):
    """A mail was not taken. `is_final`: the server refused this mail for good (5xx), and trying again is no use."""

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.why = one_line(why)[:_LONGEST_ERROR]
        self.is_final = is_final


def read_sender(text: str) -> Sender:
    """The sender of `TALLY_MAIL_FROM`: `Name <address>` or an address. Raises `invalidSetting`."""
    name, address = parseaddr(one_line(text))
    try:
        return Sender(name, _ascii(address))
    except NotSentError as error:
        raise TallystickError(
            "invalidSetting", "TALLY_MAIL_FROM must be an address, or a name and an address.", setting="TALLY_MAIL_FROM"
        ) from error


def read_server(url: str) -> Server:
    """The server of `TALLY_SMTP_URL`. Raises `invalidSetting`, which never shows the URL: it holds a password."""
    try:
        parts = urlsplit(url)
        security, port = _SCHEMES[parts.scheme]
        if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(url)
        user = unquote(parts.username) if parts.username else None
        return Server(parts.hostname, parts.port or port, security, user, unquote(parts.password or "") or None)
    except (KeyError, ValueError):
        raise TallystickError(
            "invalidSetting",
            "TALLY_SMTP_URL must be smtp://, smtps:// or smtp+plain:// with a host, perhaps user, password and port.",
            setting="TALLY_SMTP_URL",
        ) from None


def message_of(mail: Mail, sender: Sender, support_email: str | None = None) -> EmailMessage:
    """The mail as it goes over the wire: the same bytes at every attempt.

    Raises `NotSentError` where no header can hold its address.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(display_name=sender.name, addr_spec=sender.address)
    message["To"] = Address(addr_spec=_ascii(mail.to_address))
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.created_at)
    message["Message-ID"] = mail.message_id
    # No answering machine answers, and mail programs can sort and offer a way out.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message["List-Id"] = f"<{mail.topic}.tallystick.{sender.host}>"
    if support_email:
        message["List-Unsubscribe"] = f"<mailto:{_ascii(support_email)}?subject=Unsubscribe%20{mail.topic}>"
    message["X-Tallystick-Fact"] = str(mail.fact_id)
    message["X-Tallystick-Kind"] = mail.kind
    message.set_content(mail.plain)
    message.add_alternative(mail.html, subtype="html")
    message.set_boundary(f"=_{mail.id.hex}")
    return message


class Post:
    """Hands mails in, each over a connection of its own: one that hangs holds up no other."""

    def __init__(self, server: Server, sender: Sender, support_email: str | None = None) -> None:
        self._server = server
        self._sender = sender
        self._support_email = support_email
        self._tls = None if server.security == "plain" else ssl.create_default_context()

    async def send(self, mail: Mail) -> None:
        """Returns once the server has taken it. Raises `NotSentError`."""
        message = message_of(mail, self._sender, self._support_email).as_bytes()
        try:
            async with asyncio.timeout(MAIL_SECONDS):
                await self._hand_in(_ascii(mail.to_address), message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            raise _refused("the recipient", refusal) from error
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError) as error:
            what = "the sender" if isinstance(error, aiosmtplib.SMTPSenderRefused) else "the mail"
            raise _refused(what, error) from error
        except aiosmtplib.SMTPResponseException as error:
            # It refuses us, not this mail: the greeting, TLS or the login. That can be mended.
            raise NotSentError(f"The server answered {error.code}: {error.message}") from error
        except (TimeoutError, aiosmtplib.SMTPException, OSError, ssl.SSLError, ValueError) as error:
            raise NotSentError(f"{type(error).__name__}: {error}") from error

    async def _hand_in(self, recipient: str, message: bytes) -> None:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            # Asking the machine for its own name may take seconds of DNS.
            local_hostname=self._sender.host,
            timeout=STEP_SECONDS,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=self._tls,
        )
        try:
            await client.connect()
            await client.sendmail(self._sender.address, recipient, message)
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                # Only polite: what was taken is taken.
                await client.quit(timeout=2)
        finally:
            client.close()


def _refused(what: str, answer: aiosmtplib.SMTPResponseException) -> NotSentError:
    is_final = 500 <= answer.code < 600
    return NotSentError(f"The server refused {what}, {answer.code}: {answer.message}", is_final=is_final)


def _ascii(address: str) -> str:
    """An address as an envelope and a header can hold it, its host in ASCII. Raises `NotSentError`, for good."""
    local, at, host = address.rpartition("@")
    try:
        # Python's codec takes the characters of `_OTHERWISE` for others, which is somebody else's host.
        is_known = at and _OTHERWISE.isdisjoint(host)
        spelt = f"{local}@{host.encode('idna').decode('ascii')}" if is_known else ""
    except UnicodeError:
        spelt = ""
    if not _ADDRESS.fullmatch(spelt):
        raise NotSentError(f"Not an address that mail can go to: {address}", is_final=True)
    return spelt
