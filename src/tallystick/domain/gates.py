"""The gate: may this work start? One pure decision from standing, money and budgets (rows E1, E6; rules M10, M12, M16).

What refuses is named, with its figures and the way on. Where several things refuse, the first of `REASONS` is told:
what no money can mend comes before money, the workspace's money before its own caps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tallystick.domain.budgets import Usage, WindowKey
from tallystick.domain.grants import CREDITS, TOOL_RUNS
from tallystick.domain.holds import Amounts
from tallystick.kernel.credits import NANO, format_credits
from tallystick.kernel.errors import TallystickError

REASONS: Final = (
    "trialEnded",
    "pastDue",
    "negativeLimitReached",
    "deploymentsDisabled",
    "runQuotaReached",
    "notEnoughCredits",
    "notEnoughToolRuns",
    "budgetExceeded",
)
ACTIONS: Final = ("run", "tool", "deploy", "fineTune")
"""What can be asked about without holding."""

_NOT_ENOUGH: Final = {CREDITS: "notEnoughCredits", TOOL_RUNS: "notEnoughToolRuns"}
_SHOWN: Final = {CREDITS: "credits", TOOL_RUNS: "toolRuns"}
_WAY_ON: Final = {
    "trialEnded": "Add a payment method, or move to the Free plan; runs resume at once.",
    "pastDue": "Pay the open invoice; runs resume at once.",
    "negativeLimitReached": "Add credits to settle the negative balance.",
    "deploymentsDisabled": "Add credits, or undeploy what is no longer needed.",
    "runQuotaReached": "Wait for the next billing period, or upgrade the plan.",
    "notEnoughCredits": "Top up or upgrade, or wait until open holds have settled.",
    "notEnoughToolRuns": "Top up or upgrade, or wait until open holds have settled.",
    "budgetExceeded": "Raise the budget, or wait for its next window.",
}


@dataclass(frozen=True, slots=True)
class Funds:
    """One balance in nano-units; `overage` is how far beyond it the contract still allows (rule M12)."""

    posted: int
    held: int
    overage: int = 0

    @property
    def available(self) -> int:
        return self.posted - self.held + self.overage


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in the way whatever the money: the subscription's state, the plan's run quota, the limits of M16.

    `runs_started` counts those of the current billing period; limits are nano-credits on `posted`.
    """

    trial_ended: bool = False
    past_due: bool = False
    run_quota: int | None = None
    runs_started: int = 0
    deploy_threshold: int = 5 * NANO
    negative_limit: int = -10 * NANO
    fine_tune_minimum: int = 25 * NANO


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed, or why not: a code of `REASONS`, a sentence, and the figures."""

    allowed: bool
    reason: str | None = None
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raises the refusal."""
        if not self.allowed:
            raise TallystickError(self.reason or "", self.message, **self.details)


ALLOWED: Final = Decision(True)


def decide_hold(
    needed: Amounts,
    funds: Mapping[str, Funds],
    standing: Standing,
    budgets: Iterable[tuple[WindowKey, Usage]] = (),
    *,
    new_run: bool = False,
) -> Decision:
    """Whether `needed` may be set aside. `new_run` says that this hold would start a run of the quota."""
    refused = _standing(standing, new_run=new_run)
    return refused or _money(needed, funds) or _caps(needed, budgets) or ALLOWED


def decide_action(
    action: str,
    amount: int,
    funds: Mapping[str, Funds],
    standing: Standing,
    budgets: Iterable[tuple[WindowKey, Usage]] = (),
) -> Decision:
    """Whether this may start, nothing being held. `amount` is in nano-units: credits, for a tool the tool runs.

    At zero credits nothing new starts, however cheap (rule M12); a tool needs both balances (rule M10).
    """
    posted = funds[CREDITS].posted
    if action == "deploy" and posted <= standing.negative_limit:
        return _refuse("negativeLimitReached", posted=posted, limit=standing.negative_limit)
    if action == "deploy" and posted < standing.deploy_threshold:
        return _refuse("deploymentsDisabled", posted=posted, threshold=standing.deploy_threshold)
    needed = Amounts(0, amount) if action == "tool" else Amounts(amount, 0)
    refused = _standing(standing, new_run=action == "run") or _above_zero(action, standing, funds)
    return refused or _money(needed, funds) or _caps(needed, budgets) or ALLOWED


def _standing(standing: Standing, *, new_run: bool) -> Decision | None:
    if standing.trial_ended:
        return _refuse("trialEnded")
    if standing.past_due:
        return _refuse("pastDue")
    if new_run and standing.run_quota is not None and standing.runs_started >= standing.run_quota:
        return _refuse("runQuotaReached", quota=standing.run_quota, started=standing.runs_started)
    return None


def _above_zero(action: str, standing: Standing, funds: Mapping[str, Funds]) -> Decision | None:
    floor = standing.fine_tune_minimum if action == "fineTune" else 0
    for unit in (CREDITS, TOOL_RUNS) if action == "tool" else (CREDITS,):
        if funds[unit].available <= (floor if unit == CREDITS else 0):
            return _short(unit, floor, funds[unit])
    return None


def _money(needed: Amounts, funds: Mapping[str, Funds]) -> Decision | None:
    for unit, amount in needed.by_unit().items():
        if amount > 0 and amount > funds[unit].available:
            return _short(unit, amount, funds[unit])
    return None


def _caps(needed: Amounts, budgets: Iterable[tuple[WindowKey, Usage]]) -> Decision | None:
    """The most restrictive budget decides: of those that refuse, the one with least left."""
    over = [
        (usage.left, key, usage)
        for key, usage in budgets
        if usage.left < needed.of(usage.budget.unit) or (usage.left <= 0 and needed.of(usage.budget.unit) > 0)
    ]
    if not over:
        return None
    left, key, usage = min(over, key=lambda entry: (entry[0], entry[1]))
    budget = usage.budget
    return _refuse(
        "budgetExceeded",
        needed=needed.of(budget.unit),
        available=max(left, 0),
        held=usage.held,
        spent=usage.spent,
        limit=budget.amount,
        unit=_SHOWN[budget.unit],
        blocking={
            "kind": "budget",
            "id": str(budget.id),
            "name": budget.name,
            "scope": budget.scope,
            "subject": key.subject,
            "per": budget.per,
            "window": key.window,
        },
    )


def _short(unit: str, needed: int, funds: Funds) -> Decision:
    return _refuse(
        _NOT_ENOUGH[unit],
        needed=needed,
        available=funds.available,
        held=funds.held,
        unit=_SHOWN[unit],
        blocking={"kind": "balance", "id": _SHOWN[unit], "name": _SHOWN[unit]},
    )


_AMOUNTS: Final = frozenset({"needed", "available", "held", "spent", "limit", "posted", "threshold"})


def _refuse(reason: str, **details: Any) -> Decision:
    """Amounts are told as exact decimals."""
    shown = {name: format_credits(value) if name in _AMOUNTS else value for name, value in details.items()}
    return Decision(False, reason, _SENTENCES[reason].format(**shown), shown | {"wayOn": _WAY_ON[reason]})


_SENTENCES: Final = {
    "trialEnded": "The trial has ended.",
    "pastDue": "An invoice is past due.",
    "negativeLimitReached": "The balance of {posted} credits has reached the negative limit of {limit}.",
    "deploymentsDisabled": "New deployments need at least {threshold} credits; there are {posted}.",
    "runQuotaReached": "All {quota} runs of this billing period have been started.",
    "notEnoughCredits": "{needed} credits are needed, {available} are available.",
    "notEnoughToolRuns": "{needed} tool runs are needed, {available} are available.",
    "budgetExceeded": "{needed} {unit} are needed, the budget has {available} left.",
}
