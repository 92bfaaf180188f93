"""Figures as people read them, in mails and banners; exact ones stand beside them where they matter."""

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

from tallystick.kernel.credits import NANO, divide_half_even, format_credits
from tallystick.kernel.currencies import decimal_text

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MINUS: Final = "−"
_SIGNS: Final = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹"}


def amount(nano: int) -> str:
    """Nano-units as `75`, `212.16`, `12,899.5` or `−3.20`: two decimals, one from 1,000 on, four below 1.

    Half to even from the exact amount; one that is not zero never shows as 0 but with all its digits.
    """
    size = abs(nano)
    sign = _MINUS if nano < 0 else ""
    if size % NANO == 0:
        return f"{sign}{size // NANO:,}"
    places = 1 if size >= 1_000 * NANO else 2 if size >= NANO else 4
    scale = 10**places
    rounded = divide_half_even(size * scale, NANO)
    if not rounded:
        return f"{sign}{format_credits(size)}"
    whole, part = divmod(rounded, scale)
    return f"{sign}{whole:,}.{part:0{places}d}"


def exact(nano: int) -> str | None:
    """All the digits, where `amount` leaves some out; None where it does not."""
    digits = format_credits(abs(nano))
    shown = amount(nano).removeprefix(_MINUS).replace(",", "")
    same = shown.rstrip("0").rstrip(".") == digits if "." in shown else shown == digits
    return None if same else f"{_MINUS if nano < 0 else ''}{digits}"


def percent(hundredths: int) -> str:
    """Hundredths of a percent as `70.72%`; 0 and 100 are whole."""
    return f"{hundredths // 100}%" if hundredths in (0, 10_000) else f"{hundredths // 100}.{hundredths % 100:02d}%"


def moment(at: dt.datetime, zone: str = "UTC") -> str:
    """An instant in a zone, to the minute, as `14 Mar 2026, 09:41 UTC`."""
    local = at.astimezone(ZoneInfo(zone))
    named = local.tzname() or zone
    # Zones without letters call themselves by their offset.
    shown = f"UTC{named}" if named[:1] in "+-" else named
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M} {shown}"


def money(minor: int, currency: str) -> str:
    """Minor units as `$1,299.00`, `¥1,200`, `−$12.00`, or `CHF 99.00` where a currency's sign is not everybody's."""
    whole, _, part = decimal_text(abs(minor), currency).partition(".")
    digits = f"{int(whole):,}{'.' if part else ''}{part}"
    sign = _SIGNS.get(currency.lower(), f"{currency.upper()} ")
    return f"{_MINUS if minor < 0 else ''}{sign}{digits}"


def date(at: dt.datetime, zone: str) -> str:
    """The day of an instant in a workspace's zone, as `14 Mar 2026`."""
    local = day(at, zone)
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"


def day(at: dt.datetime, zone: str) -> dt.date:
    """The calendar day of an instant in a workspace's zone (rule M29)."""
    return at.astimezone(ZoneInfo(zone)).date()
