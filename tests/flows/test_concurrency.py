"""Many committers on the same workspaces at once, as several servers would be: exact, and no error reaches a caller."""

import asyncio
import datetime as dt
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from tallystick.flows import due, names, prices
from tallystick.flows.batches import Batch, Outcome
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.committer import Committer
from tallystick.flows.ingest import IngestLimits
from tallystick.flows.names import Item, Names
from tallystick.kernel.credits import MAX_NANO, NANO
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database
from tests import make
from tests.make import IDS

T0 = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
CENT = NANO // 100


@pytest.fixture
async def priced(database: Database) -> Database:
    await make.catalog(database, T0 - dt.timedelta(days=400))
    return database


@pytest.fixture
async def servers(priced: Database, database_url: str) -> AsyncIterator[list[Database]]:
    """Connections as three processes have them."""
    databases = [Database(database_url, pool_size=4) for _ in range(3)]
    for database in databases:
        await database.open()
    yield databases
    for database in databases:
        await database.close()


def committer(database: Database, *, lanes: int = 1, resources_max: int = 10_000, **options: Any) -> Committer:
    return Committer(
        database,
        names=Names(make.MODELS),
        catalogs=CatalogCache(),
        limits=IngestLimits(resources_max),
        ids=IDS,
        lanes=lanes,
        **options,
    )


def execution(workspace_id: UUID, number: int, now: dt.datetime = T0, **names: Any) -> Item:
    report = {"type": "orchestration.execution", "id": f"{number}", "at": T0, **names}
    return Item(workspace_id, make.event_of(report, workspace_id, now))


async def submit(committer: Committer, items: list[Item], now: dt.datetime = T0) -> list[Outcome]:
    """Through every lane; the outcomes, in no order."""
    batches = [Batch([items[n] for n in places], now) for places in committer.split(items)]
    await asyncio.gather(*(committer.submit(batch) for batch in batches))
    return [outcome for batch in batches for outcome in batch.outcomes if outcome]


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [outcome.error.code if outcome.error else outcome.kind for outcome in outcomes]


async def check(database: Database, workspace_id: UUID, *, events: int, given: int) -> None:
    """Every layer says the same, to the nano-credit."""
    [figures] = await make.rows(
        database,
        """
        SELECT b.issued, b.used, b.expired, b.posted, b.overdraft, b.seq,
            (SELECT count(*) FROM usage_event WHERE workspace_id = b.workspace_id) AS events,
            (SELECT count(*) FROM event_key WHERE workspace_id = b.workspace_id) AS keys,
            (SELECT sum(credits) FROM usage_event WHERE workspace_id = b.workspace_id) AS charged,
            (SELECT sum(credits) FROM rollup_daily WHERE workspace_id = b.workspace_id) AS daily,
            (SELECT sum(events) FROM rollup_daily WHERE workspace_id = b.workspace_id) AS counted,
            (SELECT sum(credits) FROM rollup_hourly WHERE workspace_id = b.workspace_id) AS hourly,
            (SELECT sum(remaining) FROM credit_grant WHERE workspace_id = b.workspace_id AND unit = b.unit) AS left,
            (SELECT sum(amount) FROM ledger_entry WHERE workspace_id = b.workspace_id) AS entries,
            (SELECT count(*) FROM ledger_transaction WHERE workspace_id = b.workspace_id AND unit = b.unit) AS booked
        FROM balance AS b WHERE b.workspace_id = %s AND b.unit = 'credits'
        """,
        workspace_id,
    )
    used = events * CENT
    assert figures["events"] == figures["keys"] == figures["counted"] == events
    assert figures["used"] == figures["charged"] == figures["daily"] == figures["hourly"] == used
    assert figures["issued"] == given
    assert figures["posted"] == given - used - figures["expired"]
    assert figures["posted"] == (figures["left"] or 0) - figures["overdraft"]
    assert figures["entries"] == 0
    assert figures["booked"] == figures["seq"]
    assert await make.differences(database, workspace_id) == []


async def test_servers_book_the_same_hot_workspaces_at_once(servers: list[Database]) -> None:
    rng = random.Random(7)
    workspaces = [await make.bare_workspace(servers[0], T0) for _ in range(4)]
    every = [
        execution(rng.choice(workspaces), n, agent=f"a{n % 37}", workflow=f"w{n % 11}", user=f"u{n}")
        for n in range(600)
    ]
    outcomes: list[Outcome] = []
    given = dict.fromkeys(workspaces, 0)
    busy = True

    async def report(database: Database, seed: int) -> None:
        """A server that gets two thirds of all events in its own order and its own batches."""
        own = random.Random(seed)
        mine = own.sample(every, 400)
        group = committer(database, lanes=1 + seed % 3)
        while mine:
            some = [[mine.pop() for _ in range(min(len(mine), own.randint(1, 40)))] for _ in range(3)]
            for found in await asyncio.gather(*(submit(group, items, T0 + seed * MINUTE) for items in some)):
                outcomes.extend(found)
        await group.close()

    async def give(database: Database) -> None:
        while busy:
            workspace_id = rng.choice(workspaces)
            ends = T0 + 30 * MINUTE if rng.random() < 0.5 else None
            await make.grant(database, workspace_id, 1, T0, expires_at=ends)
            given[workspace_id] += NANO
            await asyncio.sleep(0.005)

    async def settle(database: Database) -> None:
        while busy:
            await due.sweep(database, now=T0 + 60 * MINUTE, ids=IDS)
            await asyncio.sleep(0.01)

    background = [asyncio.create_task(work) for work in (give(servers[0]), settle(servers[1]), settle(servers[2]))]
    await asyncio.gather(*(report(database, seed) for seed, database in enumerate(servers)))
    busy = False
    await asyncio.gather(*background)
    outcomes += await submit(committer(servers[0]), every, T0)
    assert set(kinds(outcomes)) == {"accepted", "duplicate"}
    assert kinds(outcomes).count("accepted") == 600
    for workspace_id in workspaces:
        events = sum(item.workspace_id == workspace_id for item in every)
        await check(servers[0], workspace_id, events=events, given=given[workspace_id])


async def test_resources_that_another_server_made_meanwhile_are_not_one_too_many(servers: list[Database]) -> None:
    for attempt in range(5):
        workspace_id = await make.bare_workspace(servers[0], T0)
        groups = [committer(database, resources_max=8) for database in servers]
        found = await asyncio.gather(
            *(
                submit(group, [execution(workspace_id, 100 * place + n, agent=f"a{n}") for n in range(8)])
                for place, group in enumerate(groups)
            )
        )
        assert [kinds(outcomes) for outcomes in found] == [["accepted"] * 8] * 3, attempt


async def test_the_limit_of_resources_holds_when_servers_race(servers: list[Database]) -> None:
    workspace_id = await make.bare_workspace(servers[0], T0)
    groups = [committer(database, resources_max=10) for database in servers]
    found = await asyncio.gather(
        *(
            submit(group, [execution(workspace_id, 100 * place + n, agent=f"a{place}.{n}")])
            for place, group in enumerate(groups)
            for n in range(7)
        )
    )
    answers = [kind for outcomes in found for kind in kinds(outcomes)]
    assert (answers.count("accepted"), answers.count("tooManyResources")) == (10, 11)
    made = await make.rows(
        servers[0], "SELECT key FROM resource WHERE workspace_id = %s AND kind = 'agent'", workspace_id
    )
    assert len(made) == 10
    await check(servers[0], workspace_id, events=10, given=0)


@pytest.mark.parametrize("cause", ["full cache", "new prices"])
async def test_lanes_that_empty_the_shared_cache_lose_no_event(
    priced: Database, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    if cause == "full cache":
        monkeypatch.setattr(names, "_CACHED_MOST", 3)
    workspaces = [await make.bare_workspace(priced, T0) for _ in range(12)]
    group = committer(priced, lanes=8)

    async def change_prices() -> None:
        for n in range(20):
            await prices.add_version(
                priced,
                target="tool.call/integration:lanes",
                model="unit",
                rates={"amount": f"0.{n + 1}"},
                valid_from=T0 + n * MINUTE,
                now=T0,
                ids=IDS,
                actor="test",
            )

    async def report(workspace_id: UUID) -> list[Outcome]:
        """Names met before and new ones in turn, so that the cache is always filling."""
        found: list[Outcome] = []
        for n in range(25):
            items = [execution(workspace_id, 10 * n + m, agent=f"a{m}", user=f"u{n // 2}") for m in range(3)]
            found += await submit(group, items)
        return found

    tasks = [asyncio.create_task(report(workspace_id)) for workspace_id in workspaces]
    if cause == "new prices":
        await change_prices()
    found = [outcome for outcomes in await asyncio.gather(*tasks) for outcome in outcomes]
    assert kinds(found) == ["accepted"] * 900


async def test_a_batch_that_cannot_be_booked_is_answered_and_holds_up_no_other(priced: Database) -> None:
    poor, other = [await make.bare_workspace(priced, T0) for _ in range(2)]
    group = committer(priced)
    enormous = [
        Item(
            poor,
            make.event_of({"type": "direct.charge", "id": f"p{n}", "quantity": MAX_NANO // NANO}, poor, T0),
        )
        for n in range(47)
    ]
    batches = [
        Batch([execution(other, 1)], T0),
        Batch([execution(other, 2)], T0),
        Batch(enormous, T0),
        Batch([execution(other, 3)], T0),
        Batch([execution(poor, 4)], T0),
    ]
    await asyncio.gather(*(group.submit(batch) for batch in batches))
    answers = [kinds([outcome for outcome in batch.outcomes if outcome]) for batch in batches]
    # The first batch is in flight alone; the others form one commit, which leaves the full workspace out as a whole.
    assert answers[:4] == [["accepted"], ["accepted"], ["balanceOutOfRange"] * 47, ["accepted"]]
    assert group.queued == 0
    await check(priced, other, events=3, given=0)
    booked = await make.rows(priced, "SELECT id FROM usage_event WHERE workspace_id = %s", poor)
    assert len(booked) == answers[4].count("accepted")


async def test_callers_that_go_away_neither_lose_nor_double_an_event(priced: Database) -> None:
    workspace_id = await make.bare_workspace(priced, T0)
    rng = random.Random(11)
    group = committer(priced, commit_max=20)
    items = [execution(workspace_id, n, agent=f"a{n % 5}") for n in range(200)]
    callers = [asyncio.create_task(submit(group, items[n : n + 4])) for n in range(0, 200, 4)]
    for caller in rng.sample(callers, 25):
        await asyncio.sleep(0.002)
        caller.cancel()
    results = await asyncio.gather(*callers, return_exceptions=True)
    await group.close()
    assert {type(result) for result in results} <= {list, asyncio.CancelledError}
    assert group.queued == 0
    # What had been taken into a queue was booked, though nobody waited any more.
    again = kinds(await submit(group, items))
    answered = [outcome for result in results if isinstance(result, list) for outcome in result]
    assert again.count("accepted") <= 200 - len(answered)
    await check(priced, workspace_id, events=200, given=0)


async def test_a_full_queue_answers_busy_and_books_what_it_had_taken(priced: Database) -> None:
    workspace_id = await make.bare_workspace(priced, T0)
    group = committer(priced, queue_max=50, commit_max=10)
    callers = [group.submit(Batch([execution(workspace_id, 10 * n + m) for m in range(10)], T0)) for n in range(12)]
    results = await asyncio.gather(*callers, return_exceptions=True)
    codes = [result.code if isinstance(result, TallystickError) else result for result in results]
    assert codes == [None] * 5 + ["busy"] * 7
    assert group.queued == 0
    await check(priced, workspace_id, events=50, given=0)
    # A batch larger than the whole queue is taken when nothing else waits.
    await group.submit(Batch([execution(workspace_id, 1_000 + n) for n in range(60)], T0))
    await check(priced, workspace_id, events=110, given=0)


async def test_a_workspace_whose_balance_is_full_takes_no_other_down(priced: Database) -> None:
    full, other = [await make.bare_workspace(priced, T0) for _ in range(2)]
    group = committer(priced)
    charges = [
        make.Item(full, make.event_of({"type": "direct.charge", "id": f"{n}", "quantity": 10**8}, full, T0))
        for n in range(47)
    ]
    outcomes = await submit(group, [*charges, execution(other, 1)])
    assert kinds(outcomes) == ["balanceOutOfRange"] * 47 + ["accepted"]
    assert kinds(await submit(group, charges[:46])) == ["accepted"] * 46
    await check(priced, other, events=1, given=0)


async def test_provider_costs_add_up_beyond_any_integer_column(priced: Database) -> None:
    workspace = await make.bare_workspace(priced, T0)
    call = {"type": "llm.tokens", "model": "gpt-4o", "inputTokens": 1, "cost": "99999999"}
    items = [make.Item(workspace, make.event_of(call | {"id": f"{n}"}, workspace, T0)) for n in range(120)]
    assert kinds(await submit(committer(priced), items)) == ["accepted"] * 120
    assert await make.differences(priced, workspace) == []
