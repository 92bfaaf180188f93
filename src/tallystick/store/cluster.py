"""The folder of an embedded server: made whole or not at all, configured at every start, free of earlier processes.

HOME/postgres.log                what the server says, 0600
HOME/postgres/data               PostgreSQL's own; the server's user owns it
HOME/postgres/socket             0700, the only way in; the server's user owns it
HOME/postgres/conf               ours, rewritten at every start; `local.conf` in it is the operator's
HOME/postgres/{owner,server}.lock  who supervises; whether any process of a server is left
"""

import contextlib
import errno
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tallystick.kernel.errors import TallystickError
from tallystick.store.binaries import Binaries, locate
from tallystick.store.sockets import SUPERUSER, client_folder
from tallystick.store.system_user import SystemUser, login_name, reachable, server_user

_LOG_BYTES_MAX: Final = 10_000_000
_LAUNCH: Final = str(Path(__file__).with_name("launch.py"))

_ORDINARY: Final = re.compile(r"LOG:  (starting|listening|skipping|database system|aborting|shutting)")

_CONFIGURATION: Final = """# Rewritten at every start; your own settings belong into local.conf beside this file.
listen_addresses = ''
port = 5432
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = '256MB'
effective_cache_size = '1GB'
work_mem = '16MB'
maintenance_work_mem = '128MB'
random_page_cost = 1.1
jit = off
fsync = on
full_page_writes = on
synchronous_commit = on
wal_compression = on
min_wal_size = '160MB'
max_wal_size = '4GB'
checkpoint_timeout = '15min'
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
log_line_prefix = '%m [%p] '
log_checkpoints = off
log_destination = 'stderr'
logging_collector = off
include_if_exists = 'local.conf'
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A data folder that is ready to be served by `binaries`, as `user` (None: as ourselves)."""

    home: Path
    binaries: Binaries
    user: SystemUser | None

    @property
    def folder(self) -> Path:
        return self.home / "postgres"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @property
    def conf(self) -> Path:
        return self.folder / "conf"


def log_path(home: Path) -> Path:
    return home / "postgres.log"


@contextlib.contextmanager
def told(home: Path) -> Iterator[None]:
    """Turns the operating system's refusals into `homeNotWritable`, `diskFull` and `homeUnusable`, with what to do."""
    try:
        yield
    except OSError as error:
        where = str(error.filename or home)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise TallystickError(
                "homeNotWritable",
                f"{where} can't be written: {error.strerror}. Give this user the right to write there, "
                "or choose another folder with TALLY_HOME.",
                path=where,
            ) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(where, str(error.strerror)) from error
        raise TallystickError(
            "homeUnusable",
            f"{where} can't be used: {error.strerror}. Choose another folder with TALLY_HOME.",
            path=where,
        ) from error


def prepare_home(home: Path) -> None:
    """Make the home (0700) and our folder in it. What exists keeps its permissions, parents above all."""
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)
    folder = home / "postgres"
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.lstat()
    if owner.st_uid != os.geteuid() or not stat.S_ISDIR(owner.st_mode):
        raise TallystickError(
            "homeNotWritable",
            f"{folder} belongs to the user with the id {owner.st_uid}. Run as that user, "
            "or choose another folder with TALLY_HOME.",
            path=str(folder),
        )


def prepare(home: Path, bindir: Path | None) -> Cluster:
    """Everything that must be there before the server starts; only for the holder of both locks.

    Raises what `binaries.locate` and `system_user` raise, `initFailed`, and `databaseDamaged` for a data folder
    that is no database.
    """
    folder = home / "postgres"
    data = folder / "data"
    user = server_user(data)
    major = _major(data)
    cluster = Cluster(home, reachable(_matching(bindir, major), user), user)
    for leftover in folder.glob("data.new-*"):
        shutil.rmtree(leftover)
    _own(cluster.socket, user)
    for stale in cluster.socket.iterdir():
        stale.unlink()
    if major is None:
        _initialize(cluster)
    # Nothing is alive (the caller holds the server lock), so a file that names a process can only mislead:
    # after a container's restart its number belongs to somebody else.
    (data / "postmaster.pid").unlink(missing_ok=True)
    _configure(cluster)
    return cluster


def command(cluster: Cluster, *, watched: int) -> tuple[list[str], list[int]]:
    """The command that serves the cluster, and the descriptors it must inherit (which the caller closes)."""
    reach, fds = _reach(cluster.user)
    socket = reach(cluster.socket) if cluster.user else str(client_folder(cluster.socket))
    conf = reach(cluster.conf)
    arguments = [cluster.binaries.program("postgres"), "-D", reach(cluster.data)]
    for name, value in (
        ("config_file", f"{conf}/postgresql.conf"),
        ("hba_file", f"{conf}/pg_hba.conf"),
        ("ident_file", f"{conf}/pg_ident.conf"),
        ("unix_socket_directories", socket),
    ):
        arguments += ["-c", f"{name}={value}"]
    return [*launcher(cluster.user, watched), *arguments], fds


def launcher(user: SystemUser | None, watched: int = -1) -> list[str]:
    uid, gid = (user.uid, user.gid) if user else (-1, -1)
    return [sys.executable, "-I", "-S", _LAUNCH, str(os.getpid()), str(uid), str(gid), str(watched)]


def environment() -> dict[str, str]:
    """For PostgreSQL's programs: ours, without the variables that steer them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "TALLY_"))}
    return {**kept, "LC_ALL": "C", "LANG": "C"}


def explain(log: str, home: Path) -> TallystickError:
    """The error for a server that did not start, from the end of its log."""
    lines = [line for line in log.splitlines() if not _ORDINARY.search(line)]
    said = " ".join(lines[-3:]) or log.strip()[-500:] or "it said nothing"
    if "No space left on device" in log or "Disk quota exceeded" in log:
        return _disk_full(str(home), said)
    return TallystickError(
        "postgresFailed",
        f"The embedded PostgreSQL did not start: {said} The whole log is {log_path(home)}.",
        log=str(log_path(home)),
    )


def open_log(home: Path) -> int:
    """A descriptor that appends to the log; an old log of more than 10 MB is put aside first."""
    path = log_path(home)
    if path.exists() and path.lstat().st_size > _LOG_BYTES_MAX:
        path.replace(path.with_name("postgres.log.1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _matching(bindir: Path | None, major: int | None) -> Binaries:
    try:
        return locate(bindir, major=major)
    except TallystickError as error:
        if error.code != "postgresVersionNotFound" or major is None:
            raise
        raise TallystickError(
            "databaseOfOtherVersion",
            f"The data were written by PostgreSQL {major}. Name the folder of that version's programs in "
            "TALLY_PG_BINDIR; to move to a newer version, make a backup with it and restore that into a new home. "
            f"({error.message})",
            found=major,
        ) from error


def _major(data: Path) -> int | None:
    if not data.is_dir():
        return None
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii").strip())
    except (FileNotFoundError, ValueError) as error:
        raise TallystickError(
            "databaseDamaged",
            f"{data} is no PostgreSQL data folder. Restore it from a backup, or move it away to begin anew.",
            path=str(data),
        ) from error


def _initialize(cluster: Cluster) -> None:
    """initdb into a folder of another name, which gets its own once it is whole."""
    login_name()
    draft = Path(tempfile.mkdtemp(prefix="data.new-", dir=cluster.folder))
    _own(draft, cluster.user)
    reach, fds = _reach(cluster.user)
    if cluster.binaries.major >= 17:
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    else:
        locale = ["--locale=C.UTF-8" if sys.platform.startswith("linux") else "--locale=C"]
    fixed = ["-U", SUPERUSER, "--auth=peer", "--encoding=UTF8", "--data-checksums"]
    try:
        made = subprocess.run(
            [*launcher(cluster.user), cluster.binaries.program("initdb"), "-D", reach(draft), *fixed, *locale],
            env=environment(),
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    finally:
        for fd in fds:
            os.close(fd)
    if made.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise explain(made.stderr, cluster.home)
    draft.rename(cluster.data)
    folder = os.open(cluster.folder, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _configure(cluster: Cluster) -> None:
    names = {login_name(), "root"}
    cluster.conf.mkdir(mode=0o755, exist_ok=True)
    local = cluster.conf / "local.conf"
    if not local.exists():
        local.write_text("# PostgreSQL settings of your own; read at the next start.\n", encoding="utf-8")
    files = {
        "postgresql.conf": _CONFIGURATION,
        "pg_hba.conf": f"local all {SUPERUSER} peer map=tally\n",
        "pg_ident.conf": "".join(f'tally "{name}" {SUPERUSER}\n' for name in sorted(names)),
    }
    for name, content in files.items():
        path = cluster.conf / name
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
    if cluster.user:
        # No secret is in them, and the folder above is closed; the server's user may read, never write.
        for path in (cluster.conf, *cluster.conf.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)


def _own(folder: Path, user: SystemUser | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if user:
        os.chown(folder, user.uid, user.gid, follow_symlinks=False)


def _reach(user: SystemUser | None) -> tuple[Callable[[Path], str], list[int]]:
    """How the server's process names a folder. Another user can't walk through our closed home, nor should it:
    it inherits the open folder and names it by its descriptor, which leads to that folder and nowhere else."""
    fds: list[int] = []

    def reach(folder: Path) -> str:
        if user is None:
            return str(folder)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fds.append(fd)
        return f"/proc/self/fd/{fd}"

    return reach, fds


def _disk_full(where: str, said: str) -> TallystickError:
    return TallystickError(
        "diskFull",
        f"The disk of {where} is full: {said} Free some space, then start again; "
        "nothing that was acknowledged is lost.",
        path=where,
    )
