"""When a card on file ends, and when its owner is told of it."""

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

from tallystick.domain.billing.accounts import Method

NOTICE: Final = dt.timedelta(days=30)
"""How long before it ends that a card's owner is told."""


def ends_at(method: Method | None, zone: str) -> dt.datetime | None:
    """The first instant at which a card is good no longer: the end of its month in the workspace's zone, as UTC."""
    if method is None or method.exp_year is None or method.exp_month is None:
        return None
    # Cards of some brands have years beyond all calendars.
    if not (1 <= method.exp_month <= 12 and 2000 <= method.exp_year <= 9998):
        return None
    year, month = divmod(method.exp_year * 12 + method.exp_month, 12)
    return dt.datetime(year, month + 1, 1, tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)


def is_ending(method: Method | None, zone: str, now: dt.datetime) -> bool:
    """Whether it ends within `NOTICE`, or has."""
    end = ends_at(method, zone)
    return end is not None and end - NOTICE <= now


def named(method: Method) -> str:
    """A method as part of a sentence: `Visa card ending in 4242`."""
    brand = f"{method.brand.replace('_', ' ').title()} " if method.brand else ""
    return f"{brand}{'bank account' if method.kind == 'bank' else 'card'} ending in {method.last4}"
