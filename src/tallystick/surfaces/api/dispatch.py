"""The way of one request: who asks, may they, what do they ask, then the endpoint, then the answer."""

from typing import Any, Final
from urllib.parse import quote

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from tallystick.kernel.errors import TallystickError
from tallystick.settings import Settings
from tallystick.surfaces.api import auth, parsing, problems
from tallystick.surfaces.api.endpoints import JSON, Call, Endpoint, Frame, Reply
from tallystick.surfaces.api.observing import trace_of
from tallystick.wire.amounts import encode

_LOG = structlog.get_logger("tallystick.api")

_BY_STATUS: Final = {
    400: ("invalidRequest", "The request could not be read."),
    404: ("notFound", "There is nothing at this address."),
    405: ("methodNotAllowed", "This address does not take this method."),
    413: ("bodyTooLarge", "The body is too large."),
    415: ("unsupportedMediaType", "The body's content type is none of those accepted."),
}


def handler(endpoint: Endpoint, frame: Frame) -> HTTPRouteHandler:
    """The endpoint as a route of the application."""

    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        trace = trace_of(request.scope)
        trace.operation = endpoint.operation
        try:
            return _response(endpoint, await _call(endpoint, frame, request))
        except TallystickError as error:
            trace.code = error.code
            return problem(error, trace.request_id)
        except Exception as error:  # noqa: BLE001 - the last line of defence: told by id, never by content
            return unexpected(error, trace.request_id)

    path = "".join(_path_piece(piece) for piece in _pieces(endpoint.path))
    return HTTPRouteHandler(path, http_method=endpoint.method, status_code=200, name=endpoint.operation)(handle)  # type: ignore[arg-type]


def problem(error: TallystickError, request_id: str) -> Response[bytes]:
    """An error that we named, as an answer; one that no request should ever meet is told by its id alone."""
    status = problems.status_of(error.code)
    if error.code not in problems.STATUS:
        return unexpected(error, request_id)
    return Response(problems.body_of(error), status_code=status, media_type=JSON, headers=problems.headers_of(error))


def unexpected(error: Exception, request_id: str) -> Response[bytes]:
    """An error that nobody foresaw: the log has it in full, the caller an id to name it by."""
    _LOG.error("unexpected error", request_id=request_id, exc_info=error)
    shown = TallystickError("internalError", "Something went wrong on our side; nothing more was done.", id=request_id)
    return Response(problems.body_of(shown), status_code=500, media_type=JSON)


def framework_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """What the framework refuses by itself (no such address, wrong method), in our shape."""
    trace = trace_of(request.scope)
    if isinstance(error, HTTPException) and error.status_code < 500:
        code, message = _BY_STATUS.get(error.status_code, _BY_STATUS[400])
        trace.code = code
        answer = problem(TallystickError(code, message), trace.request_id)
        for name, value in (error.headers or {}).items():
            answer.headers[name] = value
        return answer
    return unexpected(error, trace.request_id)


async def _call(endpoint: Endpoint, frame: Frame, request: Request[Any, Any, Any]) -> Any:
    runtime = frame.runtime
    call = Call(frame, request, endpoint, runtime.clock.now())
    if endpoint.guard.who != "anyone":
        call.bearer = auth.bearer(request.headers)
        call.caller = await auth.principal(runtime, call.bearer, request.headers, call.now)
        trace_of(request.scope).actor = call.caller.actor
        endpoint.guard.check(call.caller)
    given: dict[str, Any] = {
        name: parsing.decode_part(name, _part(request, endpoint, name), kind) for name, kind in endpoint.parts.items()
    }
    if endpoint.query is not None:
        given["query"] = parsing.decode_query(request.scope["query_string"], endpoint.query)
    if endpoint.body is not None:
        given["body"] = await _body(endpoint, request, runtime.settings)
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


def _response(endpoint: Endpoint, answer: Any) -> Response[bytes]:
    reply = answer if isinstance(answer, Reply) else Reply(answer, status=next(iter(endpoint.answers)))
    if reply.status == 204:
        return Response(b"", status_code=204, headers=reply.headers)
    content = reply.body if isinstance(reply.body, bytes) else encode(reply.body)
    return Response(content, status_code=reply.status, media_type=reply.media_type, headers=reply.headers)


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
