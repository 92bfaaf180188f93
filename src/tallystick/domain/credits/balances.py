"""What a balance shows to people: how much of its allocation is used, and how it stands (rules M18, Shown figures).

Amounts are nano-units. `allocation` is the balance right after the last reset plus the grants since, less what expired
unused since; the ledger keeps it, so that nothing here looks back in time.
"""

from dataclasses import dataclass
from typing import Final, Literal

State = Literal["healthy", "moderate", "low", "exhausted"]

WHOLE: Final = 10_000
"""100 % in hundredths of a percent."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The public figures of one unit. `used_hundredths` is the share used in hundredths of a percent, 0 to 10,000."""

    unit: str
    granted: int
    used: int
    used_hundredths: int
    posted: int
    held: int
    state: State

    @property
    def available(self) -> int:
        """What a new hold may take: posted less held; negative beyond all grants."""
        return self.posted - self.held


def shown(unit: str, *, posted: int, held: int, allocation: int) -> Shown:
    """The figures of a balance. granted − used = posted while posted is not negative; holds move neither (M18)."""
    remaining = max(posted, 0)
    return Shown(
        unit=unit,
        granted=allocation,
        used=allocation - remaining,
        used_hundredths=used_hundredths(remaining, allocation),
        posted=posted,
        held=held,
        state=state_of(remaining, allocation),
    )


def used_hundredths(remaining: int, allocation: int) -> int:
    """1 − remaining / allocation in hundredths of a percent, half-up from the unrounded value (rule M18).

    0 and 100 % only when exact: a first nano-unit used shows 0.01 %, a last one left 99.99 %. No allocation is 100 %.
    """
    used = allocation - remaining
    if allocation <= 0 or remaining <= 0:
        return WHOLE
    if used <= 0:
        return 0
    rounded = (2 * WHOLE * used + allocation) // (2 * allocation)
    return min(max(rounded, 1), WHOLE - 1)


def state_of(remaining: int, allocation: int) -> State:
    """Healthy above 75 % remaining, moderate from 25 to 75 % inclusive, low below 25 %, exhausted at nothing."""
    if allocation <= 0 or remaining <= 0:
        return "exhausted"
    if 4 * remaining > 3 * allocation:
        return "healthy"
    return "moderate" if 4 * remaining >= allocation else "low"
