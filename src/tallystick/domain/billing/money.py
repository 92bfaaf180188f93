"""Arithmetic of money in minor units (cents): how invoices round, and how an amount is split without losing any."""

from typing import Final

PPM: Final = 1_000_000
"""A whole, where a share is in parts per million."""


def round_half_up(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded once, halves away from zero: how invoices round tax. `denominator` > 0."""
    quotient, rest = divmod(abs(numerator), denominator)
    quotient += 2 * rest >= denominator
    return -quotient if numerator < 0 else quotient


def split(minor: int, weights: list[int]) -> list[int]:
    """Parts of an amount by weight that sum to it exactly: what is lost by rounding goes to the largest remainders.

    Weights are not negative; where all are zero the last part is all of it.
    """
    whole = sum(weights)
    if not weights:
        return []
    if not whole:
        return [0] * (len(weights) - 1) + [minor]
    sign, amount = (-1 if minor < 0 else 1), abs(minor)
    parts = [amount * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda place: (-(amount * weights[place] % whole), place))
    for place in order[: amount - sum(parts)]:
        parts[place] += 1
    return [sign * part for part in parts]
