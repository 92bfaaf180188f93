"""Who is there: the principal of a token, and the lists of workspaces, members, tokens and resources."""

import asyncio
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final
from uuid import UUID

from tallystick.domain.identity.rights import PERMISSIONS, Membership, Principal, effective, unauthorized
from tallystick.domain.identity.tokens import LONGEST, PREFIX, Token, digest
from tallystick.domain.identity.workspaces import Person, Workspace
from tallystick.domain.metering.resources import Resource
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Connection, Database, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_WORKSPACE_FIELDS: Final = tuple(field.name for field in fields(Workspace))
_PERSON_FIELDS: Final = tuple(field.name for field in fields(Person))
_RESOURCE_FIELDS: Final = tuple(field.name for field in fields(Resource))
_TOKEN_FIELDS: Final = tuple(field.name for field in fields(Token))


@dataclass(frozen=True, slots=True)
class Member:
    """A membership with the person it is about."""

    membership: Membership
    email: str
    first_name: str
    last_name: str
    created_at: dt.datetime


Found = tuple[Token, Membership | None, dt.datetime | None]
"""A token, its person's membership, and the test clock of its workspace."""


class Authenticator:
    """Finds tokens by group reads: those that arrive while a read is in flight are found by the next one.

    Nothing is kept between reads, so a revoked token or a removed member is out at the very next request, and yet a
    busy server reads once for many requests.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[bytes, list[asyncio.Future[Found | None]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._admitted: dict[bytes, Principal] = {}

    def admit(self, text: str, principal: Principal) -> None:
        """Let `text` stand for `principal` as long as this process lives: for what runs inside it and is nobody's."""
        self._admitted[digest(text)] = principal

    async def principal(self, text: str, now: dt.datetime) -> Principal:
        """Who `text`, a token, stands for. Raises `unauthorized` unless it is valid now, and its person a member."""
        if not text.startswith(PREFIX) or len(text) > LONGEST or not text.isascii():
            raise unauthorized()
        hashed = digest(text)
        if hashed in self._admitted:
            return self._admitted[hashed]
        found = await self._find(hashed)
        if found is None:
            raise unauthorized()
        token, member, clock_at = found
        if not token.is_valid(now) or (token.person_id and member is None and not token.is_operator):
            raise unauthorized()
        return Principal(
            kind="operator" if token.is_operator else "token",
            token_id=token.id,
            token_name=token.name,
            person_id=token.person_id,
            workspace_id=token.workspace_id,
            role=member.role if member else None,
            permissions=PERMISSIONS if token.is_operator else effective(token.permissions, member),
            clock_at=clock_at,
        )

    async def _find(self, hashed: bytes) -> Found | None:
        future: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(hashed, []).append(future)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_all())
        return await future

    async def _read_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, {}
                try:
                    async with self._database.look() as conn:
                        found = await _tokens_by_hash(conn, list(batch))
                except Exception as error:  # noqa: BLE001 - it is handed to everybody who waits
                    _answer(batch, error)
                else:
                    _answer(batch, found)
        finally:
            self._reader = None


def _answer(
    batch: Mapping[bytes, list["asyncio.Future[Found | None]"]], outcome: Mapping[bytes, Found] | Exception
) -> None:
    for hashed, futures in batch.items():
        for future in futures:
            if future.done():  # whoever waited has gone
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome.get(hashed))


async def _tokens_by_hash(conn: Connection, hashes: list[bytes]) -> dict[bytes, Found]:
    rows = await (await conn.execute(SQL["tokens_by_hash"], {"hashes": hashes})).fetchall()
    return {bytes(row["hash"]): (_token_of(row), _own_membership(row), row["clock_at"]) for row in rows}


def _own_membership(row: Row) -> Membership | None:
    if row["member_role"] is None:
        return None
    return Membership(row["person_id"], row["member_role"], frozenset(row["member_permissions"]))


async def clock_of(database: Database, workspace_id: UUID) -> dt.datetime | None:
    """The test clock of a workspace, None where it has none. Raises `workspaceNotFound`."""
    async with database.look() as conn:
        row = await (await conn.execute(SQL["clock"], {"id": workspace_id})).fetchone()
    if row is None:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    found: dt.datetime | None = row["clock_at"]
    return found


async def person(database: Database, person_id: UUID) -> Person | None:
    async with database.read() as conn:
        row = await (await conn.execute(SQL["person"], {"id": person_id})).fetchone()
    return Person(**{name: row[name] for name in _PERSON_FIELDS}) if row else None


async def workspace(database: Database, workspace_id: UUID) -> Workspace:
    """Raises `workspaceNotFound`."""
    async with database.read() as conn:
        row = await (await conn.execute(SQL["workspace"], {"id": workspace_id})).fetchone()
    if row is None:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    return _workspace_of(row)


async def workspaces(database: Database, *, key: str | None, limit: int, offset: int) -> list[Workspace]:
    """A page of the open workspaces, oldest first; with `key`, the one that has it."""
    async with database.read() as conn:
        cursor = await conn.execute(SQL["workspaces"], {"key": key, "limit": limit, "offset": offset})
        return [_workspace_of(row) for row in await cursor.fetchall()]


async def members(database: Database, workspace_id: UUID) -> list[Member]:
    """Everybody in a workspace, oldest membership first."""
    async with database.read(workspace_id) as conn:
        cursor = await conn.execute(SQL["members"], {"workspace_id": workspace_id})
        rows = await cursor.fetchall()
    return [
        Member(_membership_of(row), row["email"], row["first_name"], row["last_name"], row["member_since"])
        for row in rows
    ]


async def tokens(database: Database, workspace_id: UUID) -> list[Token]:
    """The tokens of a workspace that are not revoked, oldest first; expired ones are listed."""
    async with database.read() as conn:
        cursor = await conn.execute(SQL["tokens_of_workspace"], {"workspace_id": workspace_id})
        return [_token_of(row) for row in await cursor.fetchall()]


async def resource(database: Database, workspace_id: UUID, kind: str, resource_id: UUID) -> Resource:
    """Raises `resourceNotFound`. A deleted resource is found."""
    given = {"workspace_id": workspace_id, "kind": kind, "id": resource_id}
    async with database.read(workspace_id) as conn:
        row = await (await conn.execute(SQL["resource"], given)).fetchone()
    if row is None:
        raise TallystickError("resourceNotFound", "There is no such resource.", kind=kind, uuid=str(resource_id))
    return _resource_of(row)


async def resources(
    database: Database, workspace_id: UUID, kind: str, *, include_deleted: bool, limit: int, offset: int
) -> list[Resource]:
    """A page of the resources of one kind, oldest first."""
    given = {
        "workspace_id": workspace_id,
        "kind": kind,
        "include_deleted": include_deleted,
        "limit": limit,
        "offset": offset,
    }
    async with database.read(workspace_id) as conn:
        return [_resource_of(row) for row in await (await conn.execute(SQL["resources"], given)).fetchall()]


def _workspace_of(row: Row) -> Workspace:
    return Workspace(**{name: row[name] for name in _WORKSPACE_FIELDS})


def _resource_of(row: Row) -> Resource:
    return Resource(**{name: row[name] for name in _RESOURCE_FIELDS})


def _membership_of(row: Row) -> Membership:
    return Membership(person_id=row["person_id"], role=row["role"], custom=frozenset(row["permissions"]))


def _token_of(row: Row) -> Token:
    values: dict[str, Any] = {name: row[name] for name in _TOKEN_FIELDS}
    return Token(**values | {"permissions": frozenset(row["permissions"])})
