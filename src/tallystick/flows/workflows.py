"""Saying what a workflow runs: its resource, and a new release where the nodes changed."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tallystick.domain.metering.resources import MOST_PER_KIND, Resource, resource_id, too_many
from tallystick.domain.runs.states import workflow_not_found
from tallystick.domain.runs.workflows import KINDS, Workflow, check_graph, read_nodes
from tallystick.domain.texts import as_uuid, check_key, check_text
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import resources, workflows
from tallystick.store.database import Connection, Database
from tallystick.store.workflows import Head


@dataclass(frozen=True, slots=True)
class Definition:
    """What to store. `nodes` is JSON text; None for the resource's `name`, `kind` or `is_enabled` leaves it."""

    nodes: str
    name: str | None = None
    kind: str | None = None
    is_enabled: bool | None = None
    max_steps: int | None = None
    concurrency_limit: int | None = None


async def put(
    database: Database, name: str, definition: Definition, *, workspace_id: UUID, now: dt.datetime, ids: Ids
) -> tuple[Workflow, bool]:
    """Say what the workflow that `name` (a UUID or a key) names runs from now on, and whether it had said so before.

    Done twice it is the same: a release is added only where nodes or `max_steps` differ. Raises what `check_graph`
    raises, `invalidKey`, `invalidText`, `tooManyResources`, and `resourceKindConflict` when the name is that of another
    kind of resource.
    """
    check_key(name)
    if definition.name is not None:
        check_text(definition.name, field="name")
    check_graph(read_nodes(definition.nodes))

    async def work(conn: Connection) -> tuple[Workflow, bool]:
        resource = await _resource(conn, workspace_id, name, definition, now)
        head = await workflows.lock(conn, workspace_id, resource.id)
        before = None if head is None else await _release(conn, workspace_id, head)
        same = before is not None and (before.nodes, before.max_steps) == (definition.nodes, definition.max_steps)
        release_id = before.release_id if before is not None and same else ids.new(now)
        after = Head(resource.id, release_id, definition.concurrency_limit, head.created_at if head else now, now)
        if head is None:
            await workflows.insert(conn, workspace_id, after)
        elif replace(after, updated_at=head.updated_at) != head:
            await workflows.update(conn, workspace_id, after)
        if not same:
            await workflows.insert_release(
                conn,
                workspace_id,
                workflow_id=resource.id,
                release_id=release_id,
                version=before.version + 1 if before is not None else 1,
                nodes=definition.nodes,
                max_steps=definition.max_steps,
                now=now,
            )
        stored = await workflows.current(conn, workspace_id, resource.id)
        if stored is None:
            raise AssertionError("what was just written is there")
        return stored, head is None

    return await database.run(work)


async def find_in(conn: Connection, workspace_id: UUID, workflow_id: UUID) -> Workflow:
    """A workflow that has nodes. Raises `workflowNotFound`, and `nodesNotFound` for a play or tool without any."""
    found = await workflows.current(conn, workspace_id, workflow_id)
    if found is not None:
        return found
    if not await workflows.is_known(conn, workspace_id, workflow_id):
        raise workflow_not_found(workflow_id)
    raise TallystickError(
        "nodesNotFound", "Nobody has said yet what this workflow runs.", workflowUuid=str(workflow_id)
    )


async def _release(conn: Connection, workspace_id: UUID, head: Head) -> Workflow | None:
    return (await workflows.released(conn, workspace_id, [head.release_id])).get(head.release_id)


async def _resource(
    conn: Connection, workspace_id: UUID, name: str, definition: Definition, now: dt.datetime
) -> Resource:
    """The play or tool, made or changed as asked, and locked."""
    there = {} if as_uuid(name) is not None else await workflows.of_key(conn, workspace_id, name)
    kind = definition.kind or next(iter(there), KINDS[0])
    if there and kind not in there:
        raise _conflict(name, next(iter(there)))
    found_id = resource_id(workspace_id, kind, name)
    before = await resources.lock(conn, workspace_id, found_id)
    if before is None:
        if await resources.count(conn, workspace_id, kind) >= MOST_PER_KIND:
            raise too_many(kind)
        fresh = _changed(Resource(found_id, kind, name, name, "", {}, now, now, None), definition, now)
        if await resources.insert(conn, workspace_id, fresh):
            return fresh
        before = await resources.lock(conn, workspace_id, found_id)
    if before is None or before.kind not in KINDS or (definition.kind or before.kind) != before.kind:
        raise _conflict(name, before.kind if before else kind)
    after = _changed(before, definition, now)
    if after != before:
        await resources.update(conn, workspace_id, after)
    return after


def _changed(resource: Resource, definition: Definition, now: dt.datetime) -> Resource:
    attributes: dict[str, Any] = dict(resource.attributes)
    if definition.is_enabled is not None:
        attributes["isEnabled"] = definition.is_enabled
    name = resource.name if definition.name is None else definition.name
    after = replace(resource, name=name, attributes=attributes, deleted_at=None)
    return after if after == resource else replace(after, updated_at=now)


def _conflict(name: str, kind: str) -> TallystickError:
    return TallystickError(
        "resourceKindConflict", f"This name is that of a resource of kind {kind}.", name=name, kind=kind
    )
