"""R2: the same events from several processes, in ever other batches, orders and times, while the server and PostgreSQL
are killed by -9. Afterwards everything acknowledged is there exactly once, to the nano-credit.

`TALLY_TEST_KILLS` is the number of kills: a handful by default, a few hundred for a long run.
"""

import asyncio
import datetime as dt
import json
import os
import random
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from tallystick.domain.credits.grants import GrantTerms
from tallystick.domain.differences import Difference
from tallystick.domain.identity.rights import PERMISSIONS, Principal
from tallystick.flows import prices, tokens, workspaces
from tallystick.flows.workspaces import NewWorkspace
from tallystick.kernel.clock import SystemClock
from tallystick.kernel.credits import NANO
from tallystick.store import sockets
from tallystick.store.database import Database
from tests import make
from tests.make import IDS
from tests.mortal import Server

KILLS = min(int(os.environ.get("TALLY_TEST_KILLS", "6")), 500)
CLIENTS = 3
WAVE_EVENTS = 150
WAVE_SECONDS = 90
TOKEN = "tally_test_operator_of_this_test_alone"
CLIENT = Path(__file__).with_name("replaying_client.py")


def half_even(amount: Fraction) -> int:
    """Nano-credits; Python rounds a Fraction half to even."""
    return round(amount * NANO)


class Oracle:
    """What everything comes to, from the rules and the price list alone."""

    def __init__(self) -> None:
        self.plain: dict[str, int] = {}
        self.tool_runs: dict[str, int] = {}
        self.tiered: dict[str, Fraction] = {}
        self.counted: dict[str, int] = {}

    def add(self, event: dict[str, Any]) -> None:
        data, key = event["data"], event["subject"]
        self.counted[key] = self.counted.get(key, 0) + 1
        charged, runs = 0, 0
        if event["type"] == "orchestration.execution":
            charged = half_even(Fraction(1, 100) * data["quantity"])
        elif event["type"] == "tool.call":
            charged = half_even(Fraction(7, 10) / 3 * data["quantity"])
            runs = data["quantity"] * NANO
        elif event["type"] == "llm.tokens":
            # US$0.15, 0.075 and 0.60 per million tokens, 100 credits to the dollar.
            cached = data["cachedInputTokens"]
            dollars = (data["inputTokens"] - cached) * Fraction("0.15") + cached * Fraction("0.075")
            charged = half_even((dollars + data["outputTokens"] * Fraction("0.60")) / 10**6 * 100)
        elif event["type"] == "direct.charge":
            charged = half_even(Fraction(data["quantity"]))
        else:
            self.tiered[key] = self.tiered.get(key, Fraction(0)) + Fraction(data["quantity"])
        self.plain[key] = self.plain.get(key, 0) + charged
        self.tool_runs[key] = self.tool_runs.get(key, 0) + runs

    def credits(self, key: str) -> int:
        """Half a credit each for the first forty of the period, 0.123456789 for each further one."""
        filled = self.tiered.get(key, Fraction(0))
        first = min(filled, Fraction(40))
        return self.plain[key] + half_even(first / 2 + (filled - first) * Fraction("0.123456789"))


def some_event(number: int, rng: random.Random, subjects: list[str]) -> dict[str, Any]:
    data: dict[str, Any] = {"workflow": f"w{number % 7}", "agent": f"a{rng.randint(0, 30)}"}
    kind = rng.choice(["orchestration.execution", "tool.call", "llm.tokens", "direct.charge", "kill.search"])
    if kind == "llm.tokens":
        given = rng.randint(0, 9_000)
        data |= {"model": "gpt-4o-mini", "inputTokens": given, "cachedInputTokens": rng.randint(0, given)}
        data["outputTokens"] = rng.randint(0, 2_000)
    elif kind == "direct.charge":
        data["quantity"] = f"{rng.randint(1, 3 * NANO) / NANO:.9f}"
    elif kind == "kill.search":
        data["quantity"] = f"{rng.randint(1, 3_000) / 1_000:.3f}"
    else:
        data |= {"quantity": rng.randint(1, 20), "user": f"u{rng.randint(0, 400)}"}
        if kind == "tool.call":
            data |= {"integration": "kill", "action": "a"}
    subject = rng.choice(subjects)
    return {"specversion": "1.0", "id": f"e{number}", "source": "r2", "type": kind, "subject": subject, "data": data}


async def prepare(url: str, keys: list[str]) -> None:
    """Workspaces with grants, an operator's token, and two prices that the shipped ones lack."""
    database = Database(url, pool_size=2)
    await database.open()
    now = SystemClock().now()
    start = now - dt.timedelta(days=1)
    try:
        await tokens.create_operator(database, "r2", text=TOKEN, replace=True, actor="test", now=now, ids=IDS)
        operator = Principal("operator", IDS.new(now), "r2", None, None, None, PERMISSIONS)
        for key in keys:
            grants = tuple(GrantTerms(unit, 50 * NANO, "free", key=f"r2:{unit}") for unit in ("credits", "tool_runs"))
            new = NewWorkspace(key, grants, key=key)
            await workspaces.create(
                database, new, principal=operator, text=f"{TOKEN}.{key}", request=None, now=now, ids=IDS
            )
        await prices.add_meter(database, make.operator_meter("kill.search"), now=now, ids=IDS, actor="test")
        for target, model, rates in (
            ("tool.call/integration:kill", "unit", {"amount": "0.7", "per": 3}),
            (
                "kill.search",
                "graduated",
                {"tiers": [{"upTo": 40, "amount": "0.5"}, {"upTo": None, "amount": "0.123456789"}]},
            ),
        ):
            await prices.add_version(
                database, target=target, model=model, rates=rates, valid_from=start, now=now, ids=IDS, actor="test"
            )
    finally:
        await database.close()


async def figures(url: str) -> tuple[dict[str, dict[str, Any]], list[Difference]]:
    """Every workspace's totals, layer by layer, and what `tally verify` has to say."""
    database = Database(url, pool_size=2)
    await database.open()
    try:
        rows = await make.rows(
            database,
            """
            SELECT w.id, w.key, b.unit, b.posted, b.used, b.issued, b.overdraft, b.seq,
                (SELECT count(*) FROM usage_event WHERE workspace_id = w.id) AS events,
                (SELECT count(DISTINCT (source, source_id)) FROM usage_event WHERE workspace_id = w.id) AS identities,
                (SELECT count(*) FROM event_key WHERE workspace_id = w.id) AS keys,
                (SELECT sum(CASE b.unit WHEN 'credits' THEN credits ELSE tool_runs END) FROM usage_event
                    WHERE workspace_id = w.id) AS charged,
                (SELECT sum(CASE b.unit WHEN 'credits' THEN credits ELSE tool_runs END) FROM rollup_daily
                    WHERE workspace_id = w.id) AS daily,
                (SELECT sum(CASE b.unit WHEN 'credits' THEN credits ELSE tool_runs END) FROM rollup_hourly
                    WHERE workspace_id = w.id) AS hourly,
                (SELECT sum(events) FROM rollup_daily WHERE workspace_id = w.id) AS counted,
                (SELECT sum(amount) FROM ledger_entry
                    WHERE workspace_id = w.id AND unit = b.unit AND account = 'usage') AS booked,
                (SELECT sum(amount) FROM ledger_entry WHERE workspace_id = w.id) AS balanced,
                (SELECT count(*) FROM ledger_transaction WHERE workspace_id = w.id AND unit = b.unit) AS transactions,
                (SELECT sum(remaining) FROM credit_grant WHERE workspace_id = w.id AND unit = b.unit) AS left,
                (SELECT coalesce(sum(quantity), 0) FROM price_counter WHERE workspace_id = w.id) AS filled
            FROM workspace AS w JOIN balance AS b ON b.workspace_id = w.id WHERE w.key LIKE 'r2-%%'
            """,
        )
        wrong = await make.differences(database, *{row.pop("id") for row in rows})
        return {f"{row['key']} {row['unit']}": row for row in rows}, wrong
    finally:
        await database.close()


def run_clients(server: Server, folder: Path) -> list["subprocess.Popen[bytes]"]:
    return [
        subprocess.Popen([sys.executable, str(CLIENT), server.url, TOKEN, str(folder), str(seed)])
        for seed in range(CLIENTS)
    ]


def acknowledged(folder: Path, seed: int) -> set[str]:
    path = folder / f"acked.{seed}"
    return set(path.read_text().split()) if path.exists() else set()


def test_replays_between_kills_are_booked_exactly_once(server: Server, tmp_path: Path) -> None:
    rng = random.Random(20260302)
    subjects = [f"r2-{n}" for n in range(5)]
    asyncio.run(prepare(sockets.url(server.home), subjects))
    waves = [
        [some_event(wave * WAVE_EVENTS + n, rng, subjects) for n in range(WAVE_EVENTS)] for wave in range(KILLS + 1)
    ]
    (tmp_path / "events.json").write_text(json.dumps(waves))
    (tmp_path / "wave").write_text("0")
    clients = run_clients(server, tmp_path)
    try:
        for wave in range(1, KILLS + 1):
            (tmp_path / "next").write_text(f"{wave}")
            (tmp_path / "next").replace(tmp_path / "wave")
            time.sleep(rng.uniform(0.02, 0.6))
            if wave % 3 == 0:
                server.kill()
                server.start()
            else:
                server.kill_postgres()
            time.sleep(rng.uniform(0.1, 0.8))
        (tmp_path / "wave").write_text(f"{KILLS + 1}")
        (tmp_path / "stop").touch()
        assert [client.wait(WAVE_SECONDS + KILLS) for client in clients] == [0] * CLIENTS
    finally:
        for client in clients:
            client.kill()
            client.wait()

    everything = {event["id"] for wave in waves for event in wave}
    assert [acknowledged(tmp_path, seed) for seed in range(CLIENTS)] == [everything] * CLIENTS
    assert [(tmp_path / f"refused.{seed}").read_text() for seed in range(CLIENTS)] == [""] * CLIENTS
    # The kills struck while events were on their way.
    assert len(list(tmp_path.glob("unanswered.*"))) == CLIENTS

    oracle = Oracle()
    for wave in waves:
        for event in wave:
            oracle.add(event)
    found, wrong = asyncio.run(figures(sockets.url(server.home)))
    assert wrong == []
    for subject in subjects:
        for unit, used in (("credits", oracle.credits(subject)), ("tool_runs", oracle.tool_runs[subject])):
            row = found[f"{subject} {unit}"]
            assert row["events"] == row["identities"] == row["keys"] == row["counted"] == oracle.counted[subject]
            assert row["used"] == row["charged"] == row["daily"] == row["hourly"] == row["booked"] == used
            assert row["posted"] == 50 * NANO - used == row["left"] - row["overdraft"]
            assert (row["balanced"], row["transactions"]) == (0, row["seq"])
            assert Fraction(row["filled"]) == oracle.tiered[subject]
