"""Which thresholds a movement tells, case by case (rules M18, M19)."""

import datetime as dt
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.credits.accounts import Balance
from tallystick.domain.credits.grants import Grant, GrantTerms, new_grant
from tallystick.domain.credits.ledger import Book
from tallystick.domain.credits.thresholds import crossed, reached
from tallystick.domain.telling.facts import Fact
from tallystick.kernel.credits import NANO

WORKSPACE = UUID(int=7)
T0 = dt.datetime(2026, 3, 14, tzinfo=dt.UTC)
LATER = T0 + dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("posted", "allocation", "expected"),
    [
        (1_000_000, 1_000_000, 0),
        (800_051, 1_000_000, 0),
        (800_050, 1_000_000, 20),
        (800_000, 1_000_000, 20),
        (500_051, 1_000_000, 20),
        (500_000, 1_000_000, 50),
        (300_000, 1_000_000, 70),
        (200_000, 1_000_000, 80),
        (100_000, 1_000_000, 90),
        (1, 1_000_000, 90),
        (0, 1_000_000, 100),
        (-1, 1_000_000, 100),
        (0, 0, 100),
        (-5, 0, 100),
    ],
)
def test_a_threshold_is_reached_as_the_percentage_is_shown_and_the_last_only_when_exact(
    posted: int, allocation: int, expected: int
) -> None:
    assert reached(posted, allocation) == expected


@pytest.mark.parametrize(
    ("told", "remaining", "expected"),
    [
        (0, 81, 0),
        (0, 80, 20),
        (0, 50, 50),
        (0, 0, 100),
        (20, 80, 0),
        (20, 51, 0),
        (20, 31, 50),
        (20, 30, 70),
        (50, 5, 90),
        (50, 70, 0),
        (90, 1, 0),
        (90, 0, 100),
        (100, 0, 0),
        (100, 100, 0),
    ],
)
def test_of_several_thresholds_passed_at_once_the_highest_is_told_and_none_twice(
    told: int, remaining: int, expected: int
) -> None:
    assert crossed(told, remaining, 100) == expected


@given(
    told=st.sampled_from((0, 20, 50, 70, 80, 90, 100)),
    allocation=st.one_of(st.integers(0, 30_000), st.integers(0, 10**17)),
    used=st.integers(0, 20_001),
    nudge=st.integers(-2, 2),
)
def test_what_is_told_is_what_is_shown(told: int, allocation: int, used: int, nudge: int) -> None:
    """Around every two-hundredth of a percent, where a share is rounded."""
    # A balance never holds more than its allocation.
    posted = min(allocation - allocation * used // 20_000 + nudge, allocation)
    exact = Fraction(1) if allocation == 0 or posted <= 0 else 1 - Fraction(posted, allocation)
    shown = (exact * 10_000 + Fraction(1, 2)).__floor__()
    steps = [step for step in (20, 50, 70, 80, 90) if shown >= step * 100] + [100 for _ in range(exact == 1)]
    assert reached(posted, allocation) == max(steps, default=0)
    assert crossed(told, posted, allocation) == max((step for step in steps if step > told), default=0)


class Account:
    """One balance, and what its bookings told."""

    def __init__(self, unit: str = "credits") -> None:
        self.book = Book(Balance(WORKSPACE, unit), {})
        self.number = 0

    def id(self) -> UUID:
        self.number += 1
        return UUID(int=self.number)

    def grant(self, amount: int, source: str = "promotion", expires: dt.datetime | None = None) -> Grant:
        terms = GrantTerms(self.book.balance.unit, amount * NANO, source, "", expires_at=expires, reason="test")
        return new_grant(terms, self.id(), T0)

    def give(self, amount: int, source: str = "promotion", *, corrects: bool = False) -> Grant:
        grant = self.grant(amount, source)
        self.book.issue(grant, grant.id, key=f"grant:{grant.id}", corrects=corrects)
        return grant

    def use(self, amount: int) -> None:
        self.book.use(amount * NANO, self.id(), key=f"usage:{self.number}", at=T0)

    def give_back(self, amount: int) -> None:
        self.book.give_back(amount * NANO, self.grant(0), self.id(), key=f"usage:{self.number}", at=T0)

    def told(self) -> list[str]:
        """What was told since last asked: kind, and threshold or amount."""
        facts, self.book.facts = self.book.facts, []
        return [_short(fact) for fact in facts]


def _short(fact: Fact) -> str:
    return f"{fact.kind} {fact.data['threshold'] if 'threshold' in fact.data else fact.data['amount']}"


def test_usage_tells_each_threshold_once_and_the_end() -> None:
    account = Account()
    account.give(100)
    assert account.told() == ["credits.granted 100"]
    for amount, expected in [
        (19, []),
        (1, ["credits.threshold_crossed 20"]),
        (29, []),
        (21, ["credits.threshold_crossed 70"]),
        (29, ["credits.threshold_crossed 90"]),
        (1, ["credits.exhausted 100"]),
        (5, []),
    ]:
        account.use(amount)
        assert account.told() == expected


def test_tool_runs_tell_by_their_own_names() -> None:
    account = Account("tool_runs")
    account.give(10)
    account.use(5)
    account.use(5)
    assert account.told() == ["tool_runs.granted 10", "tool_runs.threshold_crossed 50", "tool_runs.exhausted 100"]


def test_an_added_grant_rearms_only_the_thresholds_above_the_share_right_after_it() -> None:
    account = Account()
    account.give(100)
    account.use(90)
    account.give(50)  # 90 of 150 are 60 %
    assert account.told() == ["credits.granted 100", "credits.threshold_crossed 90", "credits.granted 50"]
    account.use(14)  # 69.33 %
    assert account.told() == []
    account.use(1)  # 70 %
    assert account.told() == ["credits.threshold_crossed 70"]


def test_a_return_rearms_nothing() -> None:
    account = Account()
    account.give(100)
    account.use(55)
    account.give_back(50)
    account.told()
    account.use(46)
    assert account.told() == []
    account.use(19)
    assert account.told() == ["credits.threshold_crossed 70"]


def test_an_expiry_is_told_in_place_of_the_thresholds_that_it_goes_over() -> None:
    account = Account()
    free = account.give(60, "free")
    account.give(40, "purchase")
    account.use(30)
    account.told()
    account.book.expire(free, account.id(), at=LATER)  # 30 of 70 are 42.86 %
    [fact] = account.book.facts
    assert (fact.data["free"], fact.data["renewed"], fact.data["remaining"]) == (True, False, 40)
    assert account.told() == ["credits.expired 30"]
    account.use(5)  # 50 %
    assert account.told() == ["credits.threshold_crossed 50"]


def test_an_expiry_of_the_last_credits_is_no_exhaustion() -> None:
    account = Account()
    free = account.give(60, "free")
    account.use(10)
    account.told()
    account.book.expire(free, account.id(), at=LATER)
    account.use(1)
    assert account.told() == ["credits.expired 50"]


def test_what_holds_kept_of_a_grant_is_told_when_it_goes_too() -> None:
    account = Account()
    free = account.give(10, "free")
    account.told()
    account.book.set_aside(6 * NANO, LATER)
    account.book.expire(free, account.id(), at=LATER)
    account.book.use(2 * NANO, account.id(), key="settle", at=LATER, settled=2 * NANO)
    assert account.told() == ["credits.expired 4", "credits.threshold_crossed 20"]
    account.book.release(6 * NANO)
    account.book.let_go(account.id(), at=LATER)
    [fact] = account.book.facts
    assert (fact.data["free"], fact.data["remaining"], fact.data["granted"]) == (True, 0, 2)
    assert account.told() == ["credits.expired 4"]


def test_a_grant_that_open_holds_keep_whole_tells_nothing_yet() -> None:
    account = Account()
    free = account.give(10, "free")
    account.told()
    account.book.set_aside(10 * NANO, LATER)
    account.book.expire(free, account.id(), at=LATER)
    assert account.told() == []


def test_a_grant_that_ends_with_nothing_left_tells_nothing() -> None:
    account = Account()
    free = account.give(60, "free")
    account.use(60)
    account.told()
    account.book.expire(free, account.id(), at=LATER)
    assert account.told() == []


def test_a_reset_begins_anew_and_tells_what_ended_and_what_was_given() -> None:
    account = Account()
    account.give(100, "plan")
    account.use(95)
    account.told()
    account.book.reset([account.grant(100, "plan")], account.id(), at=LATER, key="reset")
    assert [fact.data.get("renewed") for fact in account.book.facts] == [True, None]
    assert account.told() == ["credits.expired 5", "credits.granted 100"]
    account.use(20)
    assert account.told() == ["credits.threshold_crossed 20"]


def test_a_reset_that_gives_nothing_is_an_expiry() -> None:
    account = Account()
    account.give(100, "plan")
    account.give(100, "purchase")
    account.use(30)
    account.told()
    account.book.reset([], account.id(), at=LATER, key="reset")  # 30 of 130: 23.08 %
    assert account.told() == ["credits.expired 70"]
    assert account.book.balance.told == 20


def test_a_grant_that_only_pays_a_debt_rearms_nothing() -> None:
    account = Account()
    account.give(10)
    account.use(30)
    account.told()
    account.give(20)
    assert account.told() == ["credits.granted 20"]
    account.use(1)
    assert account.told() == []


def test_a_balance_that_was_never_given_anything_has_nothing_to_tell() -> None:
    account = Account()
    account.use(5)
    assert account.told() == []


def test_history_tells_nothing() -> None:
    account = Account()
    account.give(100)
    account.told()
    account.book.cover({UUID(int=99): 500 * NANO}, account.id(), key="history:x", at=T0)
    assert account.told() == []


def test_a_correction_is_told_in_place_of_thresholds_and_of_the_grant() -> None:
    account = Account()
    account.give(100)
    account.use(40)
    account.told()
    account.book.take_back(20 * NANO, account.id(), key="a", at=T0, reason="wrong", actor="operator:1")
    assert (account.book.balance.told, account.told()) == (50, ["credits.adjusted -20"])
    account.give(20, "adjustment", corrects=True)
    assert account.told() == ["credits.adjusted 20"]


def test_a_transaction_that_is_tried_again_tells_the_same_facts() -> None:
    def story() -> list[UUID]:
        account = Account()
        grant = account.give(100, "free")
        account.use(50)
        account.use(45)
        account.book.expire(grant, account.id(), at=LATER)
        account.book.reset([account.grant(100, "plan")], account.id(), at=LATER, key="reset")
        account.use(100)
        return [fact.id for fact in account.book.facts]

    once = story()
    assert len(set(once)) == len(once) == 6
    assert story() == once


def test_the_fact_of_a_threshold_has_the_figures_as_they_are_shown() -> None:
    account = Account()
    account.give(75)
    account.use(38)
    [_, fact] = account.book.facts
    assert {name: str(value) for name, value in fact.data.items()} == {
        "unit": "credits",
        "threshold": "50",
        "usedPercent": "50.67",
        "remaining": "37",
        "posted": "37",
        "granted": "75",
        "used": "38",
        "allocationNo": "1",
    }
