"""P1 and P6: events through HTTP against a binary COPY of the same rows, and the server's memory meanwhile."""

import asyncio
import datetime as dt
import json
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.figures import Figure, keep
from benchmarks.server import Server, serving

BATCH = 1_000
WORKSPACES = 200
CONNECTIONS = 16
_MODELS = ("gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash")


@dataclass(frozen=True)
class Measured:
    events: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        return self.events / self.seconds


def make_workspaces(server: Server) -> list[str]:
    """Workspaces with nothing granted: a debit is the same work below zero."""
    return [
        server.post("/v1/workspaces", {"name": f"Bench {n}", "key": f"bench-{n}", "grants": []})["workspace"]["uuid"]
        for n in range(WORKSPACES)
    ]


def batches(workspaces: list[str], count: int, seed: int, span: dt.timedelta = dt.timedelta(0)) -> Iterator[bytes]:
    """Bodies of 1,000 events with fresh ids: 60 % model calls, 20 % tool calls, 20 % node executions.

    Each body's events are of one hour: the last one, or with `span` ever later hours of the time until now.
    """
    rnd = random.Random(seed)
    now = dt.datetime.now(dt.UTC)
    for place in range(1, count + 1):
        end = now - span * (count - place) / count
        yield json.dumps([_event(rnd, workspaces, end) for _ in range(BATCH)], separators=(",", ":")).encode()


def _event(rnd: random.Random, workspaces: list[str], now: dt.datetime) -> dict[str, Any]:
    workflow = rnd.randrange(6)
    data: dict[str, Any] = {
        "run": f"run-{rnd.randrange(10**9)}",
        "workflow": f"workflow-{workflow}",
        "agent": f"agent-{workflow % 4}",
        "project": f"project-{workflow % 2}",
        "user": f"user-{rnd.randrange(5)}",
        "status": "success" if rnd.random() < 0.95 else "error",
    }
    kind = rnd.random()
    if kind < 0.6:
        type_ = "llm.tokens"
        data |= {
            "model": _MODELS[workflow % 4],
            "inputTokens": rnd.randrange(200, 8_000),
            "outputTokens": rnd.randrange(10, 900),
        }
    elif kind < 0.8:
        type_ = "tool.call"
        data |= {"connector": "crm", "integration": "hubspot", "action": ("enrich", "search")[workflow % 2]}
    else:
        type_ = "orchestration.execution"
    return {
        "specversion": "1.0",
        "id": str(uuid.UUID(int=rnd.getrandbits(128))),
        "source": "bench",
        "type": type_,
        "subject": rnd.choice(workspaces),
        "time": (now - dt.timedelta(seconds=rnd.random() * 3_600)).isoformat(),
        "data": data,
    }


async def send(server: Server, bodies: list[bytes]) -> Measured:
    """Send the bodies over a few connections; each waits for its answer, which comes after the commit."""
    waiting = iter(bodies)
    latencies: list[float] = []
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {server.operator_token}\r\n"
        "Content-Type: application/cloudevents-batch+json\r\nContent-Length: "
    )

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for body in waiting:
            begun = time.perf_counter()
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            content = json.loads(await reader.readexactly(length))
            if content.get("accepted") != BATCH:
                raise RuntimeError(f"not all events were accepted: {str(content)[:500]}")
            latencies.append(time.perf_counter() - begun)
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    seconds = time.perf_counter() - begun
    latencies.sort()
    return Measured(len(bodies) * BATCH, seconds, latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)])


def copy_rate(url: str, rows: int) -> tuple[float, int]:
    """Rows a second of a binary COPY of already priced rows into the same table with its key, and how many."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("DROP SCHEMA IF EXISTS bench CASCADE")
        conn.execute("CREATE SCHEMA bench")
        conn.execute("CREATE TABLE bench.usage_event (LIKE public.usage_event INCLUDING ALL)")
        source = f"COPY (SELECT * FROM public.usage_event LIMIT {rows}) TO STDOUT (FORMAT BINARY)"
        with conn.cursor() as cursor, cursor.copy(source.encode()) as out:
            blocks = [bytes(block) for block in out]
        begun = time.perf_counter()
        with conn.cursor() as cursor, cursor.copy("COPY bench.usage_event FROM STDIN (FORMAT BINARY)") as into:
            for block in blocks:
                into.write(block)
        seconds = time.perf_counter() - begun
        copied = conn.execute("SELECT count(*) FROM bench.usage_event").fetchone()[0]
        conn.execute("DROP SCHEMA bench CASCADE")
    return copied / seconds, copied


def run(events: int) -> None:
    """Measure with so many events, a quarter more for warming up, and again as many for the memory's growth."""
    with serving() as server:
        workspaces = make_workspaces(server)
        asyncio.run(send(server, list(batches(workspaces, max(events // 4 // BATCH, 8), seed=1))))
        bodies = list(batches(workspaces, max(events // BATCH, 8), seed=2))
        measured = asyncio.run(send(server, bodies))
        before = server.resident_bytes()
        asyncio.run(send(server, list(batches(workspaces, max(events // BATCH, 8), seed=3))))
        after = server.resident_bytes()
        copied, rows = copy_rate(server.database_url(), measured.events)
    note = f"{measured.rate:,.0f}/s against {copied:,.0f}/s"
    keep(
        "ingest",
        [
            Figure("P1", "events/s over HTTP ÷ binary COPY", measured.rate / copied, "×", 0.25, 0.5, note=note),
            Figure("P1", "latency of a batch, p50", measured.p50 * 1000, "ms"),
            Figure("P1", "latency of a batch, p99", measured.p99 * 1000, "ms"),
            Figure("P6", "server memory", before / 2**20, "MB", 300, 150, smaller_is_better=True),
            Figure(
                "P6",
                f"its growth over {measured.events:,} more events",
                (after / before - 1) * 100,
                "%",
                5,
                0,
                smaller_is_better=True,
            ),
        ],
        events=measured.events,
        batch=BATCH,
        workspaces=WORKSPACES,
        connections=CONNECTIONS,
        copiedRows=rows,
    )
