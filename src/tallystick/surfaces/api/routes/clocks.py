"""For operators: the time of a workspace with a test clock, and how background work goes."""

from uuid import UUID

from tallystick.domain.times import check_time
from tallystick.flows import clocks
from tallystick.queries import identity, jobs
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR
from tallystick.wire import clocks as wire

ROUTES = Routes("Time")


@ROUTES.get("/v1/workspaces/{uuid}/clock", OPERATOR, errors=("workspaceNotFound",))
async def get_clock(call: Call, uuid: UUID) -> wire.ClockAnswer:
    """What time it is for a workspace."""
    found = await identity.clock_of(call.runtime.database, uuid)
    return wire.ClockAnswer(
        clock=wire.Clock(workspace_uuid=uuid, at=found or call.received_at, is_test=found is not None)
    )


@ROUTES.post(
    "/v1/workspaces/{uuid}/clock",
    OPERATOR,
    status=200,
    errors=("clockMovesForward", "invalidTime", "noTestClock", "workspaceNotFound"),
)
async def advance_clock(call: Call, uuid: UUID, body: wire.AdvanceClock) -> wire.ClockAnswer:
    """Move a test clock forward. All that is due until then happens first, in order of time; sent again, it goes on
    where it was cut off."""
    to = check_time(body.to, field="to")
    runtime = call.runtime
    at = await clocks.advance(runtime.database, runtime.billing, uuid, to, actor=call.principal.actor, ids=call.ids)
    return wire.ClockAnswer(clock=wire.Clock(workspace_uuid=uuid, at=at, is_test=True))


@ROUTES.get("/v1/jobs", OPERATOR)
async def list_jobs(call: Call) -> wire.JobsAnswer:
    """The background work there is, how each goes, and for how long something waits to be told."""
    found = await jobs.standing(call.runtime.database, call.received_at)
    return wire.JobsAnswer(
        jobs=[
            wire.Job(
                name=job.name,
                every_seconds=job.every_seconds,
                started_at=job.started_at,
                finished_at=job.finished_at,
                well_at=job.well_at,
                done=job.done,
                failures=job.failures,
                error=job.error,
                running=job.is_running,
                late=job.is_late(call.received_at),
            )
            for job in found.jobs
        ],
        waiting_seconds=wire.WaitingSeconds(
            facts=found.waiting.facts, mails=found.waiting.mails, deliveries=found.waiting.deliveries
        ),
    )
