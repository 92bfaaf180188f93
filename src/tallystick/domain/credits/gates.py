"""The gate: may this work start? One pure decision from standing, money and budgets (rows E1, E6; rules M10, M12, M16).

What refuses is named, with its figures and the way on. Where several things refuse, the first of `REASONS` is told:
what no money can mend comes before money, the workspace's money before its own caps.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from tallystick.domain.credits.budgets import Usage, WindowKey
from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS
from tallystick.domain.credits.holds import Amounts
from tallystick.kernel.credits import NANO, format_credits
from tallystick.kernel.errors import TallystickError

REASONS: Final = (
    "trialEnded",
    "subscriptionPaused",
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

_DRAWS_ON: Final[Mapping[str, tuple[str, ...]]] = {
    "run": (CREDITS,),
    "tool": (CREDITS, TOOL_RUNS),
    "deploy": (CREDITS,),
    "fineTune": (CREDITS,),
}
_NOT_ENOUGH: Final = {CREDITS: "notEnoughCredits", TOOL_RUNS: "notEnoughToolRuns"}
_SHOWN: Final = {CREDITS: "credits", TOOL_RUNS: "toolRuns"}
_WORDS: Final = {CREDITS: "credit", TOOL_RUNS: "tool run"}


@dataclass(frozen=True, slots=True)
class Funds:
    """One balance in nano-units; `overage` is how far beyond it the contract still allows, None without end (M12)."""

    posted: int
    held: int
    overage: int | None = 0

    @property
    def available(self) -> int:
        """What a new hold may take; where overage has no end, what is there without it."""
        return self.posted - self.held + (self.overage or 0)

    def covers(self, amount: int) -> bool:
        """Whether `amount` is there."""
        return self.overage is None or amount <= self.available

    def above(self, floor: int) -> bool:
        """Whether more than `floor` is there."""
        return self.overage is None or self.available > floor


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in the way whatever the money: the subscription's state, the plan's run quota, the limits of M16.

    `runs_started` counts those of the current billing period; limits are nano-credits on `posted`. `subscription_id`
    and `plan` only say what blocks.
    """

    trial_ended: bool = False
    paused: bool = False
    past_due: bool = False
    run_quota: int | None = None
    runs_started: int = 0
    deploy_threshold: int = 5 * NANO
    negative_limit: int = -10 * NANO
    fine_tune_minimum: int = 25 * NANO
    subscription_id: UUID | None = None
    plan: str | None = None

    @property
    def subscription(self) -> dict[str, str]:
        """The subscription, as what blocks."""
        identity = "subscription" if self.subscription_id is None else str(self.subscription_id)
        return {"kind": "subscription", "id": identity, "name": self.plan or "subscription"}


def standing_of(status: str | None, resumes_to: str | None = None, **terms: Any) -> Standing:
    """The standing of a subscription in this state, None where there is none; `terms` are the other fields.

    A trial without a payment method ends as `paused`, dunning as `past_due`; until then runs go on (rules M23, M24).
    An operator may pause too: then `resumes_to` says what was interrupted.
    """
    paused = status == "paused"
    return Standing(
        trial_ended=paused and resumes_to is None,
        paused=paused and resumes_to is not None,
        past_due=status == "past_due",
        **terms,
    )


def overage_of(at_zero: str | None, cap: int | None = None, invoiced: int = 0) -> int | None:
    """How far beyond its credits a plan that is to `deny` or `invoice` still goes in this period, in nano-credits.

    None is without end (rule M12). `cap` is what the workspace may have beyond them in a period: where it has none, a
    plan that denies goes nowhere and one that invoices has no end. What was invoiced of it before counts.
    """
    if cap is None:
        return None if at_zero == "invoice" else 0
    return max(cap - invoiced, 0)


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed, or why not: a code of `REASONS`, a sentence, and the figures.

    `details` of every refusal has `unit`, `needed`, `available` and `held` in whole units as exact numbers, `blocking`
    with kind, id and name, and `wayOn`, a sentence that says what to do next.
    """

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
    """Whether `needed` may be set aside. `new_run` says that this hold would start a run of the quota.

    Nothing of a unit takes nothing of it: no balance and no budget of that unit refuses it, however far below zero.
    """
    return (
        _standing(standing, needed, funds, new_run=new_run)
        or _money(needed, funds)
        or _caps(needed, budgets, lambda unit, left: 0 < needed.of(unit) > left)
        or ALLOWED
    )


def decide_action(
    action: str,
    amount: int,
    funds: Mapping[str, Funds],
    standing: Standing,
    budgets: Iterable[tuple[WindowKey, Usage]] = (),
    *,
    new_run: bool | None = None,
) -> Decision:
    """Whether this may start, nothing being held. `amount` is in nano-units: credits, for a tool the tool runs.

    At zero credits nothing new starts, however cheap (rule M12), and so it is with a budget that has nothing left; a
    tool needs both balances (rule M10), and budgets of both stand over it. Every `run` is a new one of the quota
    unless `new_run` says otherwise.
    """
    needed = Amounts(0, amount) if action == "tool" else Amounts(amount, 0)
    units = _DRAWS_ON[action]
    starts = action == "run" if new_run is None else new_run
    return (
        _standing(standing, needed, funds, new_run=starts)
        or (_limits(needed, funds[CREDITS], standing) if action == "deploy" else None)
        or _more_than(units, standing.fine_tune_minimum if action == "fineTune" else 0, needed, funds)
        or _money(needed, funds)
        or _caps(needed, budgets, lambda unit, left: unit in units and (left <= 0 or needed.of(unit) > left))
        or ALLOWED
    )


def _standing(standing: Standing, needed: Amounts, funds: Mapping[str, Funds], *, new_run: bool) -> Decision | None:
    unit = TOOL_RUNS if needed.tool_runs and not needed.credits else CREDITS
    asked = _figures(unit, needed.of(unit), funds[unit])
    if standing.trial_ended:
        return _refuse(
            "trialEnded",
            "The trial has ended.",
            asked | {"blocking": standing.subscription},
            "Add a payment method, or move to the Free plan; runs resume at once.",
        )
    if standing.paused:
        return _refuse(
            "subscriptionPaused",
            "The subscription is paused.",
            asked | {"blocking": standing.subscription},
            "Ask the operator's support to resume it.",
        )
    if standing.past_due:
        return _refuse(
            "pastDue",
            "An invoice is past due.",
            asked | {"blocking": standing.subscription},
            "Pay the open invoice; runs resume at once.",
        )
    if new_run and standing.run_quota is not None and standing.runs_started >= standing.run_quota:
        return _refuse(
            "runQuotaReached",
            f"All {standing.run_quota} runs of this billing period have been started.",
            {"unit": "runs", "needed": 1, "available": 0, "held": 0, "blocking": standing.subscription}
            | {"limit": standing.run_quota, "started": standing.runs_started},
            "Wait for the next billing period, or upgrade the plan.",
        )
    return None


def _limits(needed: Amounts, funds: Funds, standing: Standing) -> Decision | None:
    """Rule M16, on what is posted: holds do not count. What the contract allows beyond it does (rule M12)."""
    if funds.overage is None:
        return None
    reach = funds.posted + funds.overage
    figures = _figures(CREDITS, needed.credits, funds) | {"blocking": _balance(CREDITS), "posted": _told(funds.posted)}
    if reach <= standing.negative_limit:
        return _refuse(
            "negativeLimitReached",
            "You've used all your available credits. Please add more credits to your account to continue.",
            figures | {"limit": _told(standing.negative_limit)},
            "Add credits; the negative balance is settled first.",
        )
    # At zero every new deployment is refused, also where the threshold is zero.
    if reach < standing.deploy_threshold or reach <= 0:
        return _refuse(
            "deploymentsDisabled",
            f"New deployments need a balance {'of at least' if standing.deploy_threshold else 'above'} "
            f"{_count(standing.deploy_threshold, CREDITS)}; it is {format_credits(reach)}.",
            figures
            | {"needed": _told(max(needed.credits, standing.deploy_threshold))}
            | {"threshold": _told(standing.deploy_threshold)},
            "Add credits, or undeploy what is no longer needed.",
        )
    return None


def _more_than(units: Iterable[str], minimum: int, needed: Amounts, funds: Mapping[str, Funds]) -> Decision | None:
    """More than nothing must be there, of credits more than `minimum`."""
    for unit in units:
        floor = minimum if unit == CREDITS else 0
        if not funds[unit].above(floor) and needed.of(unit) <= floor:
            figures = _figures(unit, floor, funds[unit]) | {"moreThan": _told(floor), "blocking": _balance(unit)}
            available = format_credits(funds[unit].available)
            sentence = (
                f"More than {_count(floor, unit)} must be available; there are {available}."
                if floor
                else f"Nothing new starts without {_WORDS[unit]}s; {available} available."
            )
            return _refuse(_NOT_ENOUGH[unit], sentence, figures, _mend(floor + 1, funds[unit]))
        if not funds[unit].above(floor):
            return _short(unit, needed.of(unit), funds[unit])
    return None


def _money(needed: Amounts, funds: Mapping[str, Funds]) -> Decision | None:
    for unit, amount in needed.by_unit().items():
        if amount > 0 and not funds[unit].covers(amount):
            return _short(unit, amount, funds[unit])
    return None


def _short(unit: str, needed: int, funds: Funds) -> Decision:
    figures = _figures(unit, needed, funds) | {"blocking": _balance(unit)}
    sentence = f"This needs {_count(needed, unit)}; {format_credits(funds.available)} available."
    return _refuse(_NOT_ENOUGH[unit], sentence, figures, _mend(needed, funds))


def _mend(needed: int, funds: Funds) -> str:
    """Waiting helps only where the money is there and set aside."""
    if needed <= funds.available + funds.held:
        return "Wait until open holds have settled, or top up."
    return "Top up, or upgrade the plan."


def _caps(
    needed: Amounts, budgets: Iterable[tuple[WindowKey, Usage]], refuses: Callable[[str, int], bool]
) -> Decision | None:
    """The most restrictive budget decides: of those that refuse, the one with least left."""
    over = [(usage.left, key, usage) for key, usage in budgets if refuses(usage.budget.unit, usage.left)]
    if not over:
        return None
    left, key, usage = min(over, key=lambda entry: (entry[0], entry[1]))
    budget, asked = usage.budget, needed.of(usage.budget.unit)
    available = _count(max(left, 0), budget.unit)
    wanted = f"; this needs {format_credits(asked)}." if asked else "."
    figures = {
        "unit": _SHOWN[budget.unit],
        "needed": _told(asked),
        "available": _told(left),
        "held": _told(usage.held),
        "spent": _told(usage.spent),
        "limit": _told(budget.amount),
        "blocking": {
            "kind": "budget",
            "id": str(budget.id),
            "name": budget.name,
            "scope": budget.scope,
            "subject": key.subject,
            "per": budget.per,
            "window": key.window,
        },
    }
    return _refuse(
        "budgetExceeded", f'The budget "{budget.name}" has {available} left{wanted}', figures, _wait_for(usage, asked)
    )


def _wait_for(usage: Usage, asked: int) -> str:
    budget = usage.budget
    if max(asked, 1) > budget.amount:
        return "Raise the budget, or ask for less." if budget.amount else "Raise the budget."
    if max(asked, 1) <= usage.left + usage.held:
        return "Wait until open holds have settled, or raise the budget."
    if budget.per == "run":
        return "Raise the budget: this run is at its cap."
    return f"Raise the budget, or wait for the next {budget.per} (UTC)."


def _figures(unit: str, needed: int, funds: Funds) -> dict[str, Any]:
    figures = {
        "unit": _SHOWN[unit],
        "needed": _told(needed),
        "available": _told(funds.available),
        "held": _told(funds.held),
    }
    return figures | ({"overage": _told(funds.overage)} if funds.overage else {})


def _balance(unit: str) -> dict[str, str]:
    """A balance, as what blocks."""
    return {"kind": "balance", "id": _SHOWN[unit], "name": _SHOWN[unit]}


def _refuse(reason: str, sentence: str, figures: Mapping[str, Any], way_on: str) -> Decision:
    return Decision(False, reason, sentence, {**figures, "wayOn": way_on})


def _told(nano: int) -> int | Decimal:
    """An amount as it stands in details: a number with all its digits."""
    return nano // NANO if nano % NANO == 0 else Decimal(format_credits(nano))


def _count(nano: int, unit: str) -> str:
    """An amount as it stands in a sentence."""
    return f"{format_credits(nano)} {_WORDS[unit]}{'' if nano == NANO else 's'}"
