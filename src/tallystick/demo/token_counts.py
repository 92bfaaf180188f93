"""How many tokens a call takes: drawn from the quantiles of two published traces of production traffic.

The figures were computed from Microsoft's Azure LLM inference traces of 2023 (code and conversation, CC-BY 4.0,
described in "Splitwise", ISCA 2024). Nothing of the traces themselves is here.
"""

from bisect import bisect_right
from random import Random
from typing import Final

_SHARES: Final = (0, 10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 970, 980, 990, 995, 999, 1000)
"""Thousandths of the calls that are no larger than the figure at the same place below."""

QUANTILES: Final = {
    ("code", "input"): (
        *(3, 17, 75, 147, 386, 770, 1075, 1469, 1909, 2433, 3192, 5186),
        *(7302, 7435, 7436, 7436, 7436, 7437, 7437),
    ),
    ("code", "output"): (
        *(6, 6, 6, 7, 8, 9, 11, 13, 16, 20, 29, 55),
        *(90, 128, 172, 252, 361, 824, 1899),
    ),
    ("conversation", "input"): (
        *(2, 29, 181, 207, 387, 403, 703, 1020, 1071, 1130, 1315, 2735),
        *(4083, 4090, 4098, 4142, 4831, 6212, 14050),
    ),
    ("conversation", "output"): (
        *(7, 16, 41, 54, 77, 91, 103, 129, 177, 384, 400, 424),
        *(451, 509, 540, 601, 643, 954, 1000),
    ),
}


def draw(chance: Random, profile: str, direction: str) -> int:
    """Tokens of one call: the profile's quantile at a random share, straight between two known ones."""
    figures = QUANTILES[profile, direction]
    share = chance.randrange(_SHARES[-1] * 1000)
    place = bisect_right(_SHARES, share // 1000) - 1
    low, high = _SHARES[place] * 1000, _SHARES[place + 1] * 1000
    return figures[place] + (figures[place + 1] - figures[place]) * (share - low) // (high - low)
