"""Facts, written in the transaction that caused them; what is done about them later stands beside their mails."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from tallystick.domain.telling.facts import Fact
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)
# Amounts keep all their digits: jsonb stores numbers as they are written.
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


async def record(conn: Connection, facts: Sequence[Fact], now: dt.datetime) -> None:
    """Write facts; one whose id is there already is not written again."""
    if facts:
        await conn.execute(SQL["record"], {"rows": _encode(facts).decode(), "now": now})
