"""The states of runs and batches, each transition and each refusal, and what a report of an execution changes."""

import datetime as dt
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.runs.states import (
    BATCH_TRANSITIONS,
    ENDED,
    TRANSITIONS,
    Batch,
    Execution,
    Run,
    lease_text,
    read_lease,
)
from tallystick.kernel.errors import TallystickError
from tests.conftest import NOW

STATUSES = ("idle", "pending", "running", "success", "error", "cancelling", "cancelled", "skipped")
ASKED = tuple(dict.fromkeys(asked for _, asked in TRANSITIONS))
LATER = NOW + dt.timedelta(minutes=1)


def run_in(status: str) -> Run:
    return Run(
        UUID(int=1), UUID(int=2), UUID(int=3), UUID(int=4), None, 0, status, None, None, "{}", None, None, None, None,
        None, 0, NOW, NOW, None, None,
    )  # fmt: skip


def batch_of(runs: int, status: str = "pending") -> Batch:
    return Batch(
        UUID(int=1), UUID(int=2), UUID(int=3), UUID(int=4), status, None, None, runs, 0, 0, 0, 0, NOW, NOW, None, None
    )  # fmt: skip


def execution_in(status: str, attempt: int = 1) -> Execution:
    return Execution(
        UUID(int=1), UUID(int=2), UUID(int=3), UUID(int=4), "write", "agent", None, None, None, attempt, status, "",
        None, None, None, NOW, NOW, NOW, None,
    )  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("status", STATUSES)
def test_a_run_takes_the_transitions_of_the_table_and_no_other(status: str, asked: str) -> None:
    run = run_in(status)
    if (status, asked) not in TRANSITIONS:
        with pytest.raises(TallystickError) as refused:
            run.move(asked, LATER)
        assert (refused.value.code, run.status) == ("runNotOpen", status)
        return
    run.move(asked, LATER)
    assert run.status == TRANSITIONS[status, asked]
    assert (run.finished_at == LATER) == (run.status in ENDED and status not in ENDED)


def test_the_table_holds_what_people_rely_on() -> None:
    assert {status for status, _ in TRANSITIONS} == set(STATUSES)
    assert {TRANSITIONS[status, "cancel"] for status in ENDED} == ENDED
    assert [asked for status, asked in TRANSITIONS if status in ENDED and asked != "cancel"] == []
    assert [TRANSITIONS[status, "cancel"] for status in ("idle", "pending", "running", "cancelling")] == [
        "cancelled",
        "cancelled",
        "cancelling",
        "cancelling",
    ]


def test_every_state_can_come_to_an_end() -> None:
    ends = set(ENDED)
    for _ in STATUSES:
        ends |= {status for (status, _), following in TRANSITIONS.items() if following in ends}
    assert ends == set(STATUSES)


@given(st.lists(st.sampled_from(["success", "error", "skipped", "cancelled"]), min_size=1, max_size=20), st.booleans())
def test_a_batch_ends_with_its_last_run_as_they_did(endings: list[str], cancel: bool) -> None:
    batch = batch_of(len(endings))
    for number, ending in enumerate(endings):
        assert batch.executed == number
        assert batch.finished_at is None
        if cancel and number == len(endings) // 2:
            batch.move("cancel", NOW)
        batch.start(NOW)
        batch.count(ending, LATER)
    assert (batch.executed, batch.finished_at) == (len(endings), LATER)
    if cancel or set(endings) == {"cancelled"}:
        expected = "cancelled"
    elif "success" not in endings and "error" in endings:
        expected = "error"
    else:
        expected = "success"
    assert batch.status == expected


def test_a_batch_whose_runs_were_all_refused_is_an_error_with_its_reason() -> None:
    batch = batch_of(3)
    batch.reason = "notEnoughCredits"
    batch.count("skipped", LATER, 3)
    assert (batch.status, batch.skipped, batch.started_at) == ("error", 3, LATER)


def test_an_ended_batch_stays_as_it_is() -> None:
    for status in ("success", "error", "cancelled"):
        assert BATCH_TRANSITIONS[status, "cancel"] == status
        assert [asked for before, asked in BATCH_TRANSITIONS if before == status] == ["cancel"]


@pytest.mark.parametrize(
    ("before", "attempt", "later", "later_attempt", "taken"),
    [
        ("running", 1, "running", 1, True),
        ("running", 1, "success", 1, True),
        ("running", 1, "error", 1, True),
        ("success", 1, "success", 1, False),
        ("error", 1, "error", 1, False),
        ("success", 1, "running", 1, False),
        ("error", 1, "running", 2, True),
        ("success", 1, "running", 2, True),
        ("running", 2, "error", 1, False),
        ("success", 2, "error", 1, False),
    ],
)
def test_a_report_changes_what_is_known_unless_it_is_old_news(
    before: str, attempt: int, later: str, later_attempt: int, taken: bool
) -> None:
    known = execution_in(before, attempt)
    assert known.takes(execution_in(later, later_attempt)) is taken


@pytest.mark.parametrize(("before", "later"), [("success", "error"), ("error", "success"), ("cancelled", "skipped")])
def test_an_attempt_does_not_end_twice_in_two_ways(before: str, later: str) -> None:
    with pytest.raises(TallystickError) as refused:
        execution_in(before).takes(execution_in(later))
    assert refused.value.code == "executionNotOpen"


def test_an_execution_stays_with_its_node() -> None:
    with pytest.raises(TallystickError) as refused:
        execution_in("running").takes(replace(execution_in("success"), node_id=UUID(int=9)))
    assert refused.value.code == "invalidData"


def test_a_lease_names_its_workspace_and_any_other_text_is_none() -> None:
    assert read_lease(lease_text(UUID(int=7), UUID(int=8))) == (UUID(int=7), UUID(int=8))
    for text in ("", ".", str(UUID(int=7)), f"{UUID(int=7)}.", f".{UUID(int=8)}", f"{UUID(int=7)}.{UUID(int=8)}.x"):
        assert read_lease(text) is None
