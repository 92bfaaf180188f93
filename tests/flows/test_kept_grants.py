"""What open holds rely on outlives the end of its grant, for their settles alone (rule M20), in both units."""

import datetime as dt

import pytest

from tallystick.flows.batches import Batch
from tallystick.flows.names import Item
from tallystick.queries import subscriptions
from tallystick.queries.balances import balances
from tallystick.store.database import Database
from tests import make, tills
from tests.tills import DAY, MINUTE, Till, direct, nano

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
RESET = dt.datetime(2026, 4, 2, 10, 0, tzinfo=dt.UTC)

pytestmark = pytest.mark.parametrize("unit", ["credits", "tool_runs"])


@pytest.fixture(scope="session")
async def priced(database: Database) -> Database:
    await make.catalog(database, T0 - 400 * DAY)
    for name, terms in {
        "kept-none": {},
        "kept-tens": {"credits": 10, "runs": 10},
        "kept-rolls": {"credits": 10, "runs": 10, "rollover_ppm": 500_000},
    }.items():
        await tills.plan(database, name, T0 - DAY, **terms)
    return database


class OneUnit(Till):
    """A till that speaks of one unit; the other one must never move."""

    unit = "credits"

    def of(self, amount: float) -> tuple[float, float]:
        return (amount, 0) if self.unit == "credits" else (0, amount)

    async def give(self, amount: int, minutes: int | None = None, **terms: str) -> None:
        ends = None if minutes is None else self.at + minutes * MINUTE
        await self.grant(amount, unit=self.unit, expires_at=ends, **terms)

    async def stands(self) -> tuple[float, float]:
        """Posted and held."""
        return await self.figures(self.unit)

    async def kept(self) -> list[tuple[float, float, float]]:
        """Remaining, kept and expired of each grant."""
        return await self.grants(self.unit)

    async def allocation(self) -> float:
        [row] = await self.rows("SELECT allocation FROM balance WHERE workspace_id = %s AND unit = %s", self.unit)
        return float(row["allocation"]) / 10**9


async def open_till(database: Database, unit: str, plan: str = "kept-none", at: dt.datetime = T0) -> OneUnit:
    till = OneUnit(database, await make.bare_workspace(database, at, plan=plan), at)
    till.unit = unit
    return till


async def test_what_a_hold_relies_on_stays_for_its_settle_and_the_rest_expires_with_it(
    priced: Database, unit: str
) -> None:
    till = await open_till(priced, unit)
    await till.give(10, minutes=5)
    hold = await till.place(*till.of(4))
    till.wait(5 * MINUTE)
    await till.settle_due()
    assert (await till.stands(), await till.kept()) == ((4, 4), [(4, 4, 6)])
    assert await till.allocation() == 4
    # Nobody else may have it.
    assert (await till.refused(*till.of(1)))[0] == ("notEnoughCredits" if unit == "credits" else "notEnoughToolRuns")
    await till.verified()
    await till.charge(hold, *till.of(3))
    assert (await till.stands(), await till.kept()) == ((0, 0), [(0, 3, 7)])
    assert await till.allocation() == 3
    [row] = await till.rows("SELECT ended_at, amount FROM credit_grant WHERE workspace_id = %s")
    assert (row["ended_at"], row["amount"]) == (till.at, nano(10))
    await till.verified()


async def test_usage_that_settles_nothing_does_not_touch_it(priced: Database, unit: str) -> None:
    till = await open_till(priced, unit)
    await till.give(10, minutes=5)
    hold = await till.place(*till.of(4))
    till.wait(5 * MINUTE)
    money, runs = till.of(2)
    await till.use(money, runs=runs)
    # The overdraft stands beside what is kept, and the next grant pays it.
    assert (await till.stands(), await till.kept()) == ((2, 4), [(4, 4, 6)])
    await till.charge(hold, *till.of(4))
    assert (await till.stands(), await till.kept()) == ((-2, 0), [(0, 4, 6)])
    await till.give(5)
    assert (await till.stands(), await till.kept()) == ((3, 0), [(0, 4, 6), (3, 0, 0)])
    await till.verified()


@pytest.mark.parametrize("how", ["voided", "expired"])
async def test_it_expires_when_the_hold_ends_unsettled(priced: Database, unit: str, how: str) -> None:
    till = await open_till(priced, unit)
    await till.give(10, minutes=5)
    hold = await till.place(*till.of(4))
    till.wait(6 * MINUTE)
    if how == "voided":
        await till.void(hold)
        ended = till.at
    else:
        till.wait(60 * MINUTE)
        await till.settle_due()
        ended = hold.expires_at
    assert (await till.stands(), await till.kept()) == ((0, 0), [(0, 0, 10)])
    assert (await till.hold(hold))["status"] == how
    booked = await till.rows(
        "SELECT effective_at FROM ledger_transaction WHERE workspace_id = %s AND unit = %s ORDER BY seq", unit
    )
    assert [row["effective_at"] for row in booked] == [T0, T0 + 5 * MINUTE, ended]
    await till.verified()


async def test_a_reset_under_a_hold_keeps_its_part_and_counts_it(priced: Database, unit: str) -> None:
    till = await open_till(priced, unit, "kept-tens")
    money, runs = till.of(3)
    await till.use(money, runs=runs)
    till.at = RESET - 5 * MINUTE
    hold = await till.place(*till.of(4))
    till.at = RESET
    await till.settle_due()
    # 10 - 3 = 7 were left; 4 are kept, 3 expire, 10 are new.
    assert (await till.stands(), await till.kept()) == ((14, 4), [(4, 4, 3), (10, 0, 0)])
    assert await till.allocation() == 14

    async def counted() -> tuple[float, float]:
        counts = (await subscriptions.subscription(priced, till.workspace_id)).counts
        assert counts.additional == 0
        return counts.available / 10**9, counts.used / 10**9

    async def used_percent() -> float:
        shown = {one.unit: one for one in await balances(priced, till.workspace_id)}
        return shown[unit].used_hundredths / 100

    assert await used_percent() == 0
    if unit == "credits":
        assert await counted() == (14, 0)
    await till.verified()
    till.wait(MINUTE)
    await till.charge(hold, *till.of(1), final=False)
    assert (await till.stands(), await till.kept()) == ((13, 3), [(3, 4, 3), (10, 0, 0)])
    if unit == "credits":
        assert await counted() == (14, 1)
    assert await used_percent() == 7.14
    await till.charge(hold, *till.of(2))
    # 3 of what was kept paid for it, the last one expired, the new grant is whole.
    assert (await till.stands(), await till.kept()) == ((10, 0), [(0, 3, 4), (10, 0, 0)])
    assert await till.allocation() == 13
    if unit == "credits":
        assert await counted() == (13, 3)
    await till.verified()


async def test_a_settle_above_its_hold_takes_the_rest_from_what_lives(priced: Database, unit: str) -> None:
    till = await open_till(priced, unit, "kept-tens")
    till.at = RESET - 5 * MINUTE
    hold = await till.place(*till.of(4))
    till.at = RESET + MINUTE
    await till.charge(hold, *till.of(6))
    assert (await till.stands(), await till.kept()) == ((8, 0), [(0, 4, 6), (8, 0, 0)])
    await till.verified()


async def test_a_hold_that_ends_with_the_period_keeps_nothing(priced: Database, unit: str) -> None:
    till = await open_till(priced, unit, "kept-tens")
    till.at = RESET - 15 * MINUTE
    hold = await till.place(*till.of(4))
    assert hold.expires_at == RESET
    till.at = RESET
    await till.settle_due()
    assert (await till.stands(), await till.kept()) == ((10, 0), [(0, 0, 10), (10, 0, 0)])
    await till.verified()


async def test_what_is_kept_is_not_rolled_over_as_well(priced: Database, unit: str) -> None:
    till = await open_till(priced, unit, "kept-rolls")
    till.at = RESET - 5 * MINUTE
    hold = await till.place(*till.of(4))
    till.at = RESET
    await till.settle_due()
    # Half of the six that would have expired.
    assert await till.stands() == (17, 4)
    assert sorted(await till.kept()) == [(3, 0, 0), (4, 4, 6), (10, 0, 0)]
    await till.charge(hold, *till.of(4))
    assert await till.stands() == (13, 0)
    await till.verified()


async def test_holds_rely_on_grants_in_burn_order(priced: Database, unit: str) -> None:
    till = await open_till(priced, unit)
    await till.give(5, minutes=5)
    await till.give(5, minutes=10)
    await till.give(5)
    first, second = await till.place(*till.of(4)), await till.place(*till.of(3))
    till.wait(5 * MINUTE)
    await till.settle_due()
    assert await till.kept() == [(5, 5, 0), (5, 0, 0), (5, 0, 0)]
    till.wait(5 * MINUTE)
    await till.settle_due()
    assert await till.kept() == [(5, 5, 0), (2, 2, 3), (5, 0, 0)]
    assert await till.stands() == (12, 7)
    await till.verified()
    # One unit is used of the first hold's four: three less are held, so that the last three kept are let go.
    await till.charge(first, *till.of(1))
    assert (await till.stands(), await till.kept()) == ((8, 3), [(3, 4, 1), (0, 0, 5), (5, 0, 0)])
    await till.charge(second, *till.of(3))
    assert (await till.stands(), await till.kept()) == ((5, 0), [(0, 4, 1), (0, 0, 5), (5, 0, 0)])
    await till.verified()


async def test_what_is_kept_already_counts_before_any_grant_that_ends_later(priced: Database, unit: str) -> None:
    till = await open_till(priced, unit)
    await till.give(5, minutes=5, source="purchase")
    hold = await till.place(*till.of(5))
    till.wait(6 * MINUTE)
    # Burns before a purchase, but came after the hold had its part.
    await till.give(5, minutes=2)
    assert await till.stands() == (10, 5)
    till.wait(3 * MINUTE)
    await till.settle_due()
    assert (await till.stands(), await till.kept()) == ((5, 5), [(5, 5, 0), (0, 0, 5)])
    await till.verified()
    await till.charge(hold, *till.of(5))
    assert await till.stands() == (0, 0)
    await till.verified()


async def test_time_that_is_noticed_late_comes_to_the_same(priced: Database, unit: str) -> None:
    seen, late = [await open_till(priced, unit, "kept-tens", T0) for _ in range(2)]
    for till in (seen, late):
        await till.give(5, minutes=31 * 24 * 60 - 3)
        till.at = RESET - 5 * MINUTE
        hold = await till.place(*till.of(12), seconds=600)
        for instant in (RESET - 3 * MINUTE, RESET, RESET + 4 * MINUTE, hold.expires_at, RESET + 40 * DAY):
            till.at = instant
            if till is seen:
                await till.settle_due()
        await till.settle_due()
        await till.verified()
    assert (await seen.stands(), await seen.kept()) == (await late.stands(), await late.kept())
    booked = [
        await till.rows(
            "SELECT kind, effective_at FROM ledger_transaction WHERE workspace_id = %s AND unit = %s ORDER BY seq", unit
        )
        for till in (seen, late)
    ]
    assert booked[0] == booked[1]


async def test_a_return_after_the_end_goes_to_what_lives(priced: Database, unit: str) -> None:
    till = await open_till(priced, unit, "kept-tens")
    till.at = RESET - 5 * MINUTE
    hold = await till.place(*till.of(4))
    till.at = RESET + MINUTE
    await till.settle(hold, direct("e", *till.of(4)))
    assert await till.stands() == (10, 0)
    event = make.cancellation("c", "test", "e", till.workspace_id, till.at)
    await till.meter.book(Batch([Item(till.workspace_id, event)], till.at))
    # The grant that paid is over, and nothing else was used: an adjustment until the period's end.
    assert (await till.stands(), await till.kept()) == ((14, 0), [(0, 4, 6), (10, 0, 0), (4, 0, 0)])
    counts = (await subscriptions.subscription(priced, till.workspace_id)).counts
    if unit == "credits":
        assert (counts.available - counts.used) == nano(14)
    await till.verified()


async def test_each_workspace_of_a_commit_keeps_its_own(priced: Database, unit: str) -> None:
    tills_ = [await open_till(priced, unit) for _ in range(2)]
    asked: list[Batch] = []
    for till in tills_:
        await till.give(10, minutes=5)
        hold = await till.place(*till.of(4))
        till.wait(6 * MINUTE)
        asked.append(till.settling(hold, direct("e", *till.of(2))) if till is tills_[0] else till.voiding(hold))
    await tills_[0].together(*asked)
    for till, expected in zip(tills_, [(0, 2, 8), (0, 0, 10)], strict=True):
        assert (await till.stands(), await till.kept()) == ((0, 0), [expected])
        await till.verified()
