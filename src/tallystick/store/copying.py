"""Rows for a binary COPY, encoded here: a commit copies thousands, and most of their columns repeat.

What many rows share is encoded once and joined to the rest; psycopg adapts each value of each row anew, which takes
several times as long. Types as PostgreSQL receives them: a length of four bytes, then the value; −1 for NULL.
"""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from struct import Struct
from typing import Final
from uuid import UUID

from psycopg.types.numeric import DecimalBinaryDumper

from tallystick.store.database import Connection

NULL: Final = b"\xff\xff\xff\xff"
TRUE: Final = b"\0\0\0\1\1"
FALSE: Final = b"\0\0\0\1\0"
UUID_LENGTH: Final = b"\0\0\0\x10"
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_BLOCK_ROWS: Final = 512
_EPOCH: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_pack_length = Struct(">i").pack
_pack_int8 = Struct(">iq").pack
_pack_count = Struct(">h").pack
# Length; then digits of base 10,000: how many, weight of the first, sign, decimals shown.
_pack_one_digit = Struct(">ihhhhh").pack
_pack_two_digits = Struct(">ihhhhhh").pack
_dump_decimal = DecimalBinaryDumper(Decimal).dump


def columns(count: int) -> bytes:
    """How a row of so many columns begins."""
    return _pack_count(count)


def text(value: str | None) -> bytes:
    if value is None:
        return NULL
    encoded = value.encode()
    return _pack_length(len(encoded)) + encoded


def raw(value: bytes) -> bytes:
    return _pack_length(len(value)) + value


def uuid(value: UUID | None) -> bytes:
    return NULL if value is None else UUID_LENGTH + value.int.to_bytes(16, "big")


def int8(value: int | None) -> bytes:
    return NULL if value is None else _pack_int8(8, value)


def boolean(value: bool) -> bytes:
    return TRUE if value else FALSE


def microseconds(value: dt.datetime) -> int:
    """An aware instant as PostgreSQL counts it."""
    return (value - _EPOCH) // _MICROSECOND


def timestamp(value: dt.datetime) -> bytes:
    return _pack_int8(8, microseconds(value))


def numeric(value: int | Decimal | None) -> bytes:
    if type(value) is int:
        if 0 < value < 10_000:
            return _pack_one_digit(10, 1, 0, 0, 0, value)
        if 0 < value < 100_000_000:
            return _pack_two_digits(12, 2, 1, 0, 0, *divmod(value, 10_000))
    return NULL if value is None else raw(bytes(_dump_decimal(Decimal(value)) or b""))


async def copy(conn: Connection, statement: str, rows: Iterable[bytes]) -> None:
    """Run a `COPY … FROM STDIN (FORMAT BINARY)` with these encoded rows."""
    async with conn.cursor() as cursor, cursor.copy(statement.encode()) as into:
        block: list[bytes] = [_HEADER]
        for row in rows:
            block.append(row)
            if len(block) >= _BLOCK_ROWS:
                await into.write(b"".join(block))
                block.clear()
        block.append(_TRAILER)
        await into.write(b"".join(block))
