"""A workspace in which a deployment changes: balances locked, time charged up to now, each change told (row B10).

Rows are locked in one order throughout: balances, deployments, resources.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from tallystick.domain.credits.gates import Decision, Funds, decide_action, standing_of
from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.credits.holds import Scope
from tallystick.domain.credits.ledger import Book
from tallystick.domain.deployments.costs import cost_of
from tallystick.domain.deployments.deployment import RESOURCE_KINDS, Deployment
from tallystick.domain.deployments.details import invalid
from tallystick.domain.deployments.limits import imports_are_drafts
from tallystick.domain.deployments.profiles import HardwareProfile, profile_not_found
from tallystick.domain.deployments.told import TELLS, change_fact
from tallystick.domain.metering.resources import MOST_PER_KIND, Resource, resource_id, too_many
from tallystick.domain.texts import check_key
from tallystick.flows import due, running
from tallystick.flows.budgets import Author
from tallystick.flows.caps import Caps
from tallystick.flows.catalog import CatalogCache
from tallystick.kernel.errors import TallystickError
from tallystick.store import audit, deployments, facts, holds, ledger, limits, profiles, resources
from tallystick.store.database import Connection
from tallystick.store.ledger import Books

_AUDITED: Final[Mapping[str, str]] = {
    "create": "deployment.created",
    "deploy": "deployment.started",
    "succeed": "deployment.deployed",
    "fail": "deployment.failed",
    "scale": "deployment.scaled",
    "undeploy": "deployment.undeployed",
    "confirm": "deployment.stopped",
    "delete": "deployment.deleted",
}


class Site:
    """One workspace within one transaction. Made with `lock`, ended with `save`."""

    def __init__(self, conn: Connection, author: Author, books: Books, catalogs: CatalogCache) -> None:
        self._conn = conn
        self._author = author
        self._books = books
        self._catalogs = catalogs

    @classmethod
    async def lock(cls, conn: Connection, author: Author, catalogs: CatalogCache) -> "Site":
        """Lock the workspace's balances and settle what is due on them. Raises `workspaceNotFound`."""
        books = await due.lock(conn, {author.workspace_id}, now=author.now, ids=author.ids)
        if author.workspace_id not in books:
            raise TallystickError(
                "workspaceNotFound", "There is no such workspace.", workspaceUuid=str(author.workspace_id)
            )
        return cls(conn, author, books, catalogs)

    @property
    def _pair(self) -> dict[str, Book]:
        return self._books[self._author.workspace_id]

    async def take(self, deployment_id: UUID, asked: str) -> tuple[Deployment, dt.datetime]:
        """One deployment, charged until the instant at which it changes: now, or later where a clock was ahead.

        Raises `deploymentNotFound`, and `invalidTransition` where `asked` is not to be had of it.
        """
        author = self._author
        deployment = await deployments.lock(self._conn, author.workspace_id, deployment_id)
        deployment.check(asked)
        at = max(author.now, deployment.updated_at, deployment.metered_until or author.now)
        # Also where it does not run yet: what is about to is looked at again at the next tick.
        await running.accrue(self._conn, author.workspace_id, self._pair, at, author.now, author.ids)
        return await deployments.lock(self._conn, author.workspace_id, deployment_id), at

    async def decide(self) -> Decision:
        """Whether something may be deployed (rule M16): the workspace's limits, standing, money and budgets."""
        author, pair = self._author, self._pair
        found = (await holds.terms(self._conn, {author.workspace_id})).get(author.workspace_id)
        said = await limits.effective(self._conn, author.workspace_id)
        caps = await Caps.load(self._conn, [author.workspace_id])
        placed = (author.workspace_id, Scope(), author.now)
        await caps.read(self._conn, [placed])
        standing = standing_of(
            found.status if found else None,
            found.resumes_to if found else None,
            deploy_threshold=said.deploy_threshold,
            negative_limit=said.negative_limit,
            subscription_id=found.subscription_id if found else None,
            plan=found.plan if found else None,
        )
        overage = found.overage if found else 0
        funds = {
            unit: Funds(book.balance.posted, book.balance.held, overage if unit == CREDITS else 0)
            for unit, book in pair.items()
        }
        return decide_action("deploy", 0, funds, standing, caps.over(placed))

    async def decide_import(self) -> Decision | None:
        """Why all of an import become drafts, None where it is made as asked (rule M16). Raises what else refuses."""
        decision = await self.decide()
        found = (await holds.terms(self._conn, {self._author.workspace_id})).get(self._author.workspace_id)
        overage = found.overage if found else 0
        if not imports_are_drafts(self._pair[CREDITS].balance.posted, overage=overage):
            decision.check()
            return None
        return decision

    async def profile(self, kind: str, key: str | None) -> str | None:
        """The key itself. Raises `profileNotFound` unless it is hardware that a deployment of this kind may choose."""
        if key is None:
            return None
        found = await profiles.find(self._conn, key)
        if found is None or found.kind != kind or found.retired_at is not None:
            raise profile_not_found(key, kind)
        return key

    async def resource(self, kind: str, name: str) -> Resource:
        """What is deployed, by uuid or key; made with the key as its name where it is not there, as by an event.

        Raises `invalidKey`, `resourceKindConflict` and `tooManyResources`.
        """
        author, of_kind = self._author, RESOURCE_KINDS[kind]
        found_id = resource_id(author.workspace_id, of_kind, check_key(name, field="resource"))
        found = await resources.lock(self._conn, author.workspace_id, found_id)
        if found is None:
            if await resources.count(self._conn, author.workspace_id, of_kind) >= MOST_PER_KIND:
                raise too_many(of_kind)
            found = Resource(found_id, of_kind, name, name, "", {}, author.now, author.now, None)
            if not await resources.insert(self._conn, author.workspace_id, found):
                found = await resources.lock(self._conn, author.workspace_id, found_id)
        if found is None or found.kind != of_kind:
            raise TallystickError(
                "resourceKindConflict",
                "This UUID belongs to a resource of another kind.",
                uuid=str(found_id),
                kind=found.kind if found else of_kind,
            )
        return found

    async def add(self, deployment: Deployment) -> None:
        """Write a new deployment, before anything is told of it."""
        await deployments.insert(self._conn, [deployment])

    async def change(self, deployment: Deployment, asked: str, at: dt.datetime, *, tells: str | None = "") -> None:
        """Write what `asked` made of it; put it in its history and on the record, and tell it."""
        await deployments.update(self._conn, [deployment])
        await self.tell(deployment, asked, at, tells=tells)

    async def tell(self, deployment: Deployment, asked: str, at: dt.datetime, *, tells: str | None = "") -> None:
        """Put a change in the deployment's history and on the record, and tell it to the outside.

        It is told as the kind of fact `tells`, by default what belongs to `asked`; None tells nothing.
        """
        author, balance = self._author, self._pair[CREDITS].balance
        number = await deployments.add_change(self._conn, deployment, asked, actor=author.actor, at=at)
        kind = TELLS.get(asked) if tells == "" else tells
        if kind is not None:
            told = change_fact(
                deployment,
                kind,
                number,
                at,
                hourly=await self._hourly(deployment, at),
                posted=balance.posted,
                allocation=balance.allocation,
            )
            await facts.record(self._conn, [told], author.now)
        await audit.record(
            self._conn,
            _AUDITED[asked],
            workspace_id=author.workspace_id,
            actor=author.actor,
            now=author.now,
            ids=author.ids,
            reason=deployment.reason,
            deployment=str(deployment.id),
            kind=deployment.kind,
            name=deployment.name,
            state=deployment.state,
            profile=deployment.profile,
            replicas=deployment.replicas,
        )

    async def _hourly(self, deployment: Deployment, at: dt.datetime) -> int | None:
        found = await profiles.find(self._conn, deployment.profile) if deployment.profile else None
        if found is None:
            return None
        catalog = await self._catalogs.current(self._conn)
        cost = cost_of(found, catalog.prices.at(found.targets, at), deployment.replicas)
        return cost.hour if cost else None

    async def save(self) -> None:
        """Write the books."""
        await ledger.save_books(self._conn, self._books, self._author.now)


def check_hardware(kind: str, profile: str | HardwareProfile | None) -> None:
    """Raises `invalidDeployment` where a script is to be deployed on nothing, or a tool on something."""
    if kind == "script" and profile is None:
        raise invalid("profile", "must be named: a script runs on hardware")
    if kind == "tool" and profile is not None:
        raise invalid("profile", "is nothing that a tool has")
