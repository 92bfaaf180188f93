"""For whoever runs the server: is it up, is it ready, how is it doing, what can it do."""

import datetime as dt

from tallystick import __version__
from tallystick.kernel.errors import TallystickError
from tallystick.queries import jobs
from tallystick.queries.jobs import Standing
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import ANYONE
from tallystick.surfaces.api.observing import render_gauges
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
    """Whether requests may be sent here: the database answers, its schema is of this version, the queue has room.

    Background work that is late is named, and is no reason for 503: every request settles what is due for itself, and
    since it is late for all servers alike, nobody would be left to answer.
    """
    checks = await call.runtime.readiness()
    ready = all(checks.values())
    found = await _standing(call) if ready else None
    late = [] if found is None else found.late(call.received_at)
    return Reply(Readiness(ready=ready, checks=checks, late_jobs=late), status=200 if ready else 503)


@ROUTES.get("/metrics", ANYONE, produces="text/plain", answers={200: str})
async def get_server_metrics(call: Call) -> Reply:
    """Requests by route and status, their times, what waits, and how background work goes, as Prometheus text."""
    text = call.frame.meters.render(call.runtime.gauges())
    found = await _standing(call)
    if found is not None:
        text += render_gauges(_samples(found, call.received_at))
    return Reply(text.encode(), media_type=_PROMETHEUS)


async def _standing(call: Call) -> Standing | None:
    """How background work goes; None while the database does not say."""
    try:
        return await jobs.standing(call.runtime.database, call.received_at)
    except TallystickError:
        return None


def _samples(found: Standing, now: dt.datetime) -> dict[str, list[tuple[str, str, int]]]:
    """By the gauge's name: label, its value, and the figure."""
    waiting = (("fact", found.waiting.facts), ("mail", found.waiting.mails), ("delivery", found.waiting.deliveries))
    return {
        "job_age_seconds": [("job", job.name, max(int((now - job.well_at).total_seconds()), 0)) for job in found.jobs],
        "job_failures": [("job", job.name, job.failures) for job in found.jobs],
        "job_late": [("job", job.name, int(job.is_late(now))) for job in found.jobs],
        "outbox_oldest_seconds": [("kind", kind, seconds) for kind, seconds in waiting],
    }


@ROUTES.get("/openapi.json", ANYONE, answers={200: dict})
async def get_openapi(call: Call) -> Reply:
    """This description of the API."""
    return Reply(call.frame.description)
