"""The banners of a workspace as they are true now, and which of them somebody put away."""

import datetime as dt
from uuid import UUID

from tallystick.domain.credits.balances import used_hundredths
from tallystick.domain.credits.thresholds import reached
from tallystick.domain.credits.told import UNIT_NAMES
from tallystick.domain.deployments.deployment import OUT_OF_CREDITS
from tallystick.domain.telling import banners as domain
from tallystick.domain.telling.banners import Banner, Gauge, Scene, Support
from tallystick.kernel.errors import TallystickError
from tallystick.store import limits
from tallystick.store.database import Connection, Database, Row, together
from tallystick.store.named_sql import load

SQL = load(__file__)


async def banners(
    database: Database, workspace_id: UUID, person_id: UUID, *, support: Support, now: dt.datetime
) -> list[Banner]:
    """Those that this person did not put away, as of the last booking: settle what is due first (flows/due.py).

    Raises `workspaceNotFound`.
    """
    async with database.read(workspace_id) as conn:
        found = await _current(conn, workspace_id, support=support, now=now)
        given = {"workspace_id": workspace_id, "person_id": person_id}
        away = await (await conn.execute(SQL["dismissals"], given)).fetchall()
    return domain.still_shown(found, [row["banner"] for row in away])


async def everything(database: Database, workspace_id: UUID, *, support: Support, now: dt.datetime) -> list[Banner]:
    """All of them, also those that were put away. Raises `workspaceNotFound`."""
    async with database.read(workspace_id) as conn:
        return await _current(conn, workspace_id, support=support, now=now)


async def _current(conn: Connection, workspace_id: UUID, *, support: Support, now: dt.datetime) -> list[Banner]:
    given = {"workspace_id": workspace_id}
    gauges, scenes, expired, bounds = await together(
        conn,
        (SQL["gauges"], given),
        (SQL["scene"], given | {"out_of_credits": OUT_OF_CREDITS}),
        (SQL["expired_free"], given),
        limits.question(workspace_id),
    )
    if not scenes:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    [row] = scenes
    ended = {one["unit"]: one for one in expired}
    scene = Scene(
        gauges=[_gauge(gauge, ended.get(gauge["unit"])) for gauge in gauges],
        status=row["status"] or "",
        period_end=row["period_end"],
        running=row["running"],
        stopped=row["stopped"],
        negative_limit=limits.limits_of(bounds).negative_limit,
        zone=row["zone"],
    )
    return domain.banners(scene, support, now)


def _gauge(row: Row, expired: Row | None) -> Gauge:
    posted, allocation = row["posted"], row["allocation"]
    return Gauge(
        unit=UNIT_NAMES[row["unit"]],
        posted=posted,
        allocation=allocation,
        allocation_no=row["allocation_no"],
        reached=reached(posted, allocation),
        used_hundredths=used_hundredths(max(posted, 0), allocation),
        expired=expired["expired"] if expired else None,
        expired_at=expired["expired_at"] if expired else None,
    )
