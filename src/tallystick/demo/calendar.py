"""When the demo is busy: office hours, weekdays, holidays from work, and a year of growth told in ninety days."""

import datetime as dt
from collections.abc import Iterator
from random import Random
from typing import Final

DAYS: Final = 90
HOUR: Final = dt.timedelta(hours=1)

_HOURS: Final = (2, 1, 1, 1, 2, 3, 6, 12, 22, 30, 34, 33, 26, 29, 33, 32, 27, 20, 13, 9, 7, 5, 4, 3)
"""How busy each hour of a UTC day is, against the others."""

_WEEKDAYS: Final = (100, 108, 106, 103, 92, 30, 24)
_AFTER_GROWTH: Final = 190
"""The last day of the range against the first, in percent."""


def current_period_start(end: dt.datetime) -> dt.datetime:
    """Where the billing period that holds `end` begins: twenty days earlier, or up to twenty-three.

    Its day of the month is at most the 28th, so that every month has it and periods keep their anchor.
    """
    start = end - dt.timedelta(days=20)
    while start.day > 28:
        start -= dt.timedelta(days=1)
    return start


def spread(seed: str, start: dt.datetime, until: dt.datetime, total: int) -> Iterator[tuple[dt.datetime, int]]:
    """`total` things over the hours of `[start, until)`, in order: each hour's start and how many fall into it."""
    hours = int((until - start) / HOUR)
    weights = [_weight(seed, start + n * HOUR, start) for n in range(hours)]
    whole = sum(weights)
    reached = passed = 0
    for n, weight in enumerate(weights):
        passed += weight
        upto = total * passed // whole
        yield start + n * HOUR, upto - reached
        reached = upto


def _weight(seed: str, hour: dt.datetime, start: dt.datetime) -> int:
    mood = Random(f"{seed} {hour.date()}").randrange(85, 116)  # noqa: S311 - a story, not a secret
    age = (hour - start) // HOUR
    growth = 100 * DAYS * 24 + (_AFTER_GROWTH - 100) * age
    return _HOURS[hour.hour] * _WEEKDAYS[hour.weekday()] * mood * growth
