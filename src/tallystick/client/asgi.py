"""A run for each request of an ASGI application: set aside before it starts, settled when its answer has ended.

app = TallyMiddleware(app, tally, lambda scope: {"workflow": scope["path"].strip("/"), "estimate": 2})
"""

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from tallystick.client.asynchronous import AsyncClient
from tallystick.client.errors import RefusedError, ServerUnreachableError
from tallystick.client.runs import RunArguments
from tallystick.wire.amounts import encode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
RunFor = Callable[[Scope], RunArguments | Awaitable[RunArguments | None] | None]

RUN: Final = "tallystick.run"
"""Where the application finds its run in the scope; `current_run()` finds it, too."""

_METERED: Final = ("http", "websocket")
_POLICY_VIOLATION: Final = 1008
_TRY_AGAIN: Final = 1013


class TallyMiddleware:
    """`run_for` says, for the scope of a request, what `AsyncClient.run` is given; None: nothing is metered.

    It may be a coroutine function. A refused request is answered 402 with the refusal as the server told it, and 503
    when the server can't be reached and no lease allows for it; the application sees neither. Whatever the application
    used is settled when it returns, also where it raises, is cancelled, or nobody listens any more.
    """

    def __init__(self, app: App, tally: AsyncClient, run_for: RunFor) -> None:
        self._app = app
        self._tally = tally
        self._run_for = run_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arguments = await self._arguments(scope)
        if arguments is None:
            await self._app(scope, receive, send)
            return
        run = self._tally.run(**arguments)
        try:
            await run.__aenter__()
        except RefusedError as error:
            body = error.body or encode(_problem(error.error_message, error.reason, dict(error.details)))
            await _refuse(scope, receive, send, error.status, _POLICY_VIOLATION, body)
            return
        except ServerUnreachableError as error:
            body = encode(_problem(str(error), "serverUnreachable", {}))
            await _refuse(scope, receive, send, 503, _TRY_AGAIN, body)
            return
        try:
            await self._app({**scope, RUN: run}, receive, send)
        finally:
            await run.__aexit__(None, None, None)

    async def _arguments(self, scope: Scope) -> RunArguments | None:
        if scope["type"] not in _METERED:
            return None
        arguments = self._run_for(scope)
        return await arguments if inspect.isawaitable(arguments) else arguments


def _problem(message: str, reason: str, details: dict[str, Any]) -> dict[str, Any]:
    return {"errorMessage": message, "reason": reason, "details": details}


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, code: int, body: bytes) -> None:
    """An answer in the application's place. A WebSocket that can't be answered is closed with `code`."""
    prefix = scope["type"]
    if prefix == "websocket":
        await receive()
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": code, "reason": "refused"})
            return
        prefix = "websocket.http"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": f"{prefix}.response.start", "status": status, "headers": headers})
    await send({"type": f"{prefix}.response.body", "body": body})
