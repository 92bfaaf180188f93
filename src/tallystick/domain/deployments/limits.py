"""What follows from the credits of a workspace for what runs there, and for what would (rule M16): one pure policy.

The gate decides about new deployments (domain/credits/gates.py); here the rest stands beside it. A contract that goes
on without end beyond its credits (rule M12) stops nothing and refuses nothing.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tallystick.domain.credits.accounts import Balance
from tallystick.domain.credits.gates import Funds, Standing, decide_action
from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS
from tallystick.domain.credits.limits import Limits
from tallystick.domain.credits.told import amount as told_amount
from tallystick.domain.deployments.deployment import OUT_OF_CREDITS
from tallystick.domain.telling.facts import LOW_REACHED, NEGATIVE_REACHED, Fact, derived_id


@dataclass(frozen=True, slots=True)
class AtTick:
    """What follows at one tick for what runs. `is_low` is whether credits are at or below the low limit now."""

    tells_low: bool
    stops: bool
    is_low: bool


@dataclass(frozen=True, slots=True)
class Consequences:
    """All that follows. `stops` is the reason with which everything that runs must stop; `refuses` the code with which
    new deployments are refused; both None where they go on."""

    tells_low: bool
    stops: str | None
    refuses: str | None
    imports_are_drafts: bool


_NO_TOOL_RUNS: Final = Funds(0, 0)


def at_tick(posted: int, limits: Limits, *, was_low: bool, overage: int | None = 0) -> AtTick:
    """For what runs, at a tick where `posted` nano-credits stand. `was_low` is `is_low` of the tick before.

    The low limit is told once each time it is crossed; everything goes on, also below zero. `overage` is how far
    beyond its credits the contract goes, None without end.
    """
    stops = overage is not None and posted + overage <= limits.negative_limit
    is_low = posted <= limits.low_limit
    return AtTick(is_low and not was_low, stops, is_low)


def consequences(
    posted: int, limits: Limits, *, is_running: bool, was_low: bool = False, overage: int | None = 0
) -> Consequences:
    """Everything that follows from `posted` nano-credits. What was stopped does not start by itself when credits are
    added: new deployments are no longer refused, and the low limit is told again when it is crossed again."""
    tick = at_tick(posted, limits, was_low=was_low, overage=overage)
    funds = {CREDITS: Funds(posted, 0, overage), TOOL_RUNS: _NO_TOOL_RUNS}
    standing = Standing(deploy_threshold=limits.deploy_threshold, negative_limit=limits.negative_limit)
    return Consequences(
        tells_low=is_running and tick.tells_low,
        stops=OUT_OF_CREDITS if is_running and tick.stops else None,
        refuses=decide_action("deploy", 0, funds, standing).reason,
        imports_are_drafts=imports_are_drafts(posted, overage=overage),
    )


def imports_are_drafts(posted: int, *, overage: int | None = 0) -> bool:
    """Whether what is imported stays a draft: nothing new starts at zero credits or below."""
    return overage is not None and posted + overage <= 0


def low_fact(balance: Balance, limits: Limits, at: dt.datetime) -> Fact:
    """Credits fell to the low limit at a tick while something runs; `balance` is that of credits right then."""
    return _limit_fact(LOW_REACHED, balance, limits.low_limit, at)


def negative_fact(balance: Balance, limits: Limits, at: dt.datetime, stopped: Sequence[UUID]) -> Fact:
    """Credits fell to the negative limit; these deployments must be stopped in time."""
    comply_by = at + dt.timedelta(seconds=limits.comply_seconds)
    return _limit_fact(
        NEGATIVE_REACHED,
        balance,
        limits.negative_limit,
        at,
        complyBy=_told_instant(comply_by),
        deploymentUuids=[str(one) for one in stopped],
    )


def _limit_fact(kind: str, balance: Balance, limit: int, at: dt.datetime, **data: Any) -> Fact:
    figures = {
        "unit": "credits",
        "limit": told_amount(limit),
        "posted": told_amount(balance.posted),
        "remaining": told_amount(max(balance.posted, 0)),
        "granted": told_amount(balance.allocation),
    }
    fact_id = derived_id(balance.workspace_id, kind, _told_instant(at))
    return Fact(balance.workspace_id, fact_id, kind, at, figures | data)


def _told_instant(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
