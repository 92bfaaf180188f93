"""Credits and tool runs as integers of 10⁻⁹ unit ("nano"), and the only places that read, round and print them."""

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from tallystick.kernel.errors import TallystickError

NANO: Final = 1_000_000_000
"""Nano-units in one credit or one tool run."""

MAX_NANO: Final = 10**17
"""Largest amount that one request may name, in nano-units: 100,000,000 credits; ninety of them fit a bigint."""


_MAX_WHOLE: Final = MAX_NANO // NANO
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


def is_decimal(text: str) -> bool:
    """Whether a text is a decimal number in plain digits: no NaN, no `1_000`, no digits of other scripts."""
    return _DECIMAL.fullmatch(text) is not None


def parse_credits(value: object, *, field: str = "amount", signed: bool = False) -> int:
    """Nano-units of a number or decimal string with at most nine decimals.

    Raises `invalidAmount` for anything else: NaN, infinities, more decimals, an exponent beyond the range,
    a float (a float has already lost digits), or a negative amount unless `signed`.
    """
    if type(value) is int and 0 <= value <= _MAX_WHOLE:
        return value * NANO
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise _invalid(value, field)
    if isinstance(value, str) and not is_decimal(value.strip()):
        raise _invalid(value, field)
    try:
        amount = Decimal(value.strip()) if isinstance(value, str) else Decimal(value)
    except InvalidOperation:
        raise _invalid(value, field) from None
    if not amount.is_finite() or amount.adjusted() > 9 or (amount < 0 and not signed):
        raise _invalid(value, field)
    nano = amount.scaleb(9)
    if nano != nano.to_integral_value() or abs(nano) > MAX_NANO:
        raise _invalid(value, field)
    return int(nano)


def format_credits(nano: int) -> str:
    """The shortest exact decimal of an amount in nano-units, such as `0.01`, `-3.2` or `75`."""
    sign = "-" if nano < 0 else ""
    whole, part = divmod(abs(nano), NANO)
    if not part:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{part:09d}".rstrip("0")


def divide_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded once to an integer, halves to even (rule M3). `denominator` > 0."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def _invalid(value: object, field: str) -> TallystickError:
    shown = str(value)[:64]
    return TallystickError(
        "invalidAmount", f"{field} must be a decimal number with at most nine decimals.", field=field, value=shown
    )
