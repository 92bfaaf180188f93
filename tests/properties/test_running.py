"""Running time in any order and however late it is settled: the same ledger as when every tick is noticed (bar R3).

`TALLY_TEST_HISTORIES` is how many of them are told: six by default, hundreds for a long run.
"""

import asyncio
import datetime as dt
import os
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from tallystick.domain.credits.limits import OwnLimits
from tallystick.flows import prices
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tallystick.store import limits
from tallystick.store.database import Connection, Database
from tests import deploying, make, tills
from tests.make import IDS

HISTORIES = int(os.environ.get("TALLY_TEST_HISTORIES", "6"))
T0 = dt.datetime(2026, 3, 2, 10, 40, 0, 250_000, tzinfo=dt.UTC)
TICK = dt.timedelta(minutes=1)
SECOND = dt.timedelta(seconds=1)
PROFILES = ("script-1x2", "guardrail-4x8", "gpu-t4", "gpu-h100", "gpu-cheaper")
PLAN = "brief"
"""A plan whose period, as of every workspace here, ends within the story: it began most of a month before."""

gaps = st.sampled_from([1, 19, 60, 61, 245, 600, 1_500]).map(lambda seconds: seconds * SECOND)
odd = st.integers(0, 999_999).map(lambda number: dt.timedelta(microseconds=number))
number = st.integers(0, 5)
replicas = st.integers(1, 3)
asked = st.one_of(
    st.tuples(st.just("deploy"), st.sampled_from(PROFILES), replicas),
    st.tuples(st.just("deploy"), st.sampled_from(PROFILES), replicas),
    st.tuples(st.just("scale"), number, replicas),
    st.tuples(st.just("undeploy"), number),
    st.tuples(
        st.just("grant"), st.integers(1, 40), st.sampled_from(["free", "purchase"]), st.sampled_from([0, 90, 700])
    ),
    st.tuples(st.just("use"), st.integers(1, 12)),
    st.tuples(st.just("hold"), st.integers(1, 8), st.sampled_from([60, 200, 900])),
)
own_limits = st.builds(
    OwnLimits,
    low_limit=st.sampled_from([None, 0, 4 * NANO]),
    negative_limit=st.sampled_from([None, -1, -40 * NANO]),
    metering_seconds=st.sampled_from([None, None, 97, 900]),
)
Step = tuple[dt.timedelta, Any, bool]
steps = st.lists(st.tuples(st.builds(lambda a, b: a + b, gaps, odd), asked, st.booleans()), min_size=3, max_size=9)


class Shop:
    """One workspace to which a history happens."""

    def __init__(self, database: Database, workspace_id: UUID) -> None:
        self.database, self.workspace_id = database, workspace_id
        self.running: list[UUID] = []
        self.till = tills.Till(database, workspace_id, T0)

    @classmethod
    async def open(cls, database: Database, given: int) -> "Shop":
        # The first period ends 75 minutes after T0.
        born = dt.datetime(2026, 2, 2, 11, 55, 7, tzinfo=dt.UTC)
        workspace_id = await make.bare_workspace(database, born, plan=PLAN)
        await make.grant(database, workspace_id, given, born, source="promotion")
        return cls(database, workspace_id)

    async def do(self, at: dt.datetime, what: Sequence[Any], place: int) -> None:
        """One step of a history; what may not be done is not done."""
        name, *details = what
        try:
            if name == "deploy":
                profile, count = details
                key = f"thing-{place}"
                self.running.append(
                    await deploying.deploy(
                        self.database, self.workspace_id, at, profile=profile, replicas=count, key=key
                    )
                )
            elif name in ("scale", "undeploy") and self.running:
                one = self.running[details[0] % len(self.running)]
                changes = {"replicas": details[1]} if name == "scale" else {}
                await deploying.change(self.database, self.workspace_id, one, name, at, **changes)
            elif name == "grant":
                amount, source, minutes = details
                ends = at + minutes * TICK if minutes else None
                await make.grant(self.database, self.workspace_id, amount, at, source=source, expires_at=ends)
            elif name == "use":
                spent = {"type": "direct.charge", "id": f"use-{place}", "quantity": details[0]}
                await self.till.meter.report(self.workspace_id, spent, now=at)
            elif name == "hold":
                self.till.at = at
                await self.till.together(self.till.placing(details[0], seconds=details[1]))
        except TallystickError as error:
            if error.code not in ("invalidTransition", "notEnoughCredits"):
                raise


async def tell(database: Database, given: int, own: OwnLimits, history: list[Step]) -> None:
    prompt, late = await Shop.open(database, given), await Shop.open(database, given)
    step = own.metering_seconds * SECOND if own.metering_seconds else TICK

    async def limit(conn: Connection) -> None:
        for shop in (prompt, late):
            await limits.put(conn, shop.workspace_id, own, T0)

    await database.run(limit)
    now = T0
    await deploying.settle(database, prompt.workspace_id, now)
    await deploying.settle(database, late.workspace_id, now)
    for place, (gap, what, is_settled) in enumerate(history):
        await deploying.each(database, prompt.workspace_id, now, now + gap, step)
        now += gap
        if is_settled:
            await deploying.settle(database, late.workspace_id, now - gap / 3)
        await prompt.do(now, what, place)
        await late.do(now, what, place)
    end = now + 40 * TICK
    await deploying.each(database, prompt.workspace_id, now, end, step)
    await deploying.settle(database, late.workspace_id, end)
    first, second = [await deploying.ledger_of(database, one.workspace_id) for one in (prompt, late)]
    for one, other in zip(first, second, strict=True):
        assert one == other
    assert await make.differences(database, prompt.workspace_id, late.workspace_id) == []


@pytest.fixture(scope="module")
def runner(database_url: str) -> Any:
    """A loop of its own: Hypothesis calls its test from no loop."""
    with asyncio.Runner() as runner:
        database = Database(database_url, pool_size=2)
        runner.run(database.open())
        runner.run(make.catalog(database, T0 - dt.timedelta(days=400)))
        # 60 credits an hour, but 6 for all of it beyond the first two hours: something is given back then.
        tiers = [{"upTo": 7_200, "amount": "60", "per": 3_600}, {"upTo": None, "amount": "6", "per": 3_600}]
        runner.run(
            prices.add_version(
                database,
                target="deployment.time/gpu-cheaper",
                model="volume",
                rates={"tiers": tiers},
                now=T0,
                ids=IDS,
                actor="test",
            )
        )
        runner.run(tills.plan(database, PLAN, T0 - dt.timedelta(days=100), credits=15, runs=0, run_quota=None))
        yield runner, database
        runner.run(database.close())


# Not made smaller: each history is one of a real database, and that would take minutes.
@settings(max_examples=HISTORIES, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@example(
    given=12,
    own=OwnLimits(),
    history=[
        (SECOND, ("deploy", "gpu-t4", 2), False),
        (245 * SECOND, ("hold", 5, 200), False),
        (600 * SECOND, ("use", 3), False),
        (1_500 * SECOND, ("grant", 30, "free", 90), False),
        (600 * SECOND, ("deploy", "gpu-t4", 1), False),
    ],
)
@example(
    given=60,
    own=OwnLimits(),
    history=[
        (SECOND, ("deploy", "gpu-cheaper", 2), False),
        (600 * SECOND, ("grant", 40, "free", 90), False),
        (1_500 * SECOND, ("deploy", "gpu-cheaper", 1), False),
        (1_500 * SECOND, ("use", 3), False),
    ],
)
@given(given=st.integers(1, 60), own=own_limits, history=steps)
def test_whenever_it_is_settled_it_comes_to_the_same(
    runner: tuple[asyncio.Runner, Database], given: int, own: OwnLimits, history: list[Step]
) -> None:
    loop, database = runner
    loop.run(tell(database, given, own, history))
