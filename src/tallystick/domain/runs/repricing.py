"""What a use would have cost if it had been another, by the prices that were in force then (row A12)."""

from collections.abc import Callable
from dataclasses import dataclass

from tallystick.domain.metering.attribution import priced_name
from tallystick.domain.metering.charging import DIRECT, WAIVED, counters_of
from tallystick.domain.metering.meters import LLM_TOKENS
from tallystick.domain.metering.prices import PriceBook, PriceVersion
from tallystick.domain.metering.pricing import Tariff, Use, amount, tariff_for_model, tariff_for_type, version_for
from tallystick.domain.runs.booked import Booked, Used
from tallystick.domain.runs.simulation import Change, Repriced

Resolve = Callable[[str, str | None], tuple[str, str] | None]
"""From a reported model and integration to (provider, model) among public prices."""


@dataclass(frozen=True, slots=True)
class Repricer:
    """Prices changed uses. Each keeps the version that it was charged by, unless it would have been another model's."""

    prices: PriceBook
    resolve: Resolve

    def __call__(self, used: Used, change: Change) -> Repriced:
        """Nano-credits; nothing is charged for what was waived, or has no price."""
        event = used.event
        if event.state in (WAIVED, DIRECT):
            return Repriced(used.credits)
        version, use = self._asked(used, change)
        if version is None:
            return Repriced(0, unpriced=True)
        before = event.counter_before or 0
        return Repriced(amount(version, use, before), tiered=version.is_tiered)

    def has_price(self, used: Used, model: str) -> bool:
        """Whether a call would have had a price if it had been this model's."""
        version, _ = self._asked(used, Change(language_model=model))
        return version is not None

    def _asked(self, used: Used, change: Change) -> tuple[PriceVersion | None, Use]:
        event = used.event
        if event.meter != LLM_TOKENS:
            quantity = event.quantity if change.quantity is None else change.quantity
            tariff = tariff_for_type(self.prices, event.meter, priced_name(event.meter, event.facts))
            use = Use(tariff, event.used_at, quantity, cost=event.facts.cost)
            return self._recorded(used), use
        model = change.language_model or event.language_model
        counters = change.counters or counters_of(event.type, event.facts)
        # What the provider took for the call that there was says nothing of another one.
        use = Use(self._tariff(event, model), event.used_at, counters.tokens_in + counters.tokens_out, counters)
        return self._recorded(used) if change.language_model is None else version_for(use), use

    def _recorded(self, used: Used) -> PriceVersion | None:
        """The version that it was charged by, a late one too."""
        ids = [row.price_version_id for row in used.every if row.price_version_id and row.reverses is None]
        return self.prices.get(ids[-1]) if ids else None

    def _tariff(self, event: Booked, model: str | None) -> Tariff:
        provider = event.facts.integration or event.integration
        canonical = None
        if model:
            canonical = self.resolve(model, provider) or self.resolve(model, None)
        return tariff_for_model(self.prices, provider, model, canonical)
