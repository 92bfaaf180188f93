"""Times as other programs write them, as instants in UTC with six decimals.

More than six decimals are cut, never rounded: no event moves into the next second, hour, day or billing period.
"""

import datetime as dt
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

UNITS: Final = {"s": Decimal(1_000_000), "ms": Decimal(1_000), "us": Decimal(1), "ns": Decimal("0.001")}
"""Microseconds in one unit of a number that stands for a time."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_ISO: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<clock>\d\d:\d\d(?::\d\d)?)(?:[.,](?P<fraction>\d+))?)?"
    r"\s?(?P<zone>Z|z|UTC|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Clockwork:
    """How times are to be read: numbers count `unit`s from `base`; text without a zone is in `zone`.

    In the hour that a zone lives through twice the first pass is meant.
    """

    unit: str = "s"
    base: dt.datetime = _EPOCH
    zone: str = "UTC"

    def read(self, value: Any) -> dt.datetime:
        """The instant, in UTC. ValueError, with a sentence, for what is no time."""
        if isinstance(value, str):
            text = value.strip()
            return self._number(Decimal(text)) if _NUMBER.fullmatch(text) else self._text(text)
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return self._number(Decimal(value))
        raise ValueError(f"{str(value)[:40]!r} is not a time")

    def _number(self, value: Decimal) -> dt.datetime:
        try:
            return self.base + dt.timedelta(microseconds=math.floor(value * UNITS[self.unit]))
        except (OverflowError, ArithmeticError, ValueError):
            raise ValueError(f"{str(value)[:40]} {self.unit} lies outside every calendar") from None

    def _text(self, text: str) -> dt.datetime:
        found = _ISO.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:40]!r} is not a time in ISO 8601, and not a number")
        try:
            moment = dt.datetime.fromisoformat(f"{found['date']}T{found['clock'] or '00:00:00'}")
            micros = int((found["fraction"] or "0")[:6].ljust(6, "0"))
            zone = found["zone"]
            return moment.replace(microsecond=micros, tzinfo=self._zone(zone)).astimezone(dt.UTC)
        except (ValueError, OverflowError):
            raise ValueError(f"{text[:40]!r} is not in any calendar") from None

    def _zone(self, text: str | None) -> dt.tzinfo:
        if text is None:
            return ZoneInfo(self.zone)
        if text in ("Z", "z", "UTC"):
            return dt.UTC
        digits = text[1:].replace(":", "").ljust(4, "0")
        offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        return dt.timezone(-offset if text[0] == "-" else offset)
