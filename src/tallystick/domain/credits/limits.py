"""Limits of spending on what runs: when new deployments are refused, when people are told, when all stops (rule M16).

A workspace has limits of its own, each of which may be left to the installation's.
"""

from dataclasses import dataclass, fields
from typing import Final

from tallystick.kernel.credits import NANO, format_credits
from tallystick.kernel.errors import TallystickError


@dataclass(frozen=True, slots=True)
class Limits:
    """In nano-credits on what is posted, `fine_tune_minimum` on what is available.

    Below `deploy_threshold` new deployments are refused; at `low_limit` people are told that they go on; at
    `negative_limit` they stop, and the platform has `comply_seconds` for it. A fine-tuning job needs more than
    `fine_tune_minimum`. All of it is looked at each `metering_seconds` of the day, which is the installation's alone.
    """

    deploy_threshold: int = 5 * NANO
    low_limit: int = NANO
    negative_limit: int = -10 * NANO
    fine_tune_minimum: int = 25 * NANO
    comply_seconds: int = 300
    metering_seconds: int = 60

    def over(self, own: "OwnLimits") -> "Limits":
        """These with `own` put over them."""
        given = {item.name: value for item in fields(own) if (value := getattr(own, item.name)) is not None}
        return Limits(**{item.name: given.get(item.name, getattr(self, item.name)) for item in fields(self)})

    def check(self) -> "Limits":
        """These. Raises `invalidLimits` unless deployThreshold ≥ lowLimit ≥ 0 > negativeLimit, and the rest is not
        negative."""
        if not self.deploy_threshold >= self.low_limit >= 0 > self.negative_limit:
            raise TallystickError(
                "invalidLimits",
                "Limits must be in order: deployThreshold, lowLimit, 0 and, below it, negativeLimit.",
                deployThreshold=format_credits(self.deploy_threshold),
                lowLimit=format_credits(self.low_limit),
                negativeLimit=format_credits(self.negative_limit),
            )
        if self.fine_tune_minimum < 0 or self.comply_seconds < 1 or self.metering_seconds < 1:
            raise TallystickError(
                "invalidLimits",
                "fineTuneMinimum must not be negative, and there must be a second or more to comply in.",
                fineTuneMinimum=format_credits(self.fine_tune_minimum),
                complySeconds=self.comply_seconds,
            )
        return self


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """A row of limits as it is kept: None leaves one to the installation's."""

    deploy_threshold: int | None = None
    low_limit: int | None = None
    negative_limit: int | None = None
    fine_tune_minimum: int | None = None
    comply_seconds: int | None = None
    metering_seconds: int | None = None


SHIPPED: Final = Limits()
"""What the rules say, where the installation says nothing else."""
