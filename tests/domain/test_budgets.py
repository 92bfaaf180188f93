"""Budgets: whom each one caps, in which window, and that the most restrictive one decides."""

import datetime as dt
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.credits.budgets import PERIODS, SCOPES, Budget, Usage, WindowKey, check_budget, windows
from tallystick.domain.credits.gates import Funds, Standing, decide_hold
from tallystick.domain.credits.holds import Amounts, Scope
from tallystick.kernel.errors import TallystickError

AT: Final = dt.datetime(2026, 3, 14, 9, 41, 7, tzinfo=dt.UTC)
ALICE, BOB = UUID(int=0xA11CE), UUID(int=0xB0B)


def budget(scope: str = "agent", subject: str | None = None, per: str = "day", **more: Any) -> Budget:
    terms: dict[str, Any] = {"id": UUID(int=7), "name": "cap", "unit": "credits", "amount": 10, "created_at": AT} | more
    return Budget(workspace_id=UUID(int=1), scope=scope, subject=subject, per=per, **terms)


def found(one: Budget, scope: Scope, at: dt.datetime = AT) -> WindowKey | None:
    keys = [key for _, key in windows([one], scope, at)]
    assert len(keys) < 2
    return keys[0] if keys else None


def of(scope: str, subject: UUID | str | None) -> Scope:
    """What is done by, or for, this subject alone."""
    names = {"apiKey": "api_key", "workspace": "run"}
    return Scope(**{names.get(scope, f"{scope}_id"): subject})  # type: ignore[arg-type]


RESOURCES: Final = ("project", "user", "workflow", "agent")


@pytest.mark.parametrize("scope", RESOURCES)
def test_a_budget_of_one_resource_caps_that_one_only(scope: str) -> None:
    one = budget(scope, str(ALICE))
    assert found(one, of(scope, ALICE)) == WindowKey(one.id, str(ALICE), "2026-03-14")
    assert found(one, of(scope, BOB)) is None
    assert found(one, Scope()) is None
    assert [found(one, of(other, ALICE)) for other in RESOURCES if other != scope] == [None] * 3


@pytest.mark.parametrize("scope", RESOURCES)
def test_a_budget_without_a_subject_caps_each_by_itself(scope: str) -> None:
    one = budget(scope)
    assert found(one, of(scope, ALICE)) == WindowKey(one.id, str(ALICE), "2026-03-14")
    assert found(one, of(scope, BOB)) == WindowKey(one.id, str(BOB), "2026-03-14")
    assert found(one, Scope()) is None


def test_a_key_is_capped_by_its_text() -> None:
    assert found(budget("apiKey", "k1"), Scope(api_key="k1")) == WindowKey(UUID(int=7), "k1", "2026-03-14")
    assert found(budget("apiKey", "k1"), Scope(api_key="k2")) is None
    assert found(budget("apiKey"), Scope(api_key="k2")) == WindowKey(UUID(int=7), "k2", "2026-03-14")
    assert found(budget("apiKey"), Scope()) is None


def test_a_budget_of_the_workspace_caps_everything_together() -> None:
    one = budget("workspace")
    for scope in (Scope(), Scope(agent_id=ALICE), Scope("r1", ALICE, BOB, ALICE, BOB, "k")):
        assert found(one, scope) == WindowKey(one.id, "workspace", "2026-03-14")


def test_a_budget_per_run_caps_each_run_and_nothing_outside_one() -> None:
    assert found(budget("workspace", per="run"), Scope("r1")) == WindowKey(UUID(int=7), "workspace", "r1")
    assert found(budget("agent", per="run"), Scope("r1", agent_id=BOB)) == WindowKey(UUID(int=7), str(BOB), "r1")
    assert found(budget("agent", per="run"), Scope("r1")) is None
    assert found(budget("workspace", per="run"), Scope(agent_id=BOB)) is None


def test_an_empty_name_is_an_absent_one() -> None:
    assert found(budget("apiKey"), Scope(api_key="")) is None
    assert found(budget("workspace", per="run"), Scope(run="")) is None


MOMENT: Final = dt.timedelta(microseconds=1)
EAST: Final = dt.timezone(dt.timedelta(hours=5, minutes=30))
WEST: Final = dt.timezone(-dt.timedelta(hours=8))
EDGES: Final = [
    # instant, its day, its month
    (dt.datetime(2026, 3, 14, tzinfo=dt.UTC), "2026-03-14", "2026-03"),
    (dt.datetime(2026, 3, 14, tzinfo=dt.UTC) - MOMENT, "2026-03-13", "2026-03"),
    (dt.datetime(2026, 3, 1, tzinfo=dt.UTC), "2026-03-01", "2026-03"),
    (dt.datetime(2026, 3, 1, tzinfo=dt.UTC) - MOMENT, "2026-02-28", "2026-02"),
    (dt.datetime(2028, 3, 1, tzinfo=dt.UTC) - MOMENT, "2028-02-29", "2028-02"),
    (dt.datetime(2027, 1, 1, tzinfo=dt.UTC) - MOMENT, "2026-12-31", "2026-12"),
    (dt.datetime(2027, 1, 1, tzinfo=dt.UTC), "2027-01-01", "2027-01"),
    (dt.datetime(2026, 4, 1, 5, 29, 59, tzinfo=EAST), "2026-03-31", "2026-03"),
    (dt.datetime(2026, 4, 1, 5, 30, tzinfo=EAST), "2026-04-01", "2026-04"),
    (dt.datetime(2026, 3, 31, 16, 0, tzinfo=WEST), "2026-04-01", "2026-04"),
    (dt.datetime(2026, 3, 31, 15, 59, 59, tzinfo=WEST), "2026-03-31", "2026-03"),
]


@pytest.mark.parametrize(("at", "day", "month"), EDGES)
def test_days_and_months_are_those_of_utc(at: dt.datetime, day: str, month: str) -> None:
    for per, window in (("day", day), ("month", month)):
        assert found(budget("workspace", per=per), Scope(), at) == WindowKey(UUID(int=7), "workspace", window)


def test_what_is_left_is_the_cap_less_what_was_spent_and_is_held() -> None:
    assert Usage(budget(amount=10), 3, 4).left == 3
    assert Usage(budget(amount=10), 12, 0).left == -2
    assert Usage(budget(amount=10), -2, 0).left == 12


WRONG: Final = [
    (("team", "day", "credits", 1, None), "invalidScope"),
    (("agent", "hour", "credits", 1, None), "invalidPeriod"),
    (("agent", "day", "tokens", 1, None), "invalidUnit"),
    (("agent", "day", "credits", -1, None), "invalidAmount"),
    (("workspace", "day", "credits", 1, "workspace"), "invalidScope"),
]


@pytest.mark.parametrize(("terms", "code"), WRONG)
def test_terms_that_no_budget_has_are_refused(terms: tuple[str, str, str, int, str | None], code: str) -> None:
    with pytest.raises(TallystickError) as refused:
        check_budget(*terms)
    assert refused.value.code == code


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("per", PERIODS)
def test_every_scope_goes_with_every_period(scope: str, per: str) -> None:
    check_budget(scope, per, "tool_runs", 0, None)


class SlowCaps:
    """The same by hand: every use is kept, and every sum is made anew from all of them."""

    def __init__(self, budgets: list[Budget]) -> None:
        self.budgets = budgets
        self.uses: list[tuple[Scope, dt.datetime, int]] = []

    def fits(self, scope: Scope, at: dt.datetime, amount: int) -> bool:
        """Whether no budget would hold more than its amount."""
        return all(
            sum(n for s, t, n in self.uses if self.same(one, (s, t), (scope, at))) + amount <= one.amount
            for one in self.budgets
            if self.same(one, (scope, at), (scope, at))
        )

    @staticmethod
    def same(one: Budget, left: tuple[Scope, dt.datetime], right: tuple[Scope, dt.datetime]) -> bool:
        """Whether both count in the same window of this budget."""
        names = {"apiKey": "api_key", "workspace": "workspace"}

        def facts(scope: Scope, at: dt.datetime) -> tuple[Any, Any]:
            whom = "all" if one.scope == "workspace" else getattr(scope, names.get(one.scope, f"{one.scope}_id"))
            day = at.astimezone(dt.UTC).date()
            return whom, {"run": scope.run, "day": day, "month": (day.year, day.month)}[one.per]

        (whom, window), other = facts(*left), facts(*right)
        applies = whom is not None and window is not None and (one.subject is None or str(whom) == one.subject)
        return applies and (whom, window) == other


people = st.sampled_from([None, ALICE, BOB])
scopes = st.builds(
    Scope,
    run=st.sampled_from([None, "r1", "r2"]),
    project_id=people,
    user_id=people,
    workflow_id=people,
    agent_id=people,
    api_key=st.sampled_from([None, "k1", "k2"]),
)
moments = st.sampled_from([AT, *(at for at, _, _ in EDGES)])


@st.composite
def some_budgets(draw: st.DrawFn) -> list[Budget]:
    made = []
    for number in range(draw(st.integers(0, 5))):
        scope = draw(st.sampled_from(SCOPES))
        named = {"workspace": None, "apiKey": "k1"}.get(scope, str(ALICE))
        subject = draw(st.sampled_from([None, named]))
        per = draw(st.sampled_from(PERIODS))
        made.append(budget(scope, subject, per, id=UUID(int=number + 1), amount=draw(st.integers(0, 30))))
    return made


@given(some_budgets(), st.lists(st.tuples(scopes, moments, st.integers(1, 12), st.booleans()), max_size=12))
def test_a_hold_fits_exactly_where_every_budget_over_it_has_room(
    budgets: list[Budget], asked: list[tuple[Scope, dt.datetime, int, bool]]
) -> None:
    slow = SlowCaps(budgets)
    usages: dict[WindowKey, Usage] = {}
    for scope, at, amount, settled in asked:
        over = [(key, usages.setdefault(key, Usage(one))) for one, key in windows(budgets, scope, at)]
        decision = decide_hold(Amounts(amount), {"credits": Funds(10**9, 0)}, Standing(), over)
        assert decision.allowed == slow.fits(scope, at, amount)
        if decision.allowed:
            slow.uses.append((scope, at, amount))
            for _, usage in over:
                usage.spent += amount if settled else 0
                usage.held += 0 if settled else amount
        else:
            assert decision.reason == "budgetExceeded"
            least = min(usage.left for _, usage in over)
            assert decision.details["blocking"]["id"] in {
                str(usage.budget.id) for _, usage in over if usage.left == least
            }
