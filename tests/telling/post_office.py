"""What tests of mails share: people who get them, facts that make them, and whoever sends them."""

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

from tallystick.domain.telling import facts as kinds
from tallystick.domain.telling.facts import Fact
from tallystick.flows import mailing
from tallystick.flows.telling import Letterhead, fan_out
from tallystick.gateways.mail import Post, Sender, Server
from tallystick.store import facts as store
from tallystick.store.database import Connection, Database
from tests import make
from tests.make import IDS

SENDER = Sender("Acme AI", "billing@acme-ai.example")
LETTERHEAD = Letterhead(SENDER.name, SENDER.host, "help@acme-ai.example", "https://acme-ai.example/support")
ATTEMPTS_MAX = 3


@asynccontextmanager
async def empty_outbox(database: Database) -> AsyncIterator[None]:
    """Nothing of other tests waits to be made or sent, and nothing of this one afterwards."""

    async def clear(conn: Connection) -> None:
        await conn.execute("UPDATE mail SET status = 'kept' WHERE status = 'queued'")
        await conn.execute("UPDATE fact SET fanned_at = created_at WHERE fanned_at IS NULL")

    await database.run(clear)
    yield
    await database.run(clear)


async def person(database: Database, workspace_id: UUID, role: str, now: dt.datetime) -> tuple[UUID, str]:
    """A new member; the person's id and address."""
    person_id, email = IDS.new(now), f"{role}-{IDS.secret()[:12].lower()}@acme.example"

    async def work(conn: Connection) -> None:
        await conn.execute("INSERT INTO person (id, email, created_at) VALUES (%s, %s, %s)", [person_id, email, now])
        await conn.execute(
            "INSERT INTO member (workspace_id, person_id, role, created_at) VALUES (%s, %s, %s, %s)",
            [workspace_id, person_id, role, now],
        )

    await database.run(work)
    return person_id, email


async def happened(
    database: Database, workspace_id: UUID, kind: str, now: dt.datetime, *, at: dt.datetime | None = None, **data: Any
) -> Fact:
    """Record a fact."""
    fact = Fact(workspace_id, IDS.new(now), kind, at or now, data)

    async def work(conn: Connection) -> None:
        await store.record(conn, [fact], now)

    await database.run(work)
    return fact


async def stops(database: Database, workspace_id: UUID, count: int, now: dt.datetime) -> list[Fact]:
    """So many facts, each of which makes a mail of its own."""
    return [
        await happened(
            database,
            workspace_id,
            kinds.DEPLOYMENT_STOPPED,
            now,
            deploymentKind="script",
            name=f"script {number}",
            creditsPosted=Decimal("-10.25"),
            creditsTotal=75,
        )
        for number in range(count)
    ]


async def fan(database: Database, now: dt.datetime, letterhead: Letterhead = LETTERHEAD) -> int:
    """Make all mails and deliveries; of how many facts."""
    done = 0
    while count := await fan_out(database, letterhead, now=now, ids=IDS):
        done += count
    return done


def post_to(port: int) -> Post:
    return Post(Server("127.0.0.1", port, "plain"), SENDER)


async def send(database: Database, post: Post, now: dt.datetime, attempts_max: int = ATTEMPTS_MAX) -> int:
    """Send what is due; how many a server took."""
    done = 0
    while taken := await mailing.take(database, attempts_max=attempts_max, now=now):
        done += await mailing.send_taken(
            database, taken, post, attempts_max=attempts_max, jitter=lambda: 0, clock=lambda: now
        )
    return done


async def outbox(database: Database, workspace_id: UUID) -> Sequence[dict[str, Any]]:
    """The workspace's mails, oldest fact first."""
    return await make.rows(
        database,
        "SELECT * FROM mail WHERE workspace_id = %s ORDER BY created_at, kind, subject, to_address",
        workspace_id,
    )
