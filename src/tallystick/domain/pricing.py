"""What one use costs: which version prices it, how much that is, and what the provider took for it.

Ingest asks this of a new event; pricing an unpriced event later asks it again of the same facts (rule M6). Asking is
in two steps, because a tiered price first needs its counter locked: `version_for`, then `amount`.
"""

import datetime as dt
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from tallystick.domain.counters import TokenCounters
from tallystick.domain.meters import LLM_TOKENS, TOOL_CALL
from tallystick.domain.prices import PriceBook, PriceVersion
from tallystick.domain.rating import (
    Quantity,
    cost_of_tokens,
    exact_cost_of_tokens,
    rate_percentage,
    rate_quantity,
    rate_tiered,
    rate_tokens,
)
from tallystick.kernel.credits import MAX_NANO, NANO, divide_half_even
from tallystick.kernel.errors import TallystickError

_NO_COUNTERS: Final = TokenCounters()


class Use(msgspec.Struct, frozen=True, gc=False):
    """What pricing needs to know of an event. `cost` is the provider's in USD; `provider` and `model` are as reported
    and `canonical` what they resolve to among public models; `counters` is given for `llm.tokens`."""

    type: str
    time: dt.datetime
    quantity: Quantity = 1
    counters: TokenCounters = _NO_COUNTERS
    cost: Decimal | None = None
    tool_id: UUID | None = None
    connector_id: UUID | None = None
    integration: str | None = None
    action: str | None = None
    provider: str | None = None
    model: str | None = None
    canonical: tuple[str, str] | None = None


def version_for(prices: PriceBook, use: Use) -> PriceVersion | None:
    """The version that prices this use, by the event's own time (rule M2); None leaves it unpriced (rule M6).

    A percentage with no cost to take it of, neither reported nor public, leaves it unpriced too (rule M7).
    """
    if use.type == LLM_TOKENS:
        version = prices.for_model(use.provider, use.model, use.canonical, use.time)
    elif use.type == TOOL_CALL:
        version = prices.for_tool_call(use.tool_id, use.connector_id, use.integration, use.action, use.time)
    else:
        version = prices.at((use.type,), use.time)
    if version is not None and version.model == "percentage" and use.cost is None:
        return version if _public(prices, use) is not None else None
    return version


def amount(prices: PriceBook, version: PriceVersion, use: Use, before: Quantity = 0) -> int:
    """Nano-credits of this use under `version`; `before` is what a tiered price has counted in the billing period.

    Raises `amountTooLarge`, `invalidAmount`.
    """
    if version.model == "tokens":
        return rate_tokens(version, use.counters, use.time)
    if version.is_tiered:
        return rate_tiered(version, before, use.quantity)
    if version.model == "percentage":
        if use.cost is not None:
            return rate_percentage(version, use.cost)
        public = _public(prices, use)
        exact = exact_cost_of_tokens(public, use.counters, use.time) if public else None
        return 0 if exact is None else rate_percentage(version, exact)
    return rate_quantity(version, use.quantity)


def provider_cost(prices: PriceBook, use: Use) -> int | None:
    """What the provider took, in nano-USD: as reported, else by the public price; None where neither is known (M7).

    Raises `invalidAmount` for a negative or unreadable cost, `amountTooLarge` beyond US$100,000,000.
    """
    if use.cost is not None:
        return nano_usd(use.cost)
    public = _public(prices, use)
    return None if public is None else cost_of_tokens(public, use.counters, use.time)


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


def _public(prices: PriceBook, use: Use) -> PriceVersion | None:
    return prices.public_for_model(use.canonical, use.time) if use.type == LLM_TOKENS else None
