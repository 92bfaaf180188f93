"""P2: holds a second over HTTP on one hot workspace against a route of the same server that does nothing."""

import asyncio
import json
import time
from dataclasses import dataclass

from benchmarks.figures import Figure, keep
from benchmarks.server import Server, serving

CONNECTIONS = 32
ROUNDS = 3
"""Both routes are measured in turn, so that a busy moment of the machine meets both."""
_MOST = 20_000


@dataclass(frozen=True)
class Measured:
    rate: float
    p50: float
    p99: float


async def ask(server: Server, head: str, bodies: list[bytes], status: bytes) -> Measured:
    """Send these requests over 32 connections, each waiting for its answer before the next."""
    waiting = iter(bodies)
    latencies: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for body in waiting:
            begun = time.perf_counter()
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            content = await reader.readexactly(length)
            latencies.append(time.perf_counter() - begun)
            if answer[9:12] != status:
                raise RuntimeError(f"answered {answer[:12]!r}: {content[:300]!r}")
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    seconds = time.perf_counter() - begun
    latencies.sort()
    return Measured(len(bodies) / seconds, latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)])


def run(events: int) -> None:
    """Place so many holds, at most 20,000 a round, and ask the idle route as often."""
    count = min(events, _MOST)
    with serving(settings={"TALLY_LOG_LEVEL": "warning"}) as server:
        made = server.post("/v1/workspaces", {"name": "Hot", "grants": [{"unit": "credits", "amount": 10_000_000}]})
        head = (
            "POST /v1/holds HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {made['adminToken']}\r\n"
        )
        idle_head = "GET /healthz HTTP/1.1\r\nHost: bench\r\n"
        body = json.dumps({"amounts": {"credits": "0.5"}, "agent": "a", "workflow": "w"}).encode()
        holds: list[Measured] = []
        idle: list[Measured] = []
        for number in range(ROUNDS + 1):
            asked = asyncio.run(ask(server, idle_head, [b""] * count, b"200"))
            placed = asyncio.run(ask(server, head, [body] * count, b"201"))
            # The first round is for warming up.
            if number:
                idle.append(asked)
                holds.append(placed)
    best = sorted(zip(holds, idle, strict=True), key=lambda pair: pair[0].rate / pair[1].rate)[ROUNDS // 2]
    placed, asked = best
    keep(
        "holds",
        [
            Figure(
                "P2",
                "holds/s on one workspace ÷ a route that does nothing",
                placed.rate / asked.rate,
                "×",
                0.35,
                0.6,
                note=f"{placed.rate:,.0f}/s against {asked.rate:,.0f}/s",
            ),
            Figure("P2", "latency of a hold, p50", placed.p50 * 1000, "ms"),
            Figure("P2", "latency of a hold, p99", placed.p99 * 1000, "ms", 20, 5, smaller_is_better=True),
        ],
        holds=count,
        rounds=ROUNDS,
        connections=CONNECTIONS,
    )
