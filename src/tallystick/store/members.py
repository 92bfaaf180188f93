"""People and their memberships. Whoever changes members locks all of a workspace's first, in order of person."""

import datetime as dt
from dataclasses import asdict, fields
from typing import Any
from uuid import UUID

from tallystick.domain.identity.rights import Membership
from tallystick.domain.identity.workspaces import Person
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_PERSON_FIELDS = tuple(field.name for field in fields(Person))


async def ensure_person(conn: Connection, person: Person) -> Person:
    """The person with this e-mail: the one that is known, names untouched, else the one given, added."""
    await conn.execute(SQL["insert_person"], asdict(person))
    row = await (await conn.execute(SQL["person_by_email"], {"email": person.email})).fetchone()
    if row is None:
        raise AssertionError("a person who was just inserted is there")
    return Person(**{name: row[name] for name in _PERSON_FIELDS})


async def lock(conn: Connection, workspace_id: UUID) -> dict[UUID, Membership]:
    """Every membership of the workspace, by person, locked until the transaction ends."""
    cursor = await conn.execute(SQL["lock_members"], {"workspace_id": workspace_id})
    return {row["person_id"]: membership_of(row) for row in await cursor.fetchall()}


async def find(conn: Connection, workspace_id: UUID, person_id: UUID) -> Membership | None:
    given = {"workspace_id": workspace_id, "person_id": person_id}
    row = await (await conn.execute(SQL["member_by_person"], given)).fetchone()
    return membership_of(row) if row else None


async def insert(conn: Connection, workspace_id: UUID, member: Membership, now: dt.datetime) -> None:
    """Raises `memberAlreadyExists`."""
    given = _given(workspace_id, member) | {"created_at": now}
    if await (await conn.execute(SQL["insert_member"], given)).fetchone() is None:
        raise TallystickError("memberAlreadyExists", "This person is a member already.", userUuid=str(member.person_id))


async def update(conn: Connection, workspace_id: UUID, member: Membership) -> None:
    await conn.execute(SQL["update_member"], _given(workspace_id, member))


async def delete(conn: Connection, workspace_id: UUID, person_id: UUID) -> None:
    await conn.execute(SQL["delete_member"], {"workspace_id": workspace_id, "person_id": person_id})


def membership_of(row: Row) -> Membership:
    """The membership of a row of `member`."""
    return Membership(person_id=row["person_id"], role=row["role"], custom=frozenset(row["permissions"]))


def _given(workspace_id: UUID, member: Membership) -> dict[str, Any]:
    return {
        "workspace_id": workspace_id,
        "person_id": member.person_id,
        "role": member.role,
        "permissions": sorted(member.custom),
    }
