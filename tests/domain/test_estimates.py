"""What so many records will cost: every figure against its definition, in fractions."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.runs.estimates import needed_for, percentile, spread_of
from tallystick.kernel.errors import TallystickError

SAMPLES = st.lists(st.integers(-(10**12), 10**15), min_size=1, max_size=40)


@given(SAMPLES, st.integers(1, 100))
def test_a_percentile_is_the_smallest_sample_that_so_many_do_not_exceed(samples: list[int], percent: int) -> None:
    found = percentile(sorted(samples), percent)
    enough = [one for one in samples if 100 * sum(other <= one for other in samples) >= percent * len(samples)]
    assert found == min(enough)


@given(SAMPLES, st.integers(1, 10**6))
def test_a_projection_is_rounded_once_and_percentiles_are_multiples(samples: list[int], records: int) -> None:
    spread, needed = spread_of(samples), needed_for(samples, records)
    assert spread is not None
    assert needed is not None
    mean = Fraction(sum(samples), len(samples))
    assert (spread.mean, needed.mean) == (round(mean), round(mean * records))
    assert (needed.p50, needed.p90) == (spread.p50 * records, spread.p90 * records)
    assert spread.p50 <= spread.p90 <= spread.max == max(samples)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([7], (7, 7, 7, 7)),
        ([1, 2], (2, 1, 2, 2)),  # 1.5 is rounded to the even one
        (list(range(1, 11)), (6, 5, 9, 10)),  # 5.5, too
        (list(range(1, 12)), (6, 6, 10, 11)),
    ],
)
def test_spreads_by_hand(samples: list[int], expected: tuple[int, ...]) -> None:
    spread = spread_of(samples)
    assert spread is not None
    assert (spread.mean, spread.p50, spread.p90, spread.max) == expected


def test_nothing_is_known_of_no_samples() -> None:
    assert (spread_of([]), needed_for([], 5)) == (None, None)


@pytest.mark.parametrize("records", [0, -1, 10**9 + 1])
def test_impossible_records_are_refused(records: int) -> None:
    with pytest.raises(TallystickError) as refused:
        needed_for([1], records)
    assert refused.value.code == "invalidQuantity"


@pytest.mark.parametrize(
    ("available", "covered"),
    [(0, (False, False, False)), (20, (False, True, False)), (30, (True, True, False)), (100, (True, True, True))],
)
def test_a_balance_covers_what_it_is_not_less_than(available: int, covered: tuple[bool, ...]) -> None:
    needed = needed_for([2, 2, 5], 10)  # mean 3, p50 2, p90 5
    assert needed is not None
    assert tuple(needed.covered_by(available).values()) == covered


def test_what_costs_nothing_is_covered_also_by_a_balance_below_zero() -> None:
    needed = needed_for([0], 10)
    assert needed is not None
    assert all(needed.covered_by(-5).values())
