"""Half-open periods `[start, end)` on a calendar: the anchor's day and time are kept, clipped to short months."""

import calendar
import datetime as dt
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

MONTHS: Final = {"monthly": 1, "quarterly": 3, "semi_annual": 6, "annual": 12}
"""Length of a billing period by cadence."""


@dataclass(frozen=True, slots=True)
class Period:
    start: dt.datetime
    end: dt.datetime

    def __contains__(self, instant: dt.datetime) -> bool:
        return self.start <= instant < self.end


def boundary(anchor: dt.datetime, months: int, zone: str) -> dt.datetime:
    """The anchor moved by whole months in its zone, as UTC (rule M29): 31 January + 1 month is the last of February."""
    local = anchor.astimezone(ZoneInfo(zone))
    years, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, calendar.monthrange(years, month + 1)[1])
    return local.replace(year=years, month=month + 1, day=day).astimezone(dt.UTC)


def period_of(anchor: dt.datetime, cadence: str, zone: str, instant: dt.datetime) -> Period:
    """The billing period that holds `instant`; before the anchor the calendar runs backwards just as regularly.

    Raises KeyError for a cadence without a calendar (`one_time`, `custom`).
    """
    step = MONTHS[cadence]
    here = instant.astimezone(ZoneInfo(zone))
    there = anchor.astimezone(ZoneInfo(zone))
    number = ((here.year - there.year) * 12 + here.month - there.month) // step
    while boundary(anchor, number * step, zone) > instant:
        number -= 1
    while boundary(anchor, (number + 1) * step, zone) <= instant:
        number += 1
    return Period(boundary(anchor, number * step, zone), boundary(anchor, (number + 1) * step, zone))
