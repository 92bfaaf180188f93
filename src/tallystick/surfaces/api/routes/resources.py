"""Resources, teams and projects among them: named, described and deleted by uuid or key."""

from tallystick.domain.identity.rights import BILLING_READ, RESOURCES_READ, RESOURCES_WRITE
from tallystick.domain.metering.resources import Resource, check_kind, resource_id
from tallystick.domain.texts import check_key
from tallystick.flows import resources
from tallystick.queries import identity
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import identity as wire

ROUTES = Routes("Resources")

_ONE = "/v1/resources/{kind}/{key:path}"
# Whoever may read figures may read the names that the figures go by.
_READ = requires(RESOURCES_READ, BILLING_READ)


@ROUTES.put(
    _ONE,
    requires(RESOURCES_WRITE),
    answers={200: wire.ResourceAnswer, 201: wire.ResourceAnswer},
    errors=("invalidAttributes", "invalidKey", "resourceKindConflict", "tooManyResources", "unknownKind"),
)
async def put_resource(call: Call, kind: str, key: str, body: wire.PutResource) -> Reply:
    """Name, describe or delete a resource; 201 when it was made by this. Sent again, it changes nothing."""
    change = resources.Change(body.name, body.description, body.attributes, body.deleted)
    resource, made = await resources.put(
        call.runtime.database, kind, key, change, workspace_id=call.workspace_id, now=call.now
    )
    return Reply(wire.ResourceAnswer(resource=_on_wire(resource)), status=201 if made else 200)


@ROUTES.get(_ONE, _READ, errors=("invalidKey", "resourceNotFound", "unknownKind"))
async def get_resource(call: Call, kind: str, key: str) -> wire.ResourceAnswer:
    """One resource, also a deleted one."""
    found_id = resource_id(call.workspace_id, check_kind(kind), check_key(key))
    resource = await identity.resource(call.runtime.database, call.workspace_id, kind, found_id)
    return wire.ResourceAnswer(resource=_on_wire(resource))


@ROUTES.get("/v1/resources/{kind}", _READ, errors=("unknownKind",))
async def list_resources(call: Call, kind: str, query: wire.ResourceList) -> wire.ResourcesAnswer:
    """A page of the resources of one kind, oldest first."""
    return await _page(call, check_kind(kind), query)


@ROUTES.get("/v1/workspaceManagement/teams/list", _READ)
async def list_teams(call: Call, query: wire.ResourceList) -> wire.ResourcesAnswer:
    """A page of the workspace's teams."""
    return await _page(call, "team", query)


@ROUTES.get("/v1/workspaceManagement/projects/list", _READ)
async def list_projects(call: Call, query: wire.ResourceList) -> wire.ResourcesAnswer:
    """A page of the workspace's projects; the attribute `teamUuid` names a project's team."""
    return await _page(call, "project", query)


async def _page(call: Call, kind: str, query: wire.ResourceList) -> wire.ResourcesAnswer:
    found = await identity.resources(
        call.runtime.database,
        call.workspace_id,
        kind,
        include_deleted=query.include_deleted,
        limit=query.limit,
        offset=query.offset,
    )
    return wire.ResourcesAnswer(resources=[_on_wire(resource) for resource in found])


def _on_wire(resource: Resource) -> wire.Resource:
    return wire.Resource(
        uuid=resource.id,
        kind=resource.kind,
        key=resource.key,
        name=resource.name,
        description=resource.description,
        attributes=dict(resource.attributes),
        created_at=resource.created_at,
        updated_at=resource.updated_at,
        deleted_at=resource.deleted_at,
    )
