"""What nodes call in the tests: the language model of the demo, and a web service that does as its paths say."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import uvicorn

from tallystick.demo.language_model import LanguageModel, Receive, Scope, Send


@dataclass
class Web:
    """`/echo` answers what it was sent, `/status/503` that status, `/flaky/2` fails twice.

    The second request for `/slow/2` waits until `go_on` is set, and sets `slow`. `requests` are the paths asked for.
    """

    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    slow: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    _failed: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"")
        path = scope["path"]
        self.requests.append(path)
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        status, answer = 200, {"path": path, "body": msgspec.json.decode(body) if body else None}
        if path.startswith("/slow/"):
            answer["asked"] = "once more " * self.requests.count(path)
        if path.startswith("/status/"):
            status = int(path.rpartition("/")[2])
        if path.startswith("/flaky/"):
            self._failed[path] += 1
            status = 503 if self._failed[path] <= int(path.split("/")[2]) else 200
        if path.startswith("/slow/") and self.requests.count(path) == int(path.rpartition("/")[2]):
            self.slow.set()
            while not self.go_on.is_set():
                await asyncio.sleep(0.01)
        if path.startswith("/away"):
            status = 302
        headers = [(b"content-type", b"application/json"), (b"location", b"/echo")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": msgspec.json.encode(answer)})


@dataclass
class Switch:
    """One port for the web of whichever test runs."""

    web: Web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.web(scope, receive, send)


@contextmanager
def listening(app: Any, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    """The app on a free port of the loopback address, in a thread; its base URL."""
    config = uvicorn.Config(app, port=0, log_config=None, lifespan=lifespan, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@dataclass(frozen=True)
class Endpoint:
    """A language model on its own port, with its log."""

    base_url: str
    model: LanguageModel

    @contextmanager
    def logged(self) -> Iterator[list[Any]]:
        """What it is asked within the block, filled in at its end."""
        before = len(self.model.calls)
        seen: list[Any] = []
        yield seen
        seen += self.model.calls[before:]


@contextmanager
def language_model() -> Iterator[Endpoint]:
    model = LanguageModel()
    with listening(model) as url:
        yield Endpoint(f"{url}/v1", model)
