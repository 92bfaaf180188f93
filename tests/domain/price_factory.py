"""Price versions for tests, with what a test does not care about filled in."""

import datetime as dt
from typing import Any
from uuid import UUID, uuid5

from tallystick.domain.metering.prices import BEGINNING, PriceVersion
from tallystick.domain.metering.rates import canonical_rates

CREATED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def price(
    model: str,
    rates: dict[str, Any],
    *,
    target: str = "tool.call",
    origin: str = "operator",
    valid_from: dt.datetime = BEGINNING,
) -> PriceVersion:
    canonical = canonical_rates(model, rates)
    id_ = uuid5(UUID(int=0), f"{target} {origin} {valid_from} {model} {canonical}")
    return PriceVersion(id_, target, valid_from, model, canonical, origin, "test", "", CREATED)


def token_price(rates: dict[str, Any], **given: Any) -> PriceVersion:
    return price("tokens", rates, **({"target": "llm.tokens/openai/gpt-4o"} | given))
