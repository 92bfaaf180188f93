"""`demo.json`: where the demo's server answers and with which tokens, for people and for the command line client."""

import asyncio
import os
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.demo import cast
from tallystick.demo.story import PRINCIPAL
from tallystick.domain.identity.rights import PERMISSIONS, ROLES
from tallystick.domain.identity.tokens import token_text
from tallystick.flows import tokens
from tallystick.kernel.errors import TallystickError
from tallystick.queries import identity
from tallystick.runtime import Runtime
from tallystick.store.database import Connection

NAME: Final = "demo"
FILE: Final = "demo.json"


class Credentials(msgspec.Struct, frozen=True, rename="camel"):
    """What the file holds, and all of it."""

    base_url: str
    workspace_uuid: str
    operator_token: str
    admin_token: str
    member_token: str
    dashboard_url: str


async def write(runtime: Runtime, home: Path, base_url: str, workspace_id: UUID) -> Credentials:
    """Make the file true: an earlier one keeps its tokens while they are valid, else new ones replace the old.

    Readable by its owner alone, and never half-written.
    """
    path = home / FILE
    found = await asyncio.to_thread(_read, path)
    if found is None or not await _are_valid(runtime, found, workspace_id):
        found = await _mint(runtime, workspace_id)
    told = msgspec.structs.replace(
        found, base_url=base_url, workspace_uuid=str(workspace_id), dashboard_url=f"{base_url}/"
    )
    await asyncio.to_thread(_write, path, told)
    return told


async def _are_valid(runtime: Runtime, found: Credentials, workspace_id: UUID) -> bool:
    wanted = ((found.operator_token, None), (found.admin_token, workspace_id), (found.member_token, workspace_id))
    try:
        for text, scope in wanted:
            principal = await runtime.authenticator.principal(text, runtime.clock.now())
            if principal.workspace_id != scope:
                return False
    except TallystickError as error:
        if error.code != "unauthorized":
            raise
        return False
    return True


async def _mint(runtime: Runtime, workspace_id: UUID) -> Credentials:
    """Three new tokens in place of those of an earlier file, in one transaction."""
    people = {member.email: member for member in await identity.members(runtime.database, workspace_id)}
    operator, admin, member = (token_text(runtime.ids.secret()) for _ in range(3))
    now = runtime.clock.now()
    places = (
        (operator, None, None, PERMISSIONS),
        (admin, workspace_id, people[cast.ADMIN.email].membership.person_id, PERMISSIONS),
        (member, workspace_id, people[cast.MEMBER.email].membership.person_id, ROLES["member"]),
    )

    async def work(conn: Connection) -> None:
        for scope in (None, workspace_id):
            await tokens.revoke_named_in(conn, scope, NAME, actor=PRINCIPAL.actor, now=now, ids=runtime.ids)
        for text, scope, person_id, permissions in places:
            await tokens.insert_in(
                conn,
                name=NAME,
                text=text,
                workspace_id=scope,
                person_id=person_id,
                permissions=permissions,
                expires_at=None,
                actor=PRINCIPAL.actor,
                now=now,
                ids=runtime.ids,
            )

    await runtime.database.run(work)
    return Credentials(
        base_url="",
        workspace_uuid=str(workspace_id),
        operator_token=operator,
        admin_token=admin,
        member_token=member,
        dashboard_url="",
    )


def _read(path: Path) -> Credentials | None:
    """The file's content; None where there is none, or none of ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _write(path: Path, told: Credentials) -> None:
    values: dict[str, Any] = msgspec.to_builtins(told)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
