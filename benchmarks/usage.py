"""P3: the 90-day usage query by workflow, at two volumes and against a scan of the events.

One workspace of 200 has 30 % of the events and 50 workflows, the others 10. A workflow has two users, two agents with a
model each, and three connectors, so that a day of the large workspace has at most 1,200 totals (600 kinds of usage,
failed or not), however many events it has.
"""

import asyncio
import datetime as dt
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

import psycopg
import uvloop
from psycopg.rows import dict_row, tuple_row

from benchmarks.figures import Figure, keep
from tallystick.domain.metering.metrics import Metrics, Range, Series, metrics_of
from tallystick.queries import usage
from tallystick.store.database import Database
from tallystick.store.embedded import EmbeddedServer
from tallystick.store.migrate import migrate
from tallystick.store.named_sql import load

SQL = load(__file__)

SMALL = 300_000
LARGE = 30_000_000
"""The two volumes of the bar: what is measured is compared with the small one."""
DAYS = 90
WORKSPACES = 200
BIG_SHARE = 0.3
MOST_WORKFLOWS = 50
FEW_WORKFLOWS = 10
RUNS = 15
RAW_RUNS = 3

_FIRST = dt.date(2026, 1, 1)
RANGE = Range(_FIRST, _FIRST + dt.timedelta(days=DAYS - 1))
_MODELS = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-pro"),
)
_ACTIONS = (("hubspot", "enrich"), ("slack", "post"), ("websearch", "search"), ("jira", "comment"), ("gmail", "send"))
_ROOT = UUID("7a11b000-0000-4000-8000-000000000000")
_RESOURCES = ("project", "user", "workflow", "agent", "connector")


@dataclass(frozen=True)
class Cell:
    """One kind of usage: what its events are, and their `data` without what differs from one to the next."""

    type: str
    category: str
    slug: str
    data: dict[str, str]

    def row(self, number: int, cell: int) -> tuple[object, ...]:
        """Its row of `bench_cell` for one workspace. Resources are keyed as ingest keys them."""
        id_ = workspace_id(number)
        ids = (uuid5(id_, f"{kind}:{self.data[kind]}") if kind in self.data else None for kind in _RESOURCES)
        texts = self.data.get("model"), self.data.get("integration")
        return number, cell, id_, self.type, self.category, self.slug, *ids, *texts, self._template()

    def _template(self) -> str:
        varying = {"run": "run-%3$s", "status": "%4$s"}
        counters = {"inputTokens": "%1$s", "outputTokens": "%2$s"} if self.category == "llm" else {}
        text = json.dumps(self.data | varying | counters, sort_keys=True, separators=(",", ":"))
        return text.replace('"%1$s"', "%1$s").replace('"%2$s"', "%2$s")


def workspace_id(number: int) -> UUID:
    return uuid5(_ROOT, f"workspace {number}")


def cells(workflows: int) -> Iterator[Cell]:
    """Every kind of usage of a workspace with so many workflows, in the order that `add_day` counts them in."""
    for workflow in range(workflows):
        for person in range(2):
            whose = {
                "project": f"project-{workflow % 4}",
                "user": f"user-{(workflow + 5 * person) % 12}",
                "workflow": f"workflow-{workflow}",
            }
            for which in range(2):
                provider, model = _MODELS[(workflow + which) % len(_MODELS)]
                used = {"agent": f"agent-{(workflow + which) % 20}", "model": model}
                yield Cell("llm.tokens", "llm", f"integration.{provider}.chat", whose | used)
            for which in range(3):
                integration, action = _ACTIONS[(workflow + which) % len(_ACTIONS)]
                used = {"connector": f"connector-{(workflow + which) % 6}", "integration": integration}
                used |= {"action": action, "agent": f"agent-{workflow % 20}"}
                yield Cell("tool.call", "tool_calls", f"integration.{integration}.action.{action}", whose | used)
            yield Cell("orchestration.execution", "execution", "native.execution", whose)


async def fill(url: str, events: int) -> None:
    """Migrate an empty database and fill `usage_event` and its totals; the key is built when all rows are there."""
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, row_factory=dict_row, options="-c timezone=UTC"
    ) as conn:
        await migrate(conn, dt.datetime.combine(_FIRST, dt.time(), dt.UTC))
        await conn.execute("SET synchronous_commit = off")
        await conn.execute("SET work_mem = '256MB'")
        await conn.execute("SET maintenance_work_mem = '512MB'")
        await conn.execute("SELECT setseed(0.42)")
        await conn.execute("ALTER TABLE usage_event DROP CONSTRAINT usage_event_pkey")
        await conn.execute(SQL["cells"])
        async with conn.cursor() as cursor, cursor.copy("COPY bench_cell FROM STDIN") as copy:
            for number in range(WORKSPACES):
                for place, cell in enumerate(cells(FEW_WORKFLOWS if number else MOST_WORKFLOWS)):
                    await copy.write_row(cell.row(number, place))
        await conn.execute("ANALYZE bench_cell")
        shape = {"big_share": BIG_SHARE, "others": WORKSPACES - 1, "most": MOST_WORKFLOWS, "few": FEW_WORKFLOWS}
        for place, day in enumerate(RANGE.days()):
            numbers = {"first": events * place // DAYS + 1, "last": events * (place + 1) // DAYS}
            await conn.execute(SQL["add_day"], shape | numbers | {"day": day})
            await conn.execute(SQL["add_workflows"], {"day": day})
        await conn.execute("ALTER TABLE usage_event ADD PRIMARY KEY (workspace_id, used_at, id)")
        await conn.execute("DROP TABLE bench_cell")
        await conn.execute("VACUUM ANALYZE usage_event")
        await conn.execute("VACUUM ANALYZE rollup_daily")
        await conn.execute("VACUUM ANALYZE rollup_workflow")


async def ours(database: Database) -> Metrics:
    """The query as the product asks it."""
    return await usage.metrics(database, workspace_id(0), RANGE, group_by="workflow_uuid")


async def raw(database: Database) -> Metrics:
    """The same answer from the events themselves."""
    given = {"workspace_id": workspace_id(0), "first": RANGE.first, "last": RANGE.last}
    async with database.read() as conn, conn.cursor(row_factory=tuple_row, binary=True) as cursor:
        await cursor.execute(SQL["raw"], given)
        rows = await cursor.fetchall()
    return metrics_of((Series(*row) for row in rows), RANGE, unit=None, slug=None)


async def seconds(query: Callable[[Database], Awaitable[Metrics]], database: Database) -> float:
    begun = time.perf_counter()
    await query(database)
    return time.perf_counter() - begun


async def totals(database: Database) -> int:
    """How many totals of workflows the big workspace has."""
    async with database.read() as conn:
        row = await (await conn.execute(SQL["totals"], {"workspace_id": workspace_id(0)})).fetchone()
    return int(row["rows"]) if row else 0


@asynccontextmanager
async def filled(server: str, events: int) -> AsyncIterator[Database]:
    """A database of its own with so many events, dropped afterwards."""
    name = f"bench_{os.getpid()}_{events}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    url = psycopg.conninfo.make_conninfo(server, dbname=name)
    database = Database(url)
    try:
        begun = time.perf_counter()
        await fill(url, events)
        print(f"     {events:,} events made in {time.perf_counter() - begun:,.0f} s", file=sys.stderr, flush=True)
        await database.open()
        yield database
    finally:
        await database.close()
        with psycopg.connect(server, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def measure(server: str, events: int) -> None:
    """Fill two databases and ask them in turn, so that a busy moment of the machine meets both."""
    less = SMALL if events > SMALL else events // 100
    async with AsyncExitStack() as stack:
        small = await stack.enter_async_context(filled(server, less))
        big = await stack.enter_async_context(filled(server, events))
        for database in (small, big):
            if await ours(database) != await raw(database):
                raise RuntimeError("the totals of days and the events themselves give different answers")
        times: dict[str, list[float]] = {"small": [], "big": [], "raw": []}
        for run_ in range(RUNS + 2):
            for name, database in (("small", small), ("big", big)):
                taken = await seconds(ours, database)
                # The pool has several connections; each one's first answers are for warming up.
                if run_ >= 2:
                    times[name].append(taken)
        times["raw"] = [await seconds(raw, big) for _ in range(RAW_RUNS)]
        rows = await totals(small), await totals(big)
    figures(events, less, {name: statistics.median(found) for name, found in times.items()}, rows)


def figures(events: int, less: int, medians: dict[str, float], rows: tuple[int, int]) -> None:
    """Print and keep what was measured. The bars are for 300,000 and 30 M events; without those there is no verdict."""
    quick, slow, scan = medians["small"], medians["big"], medians["raw"]
    growth_bars = (2.0, 1.2) if less == SMALL else (None, None)
    scan_bars = (50, 300) if events >= LARGE else (None, None)
    keep(
        "usage",
        [
            Figure(
                "P3",
                f"90-day usage query by workflow, {events:,} ÷ {less:,} events",
                slow / quick,
                "×",
                *growth_bars,
                smaller_is_better=True,
                note=f"{slow * 1000:,.1f} ms of {rows[1]:,} totals against {quick * 1000:,.1f} ms of {rows[0]:,}",
            ),
            Figure(
                "P3",
                f"scan of the events ÷ ours at {events:,} events",
                scan / slow,
                "×",
                *scan_bars,
                note=f"{scan * 1000:,.0f} ms for {events * BIG_SHARE:,.0f} events"
                + ("" if events >= LARGE else "; floor 50 and goal 300 are for 30 M in all"),
            ),
        ],
        events=events,
        comparedWith=less,
        workspaces=WORKSPACES,
        shareOfTheLargest=BIG_SHARE,
        days=DAYS,
        workflows=MOST_WORKFLOWS,
        workflowsOfTheOthers=FEW_WORKFLOWS,
        totalsOfTheLargest=rows[1],
        totalsOfTheLargestCompared=rows[0],
    )


def run(events: int) -> None:
    """Measure with so many events and with 300,000; with a hundredth where there are no more than that."""
    with (
        tempfile.TemporaryDirectory(prefix="tally-bench-") as temporary,
        EmbeddedServer.start(Path(temporary) / "home") as server,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(measure(server.url, events))
