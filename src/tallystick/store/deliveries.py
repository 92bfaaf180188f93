"""Deliveries on their way: claimed by moving their next instant ahead, logged attempt by attempt, replayed."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tallystick.domain.telling.webhooks import Endpoint, Status
from tallystick.store.database import Connection
from tallystick.store.named_sql import load
from tallystick.store.webhooks import endpoint_of

SQL = load(__file__)

_ENDED: Final = ("delivered", "dead")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is due."""

    workspace_id: UUID
    id: UUID
    endpoint_id: UUID


@dataclass(frozen=True, slots=True)
class Letter:
    """One attempt to make: what to post, where. `number` counts the attempts at this delivery from 1."""

    endpoint: Endpoint
    delivery_id: UUID
    number: int
    fact_id: UUID
    kind: str
    at: dt.datetime
    data: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a delivery is; `attempts_before` are those made before its last replay."""

    status: Status
    attempts: int
    attempts_before: int


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt and what came of it. `status_code` None: no answer, and `error` says why."""

    number: int
    at: dt.datetime
    milliseconds: int
    status_code: int | None
    error: str | None
    answer: str


async def due(
    conn: Connection, now: dt.datetime, *, busy: Collection[UUID], busy_workspaces: Collection[UUID], limit: int
) -> list[Waiting]:
    """What waits at `now`, oldest first, but for these endpoints and workspaces."""
    given = {"now": now, "busy": sorted(busy), "busy_workspaces": sorted(busy_workspaces), "limit": limit}
    rows = await (await conn.execute(SQL["due"], given)).fetchall()
    return [Waiting(row["workspace_id"], row["id"], row["endpoint_id"]) for row in rows]


async def claim(conn: Connection, chosen: Sequence[Waiting], *, now: dt.datetime, until: dt.datetime) -> list[Letter]:
    """Take those of them that nobody took meanwhile, and count an attempt of each; another may take them at `until`."""
    given = {"workspace_ids": [one.workspace_id for one in chosen], "ids": [one.id for one in chosen]}
    claimed = await (await conn.execute(SQL["claim"], given | {"now": now, "until": until})).fetchall()
    if not claimed:
        return []
    given = {"workspace_ids": sorted({row["workspace_id"] for row in claimed}), "ids": [row["id"] for row in claimed]}
    return [
        Letter(
            endpoint=endpoint_of(row),
            delivery_id=row["delivery_id"],
            number=row["attempts"],
            fact_id=row["fact_id"],
            kind=row["kind"],
            at=row["at"],
            data=row["data"],
        )
        for row in await (await conn.execute(SQL["letters"], given)).fetchall()
    ]


async def lock(conn: Connection, workspace_id: UUID, delivery_id: UUID) -> Standing | None:
    """A delivery's standing, kept from others until the transaction ends; its endpoint is locked before."""
    row = await (await conn.execute(SQL["lock"], {"workspace_id": workspace_id, "id": delivery_id})).fetchone()
    return None if row is None else Standing(row["status"], row["attempts"], row["attempts_before"])


async def endpoint_id(conn: Connection, workspace_id: UUID, delivery_id: UUID) -> UUID | None:
    """Where a delivery goes, None where there is no such delivery."""
    row = await (await conn.execute(SQL["endpoint_of"], {"workspace_id": workspace_id, "id": delivery_id})).fetchone()
    found: UUID | None = None if row is None else row["endpoint_id"]
    return found


async def log(conn: Connection, workspace_id: UUID, delivery_id: UUID, tried: Tried) -> None:
    """Append an attempt; one that is there already stays."""
    await conn.execute(
        SQL["log_attempt"],
        {
            "workspace_id": workspace_id,
            "delivery_id": delivery_id,
            "number": tried.number,
            "at": tried.at,
            "milliseconds": tried.milliseconds,
            "status_code": tried.status_code,
            "error": tried.error,
            "answer": tried.answer,
        },
    )


async def finish(conn: Connection, workspace_id: UUID, delivery_id: UUID, status: Status, now: dt.datetime) -> None:
    """It is `delivered` or `dead`; only a replay brings it back."""
    given = {"workspace_id": workspace_id, "id": delivery_id, "status": status, "now": now}
    await conn.execute(SQL["finish"], given)


async def postpone(conn: Connection, workspace_id: UUID, delivery_id: UUID, next_at: dt.datetime) -> None:
    """It is tried again from `next_at` on."""
    await conn.execute(SQL["postpone"], {"workspace_id": workspace_id, "id": delivery_id, "next_at": next_at})


async def abandon(conn: Connection, endpoint: Endpoint, now: dt.datetime) -> int:
    """Let everything die that waits for an endpoint, which is locked; how many there were."""
    given = {"workspace_id": endpoint.workspace_id, "endpoint_id": endpoint.id, "now": now}
    return (await conn.execute(SQL["abandon"], given)).rowcount


async def replay_one(conn: Connection, endpoint: Endpoint, delivery_id: UUID, now: dt.datetime) -> int:
    """Send this one again from `now` on; 0 where it is on its way at this moment. Its endpoint is locked."""
    return await _replay(conn, endpoint, delivery_id, None, ("queued", *_ENDED), now)


async def replay_since(
    conn: Connection, endpoint: Endpoint, since: dt.datetime, now: dt.datetime, *, dead_only: bool
) -> int:
    """Send again what was made since then and has ended, delivered or not; how many. Its endpoint is locked."""
    return await _replay(conn, endpoint, None, since, ("dead",) if dead_only else _ENDED, now)


async def _replay(
    conn: Connection,
    endpoint: Endpoint,
    delivery_id: UUID | None,
    since: dt.datetime | None,
    statuses: Sequence[str],
    now: dt.datetime,
) -> int:
    given = {
        "workspace_id": endpoint.workspace_id,
        "endpoint_id": endpoint.id,
        "id": delivery_id,
        "since": since,
        "statuses": list(statuses),
        "now": now,
    }
    return (await conn.execute(SQL["replay"], given)).rowcount
