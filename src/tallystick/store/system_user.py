"""Running as root, which PostgreSQL refuses: the system user who runs the server, and programs within its reach."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tallystick.kernel.errors import TallystickError
from tallystick.store.binaries import Binaries

_NAMES: Final = ("tallystick", "postgres")
_NEW: Final = "tallystick"
_COPIES: Final = Path("/var/cache/tallystick")


@dataclass(frozen=True, slots=True)
class SystemUser:
    uid: int
    gid: int


def server_user(data: Path) -> SystemUser | None:
    """Who runs the server: None for ourselves; for root the owner of `data`, or an unprivileged system user.

    The user `tallystick` or `postgres` is taken where there is one, else `tallystick` is added. Never `nobody`,
    whom other programs run as too. Raises `cannotRunAsRoot` outside Linux and where no user can be added.
    """
    if os.geteuid() != 0:
        return None
    if not sys.platform.startswith("linux"):
        raise _refused("PostgreSQL does not run as root.")
    if data.is_dir():
        owner = data.lstat()
        if owner.st_uid != 0:
            return SystemUser(owner.st_uid, owner.st_gid)
    for name in _NAMES:
        found = _known(name)
        if found is not None:
            return found
    _add_user()
    found = _known(_NEW)
    if found is None:
        raise _refused(f"PostgreSQL does not run as root, and the system user {_NEW!r} could not be added.")
    return found


def login_name() -> str:
    """The name that the kernel's answer about our end of the socket is compared with. Raises `userWithoutName`."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise TallystickError(
            "userWithoutName",
            f"The user id {os.geteuid()} has no name on this system, and the embedded PostgreSQL needs one. "
            "Run as a user of /etc/passwd, or use a running server with TALLY_DATABASE_URL.",
            uid=os.geteuid(),
        ) from None


def reachable(binaries: Binaries, user: SystemUser | None) -> Binaries:
    """The same programs where `user` may run them: in place, or copied once to a cache that only root can write.

    A virtual environment under `/root` is closed to everybody else and stays so. Raises `cannotRunAsRoot`.
    """
    if user is None or all(_open_to_all(binaries.root / part) for part in (*binaries.bundle, *_inside(binaries))):
        return binaries
    identity = (binaries.bindir / "postgres").stat()
    digest = hashlib.sha256(f"{binaries.bindir}:{identity.st_size}:{identity.st_mtime_ns}".encode()).hexdigest()[:16]
    place = _COPIES / f"postgresql-{binaries.major}-{digest}"
    if not place.is_dir():
        try:
            _copy(binaries, place)
        except OSError as error:
            raise _refused(
                f"The programs in {binaries.bindir} are closed to the server's user, "
                f"and {_COPIES} can't be written: {error.strerror}."
            ) from error
    return replace(binaries, root=place, bindir=place / binaries.bindir.relative_to(binaries.root))


def _known(name: str) -> SystemUser | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return SystemUser(entry.pw_uid, entry.pw_gid) if entry.pw_uid != 0 else None


def _add_user() -> None:
    for command in (
        [
            "useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
            _NEW,
        ],
        ["adduser", "-S", "-D", "-H", "-s", "/sbin/nologin", _NEW],
    ):
        if shutil.which(command[0]):
            subprocess.run(command, capture_output=True, check=False)
            return


def _inside(binaries: Binaries) -> tuple[str, ...]:
    install = binaries.bindir.relative_to(binaries.root).parent
    return tuple(str(install / part) for part in ("bin", "bin/postgres", "bin/initdb"))


def _open_to_all(path: Path) -> bool:
    needed = stat.S_IROTH | stat.S_IXOTH
    real = path.resolve()
    return real.stat().st_mode & needed == needed and all(
        folder.stat().st_mode & stat.S_IXOTH for folder in real.parents
    )


def _copy(binaries: Binaries, place: Path) -> None:
    if not _COPIES.is_dir():
        _COPIES.mkdir(parents=True, exist_ok=True)
        _COPIES.chmod(0o755)
    draft = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=_COPIES))
    try:
        for part in binaries.bundle:
            shutil.copytree(
                binaries.root / part,
                draft / part,
                ignore=shutil.ignore_patterns("include", "__pycache__"),
                dirs_exist_ok=True,
            )
        for path in (draft, *draft.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | 0o055 if path.is_dir() or mode & stat.S_IXUSR else mode | 0o044)
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        if not place.is_dir():  # unless another process was faster
            raise


def _refused(why: str) -> TallystickError:
    return TallystickError(
        "cannotRunAsRoot",
        f"{why} Run as an ordinary user, add a system user named {_NEW!r}, "
        "or use a running server with TALLY_DATABASE_URL.",
    )
