"""Who am I: the person of the token, and the workspace it is about."""

from tallystick.queries import identity
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import BEARER, Guard
from tallystick.surfaces.api.routes.workspaces import workspace_on_wire
from tallystick.wire.identity import User, UserAnswer, WorkspaceAnswer

ROUTES = Routes("Who am I")


@ROUTES.get("/v1/userManagement/users/current", BEARER)
async def get_current_user(call: Call) -> UserAnswer:
    """Whose token this is, and what it may do now."""
    principal = call.principal
    person = await identity.person(call.runtime.database, principal.person_id) if principal.person_id else None
    user = User(
        uuid=person.id if person else principal.token_id,
        email=person.email if person else "",
        first_name=person.first_name if person else principal.token_name,
        last_name=person.last_name if person else "",
        role=principal.role,
        permissions=sorted(principal.permissions),
        is_operator=principal.is_operator,
        created_at=person.created_at if person else None,
    )
    return UserAnswer(user=user)


@ROUTES.get(
    "/v1/workspaceManagement/workspaces/current", Guard("bearer", in_workspace=True), errors=("workspaceNotFound",)
)
async def get_current_workspace(call: Call) -> WorkspaceAnswer:
    """The token's workspace, or the one that an operator selects."""
    workspace = await identity.workspace(call.runtime.database, call.workspace_id)
    return WorkspaceAnswer(workspace=workspace_on_wire(workspace))
