"""R1: holds, settles, voids, extends and expiries of many agents at once on few workspaces, while the server and
PostgreSQL are killed by -9. Afterwards every acknowledged operation is there once, nothing was approved or spent that
was not there, and `tally verify` is clean.

`TALLY_TEST_OPERATIONS` is how many: fifteen hundred by default, a hundred thousand for a long run.
"""

import asyncio
import datetime as dt
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tallystick.domain.credits.grants import GrantTerms
from tallystick.domain.identity.rights import PERMISSIONS, Principal
from tallystick.flows import budgets, due, tokens, workspaces
from tallystick.flows.workspaces import NewWorkspace
from tallystick.kernel.clock import SystemClock
from tallystick.kernel.credits import NANO
from tallystick.store import sockets
from tallystick.store.database import Database
from tests import make
from tests.make import IDS
from tests.mortal import Server

OPERATIONS = int(os.environ.get("TALLY_TEST_OPERATIONS", "1500"))
KILLS = max(4, min(OPERATIONS // 2_500, 200))
"""Half of the server, half of PostgreSQL."""
CLIENTS, THREADS, WORKSPACES = 2, 12, 3
SECONDS = 120 + OPERATIONS // 20
TOKEN = "tally_test_operator_of_this_test_alone"
CLIENT = Path(__file__).with_name("holding_client.py")
UNITS = {"credits": "credits", "toolRuns": "tool_runs"}
# Enough for all that is spent, far too little for all that is held at once.
GIVEN = 20 * NANO + OPERATIONS * NANO // 1_500


async def prepare(url: str) -> dict[str, Any]:
    """Workspaces with money for some of the holds that will be asked for, and a cap on one agent of each."""
    database = Database(url, pool_size=2)
    await database.open()
    now = SystemClock().now()
    made = []
    try:
        await tokens.create_operator(database, "r1", text=TOKEN, replace=True, actor="test", now=now, ids=IDS)
        operator = Principal("operator", IDS.new(now), "r1", None, None, None, PERMISSIONS)
        for n in range(WORKSPACES):
            text = f"{TOKEN}.r1-{n}"
            amounts = {"credits": GIVEN, "tool_runs": GIVEN + OPERATIONS * NANO}
            grants = tuple(GrantTerms(unit, amount, "free", key=f"r1:{unit}") for unit, amount in amounts.items())
            new = NewWorkspace(f"r1-{n}", grants, key=f"r1-{n}")
            done = await workspaces.create(database, new, principal=operator, text=text, request=None, now=now, ids=IDS)
            for scope, per, amount in (("agent", "day", GIVEN // 3), ("workspace", "run", 8 * NANO)):
                cap = budgets.NewBudget(f"{scope} a {per}", scope, per, "credits", amount)
                author = budgets.Author(done.workspace.id, "test", None, now, IDS)
                await budgets.create(database, cap, author, most=9)
            made.append({"uuid": str(done.workspace.id), "token": text})
    finally:
        await database.close()
    return {"workspaces": made, "operator": TOKEN, "operations": OPERATIONS // CLIENTS, "threads": THREADS}


@dataclass
class Told:
    """What the answers said, hold by hold."""

    holds: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused_keys: set[str] = field(default_factory=set)
    given: Counter[tuple[str, str]] = field(default_factory=Counter)
    count: Counter[str] = field(default_factory=Counter)

    def read(self, line: str) -> None:
        kind, *said = json.loads(line)
        self.count[kind] += 1
        if kind == "grant":
            workspace, unit, amount = said
            self.given[workspace, unit] += amount
        elif kind == "place":
            workspace, key, status, id_, amounts = said
            self.count["refused" if status == 402 else "approved"] += 1
            if status == 402:
                self.refused_keys.add(key)
            else:
                settled: Counter[str] = Counter()
                self.holds[id_] = {"workspace": workspace, "key": key, "amounts": amounts, "settled": settled}
        elif kind == "extend":
            id_, status, deadline = said
            self.count["too late"] += status == 409
            if status == 200:
                self.holds[id_]["deadline"] = dt.datetime.fromisoformat(deadline)
            else:
                # It may have been given, its answer lost, and its time have passed before it was asked again.
                self.holds[id_].pop("deadline", None)
        elif kind != "repeat":
            id_, key, status, spent = said
            self.count["too late"] += status == 409
            hold = self.holds[id_]
            if status == 200:
                hold["settled"].update(spent)
            if status == 200 and kind != "part":
                hold |= {"status": {"void": "voided", "settle": "settled"}[kind], "finish_key": key}
            if status == 409:
                hold["status"] = "expired"


def acknowledged(folder: Path) -> Told:
    told = Told()
    for path in sorted(folder.glob("answers.*")):
        for line in path.read_text().splitlines():
            told.read(line)
    return told


def answered(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("answers.*"))


def kill_now_and_then(server: Server, folder: Path, clients: list["subprocess.Popen[bytes]"]) -> int:
    """Kill as the work goes on, evenly over it; how often that was done."""
    rng, kills, until = random.Random(20260303), 0, time.monotonic() + SECONDS
    while any(client.poll() is None for client in clients):
        assert time.monotonic() < until, f"{answered(folder)} of {OPERATIONS} after {SECONDS} s"
        time.sleep(0.02)
        if kills < KILLS and answered(folder) >= OPERATIONS * (kills + 1) // (KILLS + 2):
            time.sleep(rng.uniform(0, 0.1))
            if kills % 2:
                server.kill()
                server.start()
            else:
                server.kill_postgres()
            kills += 1
    return kills


async def check(url: str, told: Told) -> None:
    database = Database(url, pool_size=2)
    await database.open()
    try:
        workspaces = [row["id"] for row in await make.rows(database, "SELECT id FROM workspace WHERE key LIKE 'r1-%%'")]
        for workspace_id in workspaces:
            await due.bring_up(database, workspace_id, now=SystemClock().now(), ids=IDS)
        await check_holds(database, told)
        await check_money(database, told)
        assert await make.differences(database, *workspaces) == []
    finally:
        await database.close()


async def check_holds(database: Database, told: Told) -> None:
    """Each hold that was answered is there as it was answered, and no other one."""
    rows = {str(row["id"]): row for row in await make.rows(database, "SELECT * FROM hold")}
    assert rows.keys() == told.holds.keys()
    assert not {row["key"] for row in rows.values()} & told.refused_keys
    for id_, hold in told.holds.items():
        row = rows[id_]
        assert (str(row["workspace_id"]), row["key"]) == (hold["workspace"], hold["key"])
        for unit, column in UNITS.items():
            assert row[f"asked_{column}"] == hold["amounts"].get(unit, 0)
            assert row[f"settled_{column}"] == hold["settled"][unit], (row, hold)
        # Nobody said how it ended: it is open, or its time was up.
        assert row["status"] in ({hold["status"]} if "status" in hold else {"held", "expired"}), (row, hold)
        assert row["finish_key"] == hold.get("finish_key")
        if "deadline" in hold:
            assert row["expires_at"] == hold["deadline"]


async def check_money(database: Database, told: Told) -> None:
    """Every charge is one of those acknowledged, and none was more than there was."""
    spent: Counter[tuple[str, str]] = Counter()
    for hold in told.holds.values():
        for unit in UNITS:
            spent[hold["workspace"], unit] += hold["settled"][unit]
    for row in await make.rows(
        database,
        """
        SELECT b.workspace_id, b.unit, b.posted, b.held, b.used, b.issued, b.overdraft,
            (SELECT sum(CASE b.unit WHEN 'credits' THEN credits ELSE tool_runs END) FROM usage_event
                WHERE workspace_id = b.workspace_id) AS charged,
            (SELECT count(*) FROM usage_event WHERE workspace_id = b.workspace_id AND overdrawn) AS overdrawn,
            (SELECT count(*) FROM ledger_entry WHERE workspace_id = b.workspace_id AND account = 'overdraft') AS beyond,
            (SELECT coalesce(sum(amount), 0) FROM credit_grant WHERE workspace_id = b.workspace_id AND unit = b.unit)
                AS given
        FROM balance AS b JOIN workspace AS w ON w.id = b.workspace_id AND w.key LIKE 'r1-%%'
        """,
    ):
        unit = next(name for name, column in UNITS.items() if column == row["unit"])
        where = str(row["workspace_id"]), unit
        assert row["used"] == (row["charged"] or 0) == spent[where]
        assert (row["overdraft"], row["overdrawn"], row["beyond"]) == (0, 0, 0)
        assert row["posted"] >= row["held"] >= 0
        begun_with = GIVEN if unit == "credits" else GIVEN + OPERATIONS * NANO
        assert row["issued"] == row["given"] == begun_with + told.given[where]


def test_holds_survive_kills_and_nothing_is_overspent(server: Server, tmp_path: Path) -> None:
    plan = asyncio.run(prepare(sockets.url(server.home)))
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    clients = [
        subprocess.Popen([sys.executable, str(CLIENT), server.url, str(tmp_path), str(seed)]) for seed in range(CLIENTS)
    ]
    try:
        kills = kill_now_and_then(server, tmp_path, clients)
        assert [client.wait() for client in clients] == [0] * CLIENTS
    finally:
        for client in clients:
            client.kill()
            client.wait()
    assert kills == KILLS
    told = acknowledged(tmp_path)
    print(f"{kills} kills, {dict(told.count)}")
    assert sum(told.count[kind] for kind in ("grant", "place", "settle", "part", "void", "extend", "repeat")) >= (
        OPERATIONS * 19 // 20
    )
    # The kills struck while requests were on their way, and all that may be said was said.
    assert all(path.stat().st_size for path in tmp_path.glob("unanswered.*"))
    said = ("approved", "refused", "settle", "part", "void", "extend", "repeat", "grant")
    assert all(told.count[kind] for kind in said), told.count
    asyncio.run(check(sockets.url(server.home), told))
