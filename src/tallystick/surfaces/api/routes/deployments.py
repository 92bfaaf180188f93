"""Deployments: asked for, reported on, scaled, taken down and read (rows B5, B8 to B10; rules M16, M17)."""

from typing import Final
from uuid import UUID

from tallystick.domain.credits.gates import REASONS
from tallystick.domain.deployments.deployment import Deployment
from tallystick.domain.deployments.details import Details
from tallystick.domain.identity.rights import BILLING_READ, RESOURCES_READ, RESOURCES_WRITE
from tallystick.flows import deployments, due
from tallystick.flows.budgets import Author
from tallystick.flows.deployments import Desk, NewDeployment
from tallystick.queries import deployments as queries
from tallystick.queries import standing
from tallystick.surfaces.api.deployments import (
    change_on_wire,
    deployment_on_wire,
    preview_on_wire,
    span_on_wire,
)
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import deployments as wire

ROUTES = Routes("Deployments")

_AT: Final = "/v1/deployments"
_ONE: Final = f"{_AT}/{{uuid}}"
_READ: Final = requires(RESOURCES_READ, BILLING_READ)
_WRITE: Final = requires(RESOURCES_WRITE)
_LARGEST: Final = "request_bytes_max"
_REFUSED: Final = tuple(reason for reason in REASONS if reason not in ("runQuotaReached", "notEnoughToolRuns"))
_NEW: Final = (
    "invalidDeployment",
    "invalidKey",
    "invalidText",
    "profileNotFound",
    "resourceKindConflict",
    "tooManyDeployments",
    "tooManyResources",
)
_CHANGED: Final = ("deploymentNotFound", "invalidTransition")


@ROUTES.post(
    _AT,
    _WRITE,
    idempotent=True,
    answers={201: wire.DeploymentAnswer, 200: wire.PreviewAnswer},
    errors=(*_NEW, *_REFUSED),
)
async def create_deployment(call: Call, query: wire.CreateQuery, body: wire.CreateDeployment) -> Reply:
    """Ask for a deployment. The gate decides; then it is Deploying, until the platform reports how that went.

    A draft is only kept. With `?preview=true` nothing is made: the answer, 200, says what it would cost by the hour,
    the day and the month, by component, and whether the gate would let it in.
    """
    if query.preview:
        return Reply(await _preview(call, body))
    made = await deployments.create(_desk(call), _new(body), _author(call, body))
    return Reply(await _answer(call, made), status=201)


@ROUTES.post(
    f"{_AT}/import",
    _WRITE,
    idempotent=True,
    largest_body=_LARGEST,
    errors=(*_NEW, *_REFUSED),
)
async def import_deployments(call: Call, body: wire.ImportDeployments) -> wire.DeploymentsImported:
    """Make the deployments of a project, all or none; at zero credits or below all of them become drafts."""
    new = [_new(terms) for terms in body.deployments]
    made = await deployments.import_project(_desk(call), new, _author(call, body))
    ids = [one.id for one in made.deployments]
    found = await queries.several(call.runtime.database, call.workspace_id, ids, now=call.now)
    return wire.DeploymentsImported(
        deployments=[deployment_on_wire(one) for one in found], drafted_because=made.drafted_because
    )


@ROUTES.get(_AT, _READ, errors=("invalidKey",))
async def list_deployments(call: Call, query: wire.DeploymentsQuery) -> wire.DeploymentsAnswer:
    """A page of the workspace's deployments, newest first, with what each costs by the hour and has cost."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await queries.page(
        call.runtime.database,
        call.workspace_id,
        now=call.now,
        limit=query.limit,
        offset=query.offset,
        kind=query.kind,
        state=query.state,
        resource=query.resource,
    )
    return wire.DeploymentsAnswer(deployments=[deployment_on_wire(one) for one in found])


@ROUTES.get(_ONE, _READ, errors=("deploymentNotFound",))
async def get_deployment(call: Call, uuid: UUID) -> wire.DeploymentDetails:
    """One deployment with its history: each time that it was deployed, from start to end, and every change."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    database = call.runtime.database
    found = (await queries.several(database, call.workspace_id, [uuid], now=call.now))[0]
    past = await queries.history(database, call.workspace_id, uuid)
    return wire.DeploymentDetails(
        deployment=deployment_on_wire(found),
        history=[span_on_wire(span, call.now) for span in past.spans],
        changes=[change_on_wire(change) for change in past.changes],
    )


@ROUTES.post(
    f"{_ONE}/deploy",
    _WRITE,
    status=200,
    idempotent=True,
    errors=(*_CHANGED, *_REFUSED, "invalidDeployment", "profileNotFound"),
)
async def deploy_deployment(call: Call, uuid: UUID, body: wire.Deploy | None) -> wire.DeploymentAnswer:
    """Deploy a draft, or again what was taken down or failed; the gate decides."""
    given = body or wire.Deploy()
    made = await deployments.deploy(
        _desk(call), uuid, _author(call, {"uuid": uuid, "body": body}), profile=given.profile, replicas=given.replicas
    )
    return await _answer(call, made)


@ROUTES.post(
    f"{_ONE}/report", _WRITE, status=200, idempotent=True, errors=(*_CHANGED, "invalidDeployment", "invalidText")
)
async def report_deployment(call: Call, uuid: UUID, body: wire.ReportDeployment) -> wire.DeploymentAnswer:
    """Report how the deploying went. From a success on its time is charged; a failure says why."""
    author = _author(call, {"uuid": uuid, "body": body})
    if body.status == "succeeded":
        made = await deployments.succeed(_desk(call), uuid, author, endpoint=body.endpoint, access=body.access)
    else:
        made = await deployments.fail(_desk(call), uuid, author, reason=body.reason)
    return await _answer(call, made)


@ROUTES.post(
    f"{_ONE}/scale", _WRITE, status=200, idempotent=True, errors=(*_CHANGED, "invalidDeployment", "profileNotFound")
)
async def scale_deployment(call: Call, uuid: UUID, body: wire.ScaleDeployment) -> wire.DeploymentAnswer:
    """Report that it has other replicas or other hardware now; before and after are charged exactly."""
    author = _author(call, {"uuid": uuid, "body": body})
    made = await deployments.scale(_desk(call), uuid, author, profile=body.profile, replicas=body.replicas)
    return await _answer(call, made)


@ROUTES.post(f"{_ONE}/undeploy", _WRITE, status=200, idempotent=True, errors=(*_CHANGED, "invalidText"))
async def undeploy_deployment(call: Call, uuid: UUID, body: wire.UndeployDeployment | None) -> wire.DeploymentAnswer:
    """Report that it was taken down; it is charged until this instant."""
    author = _author(call, {"uuid": uuid, "body": body})
    return await _answer(
        call, await deployments.undeploy(_desk(call), uuid, author, reason=body.reason if body else "")
    )


@ROUTES.post(f"{_ONE}/confirm", _WRITE, status=200, idempotent=True, errors=_CHANGED)
async def confirm_deployment(call: Call, uuid: UUID) -> wire.DeploymentAnswer:
    """Report that what had to be stopped at the negative limit has been stopped."""
    return await _answer(call, await deployments.confirm(_desk(call), uuid, _author(call, {"uuid": uuid})))


@ROUTES.delete(_ONE, _WRITE, idempotent=True, errors=_CHANGED)
async def delete_deployment(call: Call, uuid: UUID) -> wire.DeploymentAnswer:
    """Delete what is not deployed; undeploy it first. Its charges and history stay."""
    return await _answer(call, await deployments.delete(_desk(call), uuid, _author(call, {"uuid": uuid})))


def _desk(call: Call) -> Desk:
    runtime = call.runtime
    return Desk(runtime.database, runtime.catalogs, most=runtime.settings.deployments_max)


def _author(call: Call, body: object) -> Author:
    request = call.request_key(call.workspace_id, body)
    return Author(call.workspace_id, call.principal.actor, request, call.now, call.ids)


def _new(terms: wire.DeploymentTerms) -> NewDeployment:
    details = Details(
        language=terms.language,
        language_version=terms.language_version,
        min_replicas=terms.min_replicas,
        max_replicas=terms.max_replicas,
        utilization=terms.utilization,
        timeout_seconds=terms.timeout_seconds,
        type=terms.type,
    )
    return NewDeployment(
        kind=terms.kind,
        resource=terms.resource,
        name=terms.name,
        profile=terms.profile,
        replicas=terms.replicas,
        details=details,
        draft=terms.draft,
        deployed=terms.deployed,
        endpoint=terms.endpoint,
        access=terms.access,
    )


async def _answer(call: Call, made: Deployment) -> wire.DeploymentAnswer:
    found = await queries.several(call.runtime.database, call.workspace_id, [made.id], now=call.now)
    return wire.DeploymentAnswer(deployment=deployment_on_wire(found[0]))


async def _preview(call: Call, body: wire.CreateDeployment) -> wire.PreviewAnswer:
    runtime, workspace_id = call.runtime, call.workspace_id
    new = deployments.check_new(_new(body))
    await due.bring_up(runtime.database, workspace_id, now=call.now, ids=call.ids)
    found = await standing.situation(runtime.database, workspace_id, now=call.now)
    seen = await queries.preview(
        runtime.database, found, kind=new.kind, profile=new.profile, replicas=new.replicas, now=call.now
    )
    return wire.PreviewAnswer(preview=preview_on_wire(new, seen))
