"""May a run start? The gate of a workspace whose balances this transaction holds (rows A13, E1; rules M10, M12)."""

import datetime as dt
from dataclasses import replace
from uuid import UUID

from tallystick.domain.credits.gates import Decision, Funds, decide_action, standing_of
from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.credits.holds import Scope
from tallystick.domain.credits.ledger import Book
from tallystick.flows import due
from tallystick.flows.caps import Caps
from tallystick.kernel.ids import Ids
from tallystick.store import holds, ledger
from tallystick.store.database import Connection
from tallystick.store.holds import Terms


class Gate:
    """What decides about runs of one workspace, as many as this transaction starts. Made with `lock`."""

    def __init__(
        self, workspace_id: UUID, pair: dict[str, Book], terms: Terms | None, caps: Caps, now: dt.datetime
    ) -> None:
        self._workspace_id = workspace_id
        self._pair = pair
        self._terms = terms
        self._caps = caps
        self._now = now
        self._started: list[str] = []

    @classmethod
    async def lock(cls, conn: Connection, workspace_id: UUID, *, now: dt.datetime, ids: Ids) -> "Gate":
        """Lock the workspace's balances, before anything of runs is, and settle what is due on them."""
        books = await due.lock(conn, {workspace_id}, now=now, ids=ids)
        await ledger.save_books(conn, books, now)
        terms = await holds.terms(conn, {workspace_id})
        caps = await Caps.load(conn, [workspace_id])
        return cls(workspace_id, books.get(workspace_id, {}), terms.get(workspace_id), caps, now)

    async def decide(self, conn: Connection, run: str, workflow_id: UUID, *, patient: bool = False) -> Decision:
        """Whether a run may start. `patient`: whether it could, had every open hold been released.

        What only holds stand in the way of is worth waiting for: most of them set aside more than is used.
        """
        placed = (self._workspace_id, Scope(run=run, workflow_id=workflow_id), self._now)
        await self._caps.read(conn, [placed])
        over = self._caps.over(placed)
        terms = self._terms
        overage = terms.overage if terms is not None else 0
        funds = {
            unit: Funds(book.balance.posted, 0 if patient else book.balance.held, overage if unit == CREDITS else 0)
            for unit, book in self._pair.items()
        }
        standing = standing_of(
            terms.status if terms is not None else None,
            terms.resumes_to if terms is not None else None,
            run_quota=terms.run_quota if terms is not None else None,
            runs_started=(terms.runs_started if terms is not None else 0) + len(self._started),
            subscription_id=terms.subscription_id if terms is not None else None,
            plan=terms.plan if terms is not None else None,
        )
        if patient:
            over = [(key, replace(usage, held=0)) for key, usage in over]
        return decide_action("run", 0, funds, standing, over)

    def count(self, run: str) -> None:
        """A run that was decided about starts."""
        self._started.append(run)

    async def save(self, conn: Connection) -> None:
        """Write down what started: the plan's run quota counts it (rule M10)."""
        await holds.start(conn, [(self._workspace_id, run) for run in self._started], self._now)
