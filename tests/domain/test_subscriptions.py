"""The public counts of a subscription (rule M22)."""

import datetime as dt
from uuid import UUID

import pytest

from tallystick.domain.billing.subscriptions import Counts, alive_within, counts, overage_action, public_plan
from tallystick.domain.credits.grants import Grant
from tallystick.kernel.periods import Period

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
END = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
PERIOD = Period(START, END)
SECOND = dt.timedelta(seconds=1)


def grant(source: str, amount: int, remaining: int, *, expired: int = 0, **times: dt.datetime | None) -> Grant:
    given: dict[str, dt.datetime | None] = {"starts_at": START, "expires_at": END, "ended_at": None} | times
    starts_at = given["starts_at"]
    assert starts_at is not None
    return Grant(
        UUID(int=1),
        "credits",
        source,
        amount,
        remaining,
        10,
        starts_at,
        given["expires_at"],
        starts_at,
        "",
        given["ended_at"],
        expired,
    )


CASES: list[tuple[str, list[Grant], int, Counts]] = [
    ("nothing", [], 0, Counts(0, 0, 0)),
    ("a plan grant partly used", [grant("plan", 10_000, 6_800)], 0, Counts(10_000, 3_200, 0)),
    (
        "all included sources together",
        [grant("plan", 100, 0), grant("free", 75, 75), grant("promotion", 20, 5), grant("adjustment", 5, 5)],
        0,
        Counts(200, 115, 0),
    ),
    ("bought ones apart, by what remains", [grant("plan", 100, 40), grant("purchase", 50, 30)], 0, Counts(100, 60, 30)),
    ("an overdraft is used", [grant("plan", 100, 0)], 12, Counts(100, 112, 0)),
    ("history is outside", [grant("history", 500, 0), grant("plan", 100, 100)], 0, Counts(100, 0, 0)),
    (
        "expired within the period: what was not used does not count",
        [grant("free", 75, 0, expired=45, expires_at=START + SECOND, ended_at=START + SECOND)],
        0,
        Counts(30, 30, 0),
    ),
    (
        "ended as the period began: not of it",
        [grant("plan", 100, 0, expired=60, starts_at=START - 9 * SECOND, expires_at=START, ended_at=START)],
        0,
        Counts(0, 0, 0),
    ),
    (
        "used up before the period but not over: of it",
        [grant("free", 75, 0, starts_at=START - SECOND, expires_at=None)],
        0,
        Counts(75, 75, 0),
    ),
    ("begins when the period ends: not of it", [grant("plan", 100, 100, starts_at=END)], 0, Counts(0, 0, 0)),
]


@pytest.mark.parametrize(("grants", "overdraft", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_counts(grants: list[Grant], overdraft: int, expected: Counts) -> None:
    assert counts(grants, period=PERIOD, overdraft=overdraft) == expected


def test_a_moment_within_the_period_is_enough() -> None:
    assert alive_within(grant("free", 1, 1, starts_at=START - SECOND, expires_at=START + SECOND), PERIOD)
    assert alive_within(grant("free", 1, 1, starts_at=END - SECOND), PERIOD)
    assert not alive_within(grant("free", 1, 1, starts_at=START - SECOND, expires_at=START), PERIOD)


def test_other_peoples_words_for_plans_and_for_zero() -> None:
    assert [public_plan(plan) for plan in ("free", "pro", "enterprise")] == ["self-serve", "self-serve", "enterprise"]
    assert [overage_action(at_zero) for at_zero in ("deny", "invoice")] == ["deny", "allow"]
