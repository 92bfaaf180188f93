"""Re-folding: the allocation that a ledger's transactions give, told apart by what they moved (rules M18, M19)."""

from typing import NamedTuple


class Movement(NamedTuple):
    """One transaction's sums in nano-units; `posted` is the balance after it, `given` how many grants it issued."""

    kind: str
    is_history: bool
    posted: int
    issued: int
    expired: int
    used: int
    given: int


def allocation_after(before: tuple[int, int], movement: Movement) -> tuple[int, int]:
    """The allocation and its number after a transaction. Usage leaves both; a return may raise the allocation."""
    allocation, number = before
    if movement.is_history:
        return before
    if movement.kind == "grant":
        return allocation + movement.issued, number + movement.given
    if movement.kind == "reset" and movement.given:
        return max(movement.posted, 0), number + 1
    if movement.kind in ("reset", "expiry", "adjustment"):
        return max(allocation - movement.expired, 0), number
    return (max(allocation, movement.posted), number) if movement.used < 0 else before
