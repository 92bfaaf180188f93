"""Amounts and days as banks write them."""

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import Final, NoReturn

from tallystick.kernel.currencies import exponent
from tallystick.kernel.errors import TallystickError

_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")
_LARGEST: Final = 10**15


def minor_units(text: str, currency: str, place: str) -> int:
    """`99.00` in minor units of `currency`. Raises `invalidStatement` for what is no amount of it."""
    if not _CURRENCY.fullmatch(currency):
        refuse(f"{currency[:20]!r} is no currency", place)
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        refuse(f"{text[:40]!r} is no amount", place)
    if not value.is_finite() or abs(value) >= _LARGEST:
        refuse(f"{text[:40]!r} is no amount", place)
    minor = value.scaleb(exponent(currency))
    if minor != minor.to_integral_value():
        refuse(f"{text[:40]!r} has more decimals than {currency.upper()} has", place)
    return int(minor)


def day(text: str, place: str, pattern: str | None = None) -> dt.date:
    """A day, of an instant its first ten characters; by a pattern of `strptime` where one is given."""
    try:
        if pattern is not None:
            return dt.datetime.strptime(text.strip(), pattern).replace(tzinfo=dt.UTC).date()
        return dt.date.fromisoformat(text.strip()[:10])
    except ValueError:
        refuse(f"{text[:40]!r} is no day", place)


def tidy(text: str, longest: int = 1_000) -> str:
    """One line without control characters, as long as we keep."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:longest]


def refuse(what: str, place: str) -> NoReturn:
    """Nothing of a file is imported when a part of it can't be read."""
    raise TallystickError("invalidStatement", f"{what}, at {place}.", place=place)
