"""Endpoints: how a route is declared.

A module of routes makes one `Routes` and decorates functions with it; the types of their parameters say what a
request holds, and become the OpenAPI description:

    ROUTES = Routes("Tokens")

    @ROUTES.post("/v1/workspaceManagement/tokens", requires(MEMBERS_WRITE), errors=("rightsExceeded",))
    async def create_token(call: Call, body: CreateToken) -> TokenCreated: ...

`call` comes first; `body` is a wire struct, or bytes as they arrived; `query` a wire struct; every other parameter is
a part of the path, a `str` or a `UUID`. The answer is a wire struct, or a `Reply` where the status varies.
"""

import datetime as dt
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, TypeVar, get_type_hints
from uuid import UUID

from litestar import Request

from tallystick.domain.identity.requests import RequestKey, check_idempotency_key
from tallystick.domain.identity.rights import Principal
from tallystick.domain.identity.tokens import token_text
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.queries import identity
from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tallystick.surfaces.api.guards import Guard
from tallystick.surfaces.api.observing import Meters
from tallystick.wire.amounts import encode

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

JSON: Final = "application/json"

LARGEST_BODY: Final = 1 << 20
"""Bytes that a request's body may have where its route names no other figure."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What one application holds for every request: the runtime, its counts, and its own OpenAPI description."""

    runtime: Runtime
    meters: Meters
    description: bytes


@dataclass(slots=True)
class Call:
    """One request on its way: who asks, when, and what the server has.

    `received_at` is the machine's time, `now` that of the workspace which the request is about: the same unless the
    workspace has a test clock.
    """

    frame: "Frame"
    request: Request[Any, Any, Any]
    endpoint: "Endpoint"
    received_at: dt.datetime
    now: dt.datetime
    bearer: str = field(default="", repr=False)
    caller: Principal | None = None

    @property
    def runtime(self) -> Runtime:
        return self.frame.runtime

    @property
    def ids(self) -> Ids:
        return self.frame.runtime.ids

    @property
    def principal(self) -> Principal:
        """Who asks; every guard but `ANYONE` has seen to it that there is somebody."""
        if self.caller is None:
            raise AssertionError("this route takes requests without a token")
        return self.caller

    @property
    def workspace_id(self) -> UUID:
        """The workspace that the request is about. Raises `workspaceRequired` for an operator who named none."""
        if self.principal.workspace_id is None:
            raise TallystickError("workspaceRequired", "Name the workspace in the header selected-workspace-uuid.")
        return self.principal.workspace_id

    async def turn_to(self, workspace_id: UUID) -> None:
        """Take the time of a workspace that an operator names elsewhere than in the header; one that is not there has
        none."""
        if self.principal.is_operator and workspace_id != self.principal.workspace_id:
            try:
                self.now = await identity.clock_of(self.runtime.database, workspace_id) or self.received_at
            except TallystickError as error:
                if error.code != "workspaceNotFound":
                    raise
                self.now = self.received_at

    def request_key(self, workspace_id: UUID, body: object) -> RequestKey | None:
        """What makes a repeat of this request known by its `Idempotency-Key`; None when it has none."""
        key = self.request.headers.get("idempotency-key")
        if key is None:
            return None
        checked = check_idempotency_key(key)
        asked = sha256(encode(body)).digest()
        return RequestKey(workspace_id, self.endpoint.operation, checked, asked, self.received_at)

    def new_token(self, request: RequestKey | None) -> str:
        """The text of a token to make, of a `new_secret`."""
        return token_text(self.new_secret(request))

    def new_secret(self, request: RequestKey | None) -> str:
        """256 random bits as URL-safe text.

        A request with an `Idempotency-Key` gets the same answer when it is repeated, yet no secret is stored: the bits
        come from the caller's own token, so that only the same caller's repeat can show them again.
        """
        if request is None:
            return self.ids.secret()
        asked = b"|".join((request.route.encode(), request.workspace_id.bytes, request.key.encode(), request.hash))
        bits = hmac.digest(self.bearer.encode(), asked, "sha256")
        return urlsafe_b64encode(bits).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose status or headers vary. `body` is anything that the wire encodes, or bytes of `media_type`."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. `answers` maps each status to its body's type, or a tuple of those it may have,
    `consumes` each media type to the shape of its content; `errors` are codes beyond the usual."""

    method: str
    path: str
    guard: Guard
    call: Callable[..., Awaitable[Any]]
    operation: str
    tag: str
    about: str
    parts: Mapping[str, type]
    query: type | None
    body: type | None
    optional_body: bool
    consumes: Mapping[str, Any]
    answers: Mapping[int, Any]
    produces: str
    errors: tuple[str, ...]
    idempotent: bool
    largest_body: int | str | None
    hot: bool = False

    def body_limit(self, settings: Settings) -> int:
        """Bytes that a body may have as it arrives."""
        if isinstance(self.largest_body, str):
            return int(getattr(settings, self.largest_body))
        return self.largest_body or LARGEST_BODY


@dataclass(slots=True)
class Routes:
    """The endpoints of one noun; `tag` is their heading in the OpenAPI description."""

    tag: str
    endpoints: list[Endpoint] = field(default_factory=list)

    def get(self, path: str, guard: Guard, **options: Any) -> Callable[[F], F]:
        return self.add("GET", path, guard, **options)

    def post(self, path: str, guard: Guard, *, status: int = 201, **options: Any) -> Callable[[F], F]:
        return self.add("POST", path, guard, status=status, **options)

    def put(self, path: str, guard: Guard, **options: Any) -> Callable[[F], F]:
        return self.add("PUT", path, guard, **options)

    def delete(self, path: str, guard: Guard, **options: Any) -> Callable[[F], F]:
        return self.add("DELETE", path, guard, **options)

    def add(
        self,
        method: str,
        path: str,
        guard: Guard,
        *,
        status: int = 200,
        answers: Mapping[int, Any] | None = None,
        errors: tuple[str, ...] = (),
        consumes: Mapping[str, Any] | None = None,
        produces: str = JSON,
        idempotent: bool = False,
        largest_body: int | str | None = None,
        hot: bool = False,
    ) -> Callable[[F], F]:
        """Declare the decorated function an endpoint.

        `{name}` in a path is one part of it, `{name:path}` the rest with its slashes. `idempotent` says that the route
        honours `Idempotency-Key`; `consumes` says which media types a body of bytes may have, and the shape of each;
        `largest_body` is in bytes, or the name of the setting that says it. A `hot` route, whose path has no parts, is
        found before the framework looks for one: that takes a fifth of the time of a hold.
        """

        def declare(function: F) -> F:
            hints = get_type_hints(function)
            answer = hints.pop("return")
            hints.pop("call")
            body, query = hints.pop("body", None), hints.pop("query", None)
            optional = body is not None and type(None) in getattr(body, "__args__", ())
            if optional:
                body = next(member for member in body.__args__ if member is not type(None))
            endpoint = Endpoint(
                method=method,
                path=path,
                guard=guard,
                call=function,
                operation=function.__name__,
                tag=self.tag,
                about=(function.__doc__ or "").strip(),
                parts=MappingProxyType(hints),
                query=query,
                body=body,
                optional_body=optional,
                consumes=MappingProxyType(dict(consumes) if consumes else {JSON: body}),
                answers=MappingProxyType(dict(answers) if answers else {status: answer}),
                produces=produces,
                errors=errors,
                idempotent=idempotent,
                largest_body=largest_body,
                hot=hot,
            )
            self.endpoints.append(endpoint)
            return function

        return declare
