"""Deployments made, deployed, reported on, scaled and taken down: each public function one transaction (B5, B8 to B10).

The platform deploys; here its deployments pass the gate, are recorded and charged by time (flows/running.py).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from tallystick.domain.deployments.deployment import KINDS, OUT_OF_CREDITS, Deployment
from tallystick.domain.deployments.details import Details, check_replicas, invalid, read_access, read_details
from tallystick.domain.telling.facts import DEPLOYMENT_CREATED
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_key, check_text
from tallystick.flows.budgets import Author
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.deployment_site import Site, check_hardware
from tallystick.kernel.errors import TallystickError
from tallystick.store import deployments
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once

MOST_IMPORTED: Final = 200
"""Deployments in one import, at most."""

_Make = Callable[[Connection, Site], Awaitable[Mapping[str, Any]]]
"""Does what is asked; `ids` of its answer are the deployments that it is about."""


@dataclass(frozen=True, slots=True)
class NewDeployment:
    """What to deploy: `resource` is the tool, language model, guardrail or script by uuid or key.

    A `draft` waits for `deploy`; anything else is on its way at once, and where it has no hardware there already when
    it is said to be `deployed`, at `endpoint`.
    """

    kind: str
    resource: str
    name: str | None = None
    profile: str | None = None
    replicas: int = 1
    details: Details = field(default_factory=Details)
    draft: bool = False
    deployed: bool = False
    endpoint: str | None = None
    access: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """`drafted_because` is the gate's code where all became drafts for want of credits."""

    deployments: list[Deployment]
    drafted_because: str | None


@dataclass(frozen=True, slots=True)
class Desk:
    """What every flow here needs: where, who asks, and what things cost. `most` is that of a workspace."""

    database: Database
    catalogs: CatalogCache
    most: int = 1_000


async def create(desk: Desk, new: NewDeployment, author: Author) -> Deployment:
    """Make a deployment; unless it is a draft, the gate is asked.

    Raises `invalidDeployment`, `invalidText`, `invalidKey`, `profileNotFound`, `resourceKindConflict`,
    `tooManyResources`, `tooManyDeployments`, `idempotencyConflict`, and what the gate refuses with (`deploy`).
    """
    check_new(new)

    async def make(conn: Connection, site: Site) -> Mapping[str, Any]:
        await _check_room(conn, author, desk.most, 1)
        if not new.draft:
            (await site.decide()).check()
        made = await _make(site, new, author, draft=new.draft)
        return {"ids": [str(made.id)]}

    return await _one(desk, author, make)


async def import_project(desk: Desk, project: Sequence[NewDeployment], author: Author) -> Imported:
    """Make the deployments of a project, all or none: as asked, or at zero credits or below all of them as drafts.

    Raises what `create` does, and `invalidDeployment` for none or more than `MOST_IMPORTED`.
    """
    if not 0 < len(project) <= MOST_IMPORTED:
        raise invalid("deployments", f"must be 1 to {MOST_IMPORTED}")
    for new in project:
        check_new(new)

    async def make(conn: Connection, site: Site) -> Mapping[str, Any]:
        await _check_room(conn, author, desk.most, len(project))
        refused = None if all(new.draft for new in project) else await site.decide_import()
        ids = [(await _make(site, new, author, draft=new.draft or refused is not None)).id for new in project]
        return {"ids": [str(one) for one in ids], "draftedBecause": refused.reason if refused else None}

    made, answer = await _once(desk, author, make)
    return Imported(made, answer["draftedBecause"])


async def deploy(
    desk: Desk, deployment_id: UUID, author: Author, *, profile: str | None = None, replicas: int | None = None
) -> Deployment:
    """Deploy a draft, or again what was taken down or failed, where asked on other hardware (None: as it is).

    It keeps its name, language and version of the language; the version of the deployment counts on. Raises
    `deploymentNotFound`, `invalidTransition`, `invalidDeployment`, `profileNotFound`, `idempotencyConflict`, and what
    the gate refuses with.
    """

    async def make(conn: Connection, site: Site) -> Mapping[str, Any]:
        deployment, at = await site.take(deployment_id, "deploy")
        (await site.decide()).check()
        deployment.profile = await site.profile(deployment.kind, profile or deployment.profile)
        deployment.replicas = _replicas(deployment, replicas)
        _begin(deployment)
        deployment.move("deploy", at)
        await site.change(deployment, "deploy", at)
        return _answer(deployment)

    return await _one(desk, author, make)


async def succeed(
    desk: Desk, deployment_id: UUID, author: Author, *, endpoint: str | None = None, access: str | None = None
) -> Deployment:
    """Say that it is deployed: from this instant its time is charged (rule M17).

    `endpoint` is the address where it answers, `access` says in words how to get in; admins are mailed both, so
    neither may hold a secret. Raises `deploymentNotFound`, `invalidTransition`, `invalidDeployment`, `invalidText`
    and `idempotencyConflict`.
    """
    found = read_access(endpoint, access)

    async def make(conn: Connection, site: Site) -> Mapping[str, Any]:
        deployment, at = await site.take(deployment_id, "succeed")
        deployment.details = {**deployment.details, **found}
        deployment.move("succeed", at)
        await site.change(deployment, "succeed", at)
        return _answer(deployment)

    return await _one(desk, author, make)


async def fail(desk: Desk, deployment_id: UUID, author: Author, *, reason: str) -> Deployment:
    """Say that it could not be deployed, and why; nothing was charged.

    Raises `deploymentNotFound`, `invalidTransition`, `invalidText` and `idempotencyConflict`.
    """
    check_text(reason, field="reason", longest=LONGEST_DESCRIPTION)
    return await _move(desk, deployment_id, author, "fail", reason)


async def scale(
    desk: Desk, deployment_id: UUID, author: Author, *, profile: str | None = None, replicas: int | None = None
) -> Deployment:
    """Say that what is deployed now has other replicas, other hardware or both (None: as it is).

    What it was before is charged exactly until this instant. Raises `deploymentNotFound`, `invalidTransition`,
    `invalidDeployment`, `profileNotFound` and `idempotencyConflict`.
    """
    if profile is None and replicas is None:
        raise invalid("replicas", "or profile must be given")

    async def make(conn: Connection, site: Site) -> Mapping[str, Any]:
        deployment, at = await site.take(deployment_id, "scale")
        before = deployment.profile, deployment.replicas
        if profile not in (None, deployment.profile):
            deployment.profile = await site.profile(deployment.kind, profile)
        deployment.replicas = _replicas(deployment, replicas)
        if deployment.profile is None:
            raise invalid("profile", "must be named: what has no hardware is not scaled")
        deployment.move("scale", at)
        if (deployment.profile, deployment.replicas) != before:
            await site.change(deployment, "scale", at)
        return _answer(deployment)

    return await _one(desk, author, make)


async def undeploy(desk: Desk, deployment_id: UUID, author: Author, *, reason: str = "") -> Deployment:
    """Say that it was taken down: it is charged until this instant. A script is ready to be deployed again.

    Raises `deploymentNotFound`, `invalidTransition`, `invalidText` and `idempotencyConflict`.
    """
    check_text(reason, field="reason", longest=LONGEST_DESCRIPTION, may_be_empty=True)
    return await _move(desk, deployment_id, author, "undeploy", reason)


async def confirm(desk: Desk, deployment_id: UUID, author: Author) -> Deployment:
    """Say that what had to be stopped for want of credits has been. Its charges ended when that was asked.

    Raises `deploymentNotFound`, `invalidTransition` and `idempotencyConflict`.
    """
    return await _move(desk, deployment_id, author, "confirm", OUT_OF_CREDITS)


async def delete(desk: Desk, deployment_id: UUID, author: Author) -> Deployment:
    """Delete what is not deployed; its charges and history stay.

    Raises `deploymentNotFound`, `invalidTransition` (undeploy it first) and `idempotencyConflict`.
    """
    return await _move(desk, deployment_id, author, "delete", "")


async def _move(desk: Desk, deployment_id: UUID, author: Author, asked: str, reason: str) -> Deployment:
    async def make(conn: Connection, site: Site) -> Mapping[str, Any]:
        deployment, at = await site.take(deployment_id, asked)
        deployment.move(asked, at, reason=reason)
        await site.change(deployment, asked, at)
        return _answer(deployment)

    return await _one(desk, author, make)


async def _once(desk: Desk, author: Author, make: _Make) -> tuple[list[Deployment], Mapping[str, Any]]:
    """Do it under lock, a repeated request only once; the deployments as they stand then, and what was answered."""

    async def work(conn: Connection) -> tuple[list[Deployment], Mapping[str, Any]]:
        async def locked() -> Mapping[str, Any]:
            site = await Site.lock(conn, author, desk.catalogs)
            answer = await make(conn, site)
            await site.save()
            return answer

        answer = await once(conn, author.request, author.now, locked)
        found = [await deployments.find(conn, author.workspace_id, UUID(one)) for one in answer["ids"]]
        return found, answer

    return await desk.database.run(work)


async def _one(desk: Desk, author: Author, make: _Make) -> Deployment:
    """The same, where there is one."""
    return (await _once(desk, author, make))[0][0]


async def _make(site: Site, new: NewDeployment, author: Author, *, draft: bool) -> Deployment:
    """Write one new deployment and, unless it is a draft, put it on its way."""
    resource = await site.resource(new.kind, new.resource)
    at = author.now
    deployment = Deployment(
        workspace_id=author.workspace_id,
        id=author.ids.new(at),
        kind=new.kind,
        resource_id=resource.id,
        name=new.name or resource.name,
        state="draft",
        profile=await site.profile(new.kind, new.profile),
        replicas=new.replicas,
        created_by=author.actor,
        created_at=at,
        updated_at=at,
        details=read_details(new.kind, new.details),
    )
    await site.add(deployment)
    # That it was made is told once, as it stands when it is left.
    await site.tell(deployment, "create", at, tells=DEPLOYMENT_CREATED if draft else None)
    if draft:
        return deployment
    _begin(deployment)
    deployment.move("deploy", at)
    await site.change(deployment, "deploy", at, tells=DEPLOYMENT_CREATED)
    if new.deployed:
        deployment.details = {**deployment.details, **read_access(new.endpoint, new.access)}
        deployment.move("succeed", at)
        await site.change(deployment, "succeed", at)
    return deployment


def _begin(deployment: Deployment) -> None:
    """What is deployed counts one version on, and answers nowhere yet."""
    check_hardware(deployment.kind, deployment.profile)
    kept = {name: value for name, value in deployment.details.items() if name not in ("endpoint", "access")}
    deployment.details = kept | {"version": kept.get("version", 0) + 1}


def _replicas(deployment: Deployment, replicas: int | None) -> int:
    if replicas is None:
        return deployment.replicas
    return check_replicas(deployment.kind, replicas, deployment.details)


def check_new(new: NewDeployment) -> NewDeployment:
    """The same, when nothing is wrong with it before anything is looked up.

    Raises `invalidDeployment`, `invalidKey` and `invalidText`.
    """
    if new.kind not in KINDS:
        raise invalid("kind", f"must be one of {', '.join(KINDS)}")
    check_key(new.resource, field="resource")
    if new.name is not None:
        check_text(new.name, field="name")
    check_replicas(new.kind, new.replicas, read_details(new.kind, new.details))
    if not new.draft or new.profile is not None:
        check_hardware(new.kind, new.profile)
    if new.draft and new.deployed:
        raise invalid("deployed", "is nothing that a draft is")
    if new.deployed and new.profile is not None:
        raise invalid("deployed", "must be reported once it is, where hardware is paid for")
    if read_access(new.endpoint, new.access) and not new.deployed:
        raise invalid("endpoint", "is reported with its success")
    return new


async def _check_room(conn: Connection, author: Author, most: int, more: int) -> None:
    if await deployments.count(conn, author.workspace_id) + more > most:
        raise TallystickError(
            "tooManyDeployments", f"A workspace has at most {most} deployments; delete some.", limit=most
        )


def _answer(deployment: Deployment) -> Mapping[str, Any]:
    return {"ids": [str(deployment.id)]}
