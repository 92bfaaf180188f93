"""Giving credits and tool runs: one transaction, the same key gives the same grant."""

import datetime as dt
from uuid import UUID

from tallystick.domain.grants import Grant, GrantTerms, check_terms, new_grant
from tallystick.flows import due
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import ledger
from tallystick.store.database import Connection, Database


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


async def issue(
    database: Database, terms: GrantTerms, *, workspace_id: UUID, now: dt.datetime, ids: Ids, actor: str
) -> Grant:
    """Book one grant in a transaction of its own."""

    async def work(conn: Connection) -> Grant:
        return await issue_in(conn, terms, workspace_id=workspace_id, now=now, ids=ids, actor=actor)

    return await database.run(work)
