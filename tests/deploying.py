"""Deployments for tests of their metering: each step is one transaction, as the flows of deployments make them."""

import datetime as dt
from collections.abc import Callable
from fractions import Fraction
from typing import Any
from uuid import UUID

from tallystick.domain.deployments.deployment import RESOURCE_KINDS, Deployment
from tallystick.domain.deployments.profiles import SHIPPED
from tallystick.domain.metering.resources import resource_id
from tallystick.flows import due, running
from tallystick.kernel.credits import NANO, divide_half_even
from tallystick.store import deployments, ledger, names
from tallystick.store.database import Connection, Database
from tests import make
from tests.make import IDS


def instant(text: str) -> dt.datetime:
    """An instant in UTC, such as `2026-03-02 10:00:17.5`."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


async def deploy(
    database: Database,
    workspace_id: UUID,
    at: dt.datetime,
    *,
    profile: str | None = "script-1x2",
    replicas: int = 1,
    key: str = "etl",
    begin: str = "deployed",
) -> UUID:
    """Something that runs on hardware from `at` on; without a profile a tool; `begin` is how far it has got."""
    kind = "tool" if profile is None else SHIPPED[profile][0].kind if profile in SHIPPED else "model"
    of = RESOURCE_KINDS[kind]
    resource = resource_id(workspace_id, of, key)
    made = Deployment(
        workspace_id,
        IDS.new(at),
        kind,
        resource,
        key,
        "draft" if begin == "draft" else "deploying",
        profile,
        replicas,
        "test",
        at,
        at,
    )

    async def work(conn: Connection) -> None:
        await names.insert(conn, [(workspace_id, resource, of, key, {})], at)
        books = await due.lock(conn, {workspace_id}, now=at, ids=IDS)
        await running.accrue(conn, workspace_id, books[workspace_id], at, at, IDS)
        await deployments.insert(conn, [made])
        await deployments.add_change(conn, made, "create", actor="test", at=at)
        if begin == "deployed":
            made.move("succeed", at)
            await deployments.update(conn, [made])
            await deployments.add_change(conn, made, "succeed", actor="test", at=at)
        await ledger.save_books(conn, books, at)

    await database.run(work)
    return made.id


async def change(
    database: Database, workspace_id: UUID, deployment_id: UUID, asked: str, at: dt.datetime, **changes: Any
) -> None:
    """Scale, undeploy or confirm it at `at`."""

    async def work(conn: Connection) -> None:
        books = await due.lock(conn, {workspace_id}, now=at, ids=IDS)
        await running.accrue(conn, workspace_id, books[workspace_id], at, at, IDS)
        found = await deployments.lock(conn, workspace_id, deployment_id)
        for name, value in changes.items():
            setattr(found, name, value)
        found.move(asked, at)
        await deployments.update(conn, [found])
        await deployments.add_change(conn, found, asked, actor="test", at=at)
        await ledger.save_books(conn, books, at)

    await database.run(work)


async def settle(database: Database, workspace_id: UUID, at: dt.datetime) -> None:
    """Do what is due."""
    await due.bring_up(database, workspace_id, now=at, ids=IDS)


async def each(
    database: Database,
    workspace_id: UUID,
    start: dt.datetime,
    end: dt.datetime,
    step: dt.timedelta,
    settle: Callable[..., Any] = settle,
) -> None:
    """Settle at every step from `start` to `end`."""
    while start < end:
        start = min(start + step, end)
        await settle(database, workspace_id, start)


def cost(profile: str, replica_time: dt.timedelta | Fraction) -> int:
    """Nano-credits of this much replica time by the shipped price: one rounding for all of it."""
    if isinstance(replica_time, dt.timedelta):
        replica_time = Fraction(replica_time // dt.timedelta(microseconds=1), 1_000_000)
    exact = replica_time * Fraction(SHIPPED[profile][1]) * NANO / 3_600
    return divide_half_even(exact.numerator, exact.denominator)


async def charged(database: Database, workspace_id: UUID, *deployment_ids: UUID) -> int:
    """What the usage events of running time come to, of these deployments or all."""
    [row] = await make.rows(
        database,
        "SELECT coalesce(sum(credits), 0)::bigint AS credits FROM usage_event WHERE workspace_id = %s "
        "AND source = 'tallystick/deployments' AND (%s OR data ->> 'deployment' = ANY(%s))",
        workspace_id,
        not deployment_ids,
        [str(one) for one in deployment_ids],
    )
    return int(row["credits"])


async def spans(database: Database, deployment_id: UUID) -> list[tuple[dt.datetime, dt.datetime, int]]:
    """The pieces that were charged, in order, each with its replicas."""
    found = await make.rows(
        database,
        "SELECT time, (data ->> 'until')::timestamptz AS until, (data ->> 'replicas')::int AS replicas "
        "FROM usage_event WHERE source = 'tallystick/deployments' AND data ->> 'deployment' = %s ORDER BY time",
        str(deployment_id),
    )
    return [(row["time"], row["until"], row["replicas"]) for row in found]


def joined(pieces: list[tuple[dt.datetime, dt.datetime, int]]) -> list[tuple[dt.datetime, dt.datetime, int]]:
    """The same with pieces put together where one begins as another of as many replicas ends."""
    found: list[tuple[dt.datetime, dt.datetime, int]] = []
    for start, end, replicas in pieces:
        if found and found[-1][1] == start and found[-1][2] == replicas:
            found[-1] = (found[-1][0], end, replicas)
        else:
            found.append((start, end, replicas))
    return found


async def balance(database: Database, workspace_id: UUID) -> dict[str, Any]:
    """The credits as they stand."""
    [row] = await make.rows(
        database, "SELECT * FROM balance WHERE workspace_id = %s AND unit = 'credits'", workspace_id
    )
    return row


async def states(database: Database, workspace_id: UUID) -> dict[UUID, dict[str, Any]]:
    """The deployments as they stand, by id."""
    found = await make.rows(database, "SELECT * FROM deployment WHERE workspace_id = %s ORDER BY id", workspace_id)
    return {row["id"]: row for row in found}


async def facts(database: Database, workspace_id: UUID, topic: str = "") -> list[tuple[dt.datetime, str]]:
    """What was told, in order."""
    found = await make.rows(
        database,
        "SELECT at, kind FROM fact WHERE workspace_id = %s AND kind LIKE %s ORDER BY at, kind",
        workspace_id,
        f"{topic}%",
    )
    return [(row["at"], row["kind"]) for row in found]


async def ledger_of(database: Database, workspace_id: UUID) -> list[list[dict[str, Any]]]:
    """Everything that must not depend on when what is due is noticed."""
    columns = "posted, held, overdraft, issued, used, expired, allocation, allocation_no, told, due_at"
    queries = (
        f"SELECT unit, {columns} FROM balance WHERE workspace_id = %s ORDER BY unit",
        (
            "SELECT source, amount, remaining, expired, expires_at, starts_at, "
            "CASE WHEN expired > 0 THEN ended_at END AS ended_at FROM credit_grant "
            "WHERE workspace_id = %s ORDER BY created_at, source, amount, expires_at"
        ),
        (
            "SELECT day, type, sum(quantity) AS quantity, sum(credits) AS credits FROM rollup_daily "
            "WHERE workspace_id = %s GROUP BY day, type ORDER BY day, type"
        ),
        (
            "SELECT day, profile, sum(microseconds) AS time, sum(credits) AS credits FROM deployment_day "
            "WHERE workspace_id = %s GROUP BY day, profile ORDER BY day, profile"
        ),
        (
            "SELECT name, state, reason, replicas, comply_by, metered_until FROM deployment WHERE workspace_id = %s "
            "ORDER BY created_at, name"
        ),
        (
            "SELECT at, asked, state, replicas, reason FROM deployment_change WHERE workspace_id = %s "
            "ORDER BY at, asked, state, replicas"
        ),
        "SELECT at, kind FROM fact WHERE workspace_id = %s ORDER BY at, kind",
    )
    return [await make.rows(database, query, workspace_id) for query in queries]
