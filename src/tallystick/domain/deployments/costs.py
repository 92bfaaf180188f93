"""What hardware costs by the hour, the day and the month, before anything is deployed and while it runs (rule M17)."""

from collections.abc import Mapping
from dataclasses import dataclass

from tallystick.domain.deployments.profiles import DAY_HOURS, HOUR, MONTH_HOURS, HardwareProfile, split
from tallystick.domain.metering.prices import PriceVersion
from tallystick.domain.metering.rating import rate_quantity, rate_tiered


@dataclass(frozen=True, slots=True)
class Cost:
    """Nano-credits of all replicas: of an hour, of a day of 24 and of a month of 730 hours; `components` of an hour.

    Each is what the price says of that time as one, so that no rounding is multiplied.
    """

    hour: int
    day: int
    month: int
    components: Mapping[str, int]


def cost_of(profile: HardwareProfile, version: PriceVersion | None, replicas: int) -> Cost | None:
    """What `replicas` of a profile cost under a price, from its first second; None where it has no price (rule M6).

    A share of the provider's cost is none: nobody knows it beforehand.

    Raises `amountTooLarge`.
    """
    if version is None or version.model == "percentage":
        return None
    hour, day, month = (_of(version, hours * HOUR * replicas) for hours in (1, DAY_HOURS, MONTH_HOURS))
    return Cost(hour, day, month, split(hour, profile.components))


def _of(version: PriceVersion, seconds: int) -> int:
    return rate_tiered(version, 0, seconds) if version.is_tiered else rate_quantity(version, seconds)
