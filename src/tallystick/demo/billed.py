"""How the demo's company pays: an invoice after each of its past periods, and its transfer a few days later."""

import datetime as dt
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import Final
from uuid import UUID

from tallystick.demo import cast
from tallystick.demo.acts import Act
from tallystick.domain.billing.accounts import Address, Details
from tallystick.domain.identity.requests import RequestKey
from tallystick.flows import accounts, collecting, due, transfers
from tallystick.flows.budgets import Author
from tallystick.flows.transfers import Marked
from tallystick.queries import invoices
from tallystick.runtime import Runtime

DETAILS: Final = Details(
    legal_name="Lumen & Oak, Inc.",
    email="accounts@lumenoak.example",
    address=Address(line1="418 Alder Street", city="Portland", postal_code="97205", region="OR"),
    country="US",
    purchase_order="LO-2204",
)
"""What its invoices say of the buyer."""

_A_WHILE: Final = dt.timedelta(minutes=1)
_TRANSFERS: Final = (dt.timedelta(days=5, hours=7), dt.timedelta(days=3, hours=9), dt.timedelta(days=9, hours=6))
"""How long after a period's end the money was there, from the newest period back."""


class Accountant:
    """Does what the clock, the company and its bank did, each once however often it is told."""

    def __init__(self, runtime: Runtime, workspace_id: UUID, actor: str) -> None:
        self._runtime = runtime
        self._workspace_id = workspace_id
        self._actor = actor

    async def say_who_pays(self, at: dt.datetime) -> None:
        """The company's billing details."""
        runtime = self._runtime
        await accounts.update_details(
            runtime.database, runtime.billing, self._workspace_id, DETAILS, actor=self._actor, now=at, ids=runtime.ids
        )

    def acts(self, ends: list[dt.datetime]) -> Iterator[Act]:
        """For each of these ends of periods, newest first: its invoice is issued, and paid."""
        grace = self._runtime.billing.grace + _A_WHILE
        for end, took in zip(ends, _TRANSFERS, strict=False):
            yield Act(end + grace, self._issue)
            yield Act(end + took, partial(self._pay, end))

    async def _issue(self, at: dt.datetime) -> None:
        runtime = self._runtime
        await due.bring_up(runtime.database, self._workspace_id, now=at, ids=runtime.ids)
        await collecting.turn(runtime.database, runtime.billing, self._workspace_id, now=at, ids=runtime.ids)

    async def _pay(self, end: dt.datetime, at: dt.datetime) -> None:
        """The transfer for the period that ended `end` has come."""
        runtime = self._runtime
        issued = await invoices.invoices(runtime.database, self._workspace_id, issued=True)
        [owed] = [one for one in issued if one.period_end == end]
        name = f"transfer {at.isoformat()}"
        request = RequestKey(self._workspace_id, "demo", name, sha256(name.encode()).digest())
        author = Author(self._workspace_id, self._actor, request, at, runtime.ids)
        marked = Marked(received_on=at.date(), reference=f"{owed.number} {cast.COMPANY}")
        await transfers.mark_paid(runtime.database, runtime.billing, owed.id, marked, author)
