"""Quantity to nano-credits, one function per price model, each with one rounding, half to even (rules M1 to M7).

Everything is integer arithmetic on exact numerators. A result beyond `MAX_NANO` (100,000,000 credits for one event)
is refused as `amountTooLarge`, so that a bigint column never overflows.
"""

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from operator import mul
from typing import Final, NoReturn, TypeVar

from tallystick.domain.metering.counters import TokenCounters
from tallystick.domain.metering.prices import PriceVersion
from tallystick.domain.metering.rates import MILLION, Bands, Fixed, Graduated, Package, Percentage, Tokens, Unit, Volume
from tallystick.kernel.credits import MAX_NANO, NANO, divide_half_even
from tallystick.kernel.errors import TallystickError

T = TypeVar("T")
Quantity = int | Decimal

_MAX_EXPONENT: Final = 40


def rate_tokens(numerator: int) -> int:
    """Nano-credits of one language-model call whose counters come to `numerator`, rounded once (rule M3)."""
    nano = divide_half_even(numerator, MILLION)
    if nano > MAX_NANO:
        _too_large(nano)
    return nano


def cost_of_tokens(public: PriceVersion, numerator: int) -> int | None:
    """What the call cost by the public price, in nano-USD, rounded once; None when the version holds no cost.

    `numerator` is the call's under that version. Markup and the worth of a credit are taken out again exactly as they
    were put in, so this is the source's own USD price but for its rounding to 10⁻¹¹ USD per million tokens (rule M1).
    """
    tokens = _compiled(public, Tokens)
    if tokens.cost is None:
        return None
    top, bottom = tokens.cost
    nano = divide_half_even(numerator * top, MILLION * bottom)
    if nano > MAX_NANO:
        _too_large(nano)
    return nano


def exact_cost_of_tokens(public: PriceVersion, numerator: int) -> Fraction | None:
    """The same in USD, unrounded: what a percentage is taken of when the event names no cost."""
    tokens = _compiled(public, Tokens)
    if tokens.cost is None:
        return None
    top, bottom = tokens.cost
    return Fraction(numerator * top, MILLION * bottom * NANO)


def rate_quantity(version: PriceVersion, quantity: Quantity) -> int:
    """Nano-credits of one event under a fixed or a unit price; `quantity` may be negative in a correction."""
    compiled = version.compiled
    if isinstance(compiled, Unit):
        units, parts = _ratio(quantity)
        return _bounded(divide_half_even(compiled.amount * units, compiled.per * parts))
    return _compiled(version, Fixed).amount


def rate_tiered(version: PriceVersion, before: Quantity, quantity: Quantity) -> int:
    """Nano-credits of `quantity` more when `before` was already used in the billing period: F(before + quantity) −
    F(before), with F rounded to a nano-credit (rules M3, M5).

    So any split of a quantity over events comes to the same sum. A volume price may give a negative amount, and so
    does a negative quantity (a correction). Below zero nothing is owed.
    """
    done, done_parts = _ratio(before)
    more, more_parts = _ratio(quantity)
    after = done * more_parts + more * done_parts
    return _bounded(_total(version, after, done_parts * more_parts) - _total(version, done, done_parts))


def rate_percentage(version: PriceVersion, cost_usd: Decimal | Fraction) -> int:
    """Nano-credits: the version's share of the provider's cost in USD, 0 or more (rule M7). Raises `invalidAmount`."""
    share = _compiled(version, Percentage)
    if isinstance(cost_usd, Decimal) and not cost_usd.is_finite():
        _refuse_cost(cost_usd)
    if cost_usd < 0:
        _refuse_cost(cost_usd)
    if isinstance(cost_usd, Decimal):
        _check_size(cost_usd)
    top, bottom = cost_usd.as_integer_ratio()
    return _bounded(divide_half_even(share.numerator * top, share.denominator * bottom))


def token_numerator(version: PriceVersion, counters: TokenCounters, time: dt.datetime) -> int:
    """Sum over all counters of count × nano-credits per million, for a call at the `time` (aware) of its event."""
    return sum(map(mul, counters, token_rates(version, counters, time)))


def token_rates(version: PriceVersion, counters: TokenCounters, time: dt.datetime) -> tuple[int, ...]:
    """Nano-credits per million of each counter, as this call at `time` (aware) is priced.

    A request-size tier is chosen by this call's input tokens and prices every token of the call (rule M5); a schedule
    by the hour of the UTC day.
    """
    tokens = _compiled(version, Tokens)
    bands = _window(tokens, time) if tokens.windows else tokens.bands
    if len(bands) == 1:
        return bands[0][1]
    size = sum(counters[:6])
    for threshold, table in bands:
        if size > threshold:
            return table
    raise AssertionError("the last band has no threshold")


def _window(tokens: Tokens, time: dt.datetime) -> Bands:
    utc = time.astimezone(dt.UTC)
    second = utc.hour * 3600 + utc.minute * 60 + utc.second
    for start, end, bands in tokens.windows:
        inside = start <= second < end if start < end else second >= start or second < end
        if inside:
            return bands
    return tokens.bands


def _total(version: PriceVersion, units: int, parts: int) -> int:
    """F(units / parts) in nano-credits, rounded; 0 at and below zero."""
    compiled = version.compiled
    if units <= 0:
        return 0
    if isinstance(compiled, Package):
        return compiled.amount * -(-units // (parts * compiled.per))
    if isinstance(compiled, Graduated):
        return _graduated(compiled, units, parts)
    return _volume(_compiled(version, Volume), units, parts)


def _graduated(price: Graduated, units: int, parts: int) -> int:
    numerator = flat = floor = 0
    for tier in price.tiers:
        top = units if tier.up_to is None else min(units, tier.up_to * parts)
        numerator += (top - floor) * tier.amount
        flat += tier.flat
        floor = top
        if top == units:
            break
    return flat + divide_half_even(numerator, parts * price.per)


def _volume(price: Volume, units: int, parts: int) -> int:
    for tier in price.tiers:
        if tier.up_to is None or units <= tier.up_to * parts:
            return tier.flat + divide_half_even(units * tier.amount, parts * price.per)
    raise AssertionError("the last tier has no end")


def _ratio(quantity: Quantity) -> tuple[int, int]:
    if isinstance(quantity, int):
        return quantity, 1
    _check_size(quantity)
    return quantity.as_integer_ratio()


def _check_size(figure: Decimal) -> None:
    # 1E+999999999 is ten characters on the wire and a gigabyte as an integer ratio.
    exponent = figure.as_tuple().exponent
    if not isinstance(exponent, int) or not -_MAX_EXPONENT <= exponent <= _MAX_EXPONENT:
        _too_large(figure)


def _compiled(version: PriceVersion, kind: type[T]) -> T:
    compiled = version.compiled
    if not isinstance(compiled, kind):
        raise TallystickError(
            "invalidPrice",
            f"The price {version.target} is of model {version.model}, which cannot rate this.",
            target=version.target,
            model=version.model,
        )
    return compiled


def _bounded(nano: int) -> int:
    if not -MAX_NANO <= nano <= MAX_NANO:
        _too_large(nano)
    return nano


def _too_large(figure: object) -> NoReturn:
    raise TallystickError(
        "amountTooLarge",
        "The amount of one event cannot exceed 100,000,000 credits.",
        amount=str(figure)[:40],
        limit=MAX_NANO,
    )


def _refuse_cost(cost: object) -> NoReturn:
    raise TallystickError(
        "invalidAmount", "A provider's cost must be a number of USD, 0 or more.", field="cost", value=str(cost)[:64]
    )
