"""Workspaces with endpoints, facts for them, and a sender, all on a test's own clock and database."""

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tallystick.domain.telling import facts
from tallystick.domain.telling.facts import Fact
from tallystick.domain.telling.webhooks import Endpoint, secret_text
from tallystick.flows import webhooks
from tallystick.flows.budgets import Author
from tallystick.flows.delivering import Bounds, Sender
from tallystick.flows.telling import UNSENT, fan_out
from tallystick.gateways.webhooks import WebhookPoster
from tallystick.kernel.addresses import Allowed
from tallystick.kernel.clock import Clock, SystemClock
from tallystick.kernel.ids import SystemIds
from tallystick.store import facts as store
from tallystick.store.database import Database
from tests import make

IDS = SystemIds()
LOOPBACK = Allowed(["127.0.0.1"])


class Ahead:
    """The machine's clock, so much ahead: receivers compare a signature's time with theirs."""

    def __init__(self, by: dt.timedelta = dt.timedelta(0)) -> None:
        self.by = by

    def now(self) -> dt.datetime:
        return SystemClock().now() + self.by


def author(workspace_id: UUID, now: dt.datetime) -> Author:
    return Author(workspace_id, "test", None, now, IDS)


async def endpoint(
    database: Database, workspace_id: UUID, url: str, *kinds: str, now: dt.datetime | None = None
) -> Endpoint:
    """One that wants these kinds, or all."""
    return await webhooks.create(
        database,
        webhooks.NewEndpoint(url, kinds=kinds),
        author(workspace_id, now or SystemClock().now()),
        secret=secret_text(IDS.secret()),
        allowed=LOOPBACK,
        most=20,
    )


async def tell(
    database: Database, workspace_id: UUID, many: int = 1, *, kind: str = facts.CREDITS_GRANTED, **data: Any
) -> list[Fact]:
    """Record so many facts, as the flow that causes them would."""
    now = SystemClock().now()
    made = [Fact(workspace_id, IDS.new(now), kind, now, {"number": number} | data) for number in range(many)]
    await database.run(lambda conn: store.record(conn, made, now))
    return made


async def fan(database: Database, now: dt.datetime | None = None) -> None:
    """Make the deliveries of everything that was told."""
    while await fan_out(database, UNSENT, now=now or SystemClock().now(), ids=IDS):
        pass


def sender(
    database: Database,
    *,
    clock: Clock | None = None,
    seconds: int = 2,
    attempts_max: int = 10,
    bounds: Bounds | None = None,
    allowed: Sequence[str] = ("127.0.0.1",),
) -> Sender:
    """One that may reach this machine. A claim of it ends three seconds after its attempt had to."""
    return Sender(
        database,
        WebhookPoster(Allowed(allowed), seconds=seconds),
        clock or Ahead(),
        IDS,
        seconds=seconds,
        attempts_max=attempts_max,
        bounds=bounds or Bounds(),
        grace=dt.timedelta(seconds=3),
    )


async def deliveries(database: Database, workspace_id: UUID) -> list[dict[str, Any]]:
    """How far each delivery of a workspace is, in the order of their making."""
    return await make.rows(
        database,
        "SELECT d.id, d.fact_id, d.endpoint_id, d.status, d.attempts, d.next_at, d.finished_at, e.url "
        "FROM webhook_delivery d JOIN webhook_endpoint e ON e.workspace_id = d.workspace_id AND e.id = d.endpoint_id "
        "WHERE d.workspace_id = %s ORDER BY d.created_at, d.id",
        workspace_id,
    )


async def attempts(database: Database, workspace_id: UUID) -> list[dict[str, Any]]:
    """The log of a workspace's attempts, in order."""
    return await make.rows(
        database, "SELECT * FROM webhook_attempt WHERE workspace_id = %s ORDER BY delivery_id, number", workspace_id
    )
