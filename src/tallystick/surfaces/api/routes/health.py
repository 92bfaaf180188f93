"""For whoever runs the server: is it up, is it ready, how is it doing, what can it do."""

from tallystick import __version__
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import ANYONE
from tallystick.wire.identity import About, Health, Readiness

ROUTES = Routes("Health")

_PROMETHEUS = "text/plain; version=0.0.4"


@ROUTES.get("/", ANYONE)
async def get_about(call: Call) -> About:
    """What answers at this address."""
    return About(
        name="Tallystick", version=__version__, description="/openapi.json", health="/readyz", metrics="/metrics"
    )


@ROUTES.get("/healthz", ANYONE)
async def get_health(call: Call) -> Health:
    """The process answers."""
    return Health(status="ok", version=__version__)


@ROUTES.get("/readyz", ANYONE, answers={200: Readiness, 503: Readiness})
async def get_readiness(call: Call) -> Reply:
    """Whether requests may be sent here: the database answers, its schema is of this version, the queue has room."""
    checks = await call.runtime.readiness()
    ready = all(checks.values())
    return Reply(Readiness(ready=ready, checks=checks), status=200 if ready else 503)


@ROUTES.get("/metrics", ANYONE, produces="text/plain", answers={200: str})
async def get_server_metrics(call: Call) -> Reply:
    """Requests by route and status, their times, and what waits, in the Prometheus text format."""
    text = call.frame.meters.render(call.runtime.gauges())
    return Reply(text.encode(), media_type=_PROMETHEUS)


@ROUTES.get("/openapi.json", ANYONE, answers={200: dict})
async def get_openapi(call: Call) -> Reply:
    """This description of the API."""
    return Reply(call.frame.description)
