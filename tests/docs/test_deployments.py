"""The page about deployments says what the code says: states, hardware and prices. The guide runs against the demo."""

import json

import pytest

from tallystick.domain.credits.limits import SHIPPED as LIMITS
from tallystick.domain.deployments.deployment import ASKED, LABELS, TRANSITIONS
from tallystick.domain.deployments.details import LANGUAGES
from tallystick.domain.deployments.profiles import SHIPPED
from tallystick.kernel.credits import NANO
from tests.docs.blocks import Block, Reader, blocks
from tests.docs.test_tour import ROOT, follow

PAGE = (ROOT / "docs" / "concepts" / "deployments.md").read_text(encoding="utf-8")
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


def test_the_guide_to_deploying_does_what_it_says(reader: Reader) -> None:
    printed = follow(reader, blocks(ROOT / "docs" / "guides" / "deploy-by-the-hour.md"))
    assert all(output.strip() for block, output in printed if "DEPLOYMENT=$(" not in block.text)
    shown = next(output for block, output in printed if "tally deployment scale" in block.text)
    assert [line.split()[:2] for line in shown.splitlines() if line.strip().startswith("v1")] == [["v1", "Success"]]
    assert printed[-1][1].split() == ["1", "Deployed"]
    left = json.loads(reader.run(Block("sh", "tally deployment list --resource enrich\n")))["deployments"]
    assert [one["status"] for one in left] == ["Ready to Deploy"]
    assert reader.run(Block("sh", "tally verify\n"))
