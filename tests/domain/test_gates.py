"""The gate's decision: every cell of the table, each edge from both sides, and what each refusal tells."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.credits.budgets import Budget, Usage, WindowKey
from tallystick.domain.credits.gates import (
    ACTIONS,
    REASONS,
    Decision,
    Funds,
    Standing,
    decide_action,
    decide_hold,
    overage_of,
    standing_of,
)
from tallystick.domain.credits.holds import Amounts
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError

WORKSPACE = UUID(int=1)
SUBSCRIPTION = UUID(int=2)
AT = dt.datetime(2026, 3, 14, 9, 41, 7, tzinfo=dt.UTC)
UNITS: Final = ("credits", "tool_runs")
NONE: Final = Funds(0, 0)
PLENTY: Final = Funds(1_000_000 * NANO, 0)
FREE: Final = Standing(subscription_id=SUBSCRIPTION, plan="Pro")


def cap(
    amount: int, *, spent: int = 0, held: int = 0, unit: str = "credits", per: str = "day", number: int = 7
) -> tuple[WindowKey, Usage]:
    """A budget over an agent, used so far; amounts in nano-units."""
    window = {"day": "2026-03-14", "month": "2026-03", "run": "r1"}[per]
    budget = Budget(UUID(int=number), WORKSPACE, "Writer", "agent", "a1", per, unit, amount, AT)
    return WindowKey(budget.id, "a1", window), Usage(budget, spent, held)


def money(of_credits: Funds = PLENTY, of_runs: Funds = PLENTY) -> dict[str, Funds]:
    return {"credits": of_credits, "tool_runs": of_runs}


@dataclass(frozen=True)
class Cell:
    """One question, and everything that could answer it."""

    action: str
    amount: int
    credits: Funds
    tool_runs: Funds
    standing: Standing
    budgets: tuple[tuple[WindowKey, Usage], ...]

    @property
    def reach(self) -> int:
        """Credits on the balance, beyond it what the contract allows."""
        return 10**30 if self.credits.overage is None else self.credits.posted + self.credits.overage

    def left(self, unit: str) -> int:
        funds = self.credits if unit == "credits" else self.tool_runs
        return 10**30 if funds.overage is None else funds.posted - funds.held + funds.overage

    @property
    def units(self) -> tuple[str, ...]:
        return UNITS if self.action == "tool" else ("credits",)

    def asked(self, unit: str) -> int:
        return self.amount if unit == ("tool_runs" if self.action == "tool" else "credits") else 0

    def is_short_of(self, unit: str) -> bool:
        least = 25 * NANO if self.action == "fineTune" else 0
        return unit in self.units and (self.left(unit) <= least or self.left(unit) < self.asked(unit))

    def is_over(self, usage: Usage) -> bool:
        unit = usage.budget.unit
        left = usage.budget.amount - usage.spent - usage.held
        return unit in self.units and (left <= 0 or left < self.asked(unit))


RULES: Final[Mapping[str, Callable[[Cell], bool]]] = {
    "trialEnded": lambda cell: cell.standing.trial_ended,
    "subscriptionPaused": lambda cell: cell.standing.paused,
    "pastDue": lambda cell: cell.standing.past_due,
    "negativeLimitReached": lambda cell: cell.action == "deploy" and cell.reach <= cell.standing.negative_limit,
    "deploymentsDisabled": lambda cell: (
        cell.action == "deploy" and (cell.reach < cell.standing.deploy_threshold or cell.reach <= 0)
    ),
    "runQuotaReached": lambda cell: (
        cell.action == "run"
        and cell.standing.run_quota is not None
        and cell.standing.runs_started >= cell.standing.run_quota
    ),
    "notEnoughCredits": lambda cell: cell.is_short_of("credits"),
    "notEnoughToolRuns": lambda cell: cell.is_short_of("tool_runs"),
    "budgetExceeded": lambda cell: any(cell.is_over(usage) for _, usage in cell.budgets),
}
"""Each rule by itself; the first that applies is the one that is told."""

STANDINGS: Final = (
    FREE,
    replace(FREE, trial_ended=True),
    replace(FREE, paused=True),
    replace(FREE, past_due=True),
    replace(FREE, paused=True, past_due=True),
    replace(FREE, trial_ended=True, past_due=True, run_quota=0),
    replace(FREE, run_quota=10, runs_started=9),
    replace(FREE, run_quota=10, runs_started=10),
    replace(FREE, run_quota=10, runs_started=11),
    replace(FREE, run_quota=0),
    replace(FREE, deploy_threshold=0),
)
# At, just below and just above 0, the amount asked, both limits of deployments and the minimum of fine-tuning.
EDGES: Final = tuple(sorted({edge * NANO + n for edge in (-10, 0, 5, 7, 25) for n in (-1, 0, 1)}))
CREDITS: Final = (
    *(Funds(posted, 0) for posted in EDGES),
    *(Funds(100 * NANO, 100 * NANO - left) for left in EDGES if left >= 0),
    Funds(-20 * NANO, 0, 20 * NANO),
    Funds(-20 * NANO, 0, 21 * NANO),
    Funds(0, 0, 7 * NANO),
    Funds(-20 * NANO, 5 * NANO, None),
)
TOOL_RUNS: Final = (Funds(NANO, NANO), Funds(1, 0), Funds(NANO - 1, 0), Funds(NANO, 0), Funds(8 * NANO, NANO + 1))
BUDGETS: Final = (
    (),
    (cap(7 * NANO),),
    (cap(7 * NANO, spent=1),),
    (cap(7 * NANO, held=7 * NANO - 1),),
    (cap(7 * NANO, spent=7 * NANO),),
    (cap(7 * NANO, spent=9 * NANO, per="run"),),
    (cap(0),),
    (cap(7 * NANO, unit="tool_runs"), cap(100 * NANO, number=8)),
    (cap(7 * NANO, unit="tool_runs", held=1), cap(100 * NANO, number=8)),
    (cap(0, unit="tool_runs"),),
)
AMOUNTS: Final = (0, 1, NANO, 7 * NANO, 7 * NANO + 1)


def cells(action: str) -> Iterator[Cell]:
    tool_runs = TOOL_RUNS if action == "tool" else TOOL_RUNS[:1]
    for amount, funds, runs, standing, budgets in product(AMOUNTS, CREDITS, tool_runs, STANDINGS, BUDGETS):
        yield Cell(action, amount, funds, runs, standing, budgets)


@pytest.mark.parametrize("action", ACTIONS)
def test_every_cell_is_decided_by_the_first_rule_that_applies(action: str) -> None:
    told = set()
    for cell in cells(action):
        expected = next((reason for reason in REASONS if RULES[reason](cell)), None)
        found = decide_action(action, cell.amount, money(cell.credits, cell.tool_runs), cell.standing, cell.budgets)
        assert (found.allowed, found.reason) == (expected is None, expected), cell
        told.add(found.reason)
    everything = {None, *REASONS}
    only = {
        "run": everything - {"negativeLimitReached", "deploymentsDisabled", "notEnoughToolRuns"},
        "tool": everything - {"negativeLimitReached", "deploymentsDisabled", "runQuotaReached"},
        "deploy": everything - {"runQuotaReached", "notEnoughToolRuns"},
        "fineTune": {None, "trialEnded", "subscriptionPaused", "pastDue", "notEnoughCredits", "budgetExceeded"},
    }
    assert told == only[action]


def test_a_rule_is_told_for_each_reason_in_the_order_of_the_reasons() -> None:
    assert tuple(RULES) == REASONS


HOLDS: Final = [
    # needed credits and tool runs, funds, budgets, reason
    ((0, 0), money(NONE, NONE), (), None),
    ((1, 0), money(NONE), (), "notEnoughCredits"),
    ((1, 0), money(Funds(1, 0)), (), None),
    ((2, 0), money(Funds(3, 2)), (), "notEnoughCredits"),
    ((1, 0), money(Funds(3, 2)), (), None),
    ((1, 0), money(Funds(-5, 0, 5)), (), "notEnoughCredits"),
    ((1, 0), money(Funds(-5, 0, 6)), (), None),
    ((10**17, 0), money(Funds(-5, 0, None)), (), None),
    ((0, 1), money(Funds(-5, 0), Funds(1, 0)), (), None),
    ((0, 2), money(PLENTY, Funds(1, 0)), (), "notEnoughToolRuns"),
    ((2, 2), money(Funds(1, 0), Funds(1, 0)), (), "notEnoughCredits"),
    ((2, 2), money(Funds(1, 0), Funds(2, 0)), (cap(0),), "notEnoughCredits"),
    ((5, 0), money(), (cap(5),), None),
    ((6, 0), money(), (cap(5),), "budgetExceeded"),
    ((5, 0), money(), (cap(5, held=1),), "budgetExceeded"),
    ((5, 0), money(), (cap(6, held=1),), None),
    ((5, 0), money(), (cap(6, spent=2),), "budgetExceeded"),
    ((5, 0), money(), (cap(0, unit="tool_runs"),), None),
    ((0, 5), money(), (cap(0),), None),
    ((0, 5), money(), (cap(3, spent=9),), None),
    ((0, 5), money(), (cap(4, unit="tool_runs"),), "budgetExceeded"),
    ((5, 0), money(), (cap(9), cap(4, number=8)), "budgetExceeded"),
]


@pytest.mark.parametrize(("needed", "funds", "budgets", "reason"), HOLDS)
def test_a_hold_is_refused_by_what_it_takes_and_nothing_else(
    needed: tuple[int, int], funds: dict[str, Funds], budgets: Any, reason: str | None
) -> None:
    assert decide_hold(Amounts(*needed), funds, FREE, budgets).reason == reason


@pytest.mark.parametrize(
    ("standing", "reason"),
    [(replace(FREE, trial_ended=True), "trialEnded"), (replace(FREE, past_due=True), "pastDue")],
)
def test_a_standing_refuses_whatever_the_money(standing: Standing, reason: str) -> None:
    assert decide_hold(Amounts(1), money(), standing).reason == reason
    assert decide_hold(Amounts(1), money(NONE), standing, [cap(0)]).reason == reason
    for action in ACTIONS:
        assert decide_action(action, 1, money(NONE, NONE), standing).reason == reason


def test_the_run_quota_counts_new_runs_only() -> None:
    full = replace(FREE, run_quota=1, runs_started=1)
    assert decide_hold(Amounts(1), money(), full, new_run=True).reason == "runQuotaReached"
    assert decide_hold(Amounts(1), money(), full).allowed
    assert decide_action("run", 1, money(), full).reason == "runQuotaReached"
    assert decide_action("run", 1, money(), full, new_run=False).allowed
    assert decide_action("tool", 1, money(), full).allowed


def told(decision: Decision) -> tuple[str | None, str, dict[str, Any]]:
    assert not decision.allowed
    with pytest.raises(TallystickError) as raised:
        decision.check()
    assert (raised.value.code, raised.value.message) == (decision.reason, decision.message)
    assert dict(raised.value.details) == dict(decision.details)
    return decision.reason, decision.message, dict(decision.details)


BLOCKED_BY: Final = {
    "subscription": {"kind": "subscription", "id": str(SUBSCRIPTION), "name": "Pro"},
    "credits": {"kind": "balance", "id": "credits", "name": "credits"},
    "toolRuns": {"kind": "balance", "id": "toolRuns", "name": "toolRuns"},
}
WITH_CREDITS: Final = {"unit": "credits", "needed": 1, "available": 2, "held": Decimal("1.5")}
THREE_AND_A_HALF: Final = Funds(3_500_000_000, 1_500_000_000)

TELLING: Final = {
    "a trial": (
        decide_action("run", NANO, money(THREE_AND_A_HALF), replace(FREE, trial_ended=True)),
        "The trial has ended.",
        WITH_CREDITS
        | {
            "blocking": BLOCKED_BY["subscription"],
            "wayOn": "Add a payment method, or move to the Free plan; runs resume at once.",
        },
    ),
    "an invoice": (
        decide_hold(Amounts(0, NANO), money(NONE, THREE_AND_A_HALF), replace(FREE, past_due=True)),
        "An invoice is past due.",
        WITH_CREDITS
        | {
            "unit": "toolRuns",
            "blocking": BLOCKED_BY["subscription"],
            "wayOn": "Pay the open invoice; runs resume at once.",
        },
    ),
    "the negative limit": (
        decide_action("deploy", 0, money(Funds(-10 * NANO, 0)), FREE),
        "You've used all your available credits. Please add more credits to your account to continue.",
        {
            "unit": "credits",
            "needed": 0,
            "available": -10,
            "held": 0,
            "posted": -10,
            "limit": -10,
            "blocking": BLOCKED_BY["credits"],
            "wayOn": "Add credits; the negative balance is settled first.",
        },
    ),
    "the deploy threshold": (
        decide_action("deploy", NANO, money(Funds(5 * NANO - 1, NANO)), FREE),
        "New deployments need a balance of at least 5 credits; it is 4.999999999.",
        {
            "unit": "credits",
            "needed": 5,
            "available": Decimal("3.999999999"),
            "held": 1,
            "posted": Decimal("4.999999999"),
            "threshold": 5,
            "blocking": BLOCKED_BY["credits"],
            "wayOn": "Add credits, or undeploy what is no longer needed.",
        },
    ),
    "a deployment at nothing": (
        decide_action("deploy", 7 * NANO, money(NONE), replace(FREE, deploy_threshold=0)),
        "New deployments need a balance above 0 credits; it is 0.",
        {
            "unit": "credits",
            "needed": 7,
            "available": 0,
            "held": 0,
            "posted": 0,
            "threshold": 0,
            "blocking": BLOCKED_BY["credits"],
            "wayOn": "Add credits, or undeploy what is no longer needed.",
        },
    ),
    "the run quota": (
        decide_action("run", NANO, money(), replace(FREE, run_quota=1_000, runs_started=1_001)),
        "All 1000 runs of this billing period have been started.",
        {
            "unit": "runs",
            "needed": 1,
            "available": 0,
            "held": 0,
            "limit": 1_000,
            "started": 1_001,
            "blocking": BLOCKED_BY["subscription"],
            "wayOn": "Wait for the next billing period, or upgrade the plan.",
        },
    ),
    "too few credits": (
        decide_hold(Amounts(50 * NANO), money(Funds(12 * NANO + 1, 0)), FREE),
        "This needs 50 credits; 12.000000001 available.",
        {
            "unit": "credits",
            "needed": 50,
            "available": Decimal("12.000000001"),
            "held": 0,
            "blocking": BLOCKED_BY["credits"],
            "wayOn": "Top up, or upgrade the plan.",
        },
    ),
    "credits that are set aside": (
        decide_hold(Amounts(50 * NANO), money(Funds(50 * NANO, 1)), FREE),
        "This needs 50 credits; 49.999999999 available.",
        {
            "unit": "credits",
            "needed": 50,
            "available": Decimal("49.999999999"),
            "held": Decimal("0.000000001"),
            "blocking": BLOCKED_BY["credits"],
            "wayOn": "Wait until open holds have settled, or top up.",
        },
    ),
    "credits beyond the overage": (
        decide_hold(Amounts(NANO), money(Funds(-2 * NANO, 0, 2 * NANO)), FREE),
        "This needs 1 credit; 0 available.",
        {
            "unit": "credits",
            "needed": 1,
            "available": 0,
            "held": 0,
            "overage": 2,
            "blocking": BLOCKED_BY["credits"],
            "wayOn": "Top up, or upgrade the plan.",
        },
    ),
    "no credits": (
        decide_action("run", 0, money(Funds(NANO, NANO)), FREE),
        "Nothing new starts without credits; 0 available.",
        {
            "unit": "credits",
            "needed": 0,
            "available": 0,
            "held": 1,
            "moreThan": 0,
            "blocking": BLOCKED_BY["credits"],
            "wayOn": "Wait until open holds have settled, or top up.",
        },
    ),
    "the minimum of fine-tuning": (
        decide_action("fineTune", 10 * NANO, money(Funds(25 * NANO, 0)), FREE),
        "More than 25 credits must be available; there are 25.",
        {
            "unit": "credits",
            "needed": 25,
            "available": 25,
            "held": 0,
            "moreThan": 25,
            "blocking": BLOCKED_BY["credits"],
            "wayOn": "Top up, or upgrade the plan.",
        },
    ),
    "a large job": (
        decide_action("fineTune", 30 * NANO, money(Funds(25 * NANO, 0)), FREE),
        "This needs 30 credits; 25 available.",
        {
            "unit": "credits",
            "needed": 30,
            "available": 25,
            "held": 0,
            "blocking": BLOCKED_BY["credits"],
            "wayOn": "Top up, or upgrade the plan.",
        },
    ),
    "too few tool runs": (
        decide_action("tool", NANO, money(PLENTY, NONE), FREE),
        "This needs 1 tool run; 0 available.",
        {
            "unit": "toolRuns",
            "needed": 1,
            "available": 0,
            "held": 0,
            "blocking": BLOCKED_BY["toolRuns"],
            "wayOn": "Top up, or upgrade the plan.",
        },
    ),
}


@pytest.mark.parametrize("name", TELLING)
def test_a_refusal_tells_the_figures_what_blocks_and_the_way_on(name: str) -> None:
    decision, message, details = TELLING[name]
    assert told(decision)[1:] == (message, details)


def blocked_by_budget(usage: Usage, key: WindowKey) -> dict[str, Any]:
    budget = usage.budget
    return {
        "kind": "budget",
        "id": str(budget.id),
        "name": "Writer",
        "scope": "agent",
        "subject": "a1",
        "per": budget.per,
        "window": key.window,
    }


CAPS: Final = {
    # budget, amount asked, sentence, available, way on
    "a day": (
        cap(10 * NANO, spent=7 * NANO, held=NANO // 2),
        3 * NANO,
        'The budget "Writer" has 2.5 credits left; this needs 3.',
        Decimal("2.5"),
        "Wait until open holds have settled, or raise the budget.",
    ),
    "a day that is spent": (
        cap(10 * NANO, spent=9 * NANO),
        3 * NANO,
        'The budget "Writer" has 1 credit left; this needs 3.',
        1,
        "Raise the budget, or wait for the next day (UTC).",
    ),
    "a month gone past": (
        cap(10 * NANO, spent=12 * NANO, per="month"),
        1,
        'The budget "Writer" has 0 credits left; this needs 0.000000001.',
        -2,
        "Raise the budget, or wait for the next month (UTC).",
    ),
    "a run at its cap": (
        cap(10 * NANO, spent=10 * NANO, per="run"),
        0,
        'The budget "Writer" has 0 credits left.',
        0,
        "Raise the budget: this run is at its cap.",
    ),
    "more than the whole": (
        cap(10 * NANO),
        11 * NANO,
        'The budget "Writer" has 10 credits left; this needs 11.',
        10,
        "Raise the budget, or ask for less.",
    ),
    "a budget of nothing": (
        cap(0),
        0,
        'The budget "Writer" has 0 credits left.',
        0,
        "Raise the budget.",
    ),
}


@pytest.mark.parametrize("name", CAPS)
def test_a_budget_tells_what_is_left_of_it_and_when_there_is_more(name: str) -> None:
    (key, usage), asked, message, available, way_on = CAPS[name]
    reason, said, details = told(decide_action("run", asked, money(), FREE, [(key, usage)]))
    assert (reason, said) == ("budgetExceeded", message)
    shown = {name: Decimal(value) / NANO for name, value in (("spent", usage.spent), ("held", usage.held))}
    assert (
        details
        == {
            "unit": "credits",
            "needed": Decimal(asked) / NANO,
            "available": available,
            "limit": Decimal(usage.budget.amount) / NANO,
            "blocking": blocked_by_budget(usage, key),
            "wayOn": way_on,
        }
        | shown
    )


def test_of_several_budgets_that_refuse_the_one_with_least_left_is_told() -> None:
    caps = [cap(9, number=1), cap(5, number=2), cap(5, number=3), cap(20, spent=13, number=4)]
    for order in (caps, caps[::-1]):
        assert told(decide_hold(Amounts(10), money(), FREE, order))[2]["blocking"]["id"] == str(UUID(int=2))


def test_a_budget_of_the_other_unit_is_told_in_its_unit() -> None:
    _, said, details = told(decide_action("tool", NANO, money(), FREE, [cap(0, unit="tool_runs")]))
    assert (said, details["unit"]) == ('The budget "Writer" has 0 tool runs left; this needs 1.', "toolRuns")


STATES: Final = {
    "trialing": (False, False),
    "active": (False, False),
    "past_due": (False, True),
    "paused": (True, False),
    "canceled": (False, False),
    None: (False, False),
}


@pytest.mark.parametrize("status", STATES)
def test_a_subscription_that_is_paused_or_past_due_starts_nothing(status: str | None) -> None:
    standing = standing_of(status, run_quota=3)
    assert (standing.trial_ended, standing.past_due, standing.run_quota) == (*STATES[status], 3)


def test_only_a_plan_that_invoices_goes_beyond_its_credits() -> None:
    assert [overage_of(at_zero) for at_zero in ("invoice", "deny", None)] == [None, 0, 0]


amounts = st.integers(-20 * NANO, 200 * NANO)
some_funds = st.builds(Funds, amounts, st.integers(0, 100 * NANO), st.one_of(st.none(), st.integers(0, 50 * NANO)))
caps = st.lists(
    st.builds(
        cap,
        st.integers(0, 100 * NANO),
        spent=st.integers(-5, 100 * NANO),
        held=st.integers(0, 50 * NANO),
        unit=st.sampled_from(UNITS),
        number=st.integers(1, 5),
    ),
    max_size=4,
)


@given(st.integers(0, 100 * NANO), st.integers(0, 100 * NANO), some_funds, some_funds, caps)
def test_an_approved_hold_fits_every_balance_and_every_budget(
    asked: int, tool_runs: int, of_credits: Funds, of_runs: Funds, over: list[tuple[WindowKey, Usage]]
) -> None:
    decision = decide_hold(Amounts(asked, tool_runs), money(of_credits, of_runs), FREE, over)
    wanted = {"credits": asked, "tool_runs": tool_runs}
    fits = all(
        not wanted[unit] or held.overage is None or held.posted + held.overage >= held.held + wanted[unit]
        for unit, held in money(of_credits, of_runs).items()
    ) and all(
        not wanted[usage.budget.unit] or usage.budget.amount >= usage.spent + usage.held + wanted[usage.budget.unit]
        for _, usage in over
    )
    assert decision.allowed == fits


@given(st.sampled_from(ACTIONS), st.integers(0, 100 * NANO), some_funds, some_funds, caps)
def test_what_may_be_held_is_no_less_than_what_the_gate_allows(
    action: str, amount: int, of_credits: Funds, of_runs: Funds, over: list[tuple[WindowKey, Usage]]
) -> None:
    if decide_action(action, amount, money(of_credits, of_runs), FREE, over).allowed:
        needed = Amounts(0, amount) if action == "tool" else Amounts(amount)
        assert decide_hold(needed, money(of_credits, of_runs), FREE, over).allowed
