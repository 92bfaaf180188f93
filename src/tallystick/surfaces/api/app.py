"""The HTTP application: every endpoint, one shape of error, observed from outside."""

from collections.abc import Sequence
from typing import Any, cast

from litestar import Litestar

from tallystick.runtime import Runtime
from tallystick.surfaces.api.dispatch import framework_problem, handler, plain
from tallystick.surfaces.api.endpoints import Endpoint, Frame
from tallystick.surfaces.api.observing import App, Message, Meters, Receive, Send, observe
from tallystick.surfaces.api.openapi import describe
from tallystick.surfaces.api.routes import endpoints
from tallystick.wire.amounts import encode


def create_app(runtime: Runtime, extra: Sequence[Endpoint] = ()) -> App:
    """The ASGI application on an open runtime, which its caller closes. `extra` endpoints are for tests."""
    every = [*endpoints(), *extra]
    frame = Frame(runtime, Meters(), encode(describe(every)))
    inner = Litestar(
        route_handlers=[handler(endpoint, frame) for endpoint in every],
        exception_handlers={Exception: cast(Any, framework_problem)},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # each route has its own limit
    )
    hot = {(endpoint.method, endpoint.path): plain(endpoint, frame) for endpoint in every if endpoint.hot}

    async def route(scope: Message, receive: Receive, send: Send) -> None:
        app = hot.get((str(scope.get("method")), str(scope.get("path")))) or cast(App, inner)
        await app(scope, receive, send)

    return observe(route, runtime, frame.meters)
