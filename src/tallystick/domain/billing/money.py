"""Money in minor units (cents), by currency: how many there are in one, and how an amount is written."""

from typing import Final

from tallystick.kernel.credits import divide_half_even

_EXPONENTS: Final = {
    **dict.fromkeys(("bif", "clp", "djf", "gnf", "isk", "jpy", "kmf", "krw", "pyg", "rwf", "ugx", "vnd", "vuv"), 0),
    **dict.fromkeys(("xaf", "xof", "xpf"), 0),
    **dict.fromkeys(("bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"), 3),
}
PPM: Final = 1_000_000
"""A whole, where a share is in parts per million."""


def exponent(currency: str) -> int:
    """Decimals of a currency's minor unit: 2 but for those of ISO 4217 that have none or three."""
    return _EXPONENTS.get(currency.lower(), 2)


def decimal_text(minor: int, currency: str) -> str:
    """`9900` US cents as `99.00`, digit-exact; for documents that programs read."""
    places = exponent(currency)
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def share(minor: int, part: int, whole: int) -> int:
    """`minor × part / whole` in minor units, rounded once, halves to even. `whole` > 0."""
    return divide_half_even(minor * part, whole)


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
