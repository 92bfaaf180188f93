"""A runaway agent is stopped at its run's cap, with a clear reason, and what it had begun is booked all the same."""

import datetime as dt
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tallystick.domain.credits.holds import Hold
from tallystick.flows import budgets
from tallystick.flows.batches import Batch
from tallystick.flows.names import Item
from tallystick.kernel.credits import NANO, format_credits
from tallystick.store.database import Database
from tests import make
from tests.make import IDS
from tests.stories.telling import REWRITE, exact, rewrite
from tests.tills import Till, direct

T0 = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
WIDTHS = (12, 48, 18, 18, 9, 9, 4)
HEAD = ("when (UTC)", "what", "run, agent's day", "by hand", "balance", "by hand", "held")
ESTIMATE, COST = 2, Fraction(5, 4)


class Tale:
    """One agent's runs, each step told with what the product says and what a hand calculation says."""

    def __init__(self, till: Till, title: str) -> None:
        self.till = till
        self.lines = [title, "=" * len(title), ""]
        self.money = Fraction(200)
        self.by_run: dict[str, Fraction] = {}
        self.by_day: dict[dt.date, Fraction] = {}
        self.wrong: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def head(self) -> None:
        self.lines += [_row(HEAD), _row(tuple("-" * width for width in WIDTHS))]

    def until(self, day: int, time: str) -> None:
        self.till.at = dt.datetime.fromisoformat(f"2026-03-{day:02d}T{time}:00+00:00")

    async def hold(self, run: str) -> Hold:
        return await self.till.place(ESTIMATE, run=run, agent="researcher")

    async def step(self, run: str, number: int) -> None:
        """A model call and what it leads to: hold, work, settle."""
        hold = await self.hold(run)
        self.till.wait(dt.timedelta(seconds=20))
        await self.spend(hold, f"{run} {number}", run, COST, self.till.at)

    async def spend(self, hold: Hold, id_: str, run: str, cost: Fraction, at: dt.datetime) -> None:
        report = direct(id_, 0, run=run, agent="researcher", at=at)
        await self.till.settle(hold, report | {"quantity": exact(cost)})
        self.count(run, cost, at)

    def count(self, run: str, cost: Fraction, at: dt.datetime) -> None:
        self.money -= cost
        self.by_run[run] = self.by_run.get(run, Fraction(0)) + cost
        self.by_day[at.date()] = self.by_day.get(at.date(), Fraction(0)) + cost

    async def line(self, what: str, run: str) -> None:
        """What the caps and the balance say, beside the sums by hand."""
        rows = await self.till.rows('SELECT "window", spent FROM budget_usage WHERE workspace_id = %s')
        spent = {row["window"]: row["spent"] for row in rows}
        today = self.till.at.date()
        ours = " ".join(format_credits(spent.get(window, 0)) for window in (run, today.isoformat()))
        theirs = " ".join(
            exact(sums) for sums in (self.by_run.get(run, Fraction(0)), self.by_day.get(today, Fraction(0)))
        )
        [balance] = await self.till.rows(
            "SELECT posted, held FROM balance WHERE workspace_id = %s AND unit = 'credits'"
        )
        posted, held = format_credits(balance["posted"]), format_credits(balance["held"])
        row = _row((f"{self.till.at:%d %H:%M:%S}", what, ours, theirs, posted, exact(self.money), held))
        self.lines.append(row)
        if (ours, posted) != (theirs, exact(self.money)):
            self.wrong.append(row)

    async def refused(self, run: str) -> None:
        """The next step is not let in, and is told why."""
        reason, details = await self.till.refused(ESTIMATE, run=run, agent="researcher")
        [operation] = await self.till.together(self.till.placing(ESTIMATE, run=run, agent="researcher"))
        assert operation is not None and operation.error is not None
        await self.line(f"{run}: the next step is refused", run)
        self.say(f"{'':14}{reason}: {operation.error.message}")
        self.say(f"{'':14}{_figures(details)}")
        self.say(f"{'':14}{details['wayOn']}")

    async def check(self, golden: Path) -> None:
        await self.till.verified()
        text = "\n".join(line.rstrip() for line in self.lines) + "\n"
        assert not self.wrong, "\n".join(self.wrong)
        if os.environ.get(REWRITE):
            rewrite(golden, text)
        assert golden.read_text(encoding="utf-8") == text, f"{golden.name} tells another story; {REWRITE}=1 rewrites it"


def _row(cells: tuple[str, ...]) -> str:
    return "  ".join(
        f"{cell:<{width}}" if place < 2 else f"{cell:>{width}}"
        for place, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    )


def _figures(details: Any) -> str:
    names = ("needed", "available", "held", "spent", "limit")
    blocking = details["blocking"]
    figures = ", ".join(f"{name} {details[name]}" for name in names)
    return f'{figures}; {blocking["kind"]} "{blocking["name"]}", {blocking["per"]} {blocking["window"]}'


@pytest.fixture
async def tale(database: Database) -> Tale:
    await make.catalog(database, T0 - 400 * DAY)
    till = Till(database, await make.bare_workspace(database, T0), T0)
    await till.grant(200)
    for name, scope, per, amount in (("A run costs ten", "workspace", "run", 10), ("A day", "agent", "day", 25)):
        new = budgets.NewBudget(name, scope, per, "credits", amount * NANO)
        await budgets.create(database, new, budgets.Author(till.workspace_id, "test", None, T0, IDS), most=5)
    return Tale(till, "A runaway agent")


async def test_a_runaway_agent_is_stopped_at_its_cap(tale: Tale) -> None:
    tale.say("200 credits. A run may cost 10, an agent 25 a day. Each step holds 2 credits and costs 1.25.")
    tale.say("The agent calls itself in a circle: nothing but its caps will stop it.")
    tale.say("")
    tale.head()
    tale.until(2, "09:00")
    for number in range(6):
        await tale.step("trip-1", number)
    await tale.line("trip-1: six steps", "trip-1")
    held = [await tale.hold("trip-1")]
    await tale.line("trip-1: one more begins, 0.5 of the cap is left", "trip-1")
    await tale.refused("trip-1")
    tale.till.wait(dt.timedelta(minutes=1))
    await tale.spend(held[0], "trip-1 late", "trip-1", Fraction(6), tale.till.at)
    await tale.line("trip-1: the one under way cost 6, booked, flagged", "trip-1")
    rows = await tale.till.rows("SELECT source_id FROM usage_event WHERE workspace_id = %s AND over_budget")
    assert [row["source_id"] for row in rows] == ["trip-1 late"]
    await tale.refused("trip-1")

    tale.say("")
    tale.until(2, "10:00")
    for number in range(7):
        await tale.step("trip-2", number)
    await tale.line("trip-2: a new run, seven steps", "trip-2")
    await tale.refused("trip-2")
    tale.say("")
    tale.until(2, "11:00")
    await tale.step("trip-3", 0)
    await tale.line("trip-3: a new run, one step", "trip-3")
    await tale.refused("trip-3")

    tale.say("")
    tale.until(3, "00:00")
    await tale.step("trip-3", 1)
    await tale.line("trip-3 goes on the next day (UTC)", "trip-3")
    event = make.cancellation("c", "test", "trip-1 late", tale.till.workspace_id, tale.till.at)
    await tale.till.together(Batch([Item(tale.till.workspace_id, event)], tale.till.at))
    tale.count("trip-1", Fraction(-6), T0)
    await tale.line("the call of 6 never ran: cancelled", "trip-1")
    await tale.step("trip-1", 9)
    await tale.line("trip-1 has room for one more step", "trip-1")
    await tale.refused("trip-1")
    await tale.check(Path(__file__).parent / "runaway_agent.txt")
