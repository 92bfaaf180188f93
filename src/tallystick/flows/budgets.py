"""The workspace's own caps: make, change and end them (row E6). Each locks out debits and holds while it writes."""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from tallystick.domain.credits.budgets import Budget, WindowKey, check_budget, window_start, windows
from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.metering.resources import resource_id
from tallystick.domain.texts import check_key, check_text
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, budget_admin, budgets
from tallystick.store.database import Connection, Database
from tallystick.store.idempotency import once

_KINDS: Final[Mapping[str, tuple[str, ...]]] = {"workflow": ("play", "tool")}
"""The kinds of resource that a scope means, where that is not its own name; a play stands before a tool of its key."""


@dataclass(frozen=True, slots=True)
class NewBudget:
    """A cap of `amount` nano-units to make. `subject` names a resource by uuid or key, or is an API key."""

    name: str
    scope: str
    per: str
    unit: str
    amount: int
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Author:
    """Who asks, in which workspace, by which request, and when."""

    workspace_id: UUID
    actor: str
    request: RequestKey | None
    now: dt.datetime
    ids: Ids


async def create(database: Database, new: NewBudget, author: Author, *, most: int) -> Budget:
    """Make a budget. What its windows hold already, charges and open holds, counts from the start.

    Raises `invalidText`, `invalidKey`, `invalidScope`, `invalidPeriod`, `invalidUnit`, `invalidAmount`,
    `resourceNotFound`, `tooManyBudgets` beyond `most`, and `idempotencyConflict`.
    """
    check_text(new.name, field="name")
    check_budget(new.scope, new.per, new.unit, new.amount, new.subject)
    if new.subject is not None:
        check_key(new.subject, field="subject")

    async def make(conn: Connection) -> UUID:
        if await budget_admin.count(conn, author.workspace_id) >= most:
            raise TallystickError("tooManyBudgets", f"A workspace has at most {most} budgets.", limit=most)
        budget = Budget(
            id=author.ids.new(author.now),
            workspace_id=author.workspace_id,
            name=new.name,
            scope=new.scope,
            subject=await _subject(conn, author.workspace_id, new.scope, new.subject),
            per=new.per,
            unit=new.unit,
            amount=new.amount,
            created_at=author.now,
        )
        await budget_admin.insert(conn, budget)
        await budget_admin.begin_spent(conn, budget, window_start(budget.per, author.now))
        await budgets.add(conn, await _held(conn, budget))
        await _tell(conn, "budget.created", budget, author)
        return budget.id

    return await _once(database, author, make)


async def change(
    database: Database, budget_id: UUID, author: Author, *, name: str | None = None, amount: int | None = None
) -> Budget:
    """Give a budget another name, another amount, or both (None: as it is). How far it is used stays.

    Raises `budgetNotFound`, `invalidText`, `invalidAmount` and `idempotencyConflict`.
    """
    if name is not None:
        check_text(name, field="name")

    async def make(conn: Connection) -> UUID:
        before = await _live(conn, author.workspace_id, budget_id)
        after = replace(
            before,
            name=before.name if name is None else name,
            amount=before.amount if amount is None else amount,
        )
        check_budget(after.scope, after.per, after.unit, after.amount, None)
        if after != before:
            await budget_admin.update(conn, after, author.now)
            await _tell(conn, "budget.changed", after, author, before=format_credits(before.amount))
        return budget_id

    return await _once(database, author, make)


async def end(database: Database, budget_id: UUID, author: Author) -> Budget:
    """End a budget; one that has ended stays so. Raises `budgetNotFound` and `idempotencyConflict`."""

    async def make(conn: Connection) -> UUID:
        found = await budget_admin.by_id(conn, author.workspace_id, budget_id)
        if found is None:
            raise not_found(budget_id)
        budget, has_ended = found
        if not has_ended:
            await budget_admin.end(conn, budget, author.now)
            await _tell(conn, "budget.ended", budget, author)
        return budget_id

    return await _once(database, author, make)


def not_found(budget_id: UUID) -> TallystickError:
    """There is no such budget in the workspace that is asked."""
    return TallystickError("budgetNotFound", "There is no such budget.", uuid=str(budget_id))


async def _once(database: Database, author: Author, make: Callable[[Connection], Awaitable[UUID]]) -> Budget:
    """Do it under lock, a repeated request only once; the budget as it stands then."""

    async def work(conn: Connection) -> Budget:
        async def locked() -> Mapping[str, Any]:
            if not await budget_admin.lock(conn, author.workspace_id):
                raise TallystickError(
                    "workspaceNotFound", "There is no such workspace.", workspaceUuid=str(author.workspace_id)
                )
            return {"budgetId": str(await make(conn))}

        budget_id = UUID((await once(conn, author.request, author.now, locked))["budgetId"])
        found = await budget_admin.by_id(conn, author.workspace_id, budget_id)
        if found is None:
            raise not_found(budget_id)
        return found[0]

    return await database.run(work)


async def _live(conn: Connection, workspace_id: UUID, budget_id: UUID) -> Budget:
    found = await budget_admin.by_id(conn, workspace_id, budget_id)
    if found is None or found[1]:
        raise not_found(budget_id)
    return found[0]


async def _subject(conn: Connection, workspace_id: UUID, scope: str, name: str | None) -> str | None:
    """The resource's id as text, or the API key. Raises `resourceNotFound`: a cap on nobody is a mistake."""
    if name is None or scope == "apiKey":
        return name
    kinds = _KINDS.get(scope, (scope,))
    ids = [resource_id(workspace_id, kind, name) for kind in kinds]
    there = await budget_admin.resources(conn, workspace_id, ids, kinds)
    found = next((identity for identity in ids if identity in there), None)
    if found is None:
        raise TallystickError("resourceNotFound", f"There is no such {scope}.", kind=scope, subject=name)
    return str(found)


async def _held(conn: Connection, budget: Budget) -> dict[tuple[UUID, WindowKey], tuple[int, int]]:
    """What open holds set aside of each window: the one that each was made in, which its end will name again (M20)."""
    held: dict[tuple[UUID, WindowKey], tuple[int, int]] = {}
    for hold in await budget_admin.open_holds(conn, budget.workspace_id):
        for _, key in windows([budget], hold.scope, hold.created_at):
            before = held.get((budget.workspace_id, key), (0, 0))[1]
            held[budget.workspace_id, key] = (0, before + hold.amounts.of(budget.unit))
    return held


async def _tell(conn: Connection, action: str, budget: Budget, author: Author, **more: str) -> None:
    await audit.record(
        conn,
        action,
        workspace_id=author.workspace_id,
        actor=author.actor,
        now=author.now,
        ids=author.ids,
        budget=str(budget.id),
        name=budget.name,
        scope=budget.scope,
        subject=budget.subject,
        per=budget.per,
        unit=budget.unit,
        amount=format_credits(budget.amount),
        **more,
    )
