"""Mails are sent: at least once, each with the same Message-ID, until a server takes it or it is dead (bar R6).

Taking one moves its next turn ahead and counts the attempt, in one transaction; it is sent outside of any; what became
of it is another. Whoever is killed in between leaves it to the next who looks once its turn has come.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from tallystick.domain.telling.mails import Mail, mail_not_found, pause_after
from tallystick.gateways.mail import MAIL_SECONDS, NotSentError, Post
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import audit, mails
from tallystick.store.database import Connection, Database

MAILS_AT_ONCE: Final = 5
"""Mails that one turn takes, at most; each has a connection of its own, and no mail waits for another's answer."""

LEASE: Final = dt.timedelta(seconds=2 * MAIL_SECONDS)
"""Until when nobody else takes a mail that is being sent: twice what that may take."""


async def take(database: Database, *, attempts_max: int, now: dt.datetime) -> list[Mail]:
    """Mails to send now, at most `MAILS_AT_ONCE`, as they were before this attempt; nobody else gets them for `LEASE`.

    One whose last attempt never ended, because whoever made it is gone, is dead.
    """

    async def work(conn: Connection) -> list[Mail]:
        due = await mails.lock_due(conn, now, MAILS_AT_ONCE)
        await mails.give_up(conn, [mail for mail in due if mail.attempts >= attempts_max])
        taken = [mail for mail in due if mail.attempts < attempts_max]
        await mails.lease(conn, taken, now + LEASE)
        return taken

    return await database.run(work)


async def send_taken(
    database: Database,
    taken: Sequence[Mail],
    post: Post,
    *,
    attempts_max: int,
    jitter: Callable[[], int],
    clock: Callable[[], dt.datetime],
) -> int:
    """Send what `take` gave and record what became of each; how many were sent.

    `jitter` draws from 0 to 1,000. `clock` says when each has ended, which may be minutes after it was taken.
    """

    async def one(mail: Mail) -> bool:
        try:
            await post.send(mail)
        except NotSentError as error:
            await failed(database, mail, error, attempts_max=attempts_max, jitter=jitter(), now=clock())
            return False
        await sent(database, mail, now=clock())
        return True

    # All of them end, whatever happens to one: to be cut off while a server takes a mail would send it twice.
    outcomes = await asyncio.gather(*map(one, taken), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return sum(outcome is True for outcome in outcomes)


async def sent(database: Database, mail: Mail, *, now: dt.datetime) -> None:
    """A server has taken it."""

    async def work(conn: Connection) -> None:
        await mails.sent(conn, mail, now)

    await database.run(work)


async def failed(
    database: Database, mail: Mail, error: NotSentError, *, attempts_max: int, jitter: int, now: dt.datetime
) -> None:
    """The attempt after `mail.attempts` failed: it waits for the next, or is dead."""
    attempts = mail.attempts + 1

    async def work(conn: Connection) -> None:
        await mails.failed(
            conn,
            mail,
            error=error.why,
            attempts=attempts,
            next_at=now + pause_after(attempts, jitter),
            is_dead=error.is_final or attempts >= attempts_max,
        )

    await database.run(work)


async def keep(database: Database, *, now: dt.datetime) -> int:
    """Where no SMTP server is named: mails that wait are kept for reading; how many there were."""

    async def work(conn: Connection) -> int:
        due = await mails.lock_due(conn, now, MAILS_AT_ONCE)
        await mails.keep(conn, due)
        return len(due)

    return await database.run(work)


async def retry(
    database: Database,
    mail_id: UUID,
    *,
    workspace_id: UUID | None,
    can_send: bool,
    now: dt.datetime,
    ids: Ids,
    actor: str,
) -> Mail:
    """Let a dead or kept mail be sent as if it had never been tried; one that waits is due at once.

    Raises `mailNotFound`, `mailAlreadySent`, and `mailServerMissing` unless `can_send`.
    """

    async def work(conn: Connection) -> Mail:
        mail = await mails.lock_one(conn, mail_id, workspace_id)
        if mail is None:
            raise mail_not_found(mail_id)
        if mail.status == "sent":
            raise TallystickError("mailAlreadySent", "This mail was sent.", uuid=str(mail_id))
        if not can_send:
            raise TallystickError("mailServerMissing", "No SMTP server is named: set TALLY_SMTP_URL first.")
        await mails.queue_again(conn, mail, now)
        await audit.record(
            conn,
            "mail.retried",
            workspace_id=mail.workspace_id,
            actor=actor,
            now=now,
            ids=ids,
            mail=str(mail_id),
            status=mail.status,
        )
        again = await mails.lock_one(conn, mail_id, mail.workspace_id)
        if again is None:
            raise mail_not_found(mail_id)
        return again

    return await database.run(work)
