"""The catalog as one value: meters, prices and plans as of one version of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from tallystick.domain.billing.plans import PlanVersion
from tallystick.domain.metering.meters import Meter
from tallystick.domain.metering.prices import PriceBook


@dataclass(frozen=True, slots=True)
class Catalog:
    """`version` grows with every change; `meters` are by type of event, `plans` by id of the plan version."""

    version: int
    meters: Mapping[str, Meter]
    prices: PriceBook
    plans: Mapping[UUID, PlanVersion]
