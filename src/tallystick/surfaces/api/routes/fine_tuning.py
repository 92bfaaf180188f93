"""Fine-tuning jobs: previewed, begun behind the gate, ended with what they took (row B8)."""

from decimal import Decimal
from typing import Final
from uuid import UUID

from tallystick.domain.credits.gates import Decision
from tallystick.domain.deployments.fine_tuning import Estimate, Job, Work, complexity_of
from tallystick.domain.identity.rights import BILLING_READ, RUNS_WRITE
from tallystick.flows import due
from tallystick.flows import fine_tuning as flow
from tallystick.flows.fine_tuning import Author, NewJob, Report
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries import fine_tuning as queries
from tallystick.queries import standing
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import fine_tuning as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Fine-tuning")

_ALL: Final = "/v1/fine-tuning-jobs"
_ONE: Final = "/v1/fine-tuning-jobs/{uuid}"
_READ: Final = requires(BILLING_READ)
_WRITE: Final = requires(RUNS_WRITE)
_REFUSALS: Final = ("budgetExceeded", "notEnoughCredits", "pastDue", "trialEnded")


@ROUTES.post(
    _ALL,
    _WRITE,
    answers={201: wire.FineTuningJobAnswer, 200: wire.FineTuningPreview},
    idempotent=True,
    errors=(
        *_REFUSALS,
        "amountTooLarge",
        "invalidAmount",
        "invalidKey",
        "invalidQuantity",
        "profileNotFound",
        "resourceKindConflict",
        "tooManyResources",
    ),
)
async def create_fine_tuning_job(
    call: Call, body: wire.CreateFineTuningJob, query: wire.CreateFineTuningJobQuery
) -> Reply:
    """Begin a fine-tuning job; what it will cost is set aside until its report. 402 says what stands in its way.

    More than the workspace's `fineTuneMinimum` must be available, 25 credits unless set otherwise, and what the job
    will cost. With `?preview=true` nothing begins: the answer is the cost, and whether it might.
    """
    runtime = call.runtime
    work = _work(body)
    if query.preview:
        quoted = await flow.quote(runtime.database, runtime.catalogs, work, now=call.now)
        return Reply(_preview(quoted, work, await _decide(call, quoted.credits)))
    job = await flow.create(
        runtime.database,
        runtime.catalogs,
        NewJob(body.base_model, body.model, work),
        _author(call, body),
        hold_seconds=runtime.settings.hold_seconds_max,
    )
    return Reply(wire.FineTuningJobAnswer(job=_on_wire(job)), status=201)


@ROUTES.get(_ALL, _READ)
async def list_fine_tuning_jobs(call: Call, query: wire.FineTuningJobsQuery) -> wire.FineTuningJobsAnswer:
    """A page of the workspace's fine-tuning jobs, newest first."""
    found = await queries.jobs(
        call.runtime.database, call.workspace_id, status=query.status, limit=query.limit, offset=query.offset
    )
    return wire.FineTuningJobsAnswer(jobs=[_on_wire(job) for job in found])


@ROUTES.get(_ONE, _READ, errors=("fineTuningJobNotFound",))
async def get_fine_tuning_job(call: Call, uuid: UUID) -> wire.FineTuningJobAnswer:
    """One fine-tuning job."""
    return wire.FineTuningJobAnswer(job=_on_wire(await queries.job(call.runtime.database, call.workspace_id, uuid)))


@ROUTES.post(
    f"{_ONE}/report",
    _WRITE,
    status=200,
    idempotent=True,
    errors=(
        "amountTooLarge",
        "fineTuningJobNotFound",
        "fineTuningJobNotRunning",
        "invalidAmount",
        "invalidQuantity",
        "invalidText",
    ),
)
async def report_fine_tuning_job(call: Call, uuid: UUID, body: wire.ReportFineTuningJob) -> wire.FineTuningJobAnswer:
    """End a job with what it really took: that is charged, whatever it was estimated at, also where it failed.

    The same report again is the same answer.
    """
    work = Work(body.training_tokens, _decimal(body.epochs), "", None, _decimal(body.seconds))
    job = await flow.report(
        call.runtime.database,
        call.runtime.catalogs,
        uuid,
        Report(body.status, work, body.reason),
        _author(call, {"uuid": uuid, "body": body}),
        hourly_days=call.runtime.settings.hourly_rollup_days,
    )
    return wire.FineTuningJobAnswer(job=_on_wire(job))


def _author(call: Call, body: object) -> Author:
    request = call.request_key(call.workspace_id, body)
    return Author(call.workspace_id, call.principal.actor, request, call.now, call.ids)


def _work(body: wire.CreateFineTuningJob) -> Work:
    complexity = body.complexity if body.parameters is None else complexity_of(body.parameters)
    if complexity is None or body.complexity not in (None, complexity):
        raise TallystickError(
            "invalidRequest",
            "A job names its model's parameters or complexity, not two that differ.",
            path="complexity",
        )
    return Work(body.training_tokens, _decimal(body.epochs), complexity, body.profile, _decimal(body.seconds))


async def _decide(call: Call, needed: int) -> Decision:
    runtime = call.runtime
    await due.bring_up(runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await standing.situation(runtime.database, call.workspace_id, now=call.now)
    return found.decide("fineTune", needed)


def _preview(quoted: Estimate, work: Work, decision: Decision) -> wire.FineTuningPreview:
    return wire.FineTuningPreview(
        credits=Credits(quoted.credits),
        complexity=work.complexity,  # type: ignore[arg-type]
        parts=[
            wire.FineTuningPart(
                type=part.type, quantity=_nano(part.quantity), credits=Credits(part.credits), price=part.price
            )
            for part in quoted.parts
        ],
        allowed=decision.allowed,
        reason=decision.reason,
        message=decision.message,
        details=dict(decision.details),
    )


def _on_wire(job: Job) -> wire.FineTuningJob:
    return wire.FineTuningJob(
        uuid=job.id,
        base_model=job.base_model,
        model=job.model,
        model_uuid=job.resource_id,
        status=job.status,  # type: ignore[arg-type]
        complexity=job.asked.complexity,  # type: ignore[arg-type]
        profile=job.asked.profile,
        asked=_shown(job.asked),
        estimate=Credits(job.estimate),
        hold_uuid=job.hold_id,
        reported=None if job.reported is None else _shown(job.reported),
        credits=None if job.charged is None else Credits(job.charged),
        reason=job.reason,
        created_at=job.created_at,
        finished_at=job.finished_at,
    )


def _shown(work: Work) -> wire.FineTuningWork:
    return wire.FineTuningWork(
        training_tokens=work.training_tokens,
        epochs=_nano(work.epochs),
        trained_tokens=_nano(work.trained_tokens),
        seconds=_nano(work.seconds),
    )


def _decimal(number: Credits) -> Decimal:
    return Decimal(number.nano) / NANO


def _nano(number: Decimal) -> Credits:
    return Credits(int(number * NANO))
