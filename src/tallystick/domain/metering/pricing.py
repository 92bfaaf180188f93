"""What one use costs: which version prices it, how much that is, and what the provider took for it.

Ingest asks this of a new event; pricing an unpriced event later asks it again of the same facts (rule M6). Asking is
in two steps, because a tiered price first needs its counter locked: `version_for`, then `amount`.
"""

import datetime as dt
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from tallystick.domain.metering.counters import TokenCounters
from tallystick.domain.metering.meters import LLM_TOKENS, TOOL_CALL
from tallystick.domain.metering.prices import (
    PriceBook,
    PriceVersion,
    Timeline,
    in_force,
    targets_for_model,
    targets_for_tool_call,
    targets_for_type,
)
from tallystick.domain.metering.rating import (
    Quantity,
    cost_of_tokens,
    exact_cost_of_tokens,
    rate_percentage,
    rate_quantity,
    rate_tiered,
    rate_tokens,
    token_numerator,
)
from tallystick.kernel.credits import MAX_NANO, NANO, divide_half_even
from tallystick.kernel.errors import TallystickError

_NO_COUNTERS: Final = TokenCounters()
_NONE: Final[Timeline] = ([], [])


class Tariff(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Where the price of one kind of use stands: our versions, and for a language model the public ones."""

    type: str
    versions: Timeline
    public: Timeline = _NONE


def tariff_for_type(prices: PriceBook, type_: str, name: str | None = None) -> Tariff:
    """The tariff of a type of usage event; `name`, such as a hardware profile's, may have a price of its own in it."""
    return Tariff(type_, prices.timeline(targets_for_type(type_, name)))


def tariff_for_model(
    prices: PriceBook, provider: str | None, model: str | None, canonical: tuple[str, str] | None
) -> Tariff:
    """The tariff of a language model: as reported, and as `canonical` that it resolves to among public models."""
    targets = targets_for_model(provider, model, canonical)
    return Tariff(LLM_TOKENS, prices.timeline(targets), prices.public_timeline(canonical))


def tariff_for_tool_call(
    prices: PriceBook, tool_id: UUID | None, connector_id: UUID | None, integration: str | None, action: str | None
) -> Tariff:
    """The tariff of a tool call, most specific price first."""
    return Tariff(TOOL_CALL, prices.timeline(targets_for_tool_call(tool_id, connector_id, integration, action)))


class Use(msgspec.Struct, gc=False):
    """One use under a tariff. `cost` is the provider's in USD, as reported; `counters` is given for `llm.tokens`."""

    tariff: Tariff
    time: dt.datetime
    quantity: Quantity = 1
    counters: TokenCounters = _NO_COUNTERS
    cost: Decimal | None = None
    _summed: tuple[PriceVersion, int] | None = None

    def numerator(self, version: PriceVersion) -> int:
        """Of the price by tokens. Summed once where our version is the public one, as most are."""
        if self._summed is None or self._summed[0] is not version:
            self._summed = version, token_numerator(version, self.counters, self.time)
        return self._summed[1]


def version_for(use: Use) -> PriceVersion | None:
    """The version that prices this use, by the event's own time (rule M2); None leaves it unpriced (rule M6).

    A percentage with no cost to take it of, neither reported nor public, leaves it unpriced too (rule M7).
    """
    version = in_force(use.tariff.versions, use.time)
    if version is not None and version.model == "percentage" and use.cost is None:
        return version if in_force(use.tariff.public, use.time) is not None else None
    return version


def amount(version: PriceVersion, use: Use, before: Quantity = 0) -> int:
    """Nano-credits of this use under `version`; `before` is what a tiered price has counted in the billing period.

    Raises `amountTooLarge`, `invalidAmount`.
    """
    if version.model == "tokens":
        return rate_tokens(use.numerator(version))
    if version.is_tiered:
        return rate_tiered(version, before, use.quantity)
    if version.model == "percentage":
        if use.cost is not None:
            return rate_percentage(version, use.cost)
        public = in_force(use.tariff.public, use.time)
        exact = exact_cost_of_tokens(public, use.numerator(public)) if public else None
        return 0 if exact is None else rate_percentage(version, exact)
    return rate_quantity(version, use.quantity)


def provider_cost(use: Use) -> int | None:
    """What the provider took, in nano-USD: as reported, else by the public price; None where neither is known (M7).

    Raises `invalidAmount` for a negative or unreadable cost, `amountTooLarge` beyond US$100,000,000.
    """
    if use.cost is not None:
        return nano_usd(use.cost)
    public = in_force(use.tariff.public, use.time)
    return None if public is None else cost_of_tokens(public, use.numerator(public))


def nano_usd(cost: Decimal) -> int:
    """A reported cost in USD as integer nano-USD, rounded half even. Raises `invalidAmount`, `amountTooLarge`."""
    if not cost.is_finite() or cost < 0:
        raise TallystickError(
            "invalidAmount", "A provider's cost must be a number of USD, 0 or more.", field="cost", value=str(cost)[:64]
        )
    if cost.adjusted() > 8:
        raise TallystickError(
            "amountTooLarge", "A provider's cost is out of range.", field="cost", value=str(cost)[:64]
        )
    if cost.adjusted() < -10:
        return 0
    top, bottom = cost.as_integer_ratio()
    nano = divide_half_even(top * NANO, bottom)
    if nano > MAX_NANO:
        raise TallystickError(
            "amountTooLarge", "A provider's cost is out of range.", field="cost", value=str(cost)[:64]
        )
    return nano
