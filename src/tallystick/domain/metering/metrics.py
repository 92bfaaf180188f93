"""Usage metrics: which range, unit, filters and grouping may be asked for, and how totals become a day's items.

A day is a UTC day (rule M29). Counts are integers of 10⁻⁹ of their unit, whichever unit that is, so that no digit of a
sum is lost.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, NamedTuple
from uuid import UUID

from tallystick.domain.texts import as_uuid
from tallystick.kernel.credits import NANO
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


class Item(NamedTuple):
    """`amount` in 10⁻⁹ of the unit; `group` is None when not grouped, or not attributable to the dimension."""

    slug: str
    amount: int
    group: str | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """One entry for every day of the range, ascending; `total` is that of the chosen unit, credits when none is."""

    days: tuple[tuple[dt.date, list[Item]], ...]
    total: int


class Series(NamedTuple):
    """What is stored of one slug and group: parallel lists, a place for each total of each day.

    `days` count from the first of the range, `credits` are nano-credits. `own_slug` is that of what is counted beside
    credits, in `quantities`: `insert` for records, the status for executions; None for everything else.
    """

    slug: str
    own_slug: str | None
    group: str | None
    days: Sequence[int]
    events: Sequence[int]
    quantities: Sequence[Decimal | None]
    credits: Sequence[int]


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


def metrics_of(series: Iterable[Series], days: Range, *, unit: Unit | None, slug: str | None) -> Metrics:
    """The items of each day: one per slug and group, in that order, those without a group last.

    A total of nothing makes no item, but something that happened at no cost does (rules M4, M6): its count is 0.
    """
    columns: dict[tuple[str, str | None], dict[int, int]] = {}
    with_credits = unit is None or unit == CREDITS
    debited = counted = 0
    for shown, own, group, places, events, quantities, credited in series:
        if with_credits and slug in (None, shown):
            column = columns.setdefault((shown, group), {})
            for day, happened, credit in zip(places, events, credited, strict=True):
                if happened or credit:
                    column[day] = column.get(day, 0) + credit
            debited += sum(credited)
        if own is not None and slug in (None, own) and unit in (None, RECORDS if own == INSERT else EXECUTIONS):
            column = columns.setdefault((own, group), {})
            for day, happened, quantity in zip(places, events, quantities, strict=True):
                count = nano(quantity)
                if happened or count:
                    column[day] = column.get(day, 0) + count
                    counted += count
    # Sorted once, not once a day: the days then find their items in order.
    items: list[list[Item]] = [[] for _ in days.days()]
    for (shown, group), column in sorted(columns.items(), key=_in_order):
        for day, count in column.items():
            items[day].append(Item(shown, count, group))
    return Metrics(tuple(zip(days.days(), items, strict=True)), debited if with_credits else counted)


def _in_order(entry: tuple[tuple[str, str | None], object]) -> tuple[str, bool, str]:
    (shown, group), _ = entry
    return shown, group is None, group or ""


def nano(quantity: Decimal | None) -> int:
    """A quantity, which has at most nine decimals, in 10⁻⁹; exact however large it is."""
    numerator, denominator = (quantity or Decimal(0)).as_integer_ratio()
    return numerator * NANO // denominator


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
