"""Estimates: what work like that of the past will cost, and whether the balance covers it (row A11, rule M22).

Samples are what single runs came to, in nano-units. Percentiles are nearest rank: the p90 is the smallest sample that
at least 90 % of the samples do not exceed, so it is always the cost of a run that there was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.kernel.credits import divide_half_even
from tallystick.kernel.errors import TallystickError

RECORDS_MAX: Final = 1_000_000_000
FIGURES: Final = ("mean", "p50", "p90")
"""What a projection tells of each unit."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Of samples, in nano-units; `mean` is rounded once, half to even."""

    mean: int
    p50: int
    p90: int
    max: int


@dataclass(frozen=True, slots=True)
class Needed:
    """What so many records come to in nano-units: at the mean cost of a run, and if each cost as much as the p50 or p90
    run. `mean` is rounded once, from the sum of the samples."""

    mean: int
    p50: int
    p90: int

    def covered_by(self, available: int) -> Mapping[str, bool]:
        """Which of the figures the balance covers; `available` is what is posted less what is held. Nothing needed is
        covered by any balance."""
        return {name: getattr(self, name) <= max(available, 0) for name in FIGURES}


def spread_of(samples: Sequence[int]) -> Spread | None:
    """None of no samples."""
    if not samples:
        return None
    ordered = sorted(samples)
    mean = divide_half_even(sum(ordered), len(ordered))
    return Spread(mean, percentile(ordered, 50), percentile(ordered, 90), ordered[-1])


def needed_for(samples: Sequence[int], records: int) -> Needed | None:
    """The projection for `records` more runs; None of no samples. Raises `invalidQuantity`."""
    if not 1 <= records <= RECORDS_MAX:
        raise TallystickError("invalidQuantity", f"records must lie between 1 and {RECORDS_MAX}.", records=records)
    if not samples:
        return None
    ordered = sorted(samples)
    mean = divide_half_even(records * sum(ordered), len(ordered))
    return Needed(mean, records * percentile(ordered, 50), records * percentile(ordered, 90))


def percentile(ordered: Sequence[int], percent: int) -> int:
    """The smallest of these ascending samples that at least `percent` % (1 to 100) of them do not exceed."""
    return ordered[-(-percent * len(ordered) // 100) - 1]
