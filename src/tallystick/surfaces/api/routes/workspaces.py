"""Workspaces, made and listed by the operator."""

from tallystick.domain.identity.workspaces import NO_WORKSPACE, Workspace
from tallystick.domain.times import check_time
from tallystick.flows import workspaces
from tallystick.queries import identity
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR
from tallystick.surfaces.api.routes.grants import birth_terms
from tallystick.wire import identity as wire

ROUTES = Routes("Workspaces")


@ROUTES.post(
    "/v1/workspaces",
    OPERATOR,
    idempotent=True,
    errors=(
        "invalidAmount",
        "invalidExpiry",
        "invalidKey",
        "invalidPriority",
        "invalidTime",
        "invalidZone",
        "workspaceKeyTaken",
        "workspaceLimitReached",
    ),
)
async def create_workspace(call: Call, body: wire.CreateWorkspace) -> wire.WorkspaceCreated:
    """Make a workspace on the Free plan, with its first grants and a token that carries every permission."""
    settings = call.runtime.settings
    clock = None if body.clock is None else check_time(body.clock, field="clock")
    born = clock or call.received_at
    free = workspaces.free_grants(settings, born)
    given = free if body.grants is None else birth_terms(body.grants, settings, born)
    new = workspaces.NewWorkspace(
        name=body.name, key=body.key, email=body.email or None, zone=body.zone, grants=given, clock=clock
    )
    request = call.request_key(NO_WORKSPACE, body)
    created = await workspaces.create(
        call.runtime.database,
        new,
        principal=call.principal,
        text=call.new_token(request),
        request=request,
        now=born,
        ids=call.ids,
        free_workspaces=settings.free_workspaces_max,
    )
    return wire.WorkspaceCreated(workspace=workspace_on_wire(created.workspace), admin_token=created.token)


@ROUTES.get("/v1/workspaces", OPERATOR)
async def list_workspaces(call: Call, query: wire.WorkspaceList) -> wire.WorkspacesAnswer:
    """A page of the workspaces, oldest first; with `key`, the one that has it."""
    found = await identity.workspaces(call.runtime.database, key=query.key, limit=query.limit, offset=query.offset)
    return wire.WorkspacesAnswer(workspaces=[workspace_on_wire(workspace) for workspace in found])


def workspace_on_wire(workspace: Workspace) -> wire.Workspace:
    return wire.Workspace(
        uuid=workspace.id,
        name=workspace.name,
        key=workspace.key,
        email=workspace.email,
        zone=workspace.zone,
        created_at=workspace.created_at,
        clock=workspace.clock_at,
    )
