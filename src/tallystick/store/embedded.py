"""The embedded PostgreSQL: one supervisor a home keeps one server running; others attach, and take over if it ends."""

import atexit
import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Self

import psycopg

from tallystick.kernel.errors import TallystickError
from tallystick.store.cluster import (
    Cluster,
    command,
    environment,
    explain,
    log_path,
    open_log,
    prepare,
    prepare_home,
    told,
)
from tallystick.store.leftovers import end_leftovers, postmaster
from tallystick.store.sockets import DATABASE, url

_log = logging.getLogger(__name__)

_ATTACH_SECONDS: Final = 120
_STOP_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.1
_PAUSE_MAX_SECONDS: Final = 5


class EmbeddedServer:
    """A server on the data of one home: supervised by us, or by another process of this user (`is_owner` says which).

    The server is our child, ends with us even after `kill -9`, and is started again when it dies. Two files under
    flock, which the kernel lets go of with their last holder, say all there is to know: `owner.lock` is held by the
    supervising process, `server.lock` by the server's own processes, so that a new server never meets an old one.
    """

    def __init__(self, home: Path, bindir: Path | None = None, *, watched: bool | None = None) -> None:
        self.home = home
        self.url = ""
        self.is_owner = False
        self.major = 0
        self._bindir = bindir
        # Where the kernel has no signal for a parent's death, the child watches a pipe of ours.
        self._watched = not sys.platform.startswith("linux") if watched is None else watched
        self._started: Future[None] = Future()
        self._stopping = threading.Event()
        self._mutex = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_lock = _Lock(home / "postgres" / "owner.lock")
        self._server_lock = _Lock(home / "postgres" / "server.lock")
        # A daemon, so that a program that forgets to stop can end; the server ends with it.
        self._thread = threading.Thread(target=self._supervise, name="embedded-postgresql", daemon=True)

    @classmethod
    def start(cls, home: Path, *, bindir: Path | None = None, watched: bool | None = None) -> Self:
        """Serve the data in `home/postgres`, made at the first start, or attach to whoever serves them already.

        Returns once connections are taken. Blocks for 0.6 s at the first start, for 0.1 s later: call it in a thread
        from asynchronous code. `watched` is for tests. Raises `postgresNotFound`, `postgresVersionNotFound`,
        `databaseOfOtherVersion`, `databaseDamaged`, `databaseBusy`, `homeNotWritable`, `homeUnusable`, `diskFull`,
        `unsafeRuntimeFolder`, `cannotRunAsRoot`, `userWithoutName` or `postgresFailed`, each saying what to do.
        """
        server = cls(home.expanduser().absolute(), bindir, watched=watched)
        with told(server.home):
            prepare_home(server.home)
            server.url = url(server.home)
        server._thread.start()
        try:
            server._started.result()
        except BaseException:
            server.stop()
            raise
        atexit.register(server.stop)
        return server

    def stop(self) -> None:
        """End our server with a last checkpoint, or detach from another's. Open transactions are rolled back."""
        self._stopping.set()
        self._signal(signal.SIGINT)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_STOP_SECONDS)
            if self._thread.is_alive():
                self._signal(signal.SIGQUIT)
                self._thread.join()
        atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _supervise(self) -> None:
        """The thread's life. The server is its child: the kernel ties a parent's death to the thread that forked."""
        began = time.monotonic()
        pause = 0.0
        try:
            while not self._stopping.is_set():
                try:
                    if self.is_owner or self._owner_lock.take():
                        self.is_owner = True
                        lived = self._serve()
                        # At once, unless it dies again and again.
                        pause = 0.0 if lived > _PAUSE_MAX_SECONDS else min(2 * pause + 0.05, _PAUSE_MAX_SECONDS)
                    else:
                        self._attach(time.monotonic() - began)
                        pause = _POLL_SECONDS
                except Exception as error:  # noqa: BLE001 - told to the starter, or logged and tried again
                    if not self._started.done():
                        self._started.set_exception(error)
                        return
                    if self._stopping.is_set():
                        return
                    _log.error("The embedded PostgreSQL can't be started; trying again: %s", error)
                    pause = min(2 * pause + 0.05, _PAUSE_MAX_SECONDS)
                self._stopping.wait(pause)
        finally:
            self.is_owner = False
            self._owner_lock.give_back()

    def _attach(self, waited: float) -> None:
        """Have a look at another owner's server, until it answers for the first time."""
        if self._started.done():
            return
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.Error as error:
            if waited > _ATTACH_SECONDS:
                raise TallystickError(
                    "databaseBusy",
                    f"Another process owns {self.home}, but its PostgreSQL does not answer; "
                    f"see {log_path(self.home)}. End that process, then start again.",
                    path=str(self.home),
                ) from error
        else:
            self._started.set_result(None)

    def _serve(self) -> float:
        """Run the server until it ends; the seconds that it took connections. Only for the owner."""
        with told(self.home):
            end_leftovers(self.home / "postgres" / "data", self._server_lock.take)
            try:
                cluster = prepare(self.home, self._bindir)
                log_began = log_path(self.home).stat().st_size if log_path(self.home).exists() else 0
                process, watch = self._spawn(cluster)
            finally:
                # From here on the server's processes alone hold it.
                self._server_lock.give_back()
        try:
            self._await_ready(cluster, process, log_began)
            ready_at = time.monotonic()
            _make_database(self.home)
            self.major = cluster.binaries.major
            if not self._started.done():
                self._started.set_result(None)
            status = process.wait()
        finally:
            self._end(process)
            if watch is not None:
                os.close(watch)
        if not self._stopping.is_set():
            _log.error("The embedded PostgreSQL ended with status %s; starting it again", status)
        return time.monotonic() - ready_at

    def _spawn(self, cluster: Cluster) -> tuple[subprocess.Popen[bytes], int | None]:
        theirs, ours = os.pipe() if self._watched else (-1, None)
        arguments, fds = command(cluster, watched=theirs)
        log = open_log(self.home)
        inherited = [*fds, self._server_lock.descriptor, *([theirs] if theirs >= 0 else [])]
        try:
            with self._mutex:
                if self._stopping.is_set():
                    raise TallystickError("stopped", "The embedded PostgreSQL was stopped while it started.")
                self._process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment(),
                    pass_fds=inherited,
                    # A key press in the terminal is for us; we end the server when our work is done.
                    start_new_session=True,
                )
                return self._process, ours
        except BaseException:
            if ours is not None:
                os.close(ours)
            raise
        finally:
            for fd in (log, *fds, *([theirs] if theirs >= 0 else [])):
                os.close(fd)

    def _await_ready(self, cluster: Cluster, process: subprocess.Popen[bytes], log_began: int) -> None:
        """Wait as long as the server lives: recovery after a crash may take its time."""
        while True:
            ended = process.poll() is not None
            state = postmaster(cluster.data)
            if not ended and state is not None and state[1]:
                return
            if ended:
                path = log_path(self.home)
                with path.open("rb") as log:
                    log.seek(log_began if path.stat().st_size >= log_began else 0)
                    raise explain(log.read().decode(errors="replace"), self.home)
            time.sleep(0.005)

    def _signal(self, number: signal.Signals) -> None:
        with self._mutex:
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(number)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with self._mutex:
            self._process = None


class _Lock:
    """A file under flock. The kernel gives it back when the last descriptor of it is closed, however that happens."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    @property
    def descriptor(self) -> int:
        if self._fd is None:
            raise RuntimeError("the lock is not held")
        return self._fd

    def take(self) -> bool:
        """Whether it is ours now."""
        if self._fd is not None:
            return True
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def give_back(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _make_database(home: Path) -> None:
    with psycopg.connect(url(home, "postgres"), autocommit=True, connect_timeout=30) as conn:
        found = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if found is None:
            with contextlib.suppress(psycopg.errors.DuplicateDatabase):
                conn.execute(f"CREATE DATABASE {DATABASE}")
