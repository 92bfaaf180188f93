"""Webhooks on their way: signed by Standard Webhooks, posted to checked addresses, never redirected."""

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

import httpx2
import structlog
from standardwebhooks import Webhook

from tallystick import __version__
from tallystick.domain.telling.webhooks import LONGEST_ANSWER
from tallystick.kernel.addresses import Address, AddressRefused, Allowed

_LONGEST_ERROR: Final = 300
_RESOLVERS: Final = 64

_log = structlog.get_logger("tallystick.webhooks")


@dataclass(frozen=True, slots=True)
class Letter:
    """What to post where. `secrets` sign it, each with a signature of its own; they are in no text of this object."""

    url: str
    webhook_id: str
    payload: str
    secrets: Sequence[str]

    def __repr__(self) -> str:
        return f"Letter({self.webhook_id})"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it. `status_code` None: no answer, and `error` says why; `answer` is the beginning of its body."""

    milliseconds: int
    status_code: int | None
    error: str | None
    answer: str


class WebhookPoster:
    """Posts to addresses of the open internet and those that the operator allows. One per process."""

    def __init__(self, allowed: Allowed, *, seconds: int, certificates: ssl.SSLContext | None = None) -> None:
        """`seconds` is how long a receiver may take in all; without `certificates` the machine's own are believed."""
        self.allowed = allowed
        self._seconds = seconds
        self._certificates = certificates
        self._transport: httpx2.AsyncHTTPTransport | None = None
        # Threads of our own: a name whose server does not answer must not use up those that others resolve theirs on.
        self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="webhook-names")

    async def post(self, letter: Letter, at: dt.datetime) -> Answer:
        """Post it as of `at`. Never raises: whatever goes wrong is the answer."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        taken = _Taken()
        error = None
        try:
            async with asyncio.timeout(self._seconds):
                await self._exchange(_request(letter, at), taken)
        except TimeoutError:
            error = f"No answer within {self._seconds} s."
        except AddressRefused as refused:
            error = str(refused)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as broken:
            error = f"{_KINDS.get(type(broken), 'Not reached')}: {str(broken) or type(broken).__name__}"
        except Exception as unforeseen:  # noqa: BLE001 - one odd endpoint must not keep the others from theirs
            _log.exception("webhook not posted", webhook_id=letter.webhook_id)
            error = f"Not sent: {type(unforeseen).__name__}"
        # A receiver that said yes has taken it, however its answer went on.
        return Answer(
            milliseconds=int((loop.time() - begun) * 1000),
            status_code=taken.status_code,
            error=None if error is None or taken.status_code is not None else _storable(error)[:_LONGEST_ERROR],
            answer=_storable(taken.body[:LONGEST_ANSWER].decode(errors="replace")),
        )

    async def _exchange(self, request: httpx2.Request, taken: "_Taken") -> None:
        url = request.url
        host = url.raw_host.decode()
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await self._resolved(host, port)
        pinned = httpx2.Request(
            request.method,
            url.copy_with(host=str(address)),
            headers=request.headers,
            stream=request.stream,
            extensions={"sni_hostname": host},
        )
        response = await self._connection().handle_async_request(pinned)
        try:
            taken.status_code = response.status_code
            # Only the beginning is kept, as it came: an answer may have no end, or unpack to something large.
            async for part in response.aiter_raw():
                taken.body += part
                if len(taken.body) >= LONGEST_ANSWER:
                    break
        finally:
            await response.aclose()

    async def _resolved(self, host: str, port: int) -> Address:
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._resolvers, ask)
        except OSError as error:
            raise OSError(f"{host} has no address ({error.strerror})") from error
        return self.allowed.choose(host, port, [str(entry[4][0]) for entry in found])

    def _connection(self) -> httpx2.AsyncHTTPTransport:
        if self._transport is None:
            # Nothing is kept open: a connection made for one name must not serve another one at the same address.
            alone = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
            verified = self._certificates or _machines_certificates()
            self._transport = httpx2.AsyncHTTPTransport(verify=verified, trust_env=False, limits=alone)
        return self._transport

    async def close(self) -> None:
        """Close what is open. Nothing can be posted afterwards."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None


@dataclass(slots=True)
class _Taken:
    """As much of the answer as has come."""

    status_code: int | None = None
    body: bytes = b""


_KINDS: Final[dict[type[Exception], str]] = {
    httpx2.RemoteProtocolError: "No answer",
    httpx2.ReadError: "No answer",
    httpx2.WriteError: "Broken off",
}


def _request(letter: Letter, at: dt.datetime) -> httpx2.Request:
    signatures = [Webhook(secret).sign(letter.webhook_id, at, letter.payload) for secret in letter.secrets]
    return httpx2.Request(
        "POST",
        letter.url,
        headers={
            "content-type": "application/json",
            "user-agent": f"Tallystick/{__version__}",
            "accept-encoding": "identity",
            "webhook-id": letter.webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        },
        content=letter.payload.encode(),
    )


def _storable(text: str) -> str:
    """Without what no database takes."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


@cache
def _machines_certificates() -> ssl.SSLContext:
    """Whom this machine believes; reading them takes a tenth of a second, once."""
    return ssl.create_default_context()
