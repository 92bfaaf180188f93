"""The life of a subscription as one table: its states, what may be asked in each, and what a period's end brings.

(rows D2, D3, D8; rules M23 to M25)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from tallystick.domain.billing.plans import PlanVersion, is_enterprise, months
from tallystick.kernel.errors import TallystickError

TRIALING: Final = "trialing"
ACTIVE: Final = "active"
PAST_DUE: Final = "past_due"
PAUSED: Final = "paused"
CANCELED: Final = "canceled"
STATUSES: Final = (TRIALING, ACTIVE, PAST_DUE, PAUSED, CANCELED)

Asked = Literal[
    "startTrial",
    "endTrialPaid",
    "endTrialUnpaid",
    "pay",
    "payWithinTrial",
    "exhaustDunning",
    "pause",
    "resume",
    "resumeWithinTrial",
    "change",
    "cancel",
    "end",
]

TRANSITIONS: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        (ACTIVE, "startTrial"): TRIALING,
        (TRIALING, "endTrialPaid"): ACTIVE,
        (TRIALING, "endTrialUnpaid"): PAUSED,
        # What is owed for something else is paid while the trial goes on.
        (PAST_DUE, "pay"): ACTIVE,
        (PAST_DUE, "payWithinTrial"): TRIALING,
        (ACTIVE, "exhaustDunning"): PAST_DUE,
        (TRIALING, "exhaustDunning"): PAST_DUE,
        (PAST_DUE, "exhaustDunning"): PAST_DUE,
        (PAUSED, "exhaustDunning"): PAUSED,
        (ACTIVE, "pause"): PAUSED,
        (TRIALING, "pause"): PAUSED,
        (PAUSED, "resume"): ACTIVE,
        (PAUSED, "resumeWithinTrial"): TRIALING,
        (ACTIVE, "change"): ACTIVE,
        (TRIALING, "change"): ACTIVE,
        (PAUSED, "change"): ACTIVE,
        (ACTIVE, "cancel"): ACTIVE,
        (TRIALING, "cancel"): TRIALING,
        (PAST_DUE, "cancel"): PAST_DUE,
        (PAUSED, "cancel"): PAUSED,
        (ACTIVE, "end"): CANCELED,
        (TRIALING, "end"): CANCELED,
        (PAST_DUE, "end"): CANCELED,
        (PAUSED, "end"): CANCELED,
    }
)
"""(state, what is asked) → state. `cancel` asks for the end of the period, revocable until then; `end` is that."""

Ending = Literal["renew", "idle", "convert", "pause", "change", "cancel"]


def move(status: str, asked: Asked) -> str:
    """The state after `asked`. Raises `invalidTransition` where the table has no such step."""
    following = TRANSITIONS.get((status, asked))
    if following is None:
        raise TallystickError(
            "invalidTransition",
            f"A subscription that is {status.replace('_', ' ')} can't do that.",
            status=status,
            asked=asked,
        )
    return following


@dataclass(frozen=True, slots=True)
class AtEnd:
    """What a period's end brings: the next state, what was asked of the table, and whether the next period is idle.

    An idle period costs nothing and includes nothing: it is one that begins while new work is refused.
    """

    ending: Ending
    status: str
    is_idle: bool


def at_period_end(status: str, *, pending: str | None, price_minor: int, has_method: bool) -> AtEnd:
    """What follows at the exact end of a period (rules M14, M23, M25).

    `pending` is what was asked for this end, `price_minor` what the plan costs that comes next. A trial's end is the
    end of its period. Without a payment method it pauses, unless what comes next costs nothing.
    """
    if pending == "cancel":
        return AtEnd("cancel", move(status, "end"), False)
    if status == TRIALING:
        if price_minor and not has_method:
            return AtEnd("pause", move(status, "endTrialUnpaid"), True)
        return AtEnd("change" if pending else "convert", move(status, "endTrialPaid"), False)
    is_idle = status in (PAUSED, PAST_DUE)
    return AtEnd("change" if pending else "idle" if is_idle else "renew", status, is_idle)


def is_upgrade(old: PlanVersion, new: PlanVersion) -> bool:
    """Whether a change takes place now (rule M25): to a higher plan, or of the same plan to more or for longer.

    Plans rank free of charge, priced, Enterprise; then by price a month, then by credits a month.
    """
    longer = months(new) - months(old)
    if new.plan == old.plan and longer:
        return longer > 0
    return _rank(new, old) > _rank(old, new)


def _rank(one: PlanVersion, other: PlanVersion) -> tuple[int, int, int]:
    """Figures a month, compared without dividing."""
    tier = 2 if is_enterprise(one) else 1 if one.price_minor else 0
    return tier, one.price_minor * months(other), one.included_credits * months(other)
