"""The schedule of an unpaid invoice, cell by cell: what is to be done, and when it is looked at again (rule M24)."""

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.billing import dunning
from tallystick.domain.billing.dunning import Case, Policy, Step
from tallystick.domain.billing.invoices import Invoice
from tallystick.domain.billing.payments import RANKS, Payment
from tallystick.kernel.errors import TallystickError

ISSUED = dt.datetime(2026, 3, 1, 1, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
DUE = ISSUED + 14 * DAY
TERMS = Policy()


def invoice(**terms: Any) -> Invoice:
    base: dict[str, Any] = {
        "kind": "invoice",
        "purpose": "period",
        "status": "issued",
        "currency": "usd",
        "created_at": ISSUED,
        "updated_at": ISSUED,
        "issued_at": ISSUED,
        "due_at": DUE,
        "total_minor": 9_900,
        "next_at": ISSUED,
    }
    return Invoice(UUID(int=1), UUID(int=2), **(base | terms))


def attempt(status: str, at: dt.datetime, **terms: Any) -> Payment:
    ended = None if status in ("created", "processing", "action_required") else at
    base: dict[str, Any] = {"finished_at": ended} | terms
    return Payment(
        UUID(int=1), UUID(int=3), UUID(int=2), "stripe", "invoice", "k", status, 9_900, "usd", at, at, **base
    )


def case(
    *attempts: Payment,
    can_collect: bool = True,
    zone: str = "UTC",
    method_at: dt.datetime | None = None,
    **terms: Any,
) -> Case:
    return Case(invoice(**terms), attempts, zone, can_collect, method_at)


def done(found: Sequence[Step]) -> list[str]:
    return [f"{step.kind} {step.number}".removesuffix(" 0") for step in found]


CARD = [attempt("failed", ISSUED)]


@pytest.mark.parametrize(
    ("day", "steps", "again"),
    [
        (0, [], 1),
        (0.99, [], 1),
        (1, ["collect 1"], 3),
        (2, ["collect 1"], 3),
        (3, ["collect 2"], 5),
        (5, ["collect 3"], 7),
        (7, ["collect 4"], 14),
        (13.99, ["collect 4"], 14),
        (14, ["collect 4", "suspend"], 90),
        (89, ["collect 4", "suspend"], 90),
        (90, ["collect 4", "suspend", "writeOff"], None),
    ],
)
def test_a_card_that_failed_is_tried_on_days_1_3_5_7_and_runs_stop_on_day_14(
    day: float, steps: list[str], again: int | None
) -> None:
    asked = case(*CARD, status="past_due")
    now = ISSUED + day * DAY
    assert done(dunning.steps(asked, TERMS, now)) == steps
    assert dunning.next_at(asked, TERMS, now) == (None if again is None else ISSUED + again * DAY)


@pytest.mark.parametrize(("tried", "left"), [(1, "collect 1"), (3, "collect 2"), (5, "collect 3"), (7, "collect 4")])
def test_what_was_tried_on_its_day_is_not_tried_again(tried: int, left: str) -> None:
    asked = case(*CARD, attempt("failed", ISSUED + tried * DAY), status="past_due")
    assert done(dunning.steps(asked, TERMS, ISSUED + tried * DAY)) == []
    before = case(*CARD, attempt("failed", ISSUED + tried * DAY - DAY / 2), status="past_due")
    assert done(dunning.steps(before, TERMS, ISSUED + tried * DAY)) == [left]


@pytest.mark.parametrize(
    ("day", "steps", "again", "falls"),
    [
        (0, [], 14, False),
        (13.99, [], 14, False),
        (14, [], 15, True),
        (15, ["remind 1"], 17, True),
        (17, ["remind 2"], 19, True),
        (19, ["remind 3"], 21, True),
        (21, ["remind 4"], 28, True),
        (28, ["remind 4", "suspend"], 104, True),
        (104, ["remind 4", "suspend", "writeOff"], None, True),
    ],
)
def test_a_transfer_is_reminded_of_by_the_same_schedule_from_its_due_date(
    day: float, steps: list[str], again: int | None, falls: bool
) -> None:
    asked = case(can_collect=False, next_at=DUE)
    now = ISSUED + day * DAY
    assert done(dunning.steps(asked, TERMS, now)) == steps
    assert dunning.next_at(asked, TERMS, now) == (None if again is None else ISSUED + again * DAY)
    assert dunning.falls_due(asked, now) is falls


def test_the_first_attempt_is_made_when_it_is_issued_and_falls_due_only_by_failing() -> None:
    asked = case()
    assert done(dunning.steps(asked, TERMS, ISSUED)) == ["collect"]
    assert done(dunning.steps(case(next_at=DUE), TERMS, ISSUED)) == []
    # However late it is made.
    assert done(dunning.steps(asked, TERMS, ISSUED + 40 * DAY)) == ["collect"]
    assert not dunning.falls_due(asked, ISSUED + 40 * DAY)
    late = case(attempt("failed", ISSUED + 40 * DAY))
    assert dunning.falls_due(late, ISSUED + 40 * DAY)
    assert dunning.next_at(late, TERMS, ISSUED + 40 * DAY) == ISSUED + 41 * DAY


@pytest.mark.parametrize("status", ["created", "processing"])
@pytest.mark.parametrize("day", [0, 1, 14, 90, 200])
def test_nothing_happens_while_money_is_on_its_way(status: str, day: int) -> None:
    asked = case(*CARD, attempt(status, ISSUED + DAY), status="past_due")
    assert dunning.steps(asked, TERMS, ISSUED + day * DAY) == ()
    assert not dunning.falls_due(case(attempt(status, ISSUED)), ISSUED + day * DAY)
    assert dunning.next_at(asked, TERMS, ISSUED + day * DAY) == ISSUED + (day + 1) * DAY


@pytest.mark.parametrize(
    ("status", "since", "can_collect", "steps"),
    [
        ("past_due", 2 * DAY, True, ["collect"]),
        ("past_due", 20 * DAY, True, ["collect", "suspend"]),
        ("issued", 2 * DAY, True, ["collect 1"]),
        ("past_due", -DAY, True, ["collect 1"]),
        ("past_due", 2 * DAY, False, ["remind 1"]),
    ],
)
def test_a_new_method_is_tried_at_once_with_what_is_past_due(
    status: str, since: dt.timedelta, can_collect: bool, steps: list[str]
) -> None:
    now = ISSUED + max(since, 2 * DAY)
    asked = case(*CARD, status=status, can_collect=can_collect, method_at=ISSUED + since)
    assert done(dunning.steps(asked, TERMS, now)) == steps
    tried = case(*CARD, attempt("failed", now), status=status, can_collect=can_collect, method_at=ISSUED + since)
    assert "collect" not in [step.kind for step in dunning.steps(tried, TERMS, now)]


def test_what_its_owner_has_to_confirm_is_not_charged_beside_it_but_reminded_of() -> None:
    asked = case(attempt("action_required", ISSUED))
    assert dunning.falls_due(asked, ISSUED)
    assert done(dunning.steps(asked, TERMS, ISSUED + DAY)) == ["remind 1"]
    assert dunning.next_attempt_at(asked, TERMS, ISSUED) is None


@pytest.mark.parametrize("status", ["draft", "paid", "void", "uncollectible"])
def test_what_is_not_open_is_left_alone(status: str) -> None:
    asked = case(*CARD, status=status)
    assert dunning.steps(asked, TERMS, ISSUED + 100 * DAY) == ()
    assert dunning.next_at(asked, TERMS, ISSUED) is None
    assert not dunning.falls_due(asked, ISSUED + 100 * DAY)


def test_an_invoice_with_nothing_left_to_pay_is_left_alone() -> None:
    asked = case(*CARD, paid_minor=5_000, credited_minor=4_900)
    assert dunning.steps(asked, TERMS, ISSUED + 100 * DAY) == ()
    assert dunning.next_at(asked, TERMS, ISSUED) is None


def test_a_payment_that_was_taken_back_begins_the_schedule_anew() -> None:
    bounced = ISSUED + 60 * DAY
    returned = attempt("succeeded", ISSUED, disputed_minor=9_900)
    returned.updated_at = bounced
    asked = case(returned, status="past_due")
    assert dunning.begun_at(asked) == bounced
    assert done(dunning.steps(asked, TERMS, bounced)) == []
    assert dunning.next_at(asked, TERMS, bounced) == bounced + DAY


def test_a_part_that_was_transferred_is_no_attempt() -> None:
    part = attempt("succeeded", ISSUED + DAY)
    assert done(dunning.steps(case(part, paid_minor=900), TERMS, ISSUED + 2 * DAY)) == ["collect"]
    assert dunning.begun_at(case(part, can_collect=False, paid_minor=900)) == DUE


def test_an_unpaid_purchase_stops_nothing() -> None:
    asked = case(can_collect=False, purpose="purchase")
    assert done(dunning.steps(asked, TERMS, DUE + 13 * DAY)) == ["remind 4"]
    assert done(dunning.steps(asked, TERMS, DUE + 14 * DAY)) == ["remind 4", "giveUp"]
    assert not dunning.falls_due(asked, DUE + 14 * DAY)
    assert dunning.stops_at(asked, TERMS) is None


def test_a_mail_about_a_failure_can_say_when_it_is_tried_again_and_when_runs_stop() -> None:
    asked = case(*CARD)
    assert dunning.next_attempt_at(asked, TERMS, ISSUED) == ISSUED + DAY
    assert dunning.next_attempt_at(asked, TERMS, ISSUED + 7 * DAY) is None
    assert dunning.stops_at(asked, TERMS) == ISSUED + 14 * DAY
    assert dunning.next_attempt_at(case(*CARD, can_collect=False), TERMS, ISSUED) is None


@pytest.mark.parametrize(
    ("failed", "zone", "after"),
    [
        # The clocks go forward on 29 March in Berlin: the same time of day is an hour less away.
        ("2026-03-28T10:00:00+00:00", "Europe/Berlin", "2026-03-29T09:00:00+00:00"),
        ("2026-03-28T10:00:00+00:00", "UTC", "2026-03-29T10:00:00+00:00"),
        ("2026-10-31T16:30:00+00:00", "America/New_York", "2026-11-01T17:30:00+00:00"),
        # A time of day that the change leaves out is that of an hour later.
        ("2026-03-28T01:30:00+00:00", "Europe/Berlin", "2026-03-29T01:30:00+00:00"),
        ("2028-02-28T12:00:00+00:00", "Asia/Kathmandu", "2028-02-29T12:00:00+00:00"),
    ],
)
def test_days_are_those_of_the_workspaces_calendar(failed: str, zone: str, after: str) -> None:
    at = dt.datetime.fromisoformat(failed)
    asked = case(attempt("failed", at), zone=zone)
    assert dunning.next_at(asked, TERMS, at) == dt.datetime.fromisoformat(after)


def test_the_policy_is_what_the_settings_say() -> None:
    assert dunning.policy("1,3,5,7", past_due_days=14, uncollectible_days=90) == TERMS
    assert dunning.policy(" 2 , 4,", past_due_days=5, uncollectible_days=6).retry_days == (2, 4)
    assert dunning.policy("", past_due_days=1, uncollectible_days=2).retry_days == ()


@pytest.mark.parametrize(
    ("days", "past_due", "written_off"),
    [("3,1", 14, 90), ("1,1", 14, 90), ("0,1", 14, 90), ("a", 14, 90), ("1,14", 14, 90), ("1", 14, 14), ("-1", 14, 90)],
)
def test_days_that_do_not_ascend_are_refused(days: str, past_due: int, written_off: int) -> None:
    with pytest.raises(TallystickError) as refused:
        dunning.policy(days, past_due_days=past_due, uncollectible_days=written_off)
    assert refused.value.code == "invalidSetting"


@pytest.mark.parametrize(("minutes", "waits"), [(-5, 1), (0, 1), (1, 1), (7, 7), (360, 360), (9_000, 360)])
def test_what_does_not_work_waits_as_long_again_from_a_minute_to_six_hours(minutes: int, waits: int) -> None:
    assert dunning.pause(dt.timedelta(minutes=minutes)) == dt.timedelta(minutes=waits)


moments = st.integers(0, 120 * 24).map(lambda hours: ISSUED + dt.timedelta(hours=hours))
attempts = st.lists(st.builds(attempt, st.sampled_from(sorted(RANKS)), moments), max_size=4)


@given(
    attempts,
    moments,
    st.booleans(),
    st.sampled_from(["issued", "past_due"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu"]),
)
def test_whatever_happened_there_is_a_next_look_until_it_is_written_off(
    made: list[Payment], now: dt.datetime, can_collect: bool, status: str, zone: str
) -> None:
    asked = case(*made, can_collect=can_collect, status=status, zone=zone)
    found = dunning.steps(asked, TERMS, now)
    again = dunning.next_at(asked, TERMS, now)
    assert all(step.at <= now for step in found)
    assert len({step.kind for step in found}) == len(found)
    if again is None:
        assert "writeOff" in [step.kind for step in found]
    else:
        assert again > now
    # Nobody is stopped without having been asked for money, or before its day.
    if any(step.kind == "suspend" for step in found):
        assert now >= dunning.begun_at(asked) + 13 * DAY
