"""Who belongs to a workspace, with which role. A workspace that has an owner never loses its last one."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from tallystick.domain.identity.rights import Membership, Principal, Role, check_may_change, known_permissions
from tallystick.domain.identity.workspaces import Person
from tallystick.domain.texts import check_email, check_text
from tallystick.flows import entitlements
from tallystick.flows.tokens import member_not_found
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, members, tokens, workspaces
from tallystick.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class NewMember:
    """Somebody to add. The names are used only when nobody with this e-mail is known yet."""

    email: str
    role: Role
    first_name: str = ""
    last_name: str = ""
    permissions: frozenset[str] = frozenset()


async def add(
    database: Database,
    new: NewMember,
    *,
    principal: Principal,
    workspace_id: UUID,
    now: dt.datetime,
    ids: Ids,
    free_workspaces: int | None = None,
) -> tuple[Person, Membership]:
    """Add a person to the workspace. `free_workspaces` is how many one may own on Free alone (M27), None not counted.

    Raises `memberAlreadyExists`, `ownerRequired`, `rightsExceeded`, `unknownPermission`, `invalidText` and
    `workspaceLimitReached`.
    """

    async def work(conn: Connection) -> tuple[Person, Membership]:
        return await add_in(
            conn,
            new,
            principal=principal,
            workspace_id=workspace_id,
            now=now,
            ids=ids,
            free_workspaces=free_workspaces,
        )

    return await database.run(work)


async def add_in(
    conn: Connection,
    new: NewMember,
    *,
    principal: Principal,
    workspace_id: UUID,
    now: dt.datetime,
    ids: Ids,
    free_workspaces: int | None = None,
) -> tuple[Person, Membership]:
    """`add`, inside a transaction of the caller's."""
    person = Person(
        id=ids.new(now),
        email=check_email(new.email),
        first_name=check_text(new.first_name, field="firstName", may_be_empty=True),
        last_name=check_text(new.last_name, field="lastName", may_be_empty=True),
        created_at=now,
    )
    custom = known_permissions(new.permissions)
    await workspaces.by_id(conn, workspace_id)
    known = await members.ensure_person(conn, person)
    member = Membership(person_id=known.id, role=new.role, custom=custom)
    check_may_change(principal, None, member)
    if member.role == "owner" and free_workspaces is not None:
        await entitlements.check_may_own(conn, known.id, free_workspaces=free_workspaces)
    await members.insert(conn, workspace_id, member, now)
    await _tell(conn, "member.added", workspace_id, member, principal, now, ids)
    return known, member


async def change(
    database: Database,
    person_id: UUID,
    *,
    role: Role | None,
    permissions: frozenset[str] | None,
    principal: Principal,
    workspace_id: UUID,
    now: dt.datetime,
    ids: Ids,
    free_workspaces: int | None = None,
) -> Membership:
    """Give a member another role, other custom permissions, or both (None: as it is). Their tokens follow at once.

    Raises `memberNotFound`, `lastOwner`, `ownerRequired`, `rightsExceeded`, `unknownPermission` and
    `workspaceLimitReached`.
    """
    custom = None if permissions is None else known_permissions(permissions)

    async def work(conn: Connection) -> Membership:
        everybody = await members.lock(conn, workspace_id)
        before = everybody.get(person_id)
        if before is None:
            raise member_not_found(person_id)
        after = Membership(person_id, role or before.role, before.custom if custom is None else custom)
        check_may_change(principal, before, after)
        _check_owner_stays(everybody, before, after)
        if after.role == "owner" != before.role and free_workspaces is not None:
            await entitlements.check_may_own(conn, person_id, free_workspaces=free_workspaces)
        if after != before:
            await members.update(conn, workspace_id, after)
            await _tell(conn, "member.changed", workspace_id, after, principal, now, ids)
        return after

    return await database.run(work)


async def remove(
    database: Database, person_id: UUID, *, principal: Principal, workspace_id: UUID, now: dt.datetime, ids: Ids
) -> None:
    """Remove a member and revoke the tokens that the person has here.

    Raises `memberNotFound`, `lastOwner`, `ownerRequired` and `rightsExceeded`.
    """

    async def work(conn: Connection) -> None:
        everybody = await members.lock(conn, workspace_id)
        before = everybody.get(person_id)
        if before is None:
            raise member_not_found(person_id)
        check_may_change(principal, before, None)
        _check_owner_stays(everybody, before, None)
        await members.delete(conn, workspace_id, person_id)
        # Revoked, not only powerless: they must not wake up when the person is added again.
        await tokens.revoke_of_person(conn, workspace_id, person_id, now)
        await _tell(conn, "member.removed", workspace_id, before, principal, now, ids)

    await database.run(work)


def _check_owner_stays(everybody: dict[UUID, Membership], before: Membership, after: Membership | None) -> None:
    owners = sum(member.role == "owner" for member in everybody.values())
    if before.role == "owner" and owners == 1 and (after is None or after.role != "owner"):
        raise TallystickError("lastOwner", "A workspace keeps one owner: name another one first.")


async def _tell(
    conn: Connection,
    action: str,
    workspace_id: UUID,
    member: Membership,
    principal: Principal,
    now: dt.datetime,
    ids: Ids,
) -> None:
    await audit.record(
        conn,
        action,
        workspace_id=workspace_id,
        actor=principal.actor,
        now=now,
        ids=ids,
        person=str(member.person_id),
        role=member.role,
        permissions=sorted(member.custom),
    )
