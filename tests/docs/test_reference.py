"""The generated pages of docs/reference say what the code says; links in the documents lead somewhere."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
GENERATED = ("settings.md", "cli.md", "http.md", "shapes.md")

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(generator: ModuleType) -> dict[str, str]:
    made: dict[str, str] = generator.pages()
    return made


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_current(pages: dict[str, str], name: str) -> None:
    committed = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert committed == pages[name], "run `make docs`"


def test_every_generated_page_is_in_the_list_above(pages: dict[str, str]) -> None:
    assert set(pages) == set(GENERATED)


def test_every_command_shows_an_example_of_itself(generator: ModuleType) -> None:
    from tallystick.cli.root import root_command

    def commands(command: Any, path: str) -> dict[str, Any]:
        inner = getattr(command, "commands", None)
        if inner is None:
            return {path: command}
        return {key: one for name in inner for key, one in commands(inner[name], f"{path} {name}").items()}

    for path, command in commands(root_command(), "tally").items():
        _, _, examples = command.help.partition("Example")
        assert path in examples, f"`{path}` has no example in its help"


def anchors(page: Path) -> set[str]:
    """What a link may name in a page: its headings, as forges make anchors of them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_or_heading_leads_there(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(found), f"{target} names no heading"


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in LINK.findall(text)]
    lost = [page.relative_to(ROOT).as_posix() for page in PAGES if page not in seen]
    assert lost == [], "link them in docs/README.md"
