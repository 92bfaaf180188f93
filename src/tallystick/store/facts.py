"""Facts, written in the transaction that caused them; what is done about them later stands beside their mails."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from tallystick.domain.telling.facts import Fact
from tallystick.store.database import Connection, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
# Amounts keep all their digits: jsonb stores numbers as they are written.
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_decode: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


async def record(conn: Connection, facts: Sequence[Fact], now: dt.datetime) -> None:
    """Write facts; one whose id is there already is not written again."""
    if facts:
        await conn.execute(SQL["record"], {"rows": _encode(facts).decode(), "now": now})


async def lock_waiting(conn: Connection, most: int) -> list[Fact]:
    """The oldest facts of which no mails and deliveries were made yet, locked; others may have others."""
    rows = await (await conn.execute(SQL["lock_waiting"], {"limit": most})).fetchall()
    return [fact_of(row) for row in rows]


async def fanned(conn: Connection, facts: Sequence[Fact], now: dt.datetime) -> None:
    """Their mails and deliveries are made."""
    given = {"workspace_ids": [fact.workspace_id for fact in facts], "ids": [fact.id for fact in facts]}
    await conn.execute(SQL["fanned"], given | {"now": now})


def fact_of(row: Row) -> Fact:
    """The fact of a row, whose `data` is text; amounts in it keep all their digits."""
    return Fact(row["workspace_id"], row["id"], row["kind"], row["at"], _decode(row["data"]))
