"""Deployments as values: every cell of their states, what their kinds may have, their history, what is told of them."""

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.deployments.deployment import ASKED, KINDS, LABELS, STATES, Change, Deployment
from tallystick.domain.deployments.details import Details, check_replicas, read_access, read_details
from tallystick.domain.deployments.history import spans
from tallystick.domain.deployments.told import change_fact
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError
from tests.conftest import NOW

LATER = NOW + dt.timedelta(minutes=5)

# What is asked, by column, of each state, by row; a dot is refused.
TABLE = """
            deploy     succeed   fail    scale     undeploy    stop      confirm     delete
draft       deploying  .         .       .         .           .         .           deleted
deploying   .          deployed  failed  .         undeployed  stopping  .           .
ready       deploying  .         .       .         .           .         .           deleted
deployed    .          .         .       deployed  undeployed  stopping  .           .
failed      deploying  .         .       .         .           .         .           deleted
stopping    .          .         .       .         undeployed  .         undeployed  .
undeployed  deploying  .         .       .         .           .         .           deleted
deleted     .          .         .       .         .           .         .           .
"""
OF_SCRIPTS = {
    ("deploying", "undeploy"): "ready",
    ("deployed", "undeploy"): "ready",
    ("stopping", "undeploy"): "ready",
    ("stopping", "confirm"): "failed",
}


def cells() -> list[tuple[str, str, str, str]]:
    header, *rows = [line.split() for line in TABLE.strip().splitlines()]
    assert tuple(header) == ASKED and tuple(sorted(row[0] for row in rows)) == tuple(sorted(STATES))
    return [
        (kind, row[0], asked, OF_SCRIPTS.get((row[0], asked), led) if kind == "script" else led)
        for kind in KINDS
        for row in rows
        for asked, led in zip(header, row[1:], strict=True)
    ]


def deployment(kind: str = "script", state: str = "draft", **more: Any) -> Deployment:
    profile = None if kind == "tool" else "script-1x2"
    running = NOW if state == "deployed" and profile else None
    fields = {"profile": profile, "metered_until": running} | more
    return Deployment(
        UUID(int=1), UUID(int=2), kind, UUID(int=3), "Enrich", state, replicas=1, created_by="test", created_at=NOW,
        updated_at=NOW, **fields,
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "state", "asked", "led"), cells())
def test_every_cell_of_the_table(kind: str, state: str, asked: str, led: str) -> None:
    one = deployment(kind, state)
    at = NOW if one.metered_until else LATER
    if led == ".":
        assert not one.allows(asked)
        with pytest.raises(TallystickError) as refused:
            one.move(asked, at)
        assert (refused.value.code, one.state) == ("invalidTransition", state)
        assert refused.value.details["state"] == state and refused.value.details["asked"] == asked
        allowed = [ask for k, s, ask, to in cells() if (k, s) == (kind, state) and to != "."]
        assert refused.value.details["allowed"] == allowed
        return
    one.move(asked, at)
    assert one.state == led
    # Metered exactly while Deployed on hardware.
    assert (one.metered_until is not None) == (led == "deployed" and kind != "tool")


def test_every_state_has_a_name_for_people() -> None:
    assert set(LABELS) == set(STATES)
    assert LABELS["ready"] == "Ready to Deploy" and LABELS["failed"] == "Deployment failed"


def test_it_is_metered_from_the_instant_that_it_is_deployed() -> None:
    one = deployment(state="deploying")
    one.move("succeed", LATER)
    assert (one.deployed_at, one.metered_until, one.updated_at) == (LATER, LATER, LATER)


def test_time_that_is_not_charged_yet_is_never_left_behind() -> None:
    one = deployment(state="deployed", metered_until=NOW)
    with pytest.raises(AssertionError, match="charged until"):
        one.move("undeploy", LATER)
    assert one.state == "deployed"


def test_a_stop_has_a_reason_and_a_deadline_that_end_with_it() -> None:
    one = deployment("guardrail", "deployed", metered_until=NOW)
    one.move("stop", NOW, reason="No credits.", comply_by=LATER)
    assert (one.state, one.reason, one.comply_by, one.metered_until) == ("stopping", "No credits.", LATER, None)
    one.move("confirm", LATER, reason="No credits.")
    assert (one.state, one.reason, one.comply_by) == ("undeployed", "No credits.", None)
    one.move("deploy", LATER)
    assert one.reason == ""


SCRIPT = {"language": "Python", "languageVersion": "3.10.15", "minReplicas": 1, "maxReplicas": 10, "utilization": 75}


@pytest.mark.parametrize(
    ("kind", "asked", "kept"),
    [
        ("script", Details(), SCRIPT),
        ("script", Details(language="JavaScript"), SCRIPT | {"language": "JavaScript", "languageVersion": "20.19.0"}),
        ("script", Details(language="Ruby"), SCRIPT | {"language": "Ruby", "languageVersion": ""}),
        ("script", Details(language_version="3.12.1"), SCRIPT | {"languageVersion": "3.12.1"}),
        ("script", Details(timeout_seconds=30, utilization=1), SCRIPT | {"timeoutSeconds": 30, "utilization": 1}),
        ("script", Details(timeout_seconds=600, utilization=100), SCRIPT | {"timeoutSeconds": 600, "utilization": 100}),
        ("script", Details(max_replicas=3), SCRIPT | {"maxReplicas": 3}),
        # Nothing to scale by.
        (
            "script",
            Details(min_replicas=2, max_replicas=2),
            {name: value for name, value in SCRIPT.items() if name != "utilization"}
            | {"minReplicas": 2, "maxReplicas": 2},
        ),
        ("model", Details(), {"type": "base"}),
        ("model", Details(type="fineTuned"), {"type": "fineTuned"}),
        ("tool", Details(), {}),
        ("guardrail", Details(), {}),
    ],
)
def test_what_a_kind_has_is_kept(kind: str, asked: Details, kept: dict[str, Any]) -> None:
    assert read_details(kind, asked) == kept


@pytest.mark.parametrize(
    ("kind", "asked", "field"),
    [
        ("script", Details(min_replicas=0), "minReplicas"),
        ("script", Details(max_replicas=11), "minReplicas"),
        ("script", Details(min_replicas=4, max_replicas=3), "minReplicas"),
        ("script", Details(utilization=0), "utilization"),
        ("script", Details(utilization=101), "utilization"),
        ("script", Details(timeout_seconds=29), "timeoutSeconds"),
        ("script", Details(timeout_seconds=601), "timeoutSeconds"),
        ("script", Details(type="base"), "type"),
        ("model", Details(type="other"), "type"),
        ("model", Details(language="Python"), "language"),
        ("tool", Details(min_replicas=1), "minReplicas"),
        ("guardrail", Details(timeout_seconds=60), "timeoutSeconds"),
    ],
)
def test_what_a_kind_cannot_have_is_refused(kind: str, asked: Details, field: str) -> None:
    with pytest.raises(TallystickError) as refused:
        read_details(kind, asked)
    assert (refused.value.code, refused.value.details["field"]) == ("invalidDeployment", field)


@pytest.mark.parametrize(
    ("kind", "replicas", "details", "fits"),
    [
        ("script", 1, {}, True),
        ("script", 10, {}, True),
        ("script", 11, {}, False),
        ("script", 0, {}, False),
        ("script", 2, {"minReplicas": 2, "maxReplicas": 3}, True),
        ("script", 1, {"minReplicas": 2, "maxReplicas": 3}, False),
        ("script", 4, {"minReplicas": 2, "maxReplicas": 3}, False),
        ("model", 100, {}, True),
        ("model", 101, {}, False),
        ("tool", 2, {}, False),
    ],
)
def test_replicas_stay_within_what_was_said(kind: str, replicas: int, details: dict[str, Any], fits: bool) -> None:
    if fits:
        assert check_replicas(kind, replicas, details) == replicas
        return
    with pytest.raises(TallystickError) as refused:
        check_replicas(kind, replicas, details)
    assert refused.value.details["field"] == "replicas"


@pytest.mark.parametrize("endpoint", ["https://scripts.example/x?y=1", "http://10.0.0.1:8080"])
def test_an_endpoint_is_an_address(endpoint: str) -> None:
    assert read_access(endpoint, "Send the token of your project.") == {
        "endpoint": endpoint,
        "access": "Send the token of your project.",
    }


@pytest.mark.parametrize(
    "endpoint",
    ["ftp://x.example", "scripts.example", "https://", "https://u:p@x.example", "https://a b", "http://[::1"],
)
def test_what_is_no_address_or_holds_a_password_is_refused(endpoint: str) -> None:
    with pytest.raises(TallystickError) as refused:
        read_access(endpoint, None)
    assert (refused.value.code, refused.value.details["field"]) == ("invalidDeployment", "endpoint")


def at(minutes: int) -> dt.datetime:
    return NOW + dt.timedelta(minutes=minutes)


def test_a_history_has_one_span_for_each_time_that_it_was_deployed() -> None:
    told = [
        (0, "create", "draft", 1, ""),
        (1, "deploy", "deploying", 1, ""),
        (3, "fail", "failed", 1, "main.py: no such file"),
        (10, "deploy", "deploying", 2, ""),
        (12, "succeed", "deployed", 2, ""),
        (20, "scale", "deployed", 4, ""),
        (32, "undeploy", "ready", 4, ""),
        (40, "deploy", "deploying", 4, ""),
        (41, "undeploy", "ready", 4, ""),
        (50, "deploy", "deploying", 4, ""),
        (51, "succeed", "deployed", 4, ""),
        (60, "stop", "stopping", 4, "No credits."),
        (62, "confirm", "failed", 4, "No credits."),
        (70, "deploy", "deploying", 4, ""),
        (71, "succeed", "deployed", 4, ""),
        (72, "delete", "deleted", 4, ""),
    ]
    changes = [
        Change(number, at(minute), asked, state, "script-1x2", replicas, f"by {minute}", reason)
        for number, (minute, asked, state, replicas, reason) in enumerate(told, 1)
    ]
    minute = dt.timedelta(minutes=1)
    found = [
        (s.version, s.deployed_by, s.replicas, s.status, s.taken(), s.deployed_at, s.ended_at, s.deployed_for(at(80)))
        for s in spans(changes[:-1])
    ]
    assert found == [
        (1, "by 1", 1, "Failed", 2 * minute, None, None, None),
        (2, "by 10", 4, "Success", 2 * minute, at(12), at(32), 20 * minute),
        (3, "by 40", 4, "Failed", minute, None, None, None),
        # Charging and time Deployed end with the stop, not with what complied with it.
        (4, "by 50", 4, "Success", minute, at(51), at(60), 9 * minute),
        (5, "by 70", 4, "Success", minute, at(71), None, 9 * minute),
    ]
    assert [s.reason for s in spans(changes)] == ["main.py: no such file", "", "", "No credits.", ""]
    still = spans(changes[:2])[0]
    assert (still.status, still.taken(), still.deployed_for(at(80))) == (None, None, None)


def test_a_fact_tells_what_a_mail_needs_and_never_whose_doing_it_was() -> None:
    one = deployment(
        "script",
        "deployed",
        details={"endpoint": "https://x.example", "access": "Bearer.", "version": 3, "language": "Python"},
    )
    fact = change_fact(one, "deployment.deployed", 4, NOW, hourly=76_980_000, posted=-3 * NANO, allocation=75 * NANO)
    told = {name: fact.data[name] for name in ("name", "deploymentKind", "endpoint", "access", "version", "replicas")}
    assert told == {
        "name": "Enrich", "deploymentKind": "script", "endpoint": "https://x.example", "access": "Bearer.",
        "version": 3, "replicas": 1,
    }  # fmt: skip
    money = ("creditsPerHour", "creditsRemaining", "creditsPosted", "creditsTotal")
    assert [fact.data[name] for name in money] == [Decimal("0.07698"), 0, -3, 75]
    assert "actor" not in fact.data and "createdBy" not in fact.data
    again = change_fact(one, "deployment.deployed", 4, LATER, hourly=None, posted=0, allocation=0)
    other = change_fact(one, "deployment.deployed", 5, NOW, hourly=None, posted=0, allocation=0)
    assert fact.id == again.id != other.id
