"""What an operator does to a balance by hand, with a reason on the record: correct it either way, end a grant early."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tallystick.domain.credits.grants import UNITS, Grant, GrantTerms, check_terms, new_grant
from tallystick.domain.credits.ledger import Book
from tallystick.flows import due
from tallystick.flows.budgets import Author
from tallystick.kernel.credits import MAX_NANO, format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.store import audit, ledger
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once
from tallystick.store.workspaces import not_found


@dataclass(frozen=True, slots=True)
class Correction:
    """What to correct by: `amount` in nano-units, above zero given as a grant, below zero taken back.

    `key` makes a repeated request the same correction. `expires_at` and `priority` are the grant's.
    """

    unit: str
    amount: int
    reason: str
    key: str
    expires_at: dt.datetime | None = None
    priority: int | None = None
    allow_negative: bool = False


async def adjust(database: Database, correction: Correction, author: Author) -> Grant | None:
    """Correct a balance; the grant that was given, None where something was taken back.

    What is taken back comes off grants in burn order, and never goes below what is available unless the correction
    allows it: then the rest is an overdraft (rule M15). Raises `invalidAmount`, `invalidPriority`, `invalidExpiry`,
    `workspaceNotFound`, `adjustmentTooLarge`, `balanceOutOfRange` and `idempotencyConflict`.
    """
    if not 0 < abs(correction.amount) <= MAX_NANO:
        raise TallystickError("invalidAmount", "An adjustment needs an amount that is not zero.", field="amount")

    workspace_id, now, ids = author.workspace_id, author.now, author.ids

    async def work(conn: Connection) -> Grant | None:
        async def make() -> Mapping[str, Any]:
            books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
            if workspace_id not in books:
                raise not_found(workspace_id)
            book = books[workspace_id][correction.unit]
            grant_id = None
            if correction.amount > 0:
                grant_id = _give(book, correction, author)
            else:
                _take(book, correction, author)
            await ledger.save_books(conn, books, now)
            await audit.record(
                conn,
                "credits.adjusted",
                workspace_id=workspace_id,
                actor=author.actor,
                now=now,
                ids=ids,
                reason=correction.reason,
                unit=correction.unit,
                amount=format_credits(correction.amount),
                grant=str(grant_id) if grant_id else None,
            )
            return {"grantId": str(grant_id) if grant_id else None}

        answer = await once(conn, author.request, now, make)
        given = answer["grantId"]
        return await ledger.grant_by_id(conn, workspace_id, UUID(given)) if given else None

    return await database.run(work)


def _give(book: Book, correction: Correction, author: Author) -> UUID:
    terms = GrantTerms(
        unit=correction.unit,
        amount=correction.amount,
        source="adjustment",
        key=correction.key,
        expires_at=correction.expires_at,
        priority=correction.priority,
        reason=correction.reason,
    )
    check_terms(terms, author.now)
    grant = new_grant(terms, author.ids.new(author.now), author.now)
    book.issue(grant, grant.id, key=f"adjustment:{correction.key}", actor=author.actor, corrects=True)
    return grant.id


def _take(book: Book, correction: Correction, author: Author) -> None:
    amount = -correction.amount
    # What is held was promised: it is not there to be taken back.
    available = book.balance.posted - book.balance.held
    if amount > available and not correction.allow_negative:
        raise TallystickError(
            "adjustmentTooLarge",
            "There is less than that to take back; allowNegative takes it anyway.",
            unit=correction.unit,
            needed=format_credits(amount),
            available=format_credits(available),
            held=format_credits(book.balance.held),
        )
    book.take_back(
        amount,
        author.ids.new(author.now),
        key=f"adjustment:{correction.key}",
        at=author.now,
        reason=correction.reason,
        actor=author.actor,
    )


async def expire_grant(database: Database, grant_id: UUID, reason: str, author: Author) -> Grant:
    """End a grant now; what open holds rely on of it stays alive for their settles alone (rule M20).

    Raises `workspaceNotFound`, `grantNotFound`, `grantEnded` and `idempotencyConflict`.
    """

    workspace_id, now, ids = author.workspace_id, author.now, author.ids

    async def work(conn: Connection) -> Grant:
        async def make() -> Mapping[str, Any]:
            # Used-up grants too: a return must not refill one that was ended.
            books = await due.lock(conn, {workspace_id}, now=now, ids=ids, returns=True)
            if workspace_id not in books:
                raise not_found(workspace_id)
            pair = books[workspace_id]
            found = next((pair[unit].grants[grant_id] for unit in UNITS if grant_id in pair[unit].grants), None)
            if found is None or not found.alive(now):
                await ledger.grant_by_id(conn, workspace_id, grant_id)
                raise TallystickError("grantEnded", "This grant has ended already.", id=str(grant_id))
            before = found.expired
            pair[found.unit].expire(found, ids.new(now), at=now, reason=reason, actor=author.actor)
            await ledger.save_books(conn, books, now)
            await audit.record(
                conn,
                "grant.expired",
                workspace_id=workspace_id,
                actor=author.actor,
                now=now,
                ids=ids,
                reason=reason,
                grant=str(grant_id),
                unit=found.unit,
                amount=format_credits(found.expired - before),
                kept=format_credits(found.kept),
            )
            return {}

        await once(conn, author.request, now, make)
        return await ledger.grant_by_id(conn, workspace_id, grant_id)

    return await database.run(work)
