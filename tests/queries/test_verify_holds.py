"""Verify names every hold, kept grant and use of a budget that was changed behind the flows' back."""

import dataclasses
import datetime as dt
from typing import Any

import pytest

from tallystick.domain.credits.holds import Hold
from tallystick.domain.differences import CODES
from tallystick.flows import budgets
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tests import make
from tests.make import IDS
from tests.tills import DAY, MINUTE, Till

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)


@dataclasses.dataclass
class Story:
    """Holds in every state, under a grant that ended, and a budget over them."""

    till: Till
    open: Hold
    settled: Hold
    voided: Hold
    expired: Hold

    async def plant(self, statement: str, **given: Any) -> dict[str, list[tuple[Any, ...]]]:
        """What verify says after one statement that changes one row; figures by code."""
        async with self.till.database.data() as conn:
            done = await conn.execute(statement.encode(), {"w": self.till.workspace_id, **given})
            assert done.rowcount == 1
        told: dict[str, list[tuple[Any, ...]]] = {}
        for found in await make.differences(self.till.database, self.till.workspace_id):
            assert found.code in CODES
            told.setdefault(found.code, []).extend((f.name, f.expected, f.found) for f in found.figures)
        return told


@pytest.fixture
async def story(database: Database) -> Story:
    await make.catalog(database, T0 - 400 * DAY)
    till = Till(database, await make.bare_workspace(database, T0), T0)
    await till.grant(10, expires_at=T0 + 5 * MINUTE)
    await till.grant(20)
    cap = budgets.NewBudget("daily", "workspace", "day", "credits", 50 * NANO)
    await budgets.create(database, cap, budgets.Author(till.workspace_id, "test", None, T0, IDS), most=5)
    holds = [await till.place(amount, seconds=life) for amount, life in ((6, 7_200), (2, 900), (1, 900), (3, 60))]
    till.wait(6 * MINUTE)
    await till.charge(holds[1], 1)
    await till.void(holds[2])
    await till.charge(holds[0], 2, final=False)
    assert await till.grants() == [(4, 7, 3), (20, 0, 0)]
    await till.verified()
    return Story(till, *holds)


async def test_what_a_balance_holds_is_what_open_holds_set_aside(story: Story) -> None:
    found = await story.plant("UPDATE balance SET held = held + 1 WHERE workspace_id = %(w)s AND unit = 'credits'")
    assert found == {"balanceDiffers": [("held", 4 * NANO, 4 * NANO + 1)]}


async def test_an_open_hold_of_another_amount_is_named_wherever_it_counts(story: Story) -> None:
    change = "UPDATE hold SET credits = credits + %(n)s WHERE workspace_id = %(w)s AND id = %(i)s"
    found = await story.plant(change, n=-NANO, i=story.open.id)
    assert found == {
        "balanceDiffers": [("held", 3 * NANO, 4 * NANO)],
        "budgetDiffers": [("held", 3 * NANO, 4 * NANO)],
        "grantDiffers": [("kept", 3 * NANO, 4 * NANO)],
    }
    # More than what was approved less what was settled.
    found = await story.plant(change, n=2 * NANO, i=story.open.id)
    assert found["holdDiffers"] == [("credits", 4 * NANO, 5 * NANO)]


@pytest.mark.parametrize("name", ["settled", "voided", "expired"])
async def test_a_hold_that_ended_sets_nothing_aside(story: Story, name: str) -> None:
    hold: Hold = getattr(story, name)
    change = "UPDATE hold SET tool_runs = 1, asked_tool_runs = 9 WHERE workspace_id = %(w)s AND id = %(i)s"
    assert await story.plant(change, i=hold.id) == {"holdDiffers": [("tool_runs", 0, 1)]}


async def test_a_hold_ended_as_its_status_says(story: Story) -> None:
    change = "UPDATE hold SET status = %(s)s WHERE workspace_id = %(w)s AND id = %(i)s"
    row = await story.till.hold(story.settled)
    found = await story.plant(change, s="held", i=story.settled.id)
    assert found == {"holdDiffers": [("finished_at", None, row["finished_at"]), ("finish_key", None, "key 5")]}
    found = await story.plant(change, s="expired", i=story.settled.id)
    assert ("finished_at", row["expires_at"], row["finished_at"]) in found["holdDiffers"]
    assert await story.plant(change, s="settled", i=story.settled.id) == {}
    found = await story.plant(change, s="settled", i=story.expired.id)
    assert {name for name, _, _ in found["holdDiffers"]} == {"finished_at", "finish_key"}


async def test_a_charge_that_a_hold_never_settled_is_named(story: Story) -> None:
    change = "UPDATE hold SET settled_credits = 9000000000 WHERE workspace_id = %(w)s AND id = %(i)s"
    assert await story.plant(change, i=story.open.id) == {"holdDiffers": [("credits", 0, 4 * NANO)]}


async def test_a_lost_hold_is_named_by_what_it_left_behind(story: Story) -> None:
    found = await story.plant("DELETE FROM hold WHERE workspace_id = %(w)s AND id = %(i)s", i=story.open.id)
    assert found == {
        "balanceDiffers": [("held", 0, 4 * NANO)],
        "budgetDiffers": [("held", 0, 4 * NANO)],
        "grantDiffers": [("kept", 0, 4 * NANO)],
    }


async def test_a_grant_kept_without_holds_is_named(story: Story) -> None:
    await story.till.void(story.open)
    await story.till.verified()
    change = "UPDATE credit_grant SET kept = 3000000000 WHERE workspace_id = %(w)s AND expires_at IS NULL"
    found = await story.plant(change)
    assert ("kept", 0, 20 * NANO) in found["grantDiffers"]


async def test_a_grant_of_which_less_is_kept_than_left_is_named(story: Story) -> None:
    change = "UPDATE credit_grant SET kept = 3000000000 WHERE workspace_id = %(w)s AND kept > 0"
    assert await story.plant(change) == {"grantDiffers": [("kept", 4 * NANO, 3 * NANO)]}


@pytest.mark.parametrize(("column", "expected"), [("spent", 3), ("held", 4)])
async def test_a_changed_use_of_a_budget_is_named(story: Story, column: str, expected: int) -> None:
    found = await story.plant(f"UPDATE budget_usage SET {column} = 1 WHERE workspace_id = %(w)s")
    assert found == {"budgetDiffers": [(column, expected * NANO, 1)]}
