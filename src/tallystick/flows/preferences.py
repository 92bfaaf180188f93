"""What a member wants mails about: their own to say."""

import datetime as dt
from collections.abc import Mapping
from uuid import UUID

from tallystick.domain.identity.rights import forbidden
from tallystick.domain.telling.facts import Topic
from tallystick.store import mails, members
from tallystick.store.database import Connection, Database


async def put(
    database: Database, wanted: Mapping[Topic, bool], *, workspace_id: UUID, person_id: UUID, now: dt.datetime
) -> None:
    """Keep whether a member wants mails about these topics; about others it stays. Raises `forbidden`."""

    async def work(conn: Connection) -> None:
        if await members.find(conn, workspace_id, person_id) is None:
            raise forbidden()
        for topic in sorted(wanted):
            await mails.put_preference(conn, workspace_id, person_id, topic, mail=wanted[topic], now=now)

    await database.run(work)
