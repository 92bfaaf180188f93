"""Who may do what: roles, permissions, and the principal that a token stands for."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal
from uuid import UUID

from tallystick.kernel.errors import TallystickError

Role = Literal["owner", "admin", "member", "viewer"]

BILLING_READ: Final = "billing:read"
BILLING_WRITE: Final = "billing:write"
EVENTS_WRITE: Final = "events:write"
HOLDS_WRITE: Final = "holds:write"
RESOURCES_READ: Final = "resources:read"
RESOURCES_WRITE: Final = "resources:write"
RUNS_WRITE: Final = "runs:write"
MEMBERS_WRITE: Final = "members:write"

PERMISSIONS: Final = frozenset(
    {
        BILLING_READ,
        BILLING_WRITE,
        EVENTS_WRITE,
        HOLDS_WRITE,
        RESOURCES_READ,
        RESOURCES_WRITE,
        RUNS_WRITE,
        MEMBERS_WRITE,
    }
)
"""Every permission there is."""

ROLES: Final[dict[Role, frozenset[str]]] = {
    "owner": PERMISSIONS,
    "admin": PERMISSIONS,
    "member": frozenset({EVENTS_WRITE, HOLDS_WRITE}),
    "viewer": frozenset(),
}
"""What each role has by itself. Only an owner names owners and closes the workspace; that is by role, no permission.

A member reports usage and asks gates, and sees no figure; what more a person may do are custom permissions.
"""


@dataclass(frozen=True, slots=True)
class Membership:
    """A person's place in one workspace: a role, and custom permissions on top of it."""

    person_id: UUID
    role: Role
    custom: frozenset[str]

    @property
    def permissions(self) -> frozenset[str]:
        return ROLES[self.role] | self.custom


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: an operator, or a token of one workspace, with the permissions in force at this instant.

    `workspace_id` is the workspace that the request is about; None for an operator who named none. `role` is None for
    an operator, and for a workspace token that an operator made without a person. `clock_at` is what time it is for
    that workspace, None where that is the machine's (rule M30).
    """

    kind: Literal["operator", "token"]
    token_id: UUID
    token_name: str
    person_id: UUID | None
    workspace_id: UUID | None
    role: Role | None
    permissions: frozenset[str]
    clock_at: dt.datetime | None = None

    @property
    def is_operator(self) -> bool:
        return self.kind == "operator"

    @property
    def actor(self) -> str:
        """How the audit log and the ledger name who did it."""
        return f"{self.kind}:{self.token_id}"

    def may(self, *any_of: str) -> bool:
        """Whether one of these permissions is in force."""
        return self.is_operator or not self.permissions.isdisjoint(any_of)

    def within(self, workspace_id: UUID) -> "Principal":
        """The same principal asking about `workspace_id`. Raises `forbidden` for a token of another workspace."""
        if not self.is_operator and workspace_id != self.workspace_id:
            raise forbidden()
        return replace(self, workspace_id=workspace_id)


def forbidden() -> TallystickError:
    return TallystickError("forbidden", "forbidden")


def unauthorized() -> TallystickError:
    return TallystickError("unauthorized", "unauthorized")


def known_permissions(names: Iterable[str]) -> frozenset[str]:
    """The names as a set. Raises `unknownPermission` naming those that do not exist."""
    asked = frozenset(names)
    unknown = sorted(asked - PERMISSIONS)
    if unknown:
        raise TallystickError(
            "unknownPermission", "No such permission.", unknown=unknown[:10], known=sorted(PERMISSIONS)
        )
    return asked


def effective(token: Iterable[str], member: Membership | None) -> frozenset[str]:
    """What a token may do now: what it carries, cut to what its person may do now."""
    carried = frozenset(token) & PERMISSIONS
    return carried if member is None else carried & member.permissions


def check_may_give(principal: Principal, rights: frozenset[str]) -> None:
    """Nobody gives, takes or carries rights that they do not have themselves. Raises `rightsExceeded`."""
    missing = frozenset() if principal.is_operator else rights - principal.permissions
    if missing:
        raise TallystickError("rightsExceeded", "These rights are more than your own.", missing=sorted(missing))


def check_may_change(principal: Principal, before: Membership | None, after: Membership | None) -> None:
    """Whether a membership may go from `before` to `after` (None: no member) at this principal's word.

    Raises `ownerRequired` when an owner is named, changed or removed by anybody else, and `rightsExceeded`
    when the change gives or takes rights that the principal lacks.
    """
    touches_owner = any(member is not None and member.role == "owner" for member in (before, after))
    if touches_owner and not principal.is_operator and principal.role != "owner":
        raise TallystickError("ownerRequired", "Only an owner names, changes or removes owners.")
    given = after.permissions if after else frozenset()
    taken = before.permissions if before else frozenset()
    check_may_give(principal, given | taken)
