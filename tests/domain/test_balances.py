"""Percent and state of a balance at every edge (rule M18)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.credits.balances import shown, state_of, used_hundredths
from tallystick.kernel.credits import NANO

A = 10_000 * NANO

PERCENT = [
    # remaining, allocation, hundredths of a percent used
    (A, A, 0),
    (A - 1, A, 1),
    (1, A, 9_999),
    (0, A, 10_000),
    (0, 0, 10_000),
    (5, 0, 10_000),
    (300 * NANO - 212_160_000_000, 300 * NANO, 7_072),
    (9_699 * NANO, A, 301),
    (13_325 - 12_899, 13_325, 9_680),
    (99_995, 100_000, 1),
    (99_985, 100_000, 2),
    (199_970, 200_000, 2),
    (199_971, 200_000, 1),
    (1, 3, 6_667),
    (2, 3, 3_333),
    (1, 8, 8_750),
    (5, 100_000, 9_999),
    (50, 100_000, 9_995),
]


@pytest.mark.parametrize(("remaining", "allocation", "expected"), PERCENT)
def test_the_used_share_has_two_decimals_half_up(remaining: int, allocation: int, expected: int) -> None:
    assert used_hundredths(remaining, allocation) == expected


STATES = [
    (100, 100, "healthy"),
    (76, 100, "healthy"),
    (7_500_000_001, 10_000_000_000, "healthy"),
    (75, 100, "moderate"),
    (50, 100, "moderate"),
    (25, 100, "moderate"),
    (2_499_999_999, 10_000_000_000, "low"),
    (1, A, "low"),
    (0, 100, "exhausted"),
    (0, 0, "exhausted"),
]


@pytest.mark.parametrize(("remaining", "allocation", "expected"), STATES)
def test_the_state_follows_the_remaining_share(remaining: int, allocation: int, expected: str) -> None:
    assert state_of(remaining, allocation) == expected


def test_holds_take_from_what_is_available_and_from_nothing_else() -> None:
    without, held = (shown("credits", posted=80, held=n, allocation=100) for n in (0, 30))
    assert (held.available, without.available) == (50, 80)
    assert (held.granted, held.used, held.used_hundredths, held.state) == (100, 20, 2_000, "healthy")
    assert (without.granted, without.used, without.used_hundredths, without.state) == (100, 20, 2_000, "healthy")


def test_below_zero_all_of_the_allocation_is_used() -> None:
    negative = shown("credits", posted=-7, held=0, allocation=100)
    assert (negative.used, negative.used_hundredths, negative.state) == (100, 10_000, "exhausted")
    assert (negative.posted, negative.available) == (-7, -7)


@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_granted_less_used_is_posted_and_whole_shares_are_exact(one: int, other: int) -> None:
    posted, allocation = sorted((one, other))
    figures = shown("credits", posted=posted, held=0, allocation=allocation)
    assert figures.granted - figures.used == posted
    assert (figures.used_hundredths == 0) == (posted == allocation and allocation > 0)
    assert (figures.used_hundredths == 10_000) == (posted == 0)
    if 0 < posted < allocation:
        exact = 10_000 * (allocation - posted)
        assert abs(figures.used_hundredths * allocation - exact) <= allocation
