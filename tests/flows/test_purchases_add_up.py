"""Whatever happens to bought credits, in any order: the cents add up, and `tally verify` re-derives them (rule M26)."""

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.billing.purchases import Purchase
from tallystick.flows import buying, due, revenue, reversals
from tallystick.flows.batches import Batch
from tallystick.flows.billing import Billing
from tallystick.flows.names import Item
from tallystick.kernel.credits import NANO, format_credits
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests import make
from tests.bills import CardHouse, billing, payer
from tests.conftest import NOW
from tests.flows.test_purchases import author
from tests.make import IDS

DAY = dt.timedelta(days=1)


@dataclass
class Story:
    """One workspace, and what chance does to it."""

    database: Database
    house: CardHouse
    terms: Billing
    workspace: UUID
    chance: Random
    now: dt.datetime = NOW
    used: list[str] = field(default_factory=list)
    marks: int = 0

    async def bought(self) -> list[dict[str, Any]]:
        return await make.rows(
            self.database, "SELECT * FROM credit_purchase WHERE workspace_id = %s ORDER BY created_at", self.workspace
        )

    async def buy(self) -> Purchase:
        wanted = self.chance.choice((100, 137, 1_000)) * NANO
        return await buying.buy(self.database, self.terms, wanted, author(self.workspace, now=self.now))

    async def use(self) -> None:
        amount = self.chance.randrange(1, 250 * NANO)
        self.marks += 1
        mark = f"u{self.marks}"
        report = {"type": "direct.charge", "id": mark, "quantity": format_credits(amount), "at": self.now}
        (outcome,) = await make.Meter(self.database).report(self.workspace, report, now=self.now)
        assert outcome.kind == "accepted", outcome
        self.used.append(mark)

    async def take_back_usage(self) -> None:
        if self.used:
            target = self.used.pop(self.chance.randrange(len(self.used)))
            event = make.cancellation(f"c{target}", "test", target, self.workspace, self.now)
            await make.Meter(self.database).book(Batch([Item(self.workspace, event)], self.now))

    async def refund(self) -> None:
        rows = [row for row in await self.bought() if row["status"] == "paid"]
        if rows:
            some = self.chance.choice((None, 1, 7 * NANO + 3, 50 * NANO))
            asked = author(self.workspace, now=self.now)
            try:
                await buying.refund(self.database, self.terms, self.chance.choice(rows)["id"], some, "why", asked)
            except TallystickError as error:
                if error.code not in ("nothingToRefund", "refundTooLarge"):
                    raise

    async def dispute(self) -> None:
        rows = [row for row in await self.bought() if row["status"] in ("paid", "refunded") and row["price_minor"]]
        if rows and self.chance.random() < 0.4:
            row = self.chance.choice(rows)
            for held in (row["price_minor"] + row["tax_minor"], *self.chance.choice(((), (0,)))):
                await reversals.disputed(
                    self.database, self.terms, self.workspace, row["payment_id"], held, now=self.now, ids=IDS
                )

    async def sweep(self) -> None:
        await revenue.recognise(self.database, self.workspace, now=self.now, ids=IDS)

    async def wait(self) -> None:
        self.now += self.chance.choice((1, 20, 200)) * DAY
        await due.bring_up(self.database, self.workspace, now=self.now, ids=IDS)

    async def add_up(self) -> None:
        """Σ recognised + deferred + breakage + refunded + charged back = Σ paid, of every purchase and every cent."""
        await self.sweep()
        rows = await make.rows(
            self.database,
            "SELECT purchase_id, account, cause, sum(amount_minor)::int AS n FROM money_entry"
            " WHERE workspace_id = %s GROUP BY 1, 2, 3",
            self.workspace,
        )
        for purchase in await self.bought():
            booked = [row for row in rows if row["purchase_id"] == purchase["id"]]
            if purchase["status"] in ("pending", "failed"):
                assert booked == []
                continue
            held = {
                name: -sum(row["n"] for row in booked if row["account"] == name)
                for name in ("deferred", "revenue", "breakage", "tax", "refunds", "cash")
            }
            assert sum(held.values()) == 0
            if purchase["status"] == "charged_back":
                assert set(held.values()) == {0}
                continue
            earned = held["revenue"] + held["breakage"] + held["deferred"]
            assert earned + purchase["refunded_minor"] == purchase["price_minor"]
            assert min(held["revenue"], held["breakage"], held["deferred"]) >= 0
            # Never more than was bought.
            gone = purchase["recognised_used"] + purchase["recognised_expired"] + purchase["taken"]
            assert 0 <= gone <= purchase["credits"]
        assert sum(self.house.refunds.values()) <= self.house.taken


@pytest.mark.parametrize("seed", range(6))
async def test_the_cents_add_up_after_every_step(database: Database, seed: int) -> None:
    await make.catalog(database, NOW - 400 * DAY)
    house = CardHouse()
    terms = billing(house, credit_price=Decimal("0.717"), purchase_credits_min=100)
    workspace = await payer(database, NOW, house, plan="free")
    story = Story(database, house, terms, workspace, Random(seed))
    steps = (story.buy, *(story.use,) * 3, story.take_back_usage, story.refund, story.dispute, story.sweep, story.wait)
    await story.buy()
    for _ in range(25):
        step = story.chance.choice(steps)
        await step()
        if story.chance.random() < 0.3:
            await story.add_up()
    await story.add_up()
    # Hourly totals that are no longer kept are no longer corrected either.
    assert [one for one in await make.differences(database, workspace) if "hour" not in one.ids] == []
