"""Giving credits and tool runs: one transaction, the same key gives the same grant."""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tallystick.domain.credits.grants import Grant, GrantTerms, check_terms, new_grant
from tallystick.domain.identity.requests import RequestKey
from tallystick.flows import due
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, ledger
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once


async def issue_in(
    conn: Connection, terms: GrantTerms, *, workspace_id: UUID, now: dt.datetime, ids: Ids, actor: str
) -> Grant:
    """Book one grant inside a transaction of the caller's; the grant of an earlier call with the same key again.

    Raises `workspaceNotFound` and the errors of `check_terms`.
    """
    check_terms(terms, now)
    books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
    if workspace_id not in books:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    key = f"grant:{terms.key}"
    earlier = await ledger.booked_before(conn, workspace_id, terms.unit, key)
    if earlier is not None:
        return await ledger.grant_by_id(conn, workspace_id, earlier)
    # The grant and the transaction that books it share their id, so that one leads to the other.
    grant = new_grant(terms, ids.new(now), now)
    books[workspace_id][terms.unit].issue(grant, grant.id, key=key, actor=actor)
    await ledger.save_books(conn, books, now)
    return grant


async def issue_once(
    database: Database,
    terms: GrantTerms,
    *,
    workspace_id: UUID,
    request: RequestKey | None,
    now: dt.datetime,
    ids: Ids,
    actor: str,
) -> Grant:
    """Book one grant on the record; a repeat of the same request gives the same grant.

    Raises `idempotencyConflict` and the errors of `issue_in`.
    """

    async def work(conn: Connection) -> Grant:
        async def make() -> Mapping[str, Any]:
            grant = await issue_in(conn, terms, workspace_id=workspace_id, now=now, ids=ids, actor=actor)
            await audit.record(
                conn,
                "grant.issued",
                workspace_id=workspace_id,
                actor=actor,
                now=now,
                ids=ids,
                reason=terms.reason,
                grant=str(grant.id),
                unit=terms.unit,
                amount=format_credits(terms.amount),
                source=terms.source,
            )
            return {"grantId": str(grant.id)}

        answer = await once(conn, request, now, make)
        return await ledger.grant_by_id(conn, workspace_id, UUID(answer["grantId"]))

    return await database.run(work)


async def issue(
    database: Database, terms: GrantTerms, *, workspace_id: UUID, now: dt.datetime, ids: Ids, actor: str
) -> Grant:
    """Book one grant in a transaction of its own."""

    async def work(conn: Connection) -> Grant:
        return await issue_in(conn, terms, workspace_id=workspace_id, now=now, ids=ids, actor=actor)

    return await database.run(work)
