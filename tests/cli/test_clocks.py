"""`tally clock` and `tally jobs` as processes."""

import pytest

from tests.cli.conftest import Shell


def test_a_month_passes_by_command(tally: Shell) -> None:
    operator = {"TALLY_TOKEN": tally.house.operator_token}
    made = tally("workspace", "create", "--name", "Era", "--clock", "2024-01-31T10:30:00Z", **operator)
    assert made.status == 0, made.stdout
    whose = ("--workspace-uuid", made.answer["workspace"]["uuid"])
    assert tally("clock", "get", *whose, **operator).answer["clock"]["at"] == "2024-01-31T10:30:00Z"
    for by, then in (
        ("+30s", "2024-01-31T10:30:30Z"),
        ("+90m", "2024-01-31T12:00:30Z"),
        ("+12h", "2024-02-01T00:00:30Z"),
        ("+28d", "2024-02-29T00:00:30Z"),
        ("+1w", "2024-03-07T00:00:30Z"),
        ("2024-03-07T01:00:30+01:00", "2024-03-07T00:00:30Z"),
        ("+400d", "2025-04-11T00:00:30Z"),
    ):
        moved = tally("clock", "advance", by, *whose, **operator)
        assert (moved.status, moved.answer["clock"]["at"]) == (0, then), by
    back = tally("clock", "advance", "2024-03-01T00:00:00Z", *whose, **operator)
    assert (back.status, back.answer["reason"]) == (1, "clockMovesForward")


@pytest.mark.parametrize("to", ["+31", "+d", "+1y", "+-1d", "2024-03-01T00:00:00", "+999999999w", "+99999999d"])
def test_what_is_no_instant_and_no_span_is_wrong_usage(tally: Shell, to: str) -> None:
    whose = ("--workspace-uuid", str(tally.shop.uuid))
    done = tally("clock", "advance", to, *whose, TALLY_TOKEN=tally.house.operator_token)
    assert (done.status, done.answer["reason"]) == (2, "usage")


def test_jobs_are_listed_for_programs_and_people(tally: Shell) -> None:
    operator = {"TALLY_TOKEN": tally.house.operator_token}
    listed = tally("jobs", "list", **operator)
    assert listed.status == 0, listed.stdout
    assert {"settle_due", "forget_hours"} <= {job["name"] for job in listed.answer["jobs"]}
    assert set(listed.answer["waitingSeconds"]) == {"facts", "mails", "deliveries"}
    table = tally("jobs", "list", "--format", "table", **operator)
    assert "settle_due" in table.stdout
    assert tally("jobs", "list").answer == {"errorMessage": "forbidden"}
