"""Users, workspaces, members, tokens, resources and grants on the wire."""

import datetime as dt
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from tallystick.wire.amounts import Credits

RoleName = Literal["owner", "admin", "member", "viewer"]
UnitName = Literal["credits", "toolRuns"]


class Wire(msgspec.Struct, kw_only=True, rename="camel"):
    """What all of these are: camelCase on the wire."""


class Page(Wire):
    """Which part of a list: at most `limit` entries after the first `offset`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    offset: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0


class User(Wire):
    """A person, or the token itself where no person owns it: then `uuid` is the token's and `email` is empty."""

    uuid: UUID
    email: str
    first_name: str
    last_name: str
    role: RoleName | None
    permissions: list[str]
    is_operator: bool
    created_at: dt.datetime | None


class UserAnswer(Wire):
    user: User


class Workspace(Wire):
    """`clock` is what time it is for a workspace with a test clock; others have null."""

    uuid: UUID
    name: str
    key: str | None
    email: str | None
    zone: str
    created_at: dt.datetime
    clock: dt.datetime | None = None


class WorkspaceAnswer(Wire):
    workspace: Workspace


class WorkspacesAnswer(Wire):
    workspaces: list[Workspace]


class GrantRequest(Wire):
    """One grant at a workspace's birth. `expiresAt` null: never; left out: as for free grants."""

    unit: UnitName
    amount: Credits
    expires_at: dt.datetime | UnsetType | None = UNSET
    priority: int | None = None


class CreateWorkspace(Wire):
    """`grants`, also an empty list, replaces the free grants; left out gives them. `clock` gives the workspace a test
    clock, which is then what time it is for it until it is moved."""

    name: str
    key: str | None = None
    email: str | None = None
    zone: str = "UTC"
    grants: list[GrantRequest] | None = None
    clock: dt.datetime | None = None


class WorkspaceCreated(Wire):
    """`adminToken` is shown once; null when another token repeats the request."""

    workspace: Workspace
    admin_token: str | None


class CreateToken(Wire):
    """`permissions` left out: all that the maker may give; `userUuid` left out: for the maker."""

    name: str
    permissions: list[str] | None = None
    user_uuid: UUID | None = None
    expires_at: dt.datetime | None = None


class Token(Wire):
    uuid: UUID
    name: str
    last4: str
    permissions: list[str]
    workspace_uuid: UUID | None
    user_uuid: UUID | None
    created_at: dt.datetime
    expires_at: dt.datetime | None
    deleted_at: dt.datetime | None


class NewToken(Token):
    """A token with its secret, `token`, which is shown once; null when another token repeats the request."""

    token: str | None


class TokenCreated(Wire):
    token: NewToken


class TokenAnswer(Wire):
    token: Token


class TokensAnswer(Wire):
    tokens: list[Token]


class AddMember(Wire):
    """`permissions` are custom ones, on top of the role's."""

    email: str
    role: RoleName
    first_name: str = ""
    last_name: str = ""
    permissions: list[str] = []


class ChangeMember(Wire):
    """What is left out stays."""

    role: RoleName | None = None
    permissions: list[str] | None = None


class Member(Wire):
    uuid: UUID
    email: str
    first_name: str
    last_name: str
    role: RoleName
    permissions: list[str]
    created_at: dt.datetime


class MemberAnswer(Wire):
    member: Member


class MembersAnswer(Wire):
    members: list[Member]


class PutResource(Wire):
    """What is left out stays. `attributes` are merged by name; null removes one. `deleted` false brings it back."""

    name: str | None = None
    description: str | None = None
    attributes: dict[str, Any] | None = None
    deleted: bool | None = None


class Resource(Wire):
    uuid: UUID
    kind: str
    key: str
    name: str
    description: str
    attributes: dict[str, Any]
    created_at: dt.datetime
    updated_at: dt.datetime
    deleted_at: dt.datetime | None


class ResourceAnswer(Wire):
    resource: Resource


class ResourcesAnswer(Wire):
    resources: list[Resource]


class ResourceList(Page):
    include_deleted: bool = False


class WorkspaceList(Page):
    key: str | None = None


class CreateGrant(Wire):
    """`expiresAt` null: never; left out: 90 days for free, 365 for purchase, never for other sources."""

    workspace_uuid: UUID
    unit: UnitName
    amount: Credits
    reason: str
    source: Literal["free", "purchase", "promotion", "adjustment"] = "adjustment"
    priority: int | None = None
    expires_at: dt.datetime | UnsetType | None = UNSET


class Grant(Wire):
    """`expired` is what ended unused of it; `endedAt` null while there is something to use or to return."""

    uuid: UUID
    workspace_uuid: UUID
    unit: UnitName
    amount: Credits
    remaining: Credits
    expired: Credits
    source: str
    priority: int
    reason: str
    starts_at: dt.datetime
    expires_at: dt.datetime | None
    ended_at: dt.datetime | None
    created_at: dt.datetime


class GrantAnswer(Wire):
    grant: Grant


class About(Wire):
    """What answers here, and the addresses where more is said."""

    name: str
    version: str
    description: str
    health: str
    metrics: str


class Health(Wire):
    status: str
    version: str


class Readiness(Wire):
    """`lateJobs` names background work that should have been done long ago; requests are answered all the same."""

    ready: bool
    checks: dict[str, bool]
    late_jobs: list[str] = []


class Problem(Wire):
    """Every error but 401 and 403's bare ones: a sentence, a code of docs/reference/errors.md, and details."""

    error_message: str
    reason: str
    details: dict[str, Any]


class BareProblem(Wire):
    """The body of `unauthorized` and `forbidden`."""

    error_message: Literal["unauthorized", "forbidden"]
