"""Fine-tuning jobs: what one costs, from training data, epochs, the model's complexity and hardware (row B8).

A job is paid in two parts, each a usage event with one charge that is rounded once (rule M3): the tokens trained,
which are those of the data times the epochs, at the price of the model's class of complexity; and the time on hardware
at the price of its profile. The platform does the training; here stand the gate, the hold and the charges.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from tallystick.domain.metering.events import QUANTITY_MAX
from tallystick.domain.metering.meters import FINE_TUNING_JOB, FINE_TUNING_TIME
from tallystick.domain.metering.prices import PriceBook
from tallystick.domain.metering.pricing import Use, amount, tariff_for_type, version_for
from tallystick.kernel.credits import format_credits
from tallystick.kernel.errors import TallystickError

SHIPPED: Final[Mapping[str, str]] = MappingProxyType({"small": "10", "medium": "30", "large": "80"})
"""Credits for a million trained tokens by complexity. Nobody publishes theirs: these are ours, and lower than what
services take that own the hardware, since that is paid beside them. An operator's own price stands over each."""

SMALL_MAX: Final = 10_000_000_000
MEDIUM_MAX: Final = 40_000_000_000
_TOKENS_MAX: Final = 10**14
_EPOCHS_MAX: Final = 1_000
_SECONDS_MAX: Final = 366 * 24 * 3_600

RUNNING: Final = "running"
ENDED: Final = ("succeeded", "failed", "cancelled")
TRANSITIONS: Final[Mapping[tuple[str, str], str]] = MappingProxyType({(RUNNING, end): end for end in ENDED})
"""(status, what is reported) → status."""


def complexity_of(parameters: int) -> str:
    """The class of a model with so many parameters: small to 10 billion, medium to 40 billion, large above."""
    if parameters <= SMALL_MAX:
        return "small"
    return "medium" if parameters <= MEDIUM_MAX else "large"


@dataclass(frozen=True, slots=True)
class Work:
    """What a job takes, as announced or as done. `training_tokens` are those of the data, once through.

    `epochs` may have a fraction, where a job ends in the middle of one. `profile` is None on hardware that is not
    paid for here. `seconds` are those of the hardware; two machines take twice as many.
    """

    training_tokens: int
    epochs: Decimal
    complexity: str
    profile: str | None
    seconds: Decimal

    @property
    def trained_tokens(self) -> Decimal:
        """Tokens of the data times epochs; exact, to a billionth of a token."""
        return self.training_tokens * self.epochs

    @property
    def hardware_seconds(self) -> Decimal:
        """Seconds that are paid for."""
        return self.seconds if self.profile is not None else Decimal(0)


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `asked` is its work as announced, `reported` as done, None until it ended, as is `charged`.

    `estimate` and `charged` are nano-credits. `resource_id` is the fine-tuned model, which events call `model`.
    """

    workspace_id: UUID
    id: UUID
    base_model: str
    model: str
    resource_id: UUID
    status: str
    asked: Work
    estimate: int
    hold_id: UUID | None
    created_by: str
    created_at: dt.datetime
    reported: Work | None = None
    charged: int | None = None
    reason: str = ""
    finished_at: dt.datetime | None = None

    def end(self, status: str) -> str:
        """The status that the report leads to. Raises `fineTuningJobNotRunning`."""
        following = TRANSITIONS.get((self.status, status))
        if following is None:
            raise TallystickError(
                "fineTuningJobNotRunning",
                f"The fine-tuning job is {self.status}, no longer running.",
                id=str(self.id),
                status=self.status,
            )
        return following


@dataclass(frozen=True, slots=True)
class Part:
    """One charge of a job: a type of usage event, its quantity and the data that says so; `price` is its target.

    `credits` are nano-credits, 0 where nothing prices it yet (rule M6): then `price` is None.
    """

    type: str
    quantity: Decimal
    credits: int
    price: str | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the announced work will cost: its parts and their sum in nano-credits."""

    parts: tuple[Part, ...]

    @property
    def credits(self) -> int:
        return sum(part.credits for part in self.parts)


def check_work(work: Work) -> Work:
    """The work itself, when it may be asked or reported. Raises `invalidQuantity`, naming the field."""
    for field, number, most in (
        ("trainingTokens", Decimal(work.training_tokens), _TOKENS_MAX),
        ("epochs", work.epochs, _EPOCHS_MAX),
        ("seconds", work.seconds, _SECONDS_MAX),
    ):
        if not number.is_finite() or not 0 <= number <= most:
            raise TallystickError("invalidQuantity", f"{field} must lie between 0 and {most}.", field=field)
        if number != round(number, 9):
            raise TallystickError("invalidQuantity", f"{field} has at most nine decimals.", field=field)
    if work.trained_tokens > QUANTITY_MAX:
        raise TallystickError(
            "invalidQuantity", f"trainingTokens times epochs must not exceed {QUANTITY_MAX:f}.", field="trainingTokens"
        )
    return work


def quantities(work: Work) -> Iterator[tuple[str, Decimal, dict[str, Any]]]:
    """The usage of a job: type of event, quantity, and what else its data say. A part of nothing is left out."""
    if work.trained_tokens:
        told = {
            "trainingTokens": work.training_tokens,
            "epochs": plain(work.epochs),
            "complexity": work.complexity,
        }
        yield FINE_TUNING_JOB, work.trained_tokens, told
    if work.hardware_seconds:
        yield FINE_TUNING_TIME, work.hardware_seconds, {"profile": work.profile, "seconds": plain(work.seconds)}


def estimate(work: Work, prices: PriceBook, at: dt.datetime) -> Estimate:
    """What this work costs by the prices in force at `at`. Raises `amountTooLarge`."""
    parts = []
    for type_, quantity, told in quantities(work):
        use = Use(tariff_for_type(prices, type_, told.get("complexity") or told.get("profile")), at, quantity)
        version = version_for(use)
        cost = 0 if version is None else amount(version, use)
        parts.append(Part(type_, quantity, cost, None if version is None else version.target))
    return Estimate(tuple(parts))


def plain(number: Decimal) -> str:
    """A decimal as events carry it: digits, without an exponent or trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def told(job: Job) -> dict[str, Any]:
    """A job as facts tell it."""
    content: dict[str, Any] = {
        "job": str(job.id),
        "baseModel": job.base_model,
        "model": job.model,
        "modelUuid": str(job.resource_id),
        "status": job.status,
        "complexity": job.asked.complexity,
        "profile": job.asked.profile,
        "estimate": Decimal(format_credits(job.estimate)),
    }
    if job.charged is not None:
        content |= {"credits": Decimal(format_credits(job.charged)), "reason": job.reason}
    return content


def job_not_found(job_id: UUID) -> TallystickError:
    return TallystickError("fineTuningJobNotFound", "There is no such fine-tuning job.", id=str(job_id))
