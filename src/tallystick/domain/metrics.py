"""Usage metrics: which range, unit, filters and grouping may be asked for, and how totals become a day's items.

A day is a UTC day (rule M29). Counts are integers of 10⁻⁹ of their unit, whichever unit that is, so that no digit of a
sum is lost.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from tallystick.domain.texts import as_uuid
from tallystick.kernel.errors import TallystickError

Unit = Literal["billing.credits", "storage.records", "orchestration.executions"]

CREDITS: Final[Unit] = "billing.credits"
RECORDS: Final[Unit] = "storage.records"
EXECUTIONS: Final[Unit] = "orchestration.executions"

UNITS: Final[Mapping[str, Unit]] = {
    CREDITS: CREDITS,
    RECORDS: RECORDS,
    EXECUTIONS: EXECUTIONS,
    "credits": CREDITS,
}
"""What a caller may write, and the unit it names; `credits` is an alias."""

UUID_GROUPS: Final = ("workflow_uuid", "connector_uuid", "model_uuid", "agent_uuid", "user_uuid")
TEXT_GROUPS: Final = ("integration_slug", "language_model", "category")
GROUPS: Final = UUID_GROUPS + TEXT_GROUPS
"""Dimensions by which metrics can be grouped; `model_uuid` is the data table."""

INSERT: Final = "insert"
"""The slug of records written."""


@dataclass(frozen=True, slots=True)
class Range:
    """UTC days, both inclusive."""

    first: dt.date
    last: dt.date

    def days(self) -> list[dt.date]:
        return [self.first + dt.timedelta(days=n) for n in range((self.last - self.first).days + 1)]


@dataclass(frozen=True, slots=True)
class Filters:
    """Each narrows what is counted; None leaves it open. `slug` is that of an item, as shown."""

    workflow_id: UUID | None = None
    table_id: UUID | None = None
    connector_id: UUID | None = None
    agent_id: UUID | None = None
    integration: str | None = None
    slug: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """`count` in 10⁻⁹ of the unit; `group` is None when not grouped, or not attributable to the dimension."""

    slug: str
    count: int
    group: str | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """One entry for every day of the range, ascending; `total` is that of the chosen unit, credits when none is."""

    days: tuple[tuple[dt.date, tuple[Item, ...]], ...]
    total: int


@dataclass(frozen=True, slots=True)
class Total:
    """What is stored of one day: the sums of one slug, status and group. `credits` and `quantity` in 10⁻⁹."""

    day: dt.date
    slug: str
    status: str
    group: str | None
    unit: Unit
    events: int
    quantity: int
    credits: int


def parse_range(first: str | None, last: str | None, *, days_max: int) -> Range:
    """Two dates, or instants, whose UTC day counts.

    Raises `invalidDate`, `invalidRange` when they stand in the wrong order, and `rangeTooLong`.
    """
    found = Range(_day(first, "from"), _day(last, "to"))
    length = (found.last - found.first).days + 1
    if length < 1:
        raise TallystickError(
            "invalidRange", "from must not lie after to.", **{"from": str(found.first), "to": str(found.last)}
        )
    if length > days_max:
        raise TallystickError(
            "rangeTooLong", f"A range has at most {days_max} days; ask in parts.", days=length, limit=days_max
        )
    return found


def parse_unit(unit: str | None) -> Unit | None:
    """The unit that is meant; None where none is. Raises `invalidUnit`, naming the three."""
    if unit is None:
        return None
    known = UNITS.get(unit)
    if known is None:
        allowed = [CREDITS, RECORDS, EXECUTIONS]
        raise TallystickError(
            "invalidUnit", f"unit must be one of {', '.join(allowed)}.", unit=unit[:64], allowed=allowed
        )
    return known


def parse_group(group_by: str | None, *, field: str = "groupBy") -> str | None:
    """The dimension itself. Raises `invalidGroupBy`, naming those there are."""
    if group_by is not None and group_by not in GROUPS:
        raise TallystickError(
            "invalidGroupBy",
            f"{field} must be one of {', '.join(GROUPS)}.",
            groupBy=group_by[:64],
            allowed=list(GROUPS),
        )
    return group_by


def parse_uuid(text: str | None, field: str) -> UUID | None:
    """Raises `invalidUuid`, naming the field."""
    if text is None:
        return None
    value = as_uuid(text)
    if value is None:
        raise TallystickError("invalidUuid", f"{field} must be a UUID.", field=field, value=text[:64])
    return value


def metrics_of(totals: Iterable[Total], days: Range, *, unit: Unit | None, slug: str | None) -> Metrics:
    """The items of each day: one per slug and group, in that order, those without a group last.

    A total of nothing makes no item, but something that happened at no cost does (rules M4, M6): its count is 0.
    """
    counts: dict[dt.date, dict[tuple[str, str | None], int]] = {day: {} for day in days.days()}
    happened: dict[tuple[dt.date, str, str | None], bool] = {}
    debited = chosen = 0
    for total in totals:
        for kind, shown, count in _faces(total):
            if (unit is not None and kind != unit) or (slug is not None and shown != slug):
                continue
            of_day = counts[total.day]
            of_day[shown, total.group] = of_day.get((shown, total.group), 0) + count
            place = (total.day, shown, total.group)
            happened[place] = happened.get(place, False) or total.events != 0 or count != 0
            chosen += count
            debited += count if kind == CREDITS else 0
    entries = tuple(
        (
            day,
            tuple(
                Item(shown, count, group)
                for (shown, group), count in sorted(of_day.items(), key=lambda e: (e[0][0], e[0][1] is None, e[0][1]))
                if happened[day, shown, group]
            ),
        )
        for day, of_day in counts.items()
    )
    return Metrics(entries, debited if unit is None else chosen)


def _faces(total: Total) -> list[tuple[Unit, str, int]]:
    """What one total is counted as: credits always, and records or executions by their own slugs."""
    faces: list[tuple[Unit, str, int]] = [(CREDITS, total.slug, total.credits)]
    if total.unit == EXECUTIONS:
        faces.append((EXECUTIONS, total.status, total.quantity))
    elif total.unit == RECORDS:
        faces.append((RECORDS, INSERT, total.quantity))
    return faces


def _day(text: str | None, field: str) -> dt.date:
    try:
        if text is not None and len(text) == 10:
            return dt.date.fromisoformat(text)
        if text is not None and len(text) <= 40:
            instant = dt.datetime.fromisoformat(text)
            return (instant if instant.tzinfo is None else instant.astimezone(dt.UTC)).date()
    except (ValueError, OverflowError):
        pass
    raise TallystickError(
        "invalidDate", f"{field} must be a date such as 2026-03-14.", field=field, value=(text or "")[:64]
    )
