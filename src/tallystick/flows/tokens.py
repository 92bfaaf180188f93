"""Making and revoking API tokens. The secret is an argument: a surface draws it, shows it once and forgets it."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.identity.rights import (
    PERMISSIONS,
    Membership,
    Principal,
    check_may_change,
    known_permissions,
)
from tallystick.domain.identity.tokens import Token
from tallystick.domain.texts import check_text
from tallystick.domain.times import check_time
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, members, tokens
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to make. `permissions` None: all that its maker may give; `person_id` None: for its maker."""

    name: str
    permissions: frozenset[str] | None = None
    person_id: UUID | None = None
    expires_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """`text` is what its owner uses, None when the first answer, long ago, was the one to show it."""

    token: Token
    text: str | None


async def create(
    database: Database,
    new: NewToken,
    *,
    principal: Principal,
    workspace_id: UUID,
    text: str,
    request: RequestKey | None,
    now: dt.datetime,
    ids: Ids,
) -> CreatedToken:
    """Make a token of a workspace, for its maker or for another member of whom the maker may decide.

    Raises `unknownPermission`, `rightsExceeded`, `ownerRequired`, `memberNotFound`, `invalidText`, `invalidTime`,
    `invalidExpiry` and `idempotencyConflict`.
    """
    check_text(new.name, field="name")
    expires_at = check_expiry(new.expires_at, now)

    async def work(conn: Connection) -> CreatedToken:
        async def make() -> Mapping[str, Any]:
            person_id = new.person_id or principal.person_id
            member = await members.find(conn, workspace_id, person_id) if person_id else None
            if new.person_id and member is None:
                raise member_not_found(new.person_id)
            permissions = _permissions(new.permissions, principal, member)
            if member is not None and member.person_id != principal.person_id:
                # Whoever holds another's token acts as that person: only those who could change them may make one.
                check_may_change(principal, member, member)
            token = await insert_in(
                conn,
                name=new.name,
                text=text,
                workspace_id=workspace_id,
                person_id=member.person_id if member else None,
                permissions=permissions,
                expires_at=expires_at,
                actor=principal.actor,
                now=now,
                ids=ids,
            )
            return {"tokenId": str(token.id)}

        answer = await once(conn, request, now, make)
        token_id = UUID(answer["tokenId"])
        token = await tokens.lock(conn, workspace_id, token_id)
        if token is None:
            raise token_not_found(token_id)
        return CreatedToken(token, text if await tokens.is_text_of(conn, token_id, text) else None)

    return await database.run(work)


async def insert_in(
    conn: Connection,
    *,
    name: str,
    text: str,
    workspace_id: UUID | None,
    person_id: UUID | None,
    permissions: frozenset[str],
    expires_at: dt.datetime | None,
    actor: str,
    now: dt.datetime,
    ids: Ids,
) -> Token:
    """Make a token inside a transaction of the caller's, who has checked that it may be; without a workspace it is an
    operator's."""
    token = Token(
        id=ids.new(now),
        name=name,
        last4=text[-4:],
        workspace_id=workspace_id,
        person_id=person_id,
        permissions=permissions,
        is_operator=workspace_id is None,
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
    )
    await tokens.insert(conn, token, text)
    await audit.record(
        conn,
        "token.created",
        workspace_id=workspace_id,
        actor=actor,
        now=now,
        ids=ids,
        token=str(token.id),
        name=name,
        person=str(person_id) if person_id else None,
        permissions=sorted(permissions),
    )
    return token


async def create_operator(
    database: Database, name: str, *, text: str, replace: bool, actor: str, now: dt.datetime, ids: Ids
) -> Token:
    """Make an operator's token; with `replace`, those of the same name are revoked in the same transaction."""
    check_text(name, field="name")

    async def work(conn: Connection) -> Token:
        if replace:
            await revoke_named_in(conn, None, name, actor=actor, now=now, ids=ids)
        return await insert_in(
            conn,
            name=name,
            text=text,
            workspace_id=None,
            person_id=None,
            permissions=PERMISSIONS,
            expires_at=None,
            actor=actor,
            now=now,
            ids=ids,
        )

    return await database.run(work)


async def revoke_named_in(
    conn: Connection, workspace_id: UUID | None, name: str, *, actor: str, now: dt.datetime, ids: Ids
) -> None:
    """Revoke the tokens of this name, of a workspace or (None) of the operator."""
    for token_id in await tokens.revoke_named(conn, workspace_id, name, now):
        await _tell_revoked(conn, workspace_id, token_id, actor, now, ids)


async def revoke(
    database: Database, token_id: UUID, *, principal: Principal, workspace_id: UUID, now: dt.datetime, ids: Ids
) -> Token:
    """Revoke a token of the workspace, at once; one that is revoked stays so. Anybody may give up the token in use.

    Raises `tokenNotFound`, and what `create` raises for a token that the caller could not have made.
    """

    async def work(conn: Connection) -> Token:
        token = await tokens.lock(conn, workspace_id, token_id)
        if token is None:
            raise token_not_found(token_id)
        member = await members.find(conn, workspace_id, token.person_id) if token.person_id else None
        if member is not None and token_id != principal.token_id and member.person_id != principal.person_id:
            check_may_change(principal, member, member)
        if token.revoked_at is None:
            await tokens.revoke(conn, workspace_id, token_id, now)
            await _tell_revoked(conn, workspace_id, token_id, principal.actor, now, ids)
            token = replace(token, revoked_at=now)
        return token

    return await database.run(work)


def check_expiry(expires_at: dt.datetime | None, now: dt.datetime) -> dt.datetime | None:
    """The instant in UTC. Raises `invalidTime` and, for one that has passed, `invalidExpiry`."""
    if expires_at is None:
        return None
    checked = check_time(expires_at, field="expiresAt")
    if checked <= now:
        raise TallystickError("invalidExpiry", "expiresAt must lie in the future.")
    return checked


def token_not_found(token_id: UUID) -> TallystickError:
    return TallystickError("tokenNotFound", "There is no such token.", uuid=str(token_id))


def member_not_found(person_id: UUID) -> TallystickError:
    return TallystickError("memberNotFound", "There is no such member.", userUuid=str(person_id))


def _permissions(asked: frozenset[str] | None, principal: Principal, member: Membership | None) -> frozenset[str]:
    available = principal.permissions if member is None else principal.permissions & member.permissions
    if asked is None:
        return available
    wanted = known_permissions(asked)
    if not wanted <= available:
        raise TallystickError(
            "rightsExceeded",
            "These rights are more than the maker's or the member's.",
            missing=sorted(wanted - available),
        )
    return wanted


async def _tell_revoked(
    conn: Connection, workspace_id: UUID | None, token_id: UUID, actor: str, now: dt.datetime, ids: Ids
) -> None:
    await audit.record(
        conn, "token.revoked", workspace_id=workspace_id, actor=actor, now=now, ids=ids, token=str(token_id)
    )
