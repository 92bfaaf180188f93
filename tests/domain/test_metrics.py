"""What a usage query may ask, and how stored totals become items."""

import datetime as dt
from decimal import Decimal

import pytest

from tallystick.domain.metering.metrics import (
    GROUPS,
    Item,
    Range,
    Series,
    Unit,
    metrics_of,
    parse_group,
    parse_range,
    parse_unit,
    parse_uuid,
)
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError

DAY = dt.date(2026, 3, 14)
NEXT = dt.date(2026, 3, 15)

RANGES = [
    ("2026-03-14", "2026-03-14", 1),
    ("2026-03-14", "2026-03-15", 2),
    ("2024-02-28", "2024-03-01", 3),
    ("2026-01-01", "2027-01-01", 366),
    ("2026-03-14T23:30:00-02:00", "2026-03-15T00:00:00Z", 1),
    ("2026-03-14T00:00:00.000Z", "2026-03-15", 2),
    ("0001-01-01", "0001-01-02", 2),
    ("9999-12-30", "9999-12-31", 2),
]


@pytest.mark.parametrize(("first", "last", "days"), RANGES)
def test_both_ends_are_utc_days_and_counted(first: str, last: str, days: int) -> None:
    found = parse_range(first, last, days_max=366)
    assert len(found.days()) == days
    assert found.days()[-1] == found.last


REFUSED = [
    (None, "2026-03-14", "invalidDate"),
    ("2026-03-14", None, "invalidDate"),
    ("2026-3-14", "2026-03-14", "invalidDate"),
    ("2026-02-29", "2026-03-14", "invalidDate"),
    ("yesterday", "2026-03-14", "invalidDate"),
    ("0001-01-01T00:00:00+14:00", "2026-03-14", "invalidDate"),
    ("1" * 500, "2026-03-14", "invalidDate"),
    ("2026-03-15", "2026-03-14", "invalidRange"),
    ("2026-01-01", "2027-01-02", "rangeTooLong"),
    ("0001-01-01", "9999-12-31", "rangeTooLong"),
]


@pytest.mark.parametrize(("first", "last", "code"), REFUSED)
def test_a_wrong_range_is_refused_by_name(first: str | None, last: str | None, code: str) -> None:
    with pytest.raises(TallystickError) as refused:
        parse_range(first, last, days_max=366)
    assert refused.value.code == code


def test_a_wrong_unit_is_told_the_three_there_are() -> None:
    assert parse_unit("credits") == parse_unit("billing.credits") == "billing.credits"
    assert parse_unit(None) is None
    with pytest.raises(TallystickError) as refused:
        parse_unit("tokens")
    assert refused.value.code == "invalidUnit"
    for unit in ("billing.credits", "storage.records", "orchestration.executions"):
        assert unit in str(refused.value)


def test_groups_and_uuids_are_checked_by_name() -> None:
    assert [parse_group(name) for name in GROUPS] == list(GROUPS)
    with pytest.raises(TallystickError) as refused:
        parse_group("workflow_id")
    assert refused.value.code == "invalidGroupBy"
    with pytest.raises(TallystickError) as refused:
        parse_uuid("not-one", "workflowUuid")
    assert (refused.value.code, refused.value.details["field"]) == ("invalidUuid", "workflowUuid")


TOTALS = [
    Series("integration.openai.chat", None, "b", [0], [2], [None], [3]),
    Series("integration.openai.chat", None, None, [0], [1], [None], [5]),
    Series("integration.openai.chat", None, "a", [0], [1], [None], [0]),
    Series("native.execution", "success", "a", [0], [4], [Decimal(4)], [40_000_000]),
    Series("native.execution", "error", "a", [0], [1], [Decimal(1)], [10_000_000]),
    Series("native.storage", "insert", "a", [0], [1], [Decimal("12.000000001")], [12_000_000]),
    Series("native.storage", None, "b", [0], [1], [None], [7]),
    Series("native.direct", None, "a", [0, 1], [0, 0], [None, None], [0, -9]),
]


def items(unit: Unit | None, slug: str | None = None) -> tuple[list[Item], list[Item], int]:
    found = metrics_of(TOTALS, Range(DAY, NEXT), unit=unit, slug=slug)
    (first, of_first), (second, of_second) = found.days
    assert (first, second) == (DAY, NEXT)
    return of_first, of_second, found.total


def test_without_a_unit_all_three_are_interleaved_and_the_total_is_of_credits() -> None:
    first, second, total = items(None)
    assert first == [
        Item("error", NANO, "a"),
        Item("insert", 12 * NANO + 1, "a"),
        Item("integration.openai.chat", 0, "a"),
        Item("integration.openai.chat", 3, "b"),
        Item("integration.openai.chat", 5, None),
        Item("native.execution", 50_000_000, "a"),
        Item("native.storage", 12_000_000, "a"),
        Item("native.storage", 7, "b"),
        Item("success", 4 * NANO, "a"),
    ]
    assert second == [Item("native.direct", -9, "a")]
    assert total == sum(sum(series.credits) for series in TOTALS)


def test_one_unit_alone() -> None:
    assert items("orchestration.executions") == (
        [Item("error", NANO, "a"), Item("success", 4 * NANO, "a")],
        [],
        5 * NANO,
    )
    assert items("storage.records") == ([Item("insert", 12 * NANO + 1, "a")], [], 12 * NANO + 1)
    assert items("billing.credits")[2] == sum(sum(series.credits) for series in TOTALS)


def test_a_slug_keeps_items_that_show_it_and_the_total_obeys() -> None:
    assert items(None, "native.execution") == ([Item("native.execution", 50_000_000, "a")], [], 50_000_000)
    assert items(None, "success") == ([Item("success", 4 * NANO, "a")], [], 0)
    assert items("orchestration.executions", "success")[2] == 4 * NANO
    assert items("orchestration.executions", "native.execution") == ([], [], 0)


def test_the_largest_sums_keep_every_digit() -> None:
    huge = Decimal("999999999999999999999.123456789")
    found = metrics_of(
        [Series("s", "insert", None, [0], [1], [huge], [0])], Range(DAY, DAY), unit="storage.records", slug=None
    )
    assert found.total == 999_999_999_999_999_999_999_123_456_789
