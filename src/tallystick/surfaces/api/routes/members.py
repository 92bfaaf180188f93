"""Members of a workspace and their rights; only an owner names owners."""

from uuid import UUID

from tallystick.domain.identity.rights import MEMBERS_WRITE
from tallystick.flows import members
from tallystick.queries import identity
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import identity as wire

ROUTES = Routes("Members")

_PATH = "/v1/workspaceManagement/members"


@ROUTES.get(f"{_PATH}/list", requires(MEMBERS_WRITE))
async def list_members(call: Call) -> wire.MembersAnswer:
    """Everybody in the workspace, oldest membership first; `uuid` is the person's."""
    found = await identity.members(call.runtime.database, call.workspace_id)
    return wire.MembersAnswer(members=[_on_wire(member) for member in found])


@ROUTES.post(
    _PATH,
    requires(MEMBERS_WRITE),
    errors=("memberAlreadyExists", "ownerRequired", "rightsExceeded", "unknownPermission", "workspaceLimitReached"),
)
async def add_member(call: Call, body: wire.AddMember) -> wire.MemberAnswer:
    """Add a person by e-mail. The names are used only when nobody with this e-mail is known yet."""
    new = members.NewMember(
        email=body.email,
        role=body.role,
        first_name=body.first_name,
        last_name=body.last_name,
        permissions=frozenset(body.permissions),
    )
    person, member = await members.add(
        call.runtime.database,
        new,
        principal=call.principal,
        workspace_id=call.workspace_id,
        now=call.now,
        ids=call.ids,
        free_workspaces=call.runtime.settings.free_workspaces_max,
    )
    return wire.MemberAnswer(
        member=_on_wire(identity.Member(member, person.email, person.first_name, person.last_name, call.now))
    )


@ROUTES.put(
    f"{_PATH}/{{uuid}}",
    requires(MEMBERS_WRITE),
    errors=(
        "lastOwner",
        "memberNotFound",
        "ownerRequired",
        "rightsExceeded",
        "unknownPermission",
        "workspaceLimitReached",
    ),
)
async def change_member(call: Call, uuid: UUID, body: wire.ChangeMember) -> wire.MemberAnswer:
    """Give a member another role or other custom permissions; their tokens follow at once."""
    await members.change(
        call.runtime.database,
        uuid,
        role=body.role,
        permissions=None if body.permissions is None else frozenset(body.permissions),
        principal=call.principal,
        workspace_id=call.workspace_id,
        now=call.now,
        ids=call.ids,
        free_workspaces=call.runtime.settings.free_workspaces_max,
    )
    everybody = await identity.members(call.runtime.database, call.workspace_id)
    return wire.MemberAnswer(member=next(_on_wire(m) for m in everybody if m.membership.person_id == uuid))


@ROUTES.delete(
    f"{_PATH}/{{uuid}}",
    requires(MEMBERS_WRITE),
    status=204,
    errors=("lastOwner", "memberNotFound", "ownerRequired", "rightsExceeded"),
)
async def remove_member(call: Call, uuid: UUID) -> Reply:
    """Remove a member and revoke the tokens that the person has in this workspace."""
    await members.remove(
        call.runtime.database,
        uuid,
        principal=call.principal,
        workspace_id=call.workspace_id,
        now=call.now,
        ids=call.ids,
    )
    return Reply(None, status=204)


def _on_wire(member: identity.Member) -> wire.Member:
    return wire.Member(
        uuid=member.membership.person_id,
        email=member.email,
        first_name=member.first_name,
        last_name=member.last_name,
        role=member.membership.role,
        permissions=sorted(member.membership.custom),
        created_at=member.created_at,
    )
