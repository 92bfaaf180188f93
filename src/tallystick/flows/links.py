"""Links to our own pages that need no login: signed, for one purpose and one workspace, good for some minutes.

Whoever holds a link may do what its page offers until it expires, so it is made only for somebody who may do that, and
lives no longer than it has to. The signature covers everything that it says, and is checked before anything is read.
"""

import base64
import binascii
import datetime as dt
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID

import msgspec

from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store import signing
from tallystick.store.database import Connection, Database

LONGEST: Final = 1_000
"""Characters of a link's text; a longer one is not ours."""

_PREFIX: Final = b"tally-link-1\0"


class _Content(msgspec.Struct, array_like=True, frozen=True):
    key: UUID
    purpose: str
    workspace_id: UUID
    expires: int
    subject: str


@dataclass(frozen=True, slots=True)
class Link:
    """What a checked link stands for; `subject` is what its maker wanted kept, such as an invoice's id."""

    purpose: str
    workspace_id: UUID
    expires_at: dt.datetime
    subject: str = ""


async def sign(database: Database, link: Link, *, now: dt.datetime, ids: Ids) -> str:
    """The text of a link, of letters, digits, `-`, `_` and one dot: it fits into a path. `now` is the machine's time.

    The key is made when the first link is.
    """
    return (await sign_all(database, [link], now=now, ids=ids))[0]


async def sign_all(database: Database, wanted: Sequence[Link], *, now: dt.datetime, ids: Ids) -> list[str]:
    """The text of each of these links, in their order."""

    async def work(conn: Connection) -> dict[UUID, bytes]:
        known = await signing.keys(conn)
        if not known:
            # Two processes may each make their first: both check.
            await signing.insert(conn, ids.new(now), ids.secret().encode(), now)
            known = await signing.keys(conn)
        return known

    key_id, secret = next(iter((await database.run(work, admin=True)).items()))
    texts = []
    for link in wanted:
        expires = int(link.expires_at.timestamp())
        content = msgspec.msgpack.encode(_Content(key_id, link.purpose, link.workspace_id, expires, link.subject))
        texts.append(f"{_text(content)}.{_text(_mac(secret, content))}")
    return texts


async def check(database: Database, text: str, purpose: str, *, now: dt.datetime) -> Link:
    """What a link stands for. Raises `invalidLink` unless it is one of ours for this purpose, `linkExpired` after its
    time. `now` is the machine's."""
    if len(text) > LONGEST:
        raise _invalid()
    content, mac = (_bytes(part) for part in _halves(text))
    async with database.admin() as conn:
        known = await signing.keys(conn)
    # All keys, whichever the link names: nothing of it is read before it is known to be ours.
    if not any(hmac.compare_digest(_mac(secret, content), mac) for secret in known.values()):
        raise _invalid()
    try:
        found = msgspec.msgpack.decode(content, type=_Content)
    except msgspec.MsgspecError:
        raise _invalid() from None
    if found.purpose != purpose:
        raise _invalid()
    expires_at = dt.datetime.fromtimestamp(found.expires, dt.UTC)
    if expires_at <= now:
        raise TallystickError("linkExpired", "This link has expired. Ask for a new one where you got it.")
    return Link(found.purpose, found.workspace_id, expires_at, found.subject)


def _mac(secret: bytes, content: bytes) -> bytes:
    return hmac.digest(secret, _PREFIX + content, sha256)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _halves(text: str) -> tuple[str, str]:
    before, dot, after = text.partition(".")
    if not dot or not text.isascii():
        raise _invalid()
    return before, after


def _bytes(text: str) -> bytes:
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _invalid() from None
    # One text for one content: other spellings of the last bits are not ours.
    if _text(found) != text:
        raise _invalid()
    return found


def _invalid() -> TallystickError:
    return TallystickError("invalidLink", "This link is not valid. Ask for a new one where you got it.")
