"""What is installed is whole: the wheel holds every file that the program reads, the archive every source."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "tallystick"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive and the wheel, built by what is installed, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Iterator[zipfile.ZipFile]:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def shipped() -> set[str]:
    """Every file of the package, as it is named in a wheel."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(PACKAGE.parent).as_posix() for path in files}


def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == shipped()
    assert {".py", ".sql", ".typed"} <= {Path(name).suffix for name in held}


def test_the_wheel_has_the_command_the_licence_and_complete_metadata(wheel: zipfile.ZipFile) -> None:
    files = {
        name.partition(".dist-info/")[2]: wheel.read(name).decode() for name in wheel.namelist() if "-info" in name
    }
    assert "tally = tallystick.cli.main:run" in files["entry_points.txt"]
    assert files["licenses/LICENSE"] == (ROOT / "LICENSE").read_text(encoding="utf-8")
    metadata = HeaderParser().parsestr(files["METADATA"])
    assert metadata["Name"] == "tallystick"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Summary"]
    assert metadata.get_payload().startswith("# Tallystick")


def test_the_wheel_runs_by_itself(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "wheel")
    program = (
        "import tallystick, tallystick.runtime, tallystick.queries.usage as usage; "
        "from tallystick.store.migrate import available; "
        "print(tallystick.__file__, len(available()), 'metrics' in usage.SQL)"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "wheel"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    where, migrations, has_queries = done.stdout.split()
    assert Path(where).is_relative_to(tmp_path)
    assert int(migrations) == len(list((PACKAGE / "store" / "migrations").glob("*.sql")))
    assert has_queries == "True"


def test_the_archive_holds_sources_tests_and_documents(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in shipped()} <= names
    assert {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile"} <= names
    assert {"docs/README.md", "tests/conftest.py", "requirements/dev.txt"} <= names
