"""Mails on their way: made with their fact, taken by whoever sends them, and what became of each attempt."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final
from uuid import UUID

import msgspec

from tallystick.domain.telling.facts import Topic
from tallystick.domain.telling.letters import Account
from tallystick.domain.telling.mails import CREDITS, TOOL_RUNS, Mail, Recipient
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_FIELDS: Final = tuple(field.name for field in fields(Mail))
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class House:
    """A workspace as letters show it."""

    name: str
    zone: str
    credits: Account
    tool_runs: Account


async def recipients(conn: Connection, workspace_ids: Sequence[UUID]) -> Mapping[UUID, list[Recipient]]:
    """Owners and admins of these workspaces, oldest membership first, with what they want no mails about."""
    cursor = await conn.execute(SQL["recipients"], {"workspace_ids": list(workspace_ids)})
    found: dict[UUID, list[Recipient]] = {}
    for row in await cursor.fetchall():
        one = Recipient(row["person_id"], row["email"], row["first_name"], row["role"], frozenset(row["muted"]))
        found.setdefault(row["workspace_id"], []).append(one)
    return found


async def houses(conn: Connection, workspace_ids: Sequence[UUID]) -> Mapping[UUID, House]:
    """Names, zones and balances of these workspaces, as of their last booking."""
    rows = await (await conn.execute(SQL["accounts"], {"workspace_ids": list(workspace_ids)})).fetchall()
    found: dict[UUID, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["workspace_id"], {})[row["unit"]] = row
    made: dict[UUID, House] = {}
    for workspace_id, pair in found.items():
        accounts = {unit: Account(row["posted"], row["allocation"]) for unit, row in pair.items()}
        one = next(iter(pair.values()))
        none = Account(0, 0)
        made[workspace_id] = House(one["name"], one["zone"], accounts.get(CREDITS, none), accounts.get(TOOL_RUNS, none))
    return made


async def told_already(conn: Connection, asked: Sequence[tuple[UUID, UUID, str]]) -> set[tuple[UUID, UUID, str]]:
    """Those of (workspace, person, dedup) that have a mail."""
    given = {
        "workspace_ids": [one[0] for one in asked],
        "person_ids": [one[1] for one in asked],
        "dedups": [one[2] for one in asked],
    }
    rows = await (await conn.execute(SQL["told_already"], given)).fetchall()
    return {(row["workspace_id"], row["person_id"], row["dedup"]) for row in rows}


async def add(conn: Connection, made: Sequence[Mail], now: dt.datetime) -> None:
    """Add mails that are due `now`; one that is there already, or another about the same on that day, is not added."""
    if made:
        rows = _encode([asdict(mail) for mail in made]).decode()
        await conn.execute(SQL["add"], {"rows": rows, "now": now})


async def lock_due(conn: Connection, now: dt.datetime, most: int) -> list[Mail]:
    """The mails that wait longest to be sent, locked; others may have others."""
    rows = await (await conn.execute(SQL["lock_due"], {"now": now, "limit": most})).fetchall()
    return [mail_of(row) for row in rows]


async def lock_one(conn: Connection, mail_id: UUID, workspace_id: UUID | None) -> Mail | None:
    """One mail, locked; of any workspace where none is named."""
    given = {"id": mail_id, "workspace_id": workspace_id}
    row = await (await conn.execute(SQL["lock_one"], given)).fetchone()
    return mail_of(row) if row else None


async def lease(conn: Connection, taken: Sequence[Mail], until: dt.datetime) -> None:
    """Nobody else takes these before `until`, and their attempt is counted."""
    if taken:
        await conn.execute(SQL["lease"], _keys(taken) | {"until": until})


async def give_up(conn: Connection, spent: Sequence[Mail]) -> None:
    """These had all their attempts, the last of which never ended."""
    if spent:
        await conn.execute(SQL["give_up"], _keys(spent))


async def keep(conn: Connection, mails: Sequence[Mail]) -> None:
    """These are for reading in the outbox."""
    if mails:
        await conn.execute(SQL["keep"], _keys(mails))


async def sent(conn: Connection, mail: Mail, now: dt.datetime) -> None:
    """A server has taken it."""
    await conn.execute(SQL["sent"], {"workspace_id": mail.workspace_id, "id": mail.id, "now": now})


async def failed(
    conn: Connection, mail: Mail, *, error: str, attempts: int, next_at: dt.datetime, is_dead: bool
) -> None:
    """Attempt number `attempts` failed; it is tried again at `next_at`, or given up."""
    given = {
        "workspace_id": mail.workspace_id,
        "id": mail.id,
        "status": "dead" if is_dead else "queued",
        "error": error,
        "next_at": next_at,
        "attempts": attempts,
    }
    await conn.execute(SQL["failed"], given)


async def queue_again(conn: Connection, mail: Mail, now: dt.datetime) -> None:
    """Let it be sent as if it had never been tried."""
    await conn.execute(SQL["queue_again"], {"workspace_id": mail.workspace_id, "id": mail.id, "now": now})


async def put_preference(
    conn: Connection, workspace_id: UUID, person_id: UUID, topic: Topic, *, mail: bool, now: dt.datetime
) -> None:
    """Whether a member wants mails about a topic."""
    given = {"workspace_id": workspace_id, "person_id": person_id, "topic": topic, "mail": mail, "now": now}
    await conn.execute(SQL["put_preference"], given)


def mail_of(row: Row) -> Mail:
    """The mail of a row."""
    return Mail(**{name: row[name] for name in _FIELDS})


def _keys(mails: Sequence[Mail]) -> dict[str, list[UUID]]:
    return {"workspace_ids": [mail.workspace_id for mail in mails], "ids": [mail.id for mail in mails]}
