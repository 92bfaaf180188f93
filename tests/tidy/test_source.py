"""The house rules that a person would otherwise have to watch; each failure names what to do instead."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "tallystick"
MODULES = sorted(PACKAGE.rglob("*.py"))

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

EXACT_LAYERS = ("domain", "flows", "queries", "store", "kernel")
FLOAT_ALLOWED = {"store/embedded.py": "seconds of waiting"}
FLOAT_LITERALS_ALLOWED = {"store", "kernel"}

NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "lib", "shared", "base", "core"}

TEXT = {
    ".py",
    ".sql",
    ".md",
    ".toml",
    ".txt",
    ".in",
    ".yml",
    ".yaml",
    ".json",
    ".cfg",
    ".html",
    ".css",
    ".js",
    ".sh",
    "",
}
OF_ONE_MACHINE = re.compile(r"(?<![\w.}/~-])/(?:root|work|home/\w+|Users/\w+|opt/pypi[\w-]*|tmp/w)/[\w.]")
REGISTRY = re.compile(
    r"https?://(?!pypi\.org/project/)[\w.-]*(?:pypi|pythonhosted|npmjs|artifactory|nexus)[\w.-]*", re.I
)


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def committed() -> list[Path]:
    """Files that git knows or would take; without git, everything outside hidden and generated folders."""
    asked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == 0:
        return [ROOT / name for name in asked.stdout.splitlines() if (ROOT / name).is_file()]
    places = [ROOT / name for name in ("src", "tests", "docs", "benchmarks", "requirements")]
    return [path for place in places for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_and_functions_are_short_enough_to_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    assert lines <= MODULE_LINES_MAX, f"{lines} lines: split the module by noun"
    for function in functions(ast.parse(text)):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= FUNCTION_LINES_MAX, f"{function.name} has {length} lines: give its parts names"


def floats(path: Path) -> list[str]:
    layer = relative(path).split("/")[0]
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and node.id == "float":
            found.append(f"line {node.lineno}: the name float")
        elif isinstance(node, ast.Constant) and isinstance(node.value, float) and layer not in FLOAT_LITERALS_ALLOWED:
            found.append(f"line {node.lineno}: the literal {node.value}")
    return found


@pytest.mark.parametrize(
    "path", [path for path in MODULES if relative(path).split("/")[0] in EXACT_LAYERS], ids=relative
)
def test_no_float_comes_near_an_amount(path: Path) -> None:
    if relative(path) not in FLOAT_ALLOWED:
        assert not floats(path), "amounts are integers of nano-units (kernel/credits.py)"


def test_the_list_of_allowed_floats_is_no_longer_than_needed() -> None:
    assert [name for name in FLOAT_ALLOWED if not floats(PACKAGE / name)] == []


def test_no_module_is_a_drawer_for_everything() -> None:
    assert [relative(path) for path in MODULES if path.stem in NAMELESS] == [], "name the module after its noun"


def test_every_sql_file_has_its_module() -> None:
    queries = [path for path in PACKAGE.rglob("*.sql") if path.parent.name != "migrations"]
    assert [relative(path) for path in queries if not path.with_suffix(".py").is_file()] == []


def test_no_committed_file_names_a_folder_of_one_machine_or_a_registry() -> None:
    found = []
    for path in committed():
        if path == Path(__file__) or path.suffix not in TEXT:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in OF_ONE_MACHINE.finditer(text)]
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in REGISTRY.finditer(text)]
    assert found == []


def test_the_locked_requirements_hold_names_versions_and_hashes_only() -> None:
    for name in ("runtime.txt", "dev.txt"):
        for line in (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines():
            assert re.match(r"^([\w.-]+==\S+( ; .+)?( \\)?|    --hash=sha256:[0-9a-f]{64}( \\)?)$", line), line


def test_every_dependency_is_locked() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    runtime, dev = ((ROOT / "requirements" / name).read_text(encoding="utf-8") for name in ("runtime.txt", "dev.txt"))
    dependencies = project.split("dependencies = [", 1)[1].split("]\n", 1)[0]
    development = project.split("\ndev = [", 1)[1].split("]\n", 1)[0]
    for listed, lock in ((dependencies, runtime), (dependencies, dev), (development, dev)):
        for requirement in re.findall(r'^\s*"([\w.-]+)', listed, re.MULTILINE):
            assert f"\n{requirement.lower()}==" in f"\n{lock}", f"{requirement} is not locked: run `make lock`"


def test_imports_go_down_the_layers_only() -> None:
    checked = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
