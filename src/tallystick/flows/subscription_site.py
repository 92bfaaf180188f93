"""A workspace's subscription, locked and brought up to date, while something about it changes."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tallystick.domain.billing import life
from tallystick.domain.billing.accounts import Account
from tallystick.domain.billing.life import Asked
from tallystick.domain.billing.life_told import life_fact
from tallystick.domain.billing.plans import PlanVersion
from tallystick.domain.billing.subscriptions import LiveTerms
from tallystick.domain.credits.ledger import Book
from tallystick.flows import due, running, turning
from tallystick.flows.turning import Beginning
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import accounts, facts, ledger, subscriptions
from tallystick.store.database import Connection
from tallystick.store.ledger import Books
from tallystick.store.workspaces import not_found


@dataclass(slots=True)
class Site:
    """Made with `lock`; `finish` writes the books back. `terms` are those in force, also after a turn."""

    conn: Connection
    workspace_id: UUID
    books: Books
    terms: LiveTerms
    now: dt.datetime
    ids: Ids

    @classmethod
    async def lock(cls, conn: Connection, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> "Site":
        """Lock the workspace's balances and settle what is due. Raises `workspaceNotFound`, `subscriptionNotFound`."""
        found = await cls.lock_if_any(conn, workspace_id, now=now, ids=ids)
        if found is None:
            raise TallystickError("subscriptionNotFound", "This workspace has no subscription.")
        return found

    @classmethod
    async def lock_if_any(cls, conn: Connection, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> "Site | None":
        """The same; None where it has no live subscription, and then what was due is settled and written."""
        books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
        if workspace_id not in books:
            raise not_found(workspace_id)
        terms = await subscriptions.live_terms(conn, workspace_id)
        if terms is None:
            await ledger.save_books(conn, books, now)
            return None
        return cls(conn, workspace_id, books, terms, now, ids)

    @property
    def pair(self) -> dict[str, Book]:
        """The locked books by unit."""
        return self.books[self.workspace_id]

    async def account(self, provider: str) -> Account:
        """The account, locked, made where there is none."""
        return await accounts.lock(self.conn, self.workspace_id, provider=provider, now=self.now)

    async def turn(self, to: Beginning) -> None:
        """End the open period now and begin what comes; what runs is charged until now first."""
        await self.accrue()
        key = f"reset:{self.now.isoformat()}:{self.ids.new(self.now)}"
        self.terms = await turning.turn(
            self.conn, self.workspace_id, self.pair, self.terms, to, at=self.now, now=self.now, ids=self.ids, key=key
        )

    async def accrue(self) -> None:
        """Charge what runs until now, and have every grant at hand."""
        await running.accrue(self.conn, self.workspace_id, self.pair, self.now, self.now, self.ids)
        await ledger.read_grants(self.conn, self.books, [self.workspace_id], returns=True)

    async def change(self, **terms: Any) -> None:
        """Other terms of the same subscription."""
        self.terms = replace(self.terms, **terms)
        await subscriptions.save(self.conn, self.workspace_id, self.terms, self.now)

    async def tell(self, kind: str, **more: Any) -> None:
        """A fact about the subscription as it is now."""
        fact = life_fact(kind, self.workspace_id, self.terms, self.now, **more)
        await facts.record(self.conn, [fact], self.now)

    async def finish(self) -> None:
        """Write the books; the workspace is looked at again when something of it is due next."""
        await due.reschedule(self.conn, self.workspace_id, self.pair, self.terms, self.now, self.ids)
        await ledger.save_books(self.conn, self.books, self.now)

    def step(self, asked: Asked) -> str:
        """The state after `asked`. Raises `invalidTransition`."""
        return life.move(self.terms.status, asked)

    async def offers(self) -> list[PlanVersion]:
        """Every version that this workspace may see, the newest last of each plan."""
        return await subscriptions.plan_versions(self.conn, self.workspace_id)


def not_eligible(message: str, **details: Any) -> TallystickError:
    """The reason is spelt as other people's clients know it."""
    return TallystickError("subscriptionNotElligible", message, **details)


def answered(site: Site) -> Mapping[str, Any]:
    """What a repeated request is answered with."""
    return {"subscriptionId": str(site.terms.subscription_id)}
