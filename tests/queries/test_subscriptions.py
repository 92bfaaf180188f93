"""The subscription and the balances of a workspace's months, against figures worked out by hand."""

import datetime as dt

import pytest

from tallystick.domain.billing.subscriptions import Counts
from tallystick.domain.credits.balances import Shown
from tallystick.flows import due
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import SystemIds
from tallystick.queries import balances, subscriptions
from tallystick.store import ledger
from tallystick.store.database import Connection, Database
from tests import make

T0 = dt.datetime(2026, 1, 31, 10, 0, tzinfo=dt.UTC)
IDS = SystemIds()


async def use(database: Database, workspace_id: object, amount: int, now: dt.datetime) -> None:
    async def work(conn: Connection) -> None:
        books = await due.lock(conn, {workspace_id}, now=now, ids=IDS)  # type: ignore[arg-type]
        commit = IDS.new(now)
        books[workspace_id]["credits"].use(amount * NANO, commit, key=f"usage:{commit}", at=now)  # type: ignore[index]
        await ledger.save_books(conn, books, now)

    await database.run(work)


async def test_a_pro_workspace_month_by_month(database: Database) -> None:
    workspace = await make.bare_workspace(database, T0, plan="pro")
    await make.grant(database, workspace, 75, T0, source="free", expires_at=T0 + dt.timedelta(days=90))
    await make.grant(database, workspace, 500, T0, source="purchase", expires_at=T0 + dt.timedelta(days=365))
    await use(database, workspace, 3_200, T0 + dt.timedelta(days=1))
    found = await subscriptions.subscription(database, workspace)
    assert found.counts == Counts(10_075 * NANO, 3_200 * NANO, 500 * NANO)
    assert (found.plan, found.price_minor, found.cadence, found.status) == ("pro", 9_900, "monthly", "active")
    assert (found.period.start, found.period.end) == (T0, dt.datetime(2026, 2, 28, 10, 0, tzinfo=dt.UTC))
    assert found.counts.available - found.counts.used + found.counts.additional == found.posted
    # Beyond everything: included first, then bought, then an overdraft.
    await use(database, workspace, 7_400, T0 + dt.timedelta(days=2))
    found = await subscriptions.subscription(database, workspace)
    assert found.counts == Counts(10_075 * NANO, (10_075 + 25) * NANO, 0)
    assert (found.posted, found.has_credits) == (-25 * NANO, False)
    [money, _] = await balances.balances(database, workspace)
    assert money == Shown("credits", 10_575 * NANO, 10_575 * NANO, 10_000, -25 * NANO, 0, "exhausted")


async def test_a_read_after_the_periods_end_shows_the_new_period_without_a_sweeper(database: Database) -> None:
    workspace = await make.bare_workspace(database, T0, plan="pro")
    await use(database, workspace, 10_400, T0 + dt.timedelta(days=1))
    later = dt.datetime(2026, 2, 28, 10, 0, tzinfo=dt.UTC)
    await due.bring_up(database, workspace, now=later - dt.timedelta(microseconds=1), ids=IDS)
    assert (await subscriptions.subscription(database, workspace)).posted == -400 * NANO
    await due.bring_up(database, workspace, now=later, ids=IDS)
    found = await subscriptions.subscription(database, workspace)
    # The negative is settled by the new plan grant and counts as used in the period that pays (M15).
    assert found.counts == Counts(10_000 * NANO, 400 * NANO, 0)
    assert (found.period.start, found.posted, found.has_credits) == (later, 9_600 * NANO, True)
    [money, runs] = await balances.balances(database, workspace)
    # The allocation is net of the settled negative (M18).
    assert (money.granted, money.used, money.state) == (9_600 * NANO, 0, "healthy")
    assert (runs.unit, runs.granted, runs.used_hundredths) == ("tool_runs", 100_000 * NANO, 0)


async def test_bringing_up_what_is_not_due_books_nothing(database: Database) -> None:
    workspace = await make.bare_workspace(database, T0, plan="pro")
    before = await make.rows(database, "SELECT * FROM balance WHERE workspace_id = %s ORDER BY unit", workspace)
    await due.bring_up(database, workspace, now=T0 + dt.timedelta(days=2), ids=IDS)
    after = await make.rows(database, "SELECT * FROM balance WHERE workspace_id = %s ORDER BY unit", workspace)
    assert before == after


async def test_a_workspace_that_is_not_there_has_neither(database: Database) -> None:
    nobody = IDS.new(T0)
    with pytest.raises(TallystickError) as refused:
        await subscriptions.subscription(database, nobody)
    assert refused.value.code == "subscriptionNotFound"
    with pytest.raises(TallystickError) as refused:
        await balances.balances(database, nobody)
    assert refused.value.code == "workspaceNotFound"
