"""API tokens. Only hashes are stored; a token is found by its hash and never read back."""

import datetime as dt
from dataclasses import asdict, fields
from uuid import UUID

from tallystick.domain.identity.tokens import Token, digest
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS = tuple(field.name for field in fields(Token))


async def insert(conn: Connection, token: Token, text: str) -> None:
    """Add a token; of `text`, what its owner sees, only the hash and the last four characters are kept."""
    given = asdict(token) | {"hash": digest(text), "permissions": sorted(token.permissions)}
    await conn.execute(SQL["insert_token"], given)


async def lock(conn: Connection, workspace_id: UUID | None, token_id: UUID) -> Token | None:
    """The token, revoked or not, locked; None when the workspace (None: the operator) has no such token."""
    given = {"id": token_id, "workspace_id": workspace_id}
    row = await (await conn.execute(SQL["lock_token"], given)).fetchone()
    return token_of(row) if row else None


async def revoke(conn: Connection, workspace_id: UUID | None, token_id: UUID, now: dt.datetime) -> None:
    await conn.execute(SQL["revoke_token"], {"id": token_id, "workspace_id": workspace_id, "now": now})


async def revoke_named(conn: Connection, workspace_id: UUID | None, name: str, now: dt.datetime) -> list[UUID]:
    """Revoke every valid token with this name; their ids."""
    given = {"name": name, "workspace_id": workspace_id, "now": now}
    cursor = await conn.execute(SQL["revoke_tokens_named"], given)
    return [row["id"] for row in await cursor.fetchall()]


async def revoke_of_person(conn: Connection, workspace_id: UUID, person_id: UUID, now: dt.datetime) -> None:
    """Revoke every token that a person has in a workspace."""
    given = {"workspace_id": workspace_id, "person_id": person_id, "now": now}
    await conn.execute(SQL["revoke_tokens_of_person"], given)


async def is_text_of(conn: Connection, token_id: UUID, text: str) -> bool:
    """Whether `text` is the token with this id."""
    cursor = await conn.execute(SQL["has_token_hash"], {"id": token_id, "hash": digest(text)})
    return await cursor.fetchone() is not None


def token_of(row: Row) -> Token:
    """The token of a row of `api_token`."""
    values = {name: row[name] for name in _FIELDS}
    return Token(**values | {"permissions": frozenset(row["permissions"])})
