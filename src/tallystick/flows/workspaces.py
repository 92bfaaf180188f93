"""The birth of a workspace: its subscription, balances, first grants, owner and first token, in one transaction."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS, GrantTerms
from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.identity.rights import PERMISSIONS, Principal
from tallystick.domain.identity.workspaces import Workspace, check_workspace_key
from tallystick.domain.texts import check_email, check_text
from tallystick.flows import grants, subscriptions
from tallystick.flows.members import NewMember, add_in
from tallystick.flows.tokens import insert_in
from tallystick.kernel.credits import parse_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.settings import Settings
from tallystick.store import audit, tokens, workspaces
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once

FIRST_TOKEN = "admin"  # noqa: S105 - a name, not a secret


@dataclass(frozen=True, slots=True)
class NewWorkspace:
    """A workspace to make. `grants` is all it is given at birth, beside what its plan includes; `email` names its
    owner. With a `clock` its time is its own from birth on (rule M30)."""

    name: str
    grants: tuple[GrantTerms, ...]
    key: str | None = None
    email: str | None = None
    zone: str = "UTC"
    plan: str = "free"
    clock: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class CreatedWorkspace:
    """`token` is the first token's text, None when the first answer, long ago, was the one to show it."""

    workspace: Workspace
    token: str | None


def free_grants(settings: Settings, now: dt.datetime) -> tuple[GrantTerms, ...]:
    """What a new workspace gets unless its maker says otherwise; as shipped 75 credits and 10,000 tool runs (B1)."""
    expires_at = now + dt.timedelta(days=settings.free_days)
    given = ((CREDITS, settings.free_credits), (TOOL_RUNS, settings.free_tool_runs))
    return tuple(
        GrantTerms(
            unit=unit, amount=amount, source="free", key=f"free:{unit}", expires_at=expires_at, reason="free grant"
        )
        for unit, value in given
        if (amount := parse_credits(value)) > 0
    )


async def create(
    database: Database,
    new: NewWorkspace,
    *,
    principal: Principal,
    text: str,
    request: RequestKey | None,
    now: dt.datetime,
    ids: Ids,
    free_workspaces: int | None = None,
) -> CreatedWorkspace:
    """Make a workspace, with `text` as its first token, which carries every permission.

    `now` is its birth: of one with a clock, what that says. `free_workspaces` is how many its owner may own on Free
    alone (rule M27), None not counted.

    Raises `workspaceKeyTaken`, `invalidKey`, `invalidText`, `invalidZone`, `planNotFound`, `idempotencyConflict`,
    `workspaceLimitReached` and the errors of a grant's terms.
    """

    async def work(conn: Connection) -> CreatedWorkspace:
        async def make() -> Mapping[str, Any]:
            workspace, token_id = await create_in(
                conn, new, principal=principal, text=text, now=now, ids=ids, free_workspaces=free_workspaces
            )
            return {"workspaceId": str(workspace.id), "tokenId": str(token_id)}

        answer = await once(conn, request, now, make)
        workspace = await workspaces.by_id(conn, UUID(answer["workspaceId"]))
        shown = await tokens.is_text_of(conn, UUID(answer["tokenId"]), text)
        return CreatedWorkspace(workspace, text if shown else None)

    return await database.run(work)


async def create_in(
    conn: Connection,
    new: NewWorkspace,
    *,
    principal: Principal,
    text: str,
    now: dt.datetime,
    ids: Ids,
    free_workspaces: int | None = None,
) -> tuple[Workspace, UUID]:
    """`create`, inside a transaction of the caller's; the workspace and the id of its first token."""
    workspace = Workspace(
        id=ids.new(now),
        key=None if new.key is None else check_workspace_key(new.key),
        name=check_text(new.name, field="name"),
        email=None if new.email is None else check_email(new.email),
        zone=check_zone(new.zone),
        created_at=now,
        clock_at=new.clock,
    )
    await workspaces.insert(conn, workspace)
    await audit.record(
        conn,
        "workspace.created",
        workspace_id=workspace.id,
        actor=principal.actor,
        now=now,
        ids=ids,
        name=workspace.name,
        key=workspace.key,
        plan=new.plan,
        clock=None if new.clock is None else new.clock.isoformat(),
    )
    await subscriptions.begin_in(conn, workspace.id, new.plan, zone=workspace.zone, now=now, ids=ids)
    for terms in new.grants:
        await grants.issue_in(conn, terms, workspace_id=workspace.id, now=now, ids=ids, actor=principal.actor)
    owner = None
    if workspace.email is not None:
        owner, _ = await add_in(
            conn,
            NewMember(email=workspace.email, role="owner"),
            principal=principal,
            workspace_id=workspace.id,
            now=now,
            ids=ids,
            free_workspaces=free_workspaces,
        )
    token = await insert_in(
        conn,
        name=FIRST_TOKEN,
        text=text,
        workspace_id=workspace.id,
        person_id=owner.id if owner else None,
        permissions=PERMISSIONS,
        expires_at=None,
        actor=principal.actor,
        now=now,
        ids=ids,
    )
    return workspace, token.id


def check_zone(zone: str) -> str:
    """`zone` itself. Raises `invalidZone` unless it is a name of the IANA database, such as `Europe/Paris`."""
    try:
        if len(zone) <= 64 and zone.isascii() and zone.isprintable():
            ZoneInfo(zone)
            return zone
    except (ValueError, OSError, ZoneInfoNotFoundError):
        pass
    raise TallystickError("invalidZone", "zone must be a name of the IANA time zone database.", zone=zone[:64])
