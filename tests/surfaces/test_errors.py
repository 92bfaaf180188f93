"""Every code has one status and one line of documentation, and nothing else is ever answered."""

import ast
import re
from pathlib import Path

import pytest

from tallystick.kernel.errors import TallystickError
from tallystick.surfaces.api import problems
from tallystick.surfaces.api.openapi import codes_of
from tallystick.surfaces.api.routes import endpoints

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(?P<code>\w+)` \| (?P<status>\w+) \| .+ \|$", re.MULTILINE)


def documented() -> dict[str, str]:
    text = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    rows = [(row["code"], row["status"]) for row in ROW.finditer(text)]
    assert rows == sorted(set(rows)), "the table is sorted and names each code once"
    return dict(rows)


def raised() -> set[str]:
    """The first argument of every `TallystickError(…)` in the source."""
    codes = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "TallystickError":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    codes.add(str(first.value))
    return codes


def test_every_code_in_the_source_is_documented() -> None:
    assert raised() - set(documented()) == set()


def test_the_documented_status_is_the_one_that_is_answered() -> None:
    answered = {code: status for code, status in documented().items() if status.isdigit()}
    assert answered == {code: str(status) for code, status in problems.STATUS.items()}


def test_the_other_codes_are_met_in_an_event_or_a_command() -> None:
    assert {status for status in documented().values() if not status.isdigit()} == {"command", "event"}


def test_an_endpoint_declares_only_codes_that_have_a_status() -> None:
    declared = {code for endpoint in endpoints() for code in codes_of(endpoint)}
    assert declared - set(problems.STATUS) == set()


@pytest.mark.parametrize("code", ["unauthorized", "forbidden"])
def test_two_bodies_are_bare(code: str) -> None:
    assert (
        problems.body_of(TallystickError(code, "a longer story", secret=1)) == b'{"errorMessage":"%s"}' % code.encode()
    )


def test_a_problem_survives_details_that_json_cannot_hold() -> None:
    body = problems.body_of(TallystickError("invalidKey", "No.", key="\ud800", kind=object))
    assert b'"reason":"invalidKey"' in body
