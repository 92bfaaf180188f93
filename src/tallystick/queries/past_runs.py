"""Which runs there were lately, and what each came to: what estimates and simulations stand on (rows A11, A12)."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tallystick.domain.runs.refunds import SOURCE
from tallystick.store.database import Connection, Database
from tallystick.store.named_sql import load

SQL = load(__file__)

_CHARGES_A_RUN: Final = 200
"""How far back a workspace's charges are looked through for a run, at most, on the average."""


@dataclass(frozen=True, slots=True)
class Past:
    """Which runs are meant: those with usage from `since` until before `until`, of a workflow, an agent, a batch."""

    since: dt.datetime
    until: dt.datetime
    workflow_id: UUID | None = None
    agent_id: UUID | None = None
    batch: str | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """What runs came to, one figure a run in each list, in nano-units."""

    credits: tuple[int, ...]
    tool_runs: tuple[int, ...]


async def newest(
    conn: Connection, workspace_id: UUID, past: Past, *, runs_max: int, charges_max: int, now: dt.datetime
) -> list[str]:
    """The runs of the newest charges that fit, at most so many of each; without those that still go on at `now`."""
    given = {
        "workspace_id": workspace_id,
        "since": past.since,
        "until": past.until,
        "workflow_id": past.workflow_id,
        "agent_id": past.agent_id,
        "batch": past.batch,
        "charges": charges_max,
        "runs": runs_max,
        "now": now,
    }
    # Not prepared: a plan for these very values drops the filters that are not asked for.
    cursor = await conn.execute(SQL["newest_runs"], given, prepare=False)
    return [row["run"] for row in await cursor.fetchall()]


async def samples(
    database: Database, workspace_id: UUID, chosen: Past | Sequence[str], *, runs_max: int, now: dt.datetime
) -> Samples:
    """What the newest runs of the past came to, or those that are named; the whole run, whoever took part in it."""
    async with database.read(workspace_id) as conn:
        if isinstance(chosen, Past):
            charges_max = runs_max * _CHARGES_A_RUN
            chosen = await newest(conn, workspace_id, chosen, runs_max=runs_max, charges_max=charges_max, now=now)
        given = {"workspace_id": workspace_id, "runs": list(chosen), "refunds": SOURCE}
        rows = await (await conn.execute(SQL["sums"], given)).fetchall()
    return Samples(tuple(row["credits"] for row in rows), tuple(row["tool_runs"] for row in rows))
