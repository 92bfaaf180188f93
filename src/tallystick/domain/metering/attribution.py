"""Attribution: what the names in an event resolve to, once for all events that carry the same names."""

import dataclasses
from dataclasses import dataclass
from uuid import UUID

from tallystick.domain.metering.events import EventData
from tallystick.domain.metering.meters import LLM_TOKENS, PRICED_BY, TOOL_CALL, Meter
from tallystick.domain.metering.prices import PriceBook
from tallystick.domain.metering.pricing import Tariff, tariff_for_model, tariff_for_tool_call, tariff_for_type
from tallystick.domain.metering.rollups import Dimensions, HourDimensions, bucket_of


def priced_name(type_: str, facts: EventData) -> str | None:
    """What of an event's data may have a price of its own, such as the hardware profile of a running deployment."""
    name = PRICED_BY.get(type_)
    return None if name is None else getattr(facts, name) or None


@dataclass(eq=False, slots=True)
class Attribution:
    """Where charges of one combination of names go: dimensions, rollup buckets and what decides their price.

    `waived` says that the connector is the workspace's own key, so nothing is charged (`useCredits: false`).
    Compared by identity, so that sums per attribution cost one cheap look-up for each event.
    """

    workspace_id: UUID
    meter: Meter
    dimensions: Dimensions
    waived: bool = False
    provider: str | None = None
    action: str | None = None
    canonical: tuple[str, str] | None = None
    priced_name: str | None = None
    bucket: UUID = dataclasses.field(init=False)
    hour_dimensions: HourDimensions = dataclasses.field(init=False)
    hour_bucket: UUID = dataclasses.field(init=False)
    _tariff: Tariff | None = dataclasses.field(init=False, default=None, repr=False)
    _prices: PriceBook | None = dataclasses.field(init=False, default=None, repr=False)
    encoded: bytes = dataclasses.field(init=False, default=b"", repr=False)
    """What the store writes of it for each charge, once it did."""

    def __post_init__(self) -> None:
        d = self.dimensions
        self.bucket = bucket_of(d)
        self.hour_dimensions = HourDimensions(d.category, d.slug, d.workflow_id, d.agent_id)
        self.hour_bucket = bucket_of(self.hour_dimensions)

    def tariff(self, prices: PriceBook) -> Tariff:
        """Where its price stands in this book; looked up once."""
        if self._tariff is None or self._prices is not prices:
            d = self.dimensions
            if self.meter.type == LLM_TOKENS:
                self._tariff = tariff_for_model(prices, self.provider, d.language_model, self.canonical)
            elif self.meter.type == TOOL_CALL:
                self._tariff = tariff_for_tool_call(prices, d.tool_id, d.connector_id, d.integration, self.action)
            else:
                self._tariff = tariff_for_type(prices, self.meter.type, self.priced_name)
            self._prices = prices
        return self._tariff
