"""The way of one request: who asks, may they, what do they ask, then the endpoint, then the answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from tallystick.kernel.errors import TallystickError
from tallystick.settings import Settings
from tallystick.surfaces.api import auth, parsing, problems
from tallystick.surfaces.api.endpoints import JSON, Call, Endpoint, Frame, Reply
from tallystick.surfaces.api.observing import App, Message, Receive, Send, trace_of
from tallystick.wire.amounts import encode

_LOG = structlog.get_logger("tallystick.api")

_BY_STATUS: Final = {
    400: ("invalidRequest", "The request could not be read."),
    404: ("notFound", "There is nothing at this address."),
    405: ("methodNotAllowed", "This address does not take this method."),
    413: ("bodyTooLarge", "The body is too large."),
    415: ("unsupportedMediaType", "The body's content type is none of those accepted."),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a status, content and what it is."""

    status: int
    content: bytes
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response[bytes]:
        """The same as the framework sends it."""
        return Response(self.content, status_code=self.status, media_type=self.media_type, headers=self.headers)

    async def send(self, send: Send) -> None:
        """The same without the framework."""
        headers = [(b"content-length", b"%d" % len(self.content))]
        if self.content:
            headers.append((b"content-type", self.media_type.encode()))
        headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.content})


def handler(endpoint: Endpoint, frame: Frame) -> HTTPRouteHandler:
    """The endpoint as a route of the application."""

    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        return (await _answer(endpoint, frame, request)).response()

    path = "".join(_path_piece(piece) for piece in _pieces(endpoint.path))
    return HTTPRouteHandler(path, http_method=endpoint.method, status_code=200, name=endpoint.operation)(handle)  # type: ignore[arg-type]


def plain(endpoint: Endpoint, frame: Frame) -> App:
    """The endpoint as an ASGI application of its own, for the routes where every microsecond counts."""

    async def handle(scope: Message, receive: Receive, send: Send) -> None:
        request: Request[Any, Any, Any] = Request(cast(Any, scope), cast(Any, receive), cast(Any, send))
        await (await _answer(endpoint, frame, request)).send(send)

    return handle


async def _answer(endpoint: Endpoint, frame: Frame, request: Request[Any, Any, Any]) -> Answer:
    trace = trace_of(request.scope)
    trace.operation = endpoint.operation
    try:
        return _told(endpoint, await _call(endpoint, frame, request))
    except TallystickError as error:
        trace.code = error.code
        return problem(error, trace.request_id)
    except Exception as error:  # noqa: BLE001 - the last line of defence: told by id, never by content
        return unexpected(error, trace.request_id)


def problem(error: TallystickError, request_id: str) -> Answer:
    """An error that we named, as an answer; one that no request should ever meet is told by its id alone."""
    status = problems.status_of(error.code)
    if error.code not in problems.STATUS:
        return unexpected(error, request_id)
    return Answer(status, problems.body_of(error), headers=problems.headers_of(error))


def unexpected(error: Exception, request_id: str) -> Answer:
    """An error that nobody foresaw: the log has it in full, the caller an id to name it by."""
    _LOG.error("unexpected error", request_id=request_id, exc_info=error)
    shown = TallystickError("internalError", "Something went wrong on our side; nothing more was done.", id=request_id)
    return Answer(500, problems.body_of(shown))


def framework_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """What the framework refuses by itself (no such address, wrong method), in our shape."""
    trace = trace_of(request.scope)
    if isinstance(error, HTTPException) and error.status_code < 500:
        code, message = _BY_STATUS.get(error.status_code, _BY_STATUS[400])
        trace.code = code
        answer = problem(TallystickError(code, message), trace.request_id).response()
        for name, value in (error.headers or {}).items():
            answer.headers[name] = value
        return answer
    return unexpected(error, trace.request_id).response()


async def _call(endpoint: Endpoint, frame: Frame, request: Request[Any, Any, Any]) -> Any:
    runtime = frame.runtime
    now = runtime.clock.now()
    call = Call(frame, request, endpoint, now, now)
    if endpoint.guard.who != "anyone":
        call.bearer = auth.bearer(request.headers)
        call.caller = await auth.principal(runtime, call.bearer, request.headers, call.received_at)
        call.now = call.caller.clock_at or call.received_at
        trace_of(request.scope).actor = call.caller.actor
        endpoint.guard.check(call.caller)
    given: dict[str, Any] = {
        name: parsing.decode_part(name, _part(request, endpoint, name), kind) for name, kind in endpoint.parts.items()
    }
    if endpoint.query is not None:
        given["query"] = parsing.decode_query(request.scope["query_string"], endpoint.query)
    if endpoint.body is not None:
        given["body"] = await _body(endpoint, request, runtime.settings)
        named = getattr(given["body"], "workspace_uuid", None)
        if named is not None:
            await call.turn_to(named)
    return await endpoint.call(call, **given)


async def _body(endpoint: Endpoint, request: Request[Any, Any, Any], settings: Settings) -> Any:
    raw = await parsing.read_body(request, endpoint.body_limit(settings))
    if endpoint.optional_body and not raw.strip():
        return None
    parsing.check_content_type(request, endpoint.consumes)
    if endpoint.body is bytes:
        return raw
    assert endpoint.body is not None  # noqa: S101 - for the type checker
    return parsing.decode_body(raw, endpoint.body)


def _told(endpoint: Endpoint, answer: Any) -> Answer:
    reply = answer if isinstance(answer, Reply) else Reply(answer, status=next(iter(endpoint.answers)))
    if reply.status == 204:
        return Answer(204, b"", headers=reply.headers)
    content = reply.body if isinstance(reply.body, bytes) else encode(reply.body)
    return Answer(reply.status, content, reply.media_type, reply.headers)


def _part(request: Request[Any, Any, Any], endpoint: Endpoint, name: str) -> str:
    before, rest, _ = endpoint.path.partition(f"{{{name}:path}}")
    raw: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    if not rest:
        if b"%2F" not in raw and b"%2f" not in raw:
            return str(request.path_params[name])
        place = _pieces(endpoint.path).index(f"/{{{name}}}")
        return parsing.decode_rest(name, [piece for piece in raw.split(b"/") if piece][place])
    # The framework tidies slashes away, but in a key they may be meant: read it as it was sent.
    return parsing.decode_rest(name, raw.split(b"/", before.count("/"))[-1])


def _pieces(path: str) -> list[str]:
    return [f"/{piece}" for piece in path.strip("/").split("/")]


def _path_piece(piece: str) -> str:
    is_open = piece.startswith("/{") and ":" not in piece
    return f"{piece[:-1]}:str}}" if is_open else piece
