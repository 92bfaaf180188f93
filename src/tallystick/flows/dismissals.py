"""Banners put away: each person's own choice, until the next threshold or allocation (row B4)."""

import datetime as dt
from uuid import UUID

from tallystick.domain.telling.banners import Banner
from tallystick.kernel.errors import TallystickError
from tallystick.store import dismissals
from tallystick.store.database import Connection, Database


async def dismiss(database: Database, banner: Banner, *, workspace_id: UUID, person_id: UUID, now: dt.datetime) -> None:
    """Put one of the current banners away; put away before, it stays so. Raises `bannerNotRemovable`."""
    if not banner.is_removable:
        raise TallystickError(
            "bannerNotRemovable", "This banner goes when what it tells has been seen to.", id=banner.id
        )

    async def work(conn: Connection) -> None:
        await dismissals.dismiss(conn, workspace_id, person_id, banner.id, now)

    await database.run(work)
