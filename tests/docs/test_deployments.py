"""The page about deployments says what the code says: states, hardware and prices."""

from pathlib import Path

import pytest

from tallystick.domain.credits.limits import SHIPPED as LIMITS
from tallystick.domain.deployments.deployment import ASKED, LABELS, TRANSITIONS
from tallystick.domain.deployments.details import LANGUAGES
from tallystick.domain.deployments.profiles import SHIPPED
from tallystick.kernel.credits import NANO

PAGE = (Path(__file__).parents[2] / "docs" / "concepts" / "deployments.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("kind", ["script", "model"])
def test_every_transition_of_the_page_is_one_and_every_one_is_there(kind: str) -> None:
    states = {label: state for state, label in LABELS.items()}
    down, stopped = ("ready", "failed") if kind == "script" else ("undeployed", "undeployed")
    said = {}
    for row in ROWS:
        if row[0] in states:
            for asked, cell in zip(ASKED, row[1:], strict=True):
                if cell:
                    said[states[row[0]], asked] = {"*down*": down, "*stopped*": stopped}.get(cell) or states[cell]
    assert said == TRANSITIONS[kind]


def test_every_price_of_the_page_is_what_ships() -> None:
    shown = {row[0].strip("`"): row[-1].replace(",", "") for row in ROWS if row[0].startswith(("`script-", "`gpu-"))}
    assert shown == {key: hourly for key, (profile, hourly) in SHIPPED.items() if profile.kind != "guardrail"}
    usable = {row[0].strip("`"): row[2] for row in ROWS if row[0].startswith("`script-")}
    assert usable == {key: profile.usable for key, (profile, _) in SHIPPED.items() if profile.kind == "script"}


def test_limits_and_languages_of_the_page_are_those_that_ship() -> None:
    for name, value in (
        ("deployThreshold", LIMITS.deploy_threshold),
        ("lowLimit", LIMITS.low_limit),
        ("negativeLimit", LIMITS.negative_limit),
    ):
        assert f"`{name}` ({value // NANO})".replace("-", "−") in PAGE
    assert f"({LIMITS.comply_seconds} s by default)" in PAGE
    for language, version in LANGUAGES.items():
        assert f"{language} " in PAGE and version in PAGE
