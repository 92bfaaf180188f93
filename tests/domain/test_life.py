"""The life of a subscription as a table: every state × everything that may be asked; and what a period's end brings."""

from dataclasses import replace
from typing import Any, Final, get_args

import pytest

from tallystick.domain.billing import life
from tallystick.domain.billing.life import Asked, at_period_end, is_upgrade, move
from tallystick.domain.billing.plans import SHIPPED, PlanVersion
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError

# Rows: what is asked; columns: trialing, active, past_due, paused, canceled. A dash is refused.
TABLE: Final = """
startTrial         -          trialing   -          -          -
endTrialPaid       active     -          -          -          -
endTrialUnpaid     paused     -          -          -          -
pay                -          -          active     -          -
payWithinTrial     -          -          trialing   -          -
exhaustDunning     past_due   past_due   past_due   paused     -
pause              paused     paused     -          -          -
resume             -          -          -          active     -
resumeWithinTrial  -          -          -          trialing   -
change             active     active     -          active     -
cancel             trialing   active     past_due   paused     -
end                canceled   canceled   canceled   canceled   -
"""
COLUMNS: Final = ("trialing", "active", "past_due", "paused", "canceled")


@pytest.mark.parametrize("row", [line.split() for line in TABLE.strip().splitlines()], ids=lambda row: row[0])
def test_every_state_takes_what_its_cell_says_and_refuses_the_rest(row: list[str]) -> None:
    asked: Any = row[0]
    for status, expected in zip(COLUMNS, row[1:], strict=True):
        if expected == "-":
            with pytest.raises(TallystickError) as refused:
                move(status, asked)
            assert refused.value.code == "invalidTransition"
        else:
            assert move(status, asked) == expected


def test_the_table_has_a_row_for_everything_that_may_be_asked() -> None:
    rows = [line.split()[0] for line in TABLE.strip().splitlines()]
    assert rows == list(get_args(Asked))
    assert {asked for _, asked in life.TRANSITIONS} == set(rows)


@pytest.mark.parametrize(
    ("status", "pending", "price", "method", "expected"),
    [
        ("active", None, 9_900, False, ("renew", "active", False)),
        ("active", None, 0, False, ("renew", "active", False)),
        ("active", "downgrade", 0, False, ("change", "active", False)),
        ("active", "migration", 9_900, True, ("change", "active", False)),
        ("active", "cancel", 9_900, True, ("cancel", "canceled", False)),
        ("trialing", None, 9_900, True, ("convert", "active", False)),
        ("trialing", None, 9_900, False, ("pause", "paused", True)),
        # Free needs nothing to pay by.
        ("trialing", "downgrade", 0, False, ("change", "active", False)),
        ("trialing", "cancel", 9_900, False, ("cancel", "canceled", False)),
        ("paused", None, 9_900, True, ("idle", "paused", True)),
        ("past_due", None, 9_900, True, ("idle", "past_due", True)),
        ("past_due", "downgrade", 0, True, ("change", "past_due", True)),
        ("past_due", "cancel", 9_900, True, ("cancel", "canceled", False)),
    ],
)
def test_what_a_periods_end_brings(
    status: str, pending: str | None, price: int, method: bool, expected: tuple[str, str, bool]
) -> None:
    found = at_period_end(status, pending=pending, price_minor=price, has_method=method)
    assert (found.ending, found.status, found.is_idle) == expected


FREE, PRO, ENTERPRISE = SHIPPED
YEARLY: Final = replace(PRO, cadence="annual", price_minor=99_000)
TEAM: Final = replace(PRO, plan="team", price_minor=19_900)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (FREE, PRO, True),
        (PRO, FREE, False),
        (PRO, ENTERPRISE, True),
        (ENTERPRISE, PRO, False),
        # Longer is bought now, though a month costs less.
        (PRO, YEARLY, True),
        (YEARLY, PRO, False),
        (PRO, TEAM, True),
        (TEAM, PRO, False),
        # 199 a month is more than 990 a year.
        (YEARLY, TEAM, True),
        (TEAM, YEARLY, False),
        (PRO, replace(PRO, included_credits=20_000 * NANO), True),
        (PRO, replace(PRO, price_minor=8_900), False),
        (PRO, PRO, False),
        (FREE, YEARLY, True),
    ],
)
def test_what_counts_as_an_upgrade(old: PlanVersion, new: PlanVersion, expected: bool) -> None:
    assert is_upgrade(old, new) is expected
