"""A receiver of webhooks that does as its paths say, and keeps what it was sent. It verifies as any receiver would."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from standardwebhooks import Webhook

REASONS = {200: "OK", 204: "No Content", 302: "Found", 404: "Not Found", 410: "Gone", 500: "Oh Dear"}


@dataclass(frozen=True)
class Received:
    """One request. `body` is what was signed."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed_with(self, secret: str) -> bool:
        """Whether the standard's own library takes it."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except Exception:  # noqa: BLE001 - whatever it dislikes
            return False
        return True


@dataclass
class Receiver:
    """`/status/503/…` answers that status, `/flaky/2` fails twice, `/away` redirects to `/ok`, `/drop` hangs up.

    `/hold` answers once `go_on` is set, `/endless` never ends its answer, `/drip` gives a byte now and then, `/half`
    hangs up within its answer, `/rubbish` speaks no HTTP. Everything else is taken.
    """

    received: list[Received] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _failed: Counter[str] = field(default_factory=Counter)

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def at(self, path: str) -> list[Received]:
        """What was sent to a path, in order."""
        return [one for one in self.received if one.path == path]

    def ids(self, path: str) -> Counter[str]:
        """How often each fact arrived at a path."""
        return Counter(one.id for one in self.at(path))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            path = head[0].split(" ")[1]
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.received.append(Received(path, headers, body))
            self.arrived.set()
            await self._answer(path, writer)
            await writer.drain()
        writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        status, more = 200, ""
        if path.startswith("/status/"):
            status = int(path.split("/")[2])
        elif path.startswith("/flaky/"):
            self._failed[path] += 1
            status = 500 if self._failed[path] <= int(path.split("/")[2]) else 200
        elif path == "/away":
            status, more = 302, f"location: {self.url('/ok')}\r\n"
        elif path.startswith("/hold"):
            await self.go_on.wait()
        elif path == "/drop":
            return
        elif path == "/rubbish":
            writer.write(b"\0\0\0 what is this\r\n\r\n")
            return
        elif path in ("/endless", "/drip", "/half"):
            await self._begin(path, writer)
            return
        said = f"status {status} \0".encode()
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'Other')}\r\n{more}content-length: {len(said)}\r\n\r\n"
        writer.write(head.encode() + (b"" if status == 204 else said))

    async def _begin(self, path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        if path == "/half":
            writer.write(b"half")
            return
        while True:
            writer.write(b"x" if path == "/drip" else b"x" * 65_536)
            await writer.drain()
            await asyncio.sleep(0.05 if path == "/drip" else 0)


@asynccontextmanager
async def receiving(certificates: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port of the loopback address."""
    receiver = Receiver()
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            running.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificates)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        receiver.go_on.set()
        for task in list(running):
            task.cancel()
        while running:
            await asyncio.sleep(0.01)
