"""Derivations: every factor of a charge, so that anybody can work it out again with a pencil (rows D5, E2).

The arithmetic of `rating` with each step kept: exact amounts before the one rounding are fractions of nano-units.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from tallystick.domain.metering.charging import DIRECT, PRICED, counters_of
from tallystick.domain.metering.counters import REPORTED
from tallystick.domain.metering.prices import PriceVersion
from tallystick.domain.metering.rates import MILLION, Fixed, Percentage, Unit
from tallystick.domain.metering.rating import (
    exact_cost_of_tokens,
    rate_percentage,
    rate_tiered,
    token_numerator,
    token_rates,
)
from tallystick.domain.runs.booked import Booked, Quantity
from tallystick.kernel.credits import NANO

_DIRECT: Final = "direct"


@dataclass(frozen=True, slots=True)
class Counted:
    """One counter of a language-model call: `rate` is in nano-credits per million. `count` may be negative."""

    counter: str
    count: int
    rate: int

    @property
    def exact(self) -> Fraction:
        """Nano-credits, unrounded."""
        return Fraction(self.count * self.rate, MILLION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """How a charge came about. `exact` is in nano-credits before rounding, None where the event alone can't say.

    `counters` are those of a price by tokens. `before`, `after` and what was owed at each (nano-credits, rounded) are
    those of a tiered price: the charge is their difference. `cost` is the provider's in USD, exact, of a percentage;
    `cost_price` the public price that it was worked out with, None where it was reported.
    """

    model: str
    exact: Fraction | None
    counters: tuple[Counted, ...] = ()
    before: Quantity | None = None
    after: Quantity | None = None
    owed_before: int | None = None
    owed_after: int | None = None
    cost: Fraction | None = None
    cost_price: PriceVersion | None = None


def derive(
    row: Booked, original: Booked, version: PriceVersion | None, public: Sequence[PriceVersion] = ()
) -> Derivation | None:
    """The derivation of one booked row; None where nothing is charged because nothing has a price.

    `original` is the event that it takes back or prices, or the row itself. `public` are public prices of the model, of
    which one may be where a percentage took its cost from.
    """
    if row.state == DIRECT:
        return Derivation(model=_DIRECT, exact=Fraction(row.quantity) * NANO)
    if row.state != PRICED or version is None or original.reverses is not None or original.adjusts is not None:
        return None
    if version.is_tiered:
        return _tiered(row, version)
    if row.reverses is not None:
        return _negative(_plain(replace(row, reverses=None, credits=-row.credits), original, version, public))
    return _plain(row, original, version, public)


def decimal_text(value: Fraction) -> str:
    """The exact value as a decimal in plain digits, or as `a/b` where no decimal ends; `fractions.Fraction` reads both.

    >>> decimal_text(Fraction(3, 8)), decimal_text(Fraction(1, 3))
    ('0.375', '1/3')
    """
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return str(value)
    places = max(twos, fives)
    sign = "-" if value < 0 else ""
    whole, part = divmod(abs(value.numerator) * 10**places // value.denominator, 10**places)
    return f"{sign}{whole}.{part:0{places}d}" if places else f"{sign}{whole}"


def _plain(row: Booked, original: Booked, version: PriceVersion, public: Sequence[PriceVersion]) -> Derivation:
    """Of a price without tiers, for what was reported; a late price is worked out from the original's facts."""
    compiled = version.compiled
    if version.model == "tokens":
        counters = _counted(original, version)
        return Derivation(model="tokens", exact=sum((one.exact for one in counters), Fraction(0)), counters=counters)
    if isinstance(compiled, Percentage):
        return _percentage(row, original, version, compiled, public)
    if isinstance(compiled, Unit):
        return Derivation(model="unit", exact=Fraction(original.quantity) * Fraction(compiled.amount, compiled.per))
    if isinstance(compiled, Fixed):
        return Derivation(model="fixed", exact=Fraction(compiled.amount))
    raise AssertionError(f"{version.model} is tiered")


def _counted(original: Booked, version: PriceVersion) -> tuple[Counted, ...]:
    counters = counters_of(original.type, original.facts)
    rates = token_rates(version, counters, original.used_at)
    rows = zip(REPORTED, counters, rates, strict=True)
    # A call counts as one request whether that has a price or not; what is neither used nor priced explains nothing.
    return tuple(Counted(*row) for row in rows if row[1] and (row[2] or row[0] not in ("requests", "searches")))


def _percentage(
    row: Booked, original: Booked, version: PriceVersion, share: Percentage, public: Sequence[PriceVersion]
) -> Derivation:
    if original.facts.cost is not None:
        cost = Fraction(original.facts.cost)
        return Derivation(model="percentage", exact=_share(share, cost), cost=cost)
    for price in public:
        exact_cost = _cost_by(price, original)
        if exact_cost is not None and rate_percentage(version, exact_cost) == row.credits:
            return Derivation(model="percentage", exact=_share(share, exact_cost), cost=exact_cost, cost_price=price)
    # Its cost is kept rounded to a nano-USD, which says less than the charge was made of.
    return Derivation(model="percentage", exact=None)


def _cost_by(price: PriceVersion, original: Booked) -> Fraction | None:
    if price.model != "tokens" or price.valid_from > original.used_at:
        return None
    counters = counters_of(original.type, original.facts)
    return exact_cost_of_tokens(price, token_numerator(price, counters, original.used_at))


def _share(share: Percentage, cost: Fraction) -> Fraction:
    return cost * Fraction(share.numerator, share.denominator)


def _tiered(row: Booked, version: PriceVersion) -> Derivation:
    before = row.counter_before or 0
    after = before + row.quantity
    owed_before, owed_after = rate_tiered(version, 0, before), rate_tiered(version, 0, after)
    return Derivation(
        model=version.model,
        exact=Fraction(owed_after - owed_before),
        before=before,
        after=after,
        owed_before=owed_before,
        owed_after=owed_after,
    )


def _negative(found: Derivation) -> Derivation:
    return replace(
        found,
        exact=None if found.exact is None else -found.exact,
        counters=tuple(replace(one, count=-one.count) for one in found.counters),
        cost=None if found.cost is None else -found.cost,
    )
