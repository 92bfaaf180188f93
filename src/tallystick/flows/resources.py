"""Naming, describing and deleting resources; what ingest creates on first sight is told apart here."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tallystick.domain.metering.resources import (
    MOST_PER_KIND,
    Resource,
    check_attributes,
    check_kind,
    resource_id,
    too_many,
)
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_key, check_text
from tallystick.kernel.errors import TallystickError
from tallystick.store import resources
from tallystick.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Change:
    """What to write; None leaves a thing as it is. `attributes` are merged by name, a None among them removes one."""

    name: str | None = None
    description: str | None = None
    attributes: Mapping[str, Any] | None = None
    deleted: bool | None = None


async def put(
    database: Database,
    kind: str,
    name: str,
    change: Change,
    *,
    workspace_id: UUID,
    now: dt.datetime,
) -> tuple[Resource, bool]:
    """Write the resource that `name` (a UUID or a key) names, made if it is not there; and whether it was made.

    Done twice it is the same. Raises `unknownKind`, `invalidKey`, `invalidText`, `invalidAttributes`,
    `tooManyResources`, and `resourceKindConflict` when the UUID belongs to a resource of another kind.
    """
    check_kind(kind)
    check_key(name)
    if change.name is not None:
        check_text(change.name, field="name")
    if change.description is not None:
        check_text(change.description, field="description", longest=LONGEST_DESCRIPTION, may_be_empty=True)
    if change.attributes is not None:
        check_attributes(change.attributes)
    found_id = resource_id(workspace_id, kind, name)

    async def work(conn: Connection) -> tuple[Resource, bool]:
        if kind == "connector":
            await resources.announce_connector_change(conn, workspace_id)
        before = await resources.lock(conn, workspace_id, found_id)
        if before is None:
            if await resources.count(conn, workspace_id, kind) >= MOST_PER_KIND:
                raise too_many(kind)
            fresh = Resource(found_id, kind, name, name, "", {}, now, now, None)
            made = _changed(fresh, change, now)
            if await resources.insert(conn, workspace_id, made):
                return made, True
            # Somebody else made it since; the row is there now.
            before = await resources.lock(conn, workspace_id, found_id)
        if before is None or before.kind != kind:
            raise TallystickError(
                "resourceKindConflict",
                "This UUID belongs to a resource of another kind.",
                uuid=str(found_id),
                kind=before.kind if before else kind,
            )
        after = _changed(before, change, now)
        if after != before:
            await resources.update(conn, workspace_id, after)
        return after, False

    return await database.run(work)


def _changed(resource: Resource, change: Change, now: dt.datetime) -> Resource:
    attributes = dict(resource.attributes) | dict(change.attributes or {})
    deleted_at = resource.deleted_at
    if change.deleted is not None:
        deleted_at = (deleted_at or now) if change.deleted else None
    after = replace(
        resource,
        name=resource.name if change.name is None else change.name,
        description=resource.description if change.description is None else change.description,
        attributes={name: value for name, value in attributes.items() if value is not None},
        deleted_at=deleted_at,
    )
    return after if after == resource else replace(after, updated_at=now)
