"""Identifiers. Layers below the surfaces take an `Ids`; only this module asks the machine for randomness."""

import datetime as dt
import secrets
from collections.abc import Iterable
from typing import Protocol
from uuid import UUID, SafeUUID

_TOKEN_BYTES = 32
_ID_BYTES = 10
_ID_MASK = (1 << 74) - 1
_DRAWN_AT_ONCE = 256


class Ids(Protocol):
    def new(self, now: dt.datetime) -> UUID:
        """A UUIDv7 whose first 48 bits are `now` in milliseconds: sortable by time of creation."""
        ...

    def secret(self) -> str:
        """256 random bits as URL-safe text."""
        ...


def uuid7(now: dt.datetime, randomness: int) -> UUID:
    """The UUIDv7 (RFC 9562) of an instant and 74 bits of `randomness`."""
    milliseconds = int(now.timestamp() * 1000) & ((1 << 48) - 1)
    random_a = (randomness >> 62) & 0xFFF
    random_b = randomness & ((1 << 62) - 1)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (random_a << 64) | (0b10 << 62) | random_b)


def uuid_of(number: int) -> UUID:
    """The UUID of a number of at most 128 bits; unlike `UUID(int=…)` it checks nothing, which takes a third as long."""
    made = object.__new__(UUID)
    object.__setattr__(made, "int", number)
    object.__setattr__(made, "is_safe", SafeUUID.unknown)
    return made


def distinct(ids: Iterable[UUID]) -> list[UUID]:
    """Each of them once. A UUID hashes and compares in Python, its number does not."""
    return list({one.int: one for one in ids}.values())


class SystemIds:
    def new(self, now: dt.datetime) -> UUID:
        return uuid7(now, secrets.randbits(74))

    def secret(self) -> str:
        return secrets.token_urlsafe(_TOKEN_BYTES)


class ServerIds(SystemIds):
    """Draws the randomness of many ids at once: asking the machine for each takes longer than all the rest of it.

    Not for a process that forks: parent and child would draw the same ids.
    """

    def __init__(self) -> None:
        self._drawn: list[int] = []

    def new(self, now: dt.datetime) -> UUID:
        if not self._drawn:
            block = secrets.token_bytes(_ID_BYTES * _DRAWN_AT_ONCE)
            pieces = (block[place : place + _ID_BYTES] for place in range(0, len(block), _ID_BYTES))
            self._drawn = [int.from_bytes(piece, "big") & _ID_MASK for piece in pieces]
        return uuid7(now, self._drawn.pop())


class SequentialIds:
    """Predictable ids for stories with golden output. Never use it for a token that guards anything."""

    def __init__(self) -> None:
        self._next = 0

    def new(self, now: dt.datetime) -> UUID:
        self._next += 1
        return uuid7(now, self._next)

    def secret(self) -> str:
        self._next += 1
        return f"sequential-{self._next:032d}"
