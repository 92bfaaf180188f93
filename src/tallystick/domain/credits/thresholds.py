"""How much of an allocation is used, in steps that are told to people (rules M18, M19).

Each threshold is told once per allocation. What has been told, or passed in silence, is one number on the balance: the
highest threshold of this allocation. It never falls within an allocation, so a return re-arms nothing; a new allocation
sets it to what is reached right after it, which re-arms those above.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tallystick.domain.credits.balances import used_hundredths

THRESHOLDS: Final = (20, 50, 70, 80, 90, 100)
"""Percent of an allocation that is used."""

ALL_USED: Final = 100

_HUNDREDTHS: Final = 100
_NEXT: Final[Mapping[int, int]] = MappingProxyType(
    {told: 200 * min(step for step in THRESHOLDS if step > told) - 1 for told in (0, *THRESHOLDS[:-1])}
)
"""By what was told: the share used, in twenty-thousandths, from which the next threshold is shown as reached."""


def reached(posted: int, allocation: int) -> int:
    """The highest threshold that a balance has reached, 0 for none, of amounts in nano-units.

    It goes by the percentage as it is shown: 19.996 % is shown and told as 20 %, but 100 % is reached only when exact.
    """
    return _level(used_hundredths(max(posted, 0), allocation))


def crossed(told: int, posted: int, allocation: int) -> int:
    """The threshold that a movement must tell, 0 for none: of several newly reached only the highest (rule M18).

    `told` is the highest that was told of this allocation, one of `THRESHOLDS` or 0.
    """
    # Most movements reach nothing, and every one of a commit is asked: no division for those. A balance never
    # holds more than its allocation.
    if told == ALL_USED or 20_000 * (allocation - posted) < _NEXT[told] * allocation:
        return 0
    level = reached(posted, allocation)
    return level if level > told else 0


def _level(share: int) -> int:
    return max((step for step in THRESHOLDS if step * _HUNDREDTHS <= share), default=0)
