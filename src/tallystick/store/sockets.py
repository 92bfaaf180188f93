"""The way to the embedded server: a Unix socket in a closed folder, by a path that is short enough for a socket."""

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tallystick.kernel.errors import TallystickError

SUPERUSER: Final = "tally"
DATABASE: Final = "tallystick"
PORT: Final = 5432

_PATH_MAX: Final = 100
"""Bytes of a socket's path that every system takes: 107 on Linux, 103 on macOS."""


def url(home: Path, database: str = DATABASE) -> str:
    """The libpq URL of the embedded server, for this user; it holds no secret, since the kernel says who connects."""
    host = quote(str(client_folder(home / "postgres" / "socket")), safe="")
    return f"postgresql://{SUPERUSER}@/{database}?host={host}&port={PORT}"


def client_folder(socket: Path) -> Path:
    """The socket's folder, or a link to it in a short folder of this user where the path is too long for a socket.

    Raises `unsafeRuntimeFolder` when that short folder exists and is not this user's alone.
    """
    if len(os.fsencode(_socket_file(socket))) <= _PATH_MAX:
        return socket
    link = _runtime_folder() / _link_name(socket)
    with contextlib.suppress(OSError):
        if link.readlink() == socket:
            return link
    draft = link.with_name(f"{link.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(socket)
    draft.replace(link)
    return link


def _socket_file(folder: Path) -> Path:
    return folder / f".s.PGSQL.{PORT}"


def _link_name(socket: Path) -> str:
    return f"tallystick-{hashlib.sha256(os.fsencode(socket)).hexdigest()[:16]}"


def _runtime_folder() -> Path:
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and Path(given).is_absolute() and _is_short(Path(given)) and _is_ours_alone(Path(given)):
        return Path(given)
    folder = Path(tempfile.gettempdir()) / f"tallystick-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_ours_alone(folder) or not _is_short(folder):
        raise TallystickError(
            "unsafeRuntimeFolder",
            f"{folder} must be a folder of this user with the mode 0700, and short. "
            "Remove it, choose a shorter TALLY_HOME, or set XDG_RUNTIME_DIR.",
            path=str(folder),
        )
    return folder


def _is_short(folder: Path) -> bool:
    return len(os.fsencode(_socket_file(folder / _link_name(Path())))) <= _PATH_MAX


def _is_ours_alone(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
