"""What was told: a workspace's facts, the outbox, and what a member wants mails about."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final
from uuid import UUID

from tallystick.domain.telling.facts import Topic
from tallystick.domain.telling.mails import TOPICS, Mail, mail_not_found
from tallystick.store.database import Database
from tallystick.store.named_sql import load

SQL = load(__file__)
_MAIL_FIELDS: Final = tuple(field.name for field in fields(Mail))


@dataclass(frozen=True, slots=True)
class ShownFact:
    """A fact as it is stored: `data` is JSON text with all the digits of its amounts."""

    id: UUID
    kind: str
    at: dt.datetime
    data: str
    created_at: dt.datetime
    fanned_at: dt.datetime | None


async def facts(
    database: Database,
    workspace_id: UUID,
    *,
    kind: str | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    limit: int,
    offset: int,
) -> list[ShownFact]:
    """A page of the facts in [start, end), newest first."""
    given = {
        "workspace_id": workspace_id,
        "kind": kind,
        "start": start,
        "end": end,
        "limit": limit,
        "offset": offset,
    }
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(SQL["facts"], given)).fetchall()
    return [
        ShownFact(row["id"], row["kind"], row["at"], row["data"], row["created_at"], row["fanned_at"]) for row in rows
    ]


async def mails(
    database: Database, *, workspace_id: UUID | None, status: str | None, kind: str | None, limit: int, offset: int
) -> list[Mail]:
    """A page of the outbox, newest first, with empty parts; of every workspace where none is named."""
    given = {"workspace_id": workspace_id, "status": status, "kind": kind, "limit": limit, "offset": offset}
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(SQL["mails"], given)).fetchall()
    return [Mail(**{name: row[name] for name in _MAIL_FIELDS}) for row in rows]


async def mail(database: Database, mail_id: UUID, *, workspace_id: UUID | None) -> Mail:
    """One mail, whole. Raises `mailNotFound`, also for one of another workspace."""
    async with database.read(workspace_id) as conn:
        cursor = await conn.execute(SQL["mail"], {"id": mail_id, "workspace_id": workspace_id})
        row = await cursor.fetchone()
    if row is None:
        raise mail_not_found(mail_id)
    return Mail(**{name: row[name] for name in _MAIL_FIELDS})


async def preferences(database: Database, workspace_id: UUID, person_id: UUID) -> Mapping[Topic, bool]:
    """Whether a member wants mails about each topic; they do unless they said otherwise."""
    given = {"workspace_id": workspace_id, "person_id": person_id}
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(SQL["preferences"], given)).fetchall()
    said = {row["topic"]: row["mail"] for row in rows}
    return {topic: said.get(topic, True) for topic in TOPICS}
