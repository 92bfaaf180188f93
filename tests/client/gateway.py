"""Gateways in front of a real server that go wrong in the ways that networks do: one for HTTP, one for its bytes."""

import contextlib
import http.client
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """Answer this in the server's place; the server never sees the request."""

    status: int
    body: bytes = b"<html>bad gateway</html>"
    headers: dict[str, str] = field(default_factory=dict)


LOSE_REQUEST = "lose the request"
LOSE_ANSWER = "lose the answer"
PASS = "pass"


class Gateway:
    """What happens to the next POSTs stands in `script`; once it is used up, everything passes. `hold` stalls all."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.script: deque[Answer | str] = deque()
        self.posts: list[bytes] = []
        self.paths: list[str] = []
        self.open = threading.Event()
        self.open.set()
        gateway = self

        class Handler(_Handler):
            owner = gateway

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: Gateway
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass(b"")

    def do_POST(self) -> None:
        owner = self.owner
        body = self.rfile.read(int(self.headers["content-length"]))
        owner.posts.append(body)
        owner.paths.append(self.path)
        owner.open.wait(20)
        what = owner.script.popleft() if owner.script else PASS
        if isinstance(what, Answer):
            self._answer(what.status, what.body, what.headers)
        elif what == LOSE_REQUEST:
            self.close_connection = True
        else:
            self._pass(body, lose=what == LOSE_ANSWER)

    def _pass(self, body: bytes, *, lose: bool = False) -> None:
        upstream = http.client.HTTPConnection(self.owner.host, self.owner.port, timeout=20)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        if lose:
            self.close_connection = True
            return
        self._answer(answer.status, content, {"content-type": answer.headers.get("content-type", "")})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class Wire:
    """A TCP proxy. While `is_up` bytes pass; `cut_after(n)` cuts each connection once so many have been answered on it,
    0 before the request is passed on; `down()` refuses to connect, and cuts what there is."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.is_up = True
        self.cuts: deque[int] = deque()
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut_after(self, *answered: int) -> None:
        """The next connections end after so many bytes of answers each."""
        self.cuts.extend(answered)

    def down(self) -> None:
        self.is_up = False
        for one in list(self._open):
            self._shut(one)

    def up(self) -> None:
        self.is_up = True

    def close(self) -> None:
        self.down()
        self._shut(self._listener)
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if not self.is_up:
                self._shut(client)
                continue
            cut = self.cuts.popleft() if self.cuts else None
            threading.Thread(target=self._carry, args=(client, cut), daemon=True).start()

    def _carry(self, client: socket.socket, cut: int | None) -> None:
        if cut == 0:
            client.recv(10)
            self._shut(client)
            return
        server = socket.create_connection(self._upstream)
        self._open |= {client, server}
        if not self.is_up:
            # It went down while this was on its way.
            self._shut(client)
            self._shut(server)
            return
        threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
        self._pump(server, client, cut)

    def _pump(self, source: socket.socket, target: socket.socket, cut: int | None) -> None:
        left = cut
        try:
            while data := source.recv(65_536):
                if left is not None:
                    target.sendall(data[:left])
                    left -= len(data)
                    if left <= 0:
                        break
                else:
                    target.sendall(data)
        except OSError:
            pass
        self._shut(source)
        self._shut(target)
        self._open -= {source, target}

    @staticmethod
    def _shut(one: socket.socket) -> None:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
