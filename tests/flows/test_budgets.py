"""Budgets made, changed and ended through the flows: one made in the middle of a window counts as if always there."""

import asyncio
import datetime as dt
import random
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.credits.budgets import PERIODS, SCOPES, Budget, WindowKey
from tallystick.domain.credits.holds import Amounts, Scope
from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.metering.resources import resource_id
from tallystick.flows import budgets, prices, resources
from tallystick.flows.batches import Batch
from tallystick.flows.budgets import Author, NewBudget
from tallystick.flows.holding import Place, Settle, Void
from tallystick.flows.names import Item
from tallystick.flows.reprice import price_unpriced
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.queries import budgets as queries
from tallystick.store.database import Database
from tests import make
from tests.make import IDS, Meter

# Three minutes before midnight, so that what is reported a little ahead of time falls into the next day.
T0 = dt.datetime(2026, 3, 14, 23, 57, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
KINDS = {"project": "project", "user": "user", "workflow": "play", "agent": "agent"}


def author(workspace_id: UUID, key: str | None = None, *, now: dt.datetime = T0, asked: bytes = b"x") -> Author:
    request = RequestKey(workspace_id, "create_budget", key, asked) if key else None
    return Author(workspace_id, "test", request, now, IDS)


def of_agent(amount: int = 10 * NANO, **more: Any) -> NewBudget:
    return replace(NewBudget("Writer", "agent", "day", "credits", amount), **more)


async def create(database: Database, workspace_id: UUID, new: NewBudget, now: dt.datetime = T0) -> Budget:
    return await budgets.create(database, new, author(workspace_id, now=now), most=1_000)


async def used(database: Database, budget: Budget) -> dict[WindowKey, tuple[int, int]]:
    """Spent and held of each window of a budget that has either."""
    found = await make.rows(
        database,
        'SELECT subject, "window", spent, held FROM budget_usage WHERE workspace_id = %s AND budget_id = %s'
        " AND (spent <> 0 OR held <> 0)",
        budget.workspace_id,
        budget.id,
    )
    return {WindowKey(UUID(int=0), row["subject"], row["window"]): (row["spent"], row["held"]) for row in found}


@pytest.fixture
async def meter(database: Database) -> Meter:
    await make.catalog(database, T0 - 400 * DAY)
    return Meter(database)


@pytest.fixture
async def workspace(database: Database) -> UUID:
    workspace_id = await make.bare_workspace(database, T0 - 40 * DAY)
    await make.grant(database, workspace_id, 100_000, T0 - 40 * DAY)
    await make.grant(database, workspace_id, 100_000, T0 - 40 * DAY, unit="tool_runs")
    return workspace_id


async def place(meter: Meter, workspace_id: UUID, scope: Scope, amounts: Amounts, now: dt.datetime) -> Place:
    operation = Place(workspace_id, str(IDS.new(now)), b"", amounts=amounts, scope=scope, seconds=86_400)
    await meter.book(Batch([], now, operation=operation))
    return operation


SUBJECTS: dict[str, list[str | None]] = {
    "workspace": [None],
    **{scope: [None, f"{scope}-1"] for scope in (*KINDS, "apiKey")},
}
EVERY = [
    NewBudget(f"{scope} {subject} {per} {unit}", scope, per, unit, 5 * NANO, subject)
    for scope in SCOPES
    for subject in SUBJECTS[scope]
    for per in PERIODS
    for unit in ("credits", "tool_runs")
]


class Traffic:
    """Random use of one workspace: reports near and far, corrections, and holds that stay open or end."""

    def __init__(self, meter: Meter, workspace_id: UUID, seed: int) -> None:
        self.meter = meter
        self.workspace_id = workspace_id
        self.random = random.Random(seed)
        self.reported: list[str] = []
        self.open: list[Place] = []
        self.model = f"in-house-{workspace_id.hex}"

    def names(self) -> dict[str, Any]:
        """Whom a use is by and for, each left out now and then."""
        chosen = {kind: f"{kind}-{self.random.randint(1, 2)}" for kind in (*KINDS, "apiKey")}
        chosen["run"] = f"run-{self.random.randint(1, 4)}"
        return {name: value for name, value in chosen.items() if self.random.random() < 0.7}

    async def report(self, at: dt.datetime, now: dt.datetime, **more: Any) -> None:
        name = f"event-{len(self.reported)}"
        self.reported.append(name)
        amount = f"{self.random.randint(1, 3_000)}.{self.random.randint(0, 999_999_999):09d}"
        kinds: list[dict[str, Any]] = [
            {"type": "direct.charge", "quantity": amount},
            {"type": "tool.call", "quantity": str(self.random.randint(1, 9))},
            {"type": "llm.tokens", "model": self.model, "inputTokens": self.random.randint(1, 10**6)},
        ]
        event = self.random.choice(kinds) | self.names() | {"id": name, "at": at} | more
        outcomes = await self.meter.report(self.workspace_id, event, now=now)
        assert [outcome.kind for outcome in outcomes] == ["accepted"]

    async def cancel(self, now: dt.datetime) -> None:
        target = self.random.choice(self.reported)
        event = make.cancellation(f"no {target} {IDS.new(now)}", "test", target, self.workspace_id, now)
        await self.meter.book(Batch([Item(self.workspace_id, event)], now))

    async def hold(self, now: dt.datetime) -> None:
        names = self.names()
        ids = {
            f"{kind}_id": resource_id(self.workspace_id, KINDS[kind], names[kind]) for kind in KINDS if kind in names
        }
        scope = Scope(run=names.get("run"), api_key=names.get("apiKey"), **ids)
        placed = await place(self.meter, self.workspace_id, scope, Amounts(NANO // 3, NANO), now)
        if placed.error is None:
            self.open.append(placed)

    async def finish(self, now: dt.datetime) -> None:
        if self.open:
            placed = self.open.pop(self.random.randrange(len(self.open)))
            assert placed.hold is not None
            kind = self.random.choice([Void, Settle])
            change = kind(self.workspace_id, str(IDS.new(now)), b"", hold_id=placed.hold.id)
            await self.meter.book(Batch([], now, operation=change))
            assert change.error is None

    async def price(self, now: dt.datetime) -> None:
        """Give the model its price from the beginning: what was unpriced is adjusted on the day of its use."""
        await prices.add_version(
            self.meter.database,
            target=f"llm.tokens/*/{self.model}",
            model="tokens",
            rates={"perMillion": {"inputTokens": "5"}},
            now=now,
            ids=IDS,
            actor="test",
            reason="test",
        )
        await price_unpriced(
            self.meter.database, catalogs=self.meter.catalogs, models=make.MODELS, hourly_days=35, now=now, ids=IDS
        )

    async def some(self, now: dt.datetime) -> None:
        """A day's worth of everything, at moments of this month, the last one and the next day."""
        for _ in range(12):
            back = self.random.choice(
                [-2 * HOUR / 30, HOUR, 20 * HOUR, 23 * HOUR + HOUR / 2, 3 * DAY, 12 * DAY, 20 * DAY]
            )
            await self.report(now - back, now)
        for step in (self.cancel, self.hold, self.cancel, self.hold, self.hold, self.finish, self.cancel):
            await step(now)
        replaced = self.random.choice(self.reported)
        await self.meter.report(
            self.workspace_id,
            {"type": "direct.charge", "quantity": "7", "id": f"instead {IDS.new(now)}", "at": now - HOUR}
            | self.names()
            | {"replaces": {"source": "test", "id": replaced}},
            now=now,
        )


@pytest.mark.parametrize("seed", range(3))
async def test_a_budget_made_in_the_middle_counts_like_one_that_was_always_there(
    database: Database, meter: Meter, workspace: UUID, seed: int
) -> None:
    traffic = Traffic(meter, workspace, seed)
    past = T0 - 30 * DAY
    # Everybody is there before the first budget is.
    everybody = {kind: f"{kind}-1" for kind in KINDS}
    await meter.report(
        workspace, {"type": "direct.charge", "quantity": "1", "id": "first", "at": past} | everybody, now=past
    )
    always = [await create(database, workspace, replace(new, amount=10**16), past) for new in EVERY]
    # One that is still open and counts in the window of yesterday.
    await traffic.hold(T0 - DAY + HOUR / 60)
    await traffic.some(T0 - 2 * HOUR)
    await traffic.price(T0 - HOUR)
    await traffic.some(T0)

    late = [await create(database, workspace, replace(new, amount=10**16)) for new in EVERY]
    await compare(database, list(zip(always, late, strict=True)))
    for _ in range(len(traffic.open)):
        await traffic.finish(T0)
    await traffic.some(T0)
    await compare(database, list(zip(always, late, strict=True)))
    assert await make.differences(database, workspace) == []


async def compare(database: Database, pairs: list[tuple[Budget, Budget]]) -> None:
    """Both know the same of each window that may still be asked about: of now, or with something held."""
    recent = await make.rows(
        database,
        "SELECT DISTINCT run FROM usage_event WHERE workspace_id = %s AND used_at >= %s AND run <> ''",
        pairs[0][0].workspace_id,
        T0 - DAY,
    )
    runs = {row["run"] for row in recent}
    something = 0
    for always, late in pairs:
        expected, found = await used(database, always), await used(database, late)
        current = {
            key
            for key in expected.keys() | found.keys()
            if (key.window in runs if always.per == "run" else key.window >= f"{T0:%Y-%m-%d}"[: len(key.window)])
        }
        assert {key: found.get(key) for key in current} == {key: expected.get(key) for key in current}, always.name
        assert {key: held for key, (_, held) in found.items() if held} == {
            key: held for key, (_, held) in expected.items() if held
        }, always.name
        something += len(current)
    assert something > len(pairs)


async def test_budgets_made_while_usage_and_holds_arrive_miss_nothing(
    database: Database, meter: Meter, workspace: UUID
) -> None:
    doors = [Meter(database) for _ in range(3)]

    async def report(door: Meter, number: int) -> None:
        for step in range(15):
            event = {"type": "direct.charge", "quantity": "0.1", "agent": "a", "id": f"{number}-{step}", "run": "r"}
            await door.report(workspace, event, now=T0)

    async def hold(door: Meter) -> None:
        for _ in range(8):
            scope = Scope(run="r", agent_id=resource_id(workspace, "agent", "a"))
            await place(door, workspace, scope, Amounts(NANO // 10), T0)

    async def make_some() -> list[Budget]:
        made = []
        for number in range(6):
            per = PERIODS[number % 3]
            made.append(await create(database, workspace, of_agent(10**16, per=per, name=f"{per} {number}")))
            await asyncio.sleep(0.01)
        return made

    making = asyncio.create_task(make_some())
    reports = [report(door, number) for number, door in enumerate(doors)]
    await asyncio.gather(*reports, *(hold(door) for door in doors))
    made = await making
    for budget in made:
        assert list((await used(database, budget)).values()) == [(45 * NANO // 10, 24 * NANO // 10)], budget.name


async def test_the_same_request_again_is_the_same_budget(database: Database, workspace: UUID) -> None:
    asked = [budgets.create(database, of_agent(), author(workspace, "k1"), most=1_000) for _ in range(12)]
    made = await asyncio.gather(*asked)
    assert len({budget.id for budget in made}) == 1
    rows = await make.rows(database, "SELECT id FROM budget WHERE workspace_id = %s", workspace)
    assert [row["id"] for row in rows] == [made[0].id]
    assert (await audit(database, workspace)) == [("budget.created", made[0].id)]
    with pytest.raises(TallystickError) as refused:
        await budgets.create(database, of_agent(1), author(workspace, "k1", asked=b"y"), most=1_000)
    assert refused.value.code == "idempotencyConflict"


async def audit(database: Database, workspace_id: UUID) -> list[tuple[str, UUID]]:
    """What was put on the record about budgets; those of one instant have no order."""
    rows = await make.rows(
        database,
        "SELECT action, details FROM audit_entry WHERE workspace_id = %s AND action LIKE 'budget.%%'",
        workspace_id,
    )
    return sorted((row["action"], UUID(row["details"]["budget"])) for row in rows)


async def test_as_many_as_there_may_be_are_made_however_many_ask_at_once(database: Database, workspace: UUID) -> None:
    async def ask() -> Budget | str:
        try:
            return await budgets.create(database, of_agent(), author(workspace), most=3)
        except TallystickError as error:
            return f"{error.code} {error.details['limit']}"

    made = await asyncio.gather(*(ask() for _ in range(9)))
    assert sum(isinstance(one, Budget) for one in made) == 3
    assert {one for one in made if isinstance(one, str)} == {"tooManyBudgets 3"}
    first = next(one for one in made if isinstance(one, Budget))
    await budgets.end(database, first.id, author(workspace))
    assert isinstance(await ask(), Budget)
    assert await ask() == "tooManyBudgets 3"


async def test_another_amount_keeps_what_was_spent(database: Database, meter: Meter, workspace: UUID) -> None:
    budget = await create(database, workspace, of_agent())
    await meter.report(workspace, {"type": "direct.charge", "quantity": "8", "agent": "a", "id": "1", "at": T0}, now=T0)
    scope = Scope(agent_id=resource_id(workspace, "agent", "a"))
    assert (await place(meter, workspace, scope, Amounts(3 * NANO), T0)).error is not None
    await budgets.change(database, budget.id, author(workspace), amount=11 * NANO)
    assert (await place(meter, workspace, scope, Amounts(3 * NANO), T0)).error is None
    lower = await budgets.change(database, budget.id, author(workspace), amount=0, name="Nothing")
    assert (lower.amount, lower.name) == (0, "Nothing")
    refused = (await place(meter, workspace, scope, Amounts(1), T0)).error
    assert refused is not None
    assert (refused.code, refused.details["spent"], refused.details["held"]) == ("budgetExceeded", 8, 3)
    assert list((await used(database, budget)).values()) == [(8 * NANO, 3 * NANO)]
    await budgets.change(database, budget.id, author(workspace))
    assert [action for action, _ in await audit(database, workspace)] == [
        "budget.changed",
        "budget.changed",
        "budget.created",
    ]


async def test_an_ended_budget_caps_nothing_and_stays_ended(database: Database, meter: Meter, workspace: UUID) -> None:
    budget = await create(database, workspace, of_agent(0))
    scope = Scope(agent_id=resource_id(workspace, "agent", "a"))
    assert (await place(meter, workspace, scope, Amounts(1), T0)).error is not None
    await budgets.end(database, budget.id, author(workspace))
    await budgets.end(database, budget.id, author(workspace))
    held = await place(meter, workspace, scope, Amounts(1), T0)
    assert held.error is None
    assert held.hold is not None
    # A hold that ends after the budget has nothing to give back to it.
    await meter.book(Batch([], T0, operation=Void(workspace, "v", b"", hold_id=held.hold.id)))
    assert await used(database, budget) == {}
    assert [action for action, _ in await audit(database, workspace)] == ["budget.created", "budget.ended"]
    with pytest.raises(TallystickError) as refused:
        await budgets.change(database, budget.id, author(workspace), amount=1)
    assert refused.value.code == "budgetNotFound"


async def test_a_change_that_is_sent_again_is_not_made_again(database: Database, workspace: UUID) -> None:
    budget = await create(database, workspace, of_agent())
    for amount, key in ((2, "k1"), (3, "k2")):
        await budgets.change(database, budget.id, author(workspace, key, asked=key.encode()), amount=amount)
    again = await budgets.change(database, budget.id, author(workspace, "k1", asked=b"k1"), amount=2)
    assert again.amount == 3


async def test_a_budget_of_another_workspace_is_not_there(database: Database, workspace: UUID) -> None:
    budget = await create(database, workspace, of_agent())
    stranger = await make.bare_workspace(database, T0)
    for attempt in (
        budgets.change(database, budget.id, author(stranger), amount=0),
        budgets.end(database, budget.id, author(stranger)),
        queries.one(database, stranger, budget.id, now=T0),
    ):
        with pytest.raises(TallystickError) as refused:
            await attempt
        assert refused.value.code == "budgetNotFound"
    assert (await queries.one(database, workspace, budget.id, now=T0)).budget == budget
    with pytest.raises(TallystickError) as refused:
        await create(database, IDS.new(T0), of_agent())
    assert refused.value.code == "workspaceNotFound"


async def resource(database: Database, workspace_id: UUID, kind: str, name: str) -> UUID:
    found, _ = await resources.put(database, kind, name, resources.Change(), workspace_id=workspace_id, now=T0)
    return found.id


async def test_a_subject_is_named_by_uuid_or_key_and_must_be_there(database: Database, workspace: UUID) -> None:
    agent = await resource(database, workspace, "agent", "writer")
    tool = await resource(database, workspace, "tool", "enrich")
    stranger = await make.bare_workspace(database, T0)
    foreign = await resource(database, stranger, "agent", "writer")

    async def subject(scope: str, name: str) -> str | None:
        return (await create(database, workspace, of_agent(scope=scope, subject=name))).subject

    assert await subject("agent", "writer") == str(agent)
    assert await subject("agent", str(agent).upper()) == str(agent)
    assert await subject("workflow", "enrich") == str(tool)
    play = await resource(database, workspace, "play", "enrich")
    assert await subject("workflow", "enrich") == str(play)
    assert await subject("workflow", str(tool)) == str(tool)
    assert await subject("apiKey", "anything at all") == "anything at all"
    for scope, name in (
        ("agent", "nobody"),
        ("agent", str(tool)),
        ("agent", str(foreign)),
        ("user", "writer"),
        ("workflow", str(agent)),
    ):
        with pytest.raises(TallystickError) as refused:
            await subject(scope, name)
        assert refused.value.code == "resourceNotFound"


async def test_a_list_shows_what_the_window_of_now_holds(database: Database, meter: Meter, workspace: UUID) -> None:
    await meter.report(
        workspace,
        {"type": "direct.charge", "quantity": "8", "agent": "a", "run": "r", "id": "1", "at": T0},
        {"type": "tool.call", "quantity": "2", "agent": "a", "id": "2", "at": T0 - DAY},
        now=T0,
    )
    made = [
        of_agent(subject="a"),
        of_agent(subject="a", per="month", unit="tool_runs"),
        of_agent(subject="a", per="run"),
        of_agent(),
        of_agent(scope="workspace", per="month"),
    ]
    for number, new in enumerate(made):
        await create(database, workspace, new, T0 + dt.timedelta(microseconds=number))

    async def shown(now: dt.datetime) -> list[tuple[int, int] | None]:
        found = await queries.page(database, workspace, limit=9, offset=0, now=now)
        return [None if one.usage is None else (one.usage.spent, one.usage.held) for one in found]

    assert await shown(T0) == [(8 * NANO, 0), (2 * NANO, 0), None, None, (8 * NANO, 0)]
    assert await shown(T0 + HOUR) == [(0, 0), (2 * NANO, 0), None, None, (8 * NANO, 0)]
    page = await queries.page(database, workspace, limit=2, offset=1, now=T0)
    assert [one.budget.per for one in page] == ["month", "run"]
