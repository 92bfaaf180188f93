"""Verify follows how far budgets are used from charges and open holds, and names what was changed behind their back."""

import datetime as dt
from typing import Any

import pytest

from tallystick.domain.credits.budgets import Budget
from tallystick.domain.credits.holds import Amounts, Scope
from tallystick.domain.metering.resources import resource_id
from tallystick.flows import budgets
from tallystick.flows.batches import Batch
from tallystick.flows.budgets import Author, NewBudget
from tallystick.flows.holding import Place
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database
from tests import make
from tests.make import IDS, Meter

T0 = dt.datetime(2026, 3, 14, 9, 41, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


async def used_budget(database: Database, **terms: Any) -> Budget:
    """A budget with 2 credits spent and 3 held, one of either before and one after it was made."""
    await make.catalog(database, T0 - 400 * DAY)
    meter = Meter(database)
    workspace = await make.bare_workspace(database, T0 - DAY)
    await make.grant(database, workspace, 75, T0 - DAY)
    names = {"agent": "a", "run": "r", "apiKey": "k"}
    scope = Scope(run="r", agent_id=resource_id(workspace, "agent", "a"), api_key="k")

    async def use(number: int) -> None:
        charge = {"type": "direct.charge", "quantity": str(number), "id": str(number), "at": T0} | names
        await meter.report(workspace, charge, now=T0)
        place = Place(workspace, str(number), b"", amounts=Amounts(number * NANO), scope=scope, seconds=900)
        await meter.book(Batch([], T0, operation=place))
        assert place.error is None

    await use(1)
    given: dict[str, Any] = {
        "name": "Cap",
        "scope": "agent",
        "per": "day",
        "unit": "credits",
        "amount": 10 * NANO,
    } | terms
    budget = await budgets.create(database, NewBudget(**given), Author(workspace, "test", None, T0, IDS), most=10)
    await use(2)
    return budget


async def plant(database: Database, budget: Budget, statement: str) -> list[tuple[Any, ...]]:
    """What verify says after one statement behind the back of the flows; it must change one row."""
    assert await make.differences(database, budget.workspace_id) == []
    async with database.data() as conn:
        done = await conn.execute(statement.encode(), {"w": budget.workspace_id, "b": budget.id})
        assert done.rowcount == 1
    return [
        (found.code, found.ids["budget"], figure.name, figure.expected, figure.found)
        for found in await make.differences(database, budget.workspace_id)
        for figure in found.figures
    ]


ONE = "WHERE workspace_id = %(w)s AND budget_id = %(b)s"
KINDS = [{"scope": scope, "per": per} for scope in ("workspace", "agent", "apiKey") for per in ("run", "day", "month")]


@pytest.mark.parametrize("terms", KINDS, ids=lambda terms: " ".join(terms.values()))
async def test_a_changed_use_is_named_with_both_amounts(database: Database, terms: dict[str, str]) -> None:
    budget = await used_budget(database, **terms)
    for column in ("spent", "held"):
        told = await plant(database, budget, f"UPDATE budget_usage SET {column} = {column} + 1 {ONE}")
        assert told == [("budgetDiffers", budget.id, column, 3 * NANO, 3 * NANO + 1)]
        async with database.data() as conn:
            await conn.execute(
                f"UPDATE budget_usage SET {column} = {column} - 1 {ONE}".encode(),
                {"w": budget.workspace_id, "b": budget.id},
            )


async def test_a_use_that_is_gone_is_named(database: Database) -> None:
    budget = await used_budget(database)
    assert await plant(database, budget, f"DELETE FROM budget_usage {ONE}") == [
        ("budgetDiffers", budget.id, "spent", 3 * NANO, 0),
        ("budgetDiffers", budget.id, "held", 3 * NANO, 0),
    ]


async def test_a_use_of_nobody_is_named(database: Database) -> None:
    budget = await used_budget(database)
    statement = (
        'INSERT INTO budget_usage (workspace_id, budget_id, subject, "window", spent, held)'
        " VALUES (%(w)s, %(b)s, 'nobody', '2026-03-15', 5, 7)"
    )
    assert await plant(database, budget, statement) == [
        ("budgetDiffers", budget.id, "spent", 0, 5),
        ("budgetDiffers", budget.id, "held", 0, 7),
    ]


async def test_what_a_budget_never_knew_is_not_missed(database: Database) -> None:
    budget = await used_budget(database, per="run", scope="workspace")
    meter = Meter(database)
    # A run that had been idle for more than a day when the budget was made goes on.
    for number, at in enumerate((T0 - 2 * DAY, T0 + DAY)):
        charge = {"type": "direct.charge", "quantity": "1", "id": f"old {number}", "at": at, "run": "old"}
        await meter.report(budget.workspace_id, charge, now=max(at, T0))
    assert await make.differences(database, budget.workspace_id) == []
    await budgets.end(database, budget.id, Author(budget.workspace_id, "test", None, T0, IDS))
    assert await make.differences(database, budget.workspace_id) == []
