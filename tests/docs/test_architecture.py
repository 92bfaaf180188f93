"""The trace of an event in docs/architecture.md names files and functions that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "tallystick"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

STEPS = re.findall(r"`([\w/]+\.py)`: `(\w+)`", PAGE)
NAMED = re.findall(r"`([\w/]+\.(?:py|sql))`", PAGE)
LAYERS = re.findall(r"^\| `(\w+(?:/|\.py))` \|", PAGE, re.MULTILINE)


def defined(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_every_step_of_the_trace_exists(file: str, name: str) -> None:
    assert (PACKAGE / file).is_file(), f"there is no {file}"
    assert name in defined(PACKAGE / file), f"{file} defines no {name}"


def test_the_trace_leads_from_the_route_to_the_totals() -> None:
    names = [name for _, name in STEPS]
    assert names.index("record_events") < names.index("submit") < names.index("charge_for") < names.index("add_events")


def test_every_file_that_is_named_exists() -> None:
    assert [file for file in NAMED if not (PACKAGE / file).is_file()] == []


def test_the_layers_are_the_folders_of_the_package() -> None:
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    modules = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    assert set(LAYERS) == folders | modules
