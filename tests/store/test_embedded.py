"""The embedded server is killed, crowded and cornered here; each time it works, or says what to do."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tallystick.kernel.errors import TallystickError
from tallystick.store import binaries, cluster, leftovers, sockets, system_user
from tallystick.store.embedded import EmbeddedServer

PATIENCE_SECONDS = 30

OWNER = """
import sys, time
from pathlib import Path
from tallystick.store.embedded import EmbeddedServer
server = EmbeddedServer.start(Path(sys.argv[1]), watched=sys.argv[2] == "watched")
print("owner" if server.is_owner else "attached", flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose database was made; tests may start and stop servers on it."""
    home = tmp_path_factory.mktemp("embedded") / "home"
    with EmbeddedServer.start(home) as server, psycopg.connect(server.url) as conn:
        conn.execute("CREATE TABLE kept (n bigint PRIMARY KEY)")
        conn.execute("INSERT INTO kept VALUES (1)")
    return home


@contextlib.contextmanager
def owner_process(home: Path, mode: str = "signal") -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A process that serves the home until it is ended, and what it is: `owner` or `attached`."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5) as conn:
            conn.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def kept(url: str) -> set[int]:
    with psycopg.connect(url) as conn:
        return {row[0] for row in conn.execute("SELECT n FROM kept")}


def postmaster_of(home: Path) -> int:
    found = leftovers.postmaster(home / "postgres" / "data")
    assert found is not None
    return found[0]


def test_a_first_start_in_an_empty_place_gives_a_database_with_checksums_and_utf8(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    with EmbeddedServer.start(home) as server, psycopg.connect(server.url) as conn:
        shown = {
            name: conn.execute(f"SHOW {name}").fetchone()
            for name in ("data_checksums", "server_encoding", "fsync", "TimeZone", "listen_addresses")
        }
        assert [row and row[0] for row in shown.values()] == ["on", "UTF8", "on", "UTC", ""]
        assert conn.info.dbname == "tallystick"
        conn.execute("CREATE SCHEMA allowed")
        assert server.is_owner
        assert server.major >= 15
    assert not answers(server.url)


def test_nobody_else_may_enter_the_data_the_socket_or_the_log(home: Path) -> None:
    for path in (home, home / "postgres", home / "postgres" / "data", home / "postgres" / "socket"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    assert stat.S_IMODE((home / "postgres.log").stat().st_mode) == 0o600


def test_the_folders_above_keep_their_permissions(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir(mode=0o700)
    before = [path.stat().st_mode for path in (above, *above.parents)]
    with EmbeddedServer.start(above / "home"):
        assert [path.stat().st_mode for path in (above, *above.parents)] == before


def test_only_our_own_system_user_is_let_in(home: Path) -> None:
    with EmbeddedServer.start(home) as server:
        with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
            psycopg.connect(psycopg.conninfo.make_conninfo(server.url, user="postgres"))
        rules = (home / "postgres" / "conf" / "pg_hba.conf").read_text()
        assert rules.split() == ["local", "all", "tally", "peer", "map=tally"]


def test_a_later_start_finds_the_data(home: Path) -> None:
    for _ in range(2):
        with EmbeddedServer.start(home) as server:
            assert 1 in kept(server.url)


def test_the_server_is_restarted_after_its_death_and_every_acknowledged_row_is_there(home: Path) -> None:
    with EmbeddedServer.start(home) as server:
        acknowledged: list[int] = []
        ending = threading.Event()

        def write() -> None:
            number = 100
            while not ending.is_set():
                with contextlib.suppress(psycopg.Error), psycopg.connect(server.url, autocommit=True) as conn:
                    while not ending.is_set():
                        number += 1
                        conn.execute("INSERT INTO kept VALUES (%s)", [number])
                        acknowledged.append(number)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(3):
                before = len(acknowledged)
                until(lambda before=before: len(acknowledged) > before + 20)
                killed = postmaster_of(home)
                os.kill(killed, signal.SIGKILL)
                until(
                    lambda killed=killed: leftovers.postmaster(home / "postgres" / "data") not in (None, (killed, True))
                )
                until(lambda: answers(server.url))
        finally:
            ending.set()
            writer.join()
        assert set(acknowledged) <= kept(server.url)


def test_a_session_that_outlives_the_killed_server_does_not_block_the_next(home: Path) -> None:
    def work(url: str) -> None:
        with contextlib.suppress(psycopg.Error), psycopg.connect(url, application_name="busy") as conn:
            conn.execute("SELECT count(*) FROM generate_series(1, 4000000000)")

    with EmbeddedServer.start(home) as server:
        busy = threading.Thread(target=work, args=[server.url], daemon=True)
        busy.start()
        with psycopg.connect(server.url, autocommit=True) as other:
            active = "SELECT pid FROM pg_stat_activity WHERE application_name = 'busy' AND state = 'active'"
            until(lambda: other.execute(active).fetchone() is not None)
        os.kill(postmaster_of(home), signal.SIGKILL)
        until(lambda: answers(server.url))
        busy.join(PATIENCE_SECONDS)
        assert not busy.is_alive()


@pytest.mark.parametrize("mode", ["signal", "watched"])
def test_the_server_ends_with_its_killed_owner_and_starts_again(home: Path, mode: str) -> None:
    with owner_process(home, mode) as (process, role):
        assert role == "owner"
        served_by = postmaster_of(home)
        url = sockets.url(home)
        with psycopg.connect(url) as conn:
            conn.execute("INSERT INTO kept VALUES (%s)", [10 if mode == "signal" else 11])
        process.kill()
        process.wait()
        with EmbeddedServer.start(home) as server:
            assert server.is_owner
            assert postmaster_of(home) != served_by
            assert {10 if mode == "signal" else 11} <= kept(server.url)


def test_the_server_ends_with_its_killed_owner_though_nobody_starts_again(home: Path) -> None:
    with owner_process(home) as (process, _):
        served_by = postmaster_of(home)
        process.kill()
        process.wait()
        until(lambda: not Path(f"/proc/{served_by}").exists() or "Z" in _state(served_by))
        assert not answers(sockets.url(home))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def test_a_watched_server_is_restarted_when_its_watcher_is_killed(home: Path) -> None:
    with EmbeddedServer.start(home, watched=True) as server:
        served_by = postmaster_of(home)
        assert server._process is not None
        os.kill(server._process.pid, signal.SIGKILL)
        until(lambda: answers(server.url) and postmaster_of(home) != served_by)


def test_two_processes_on_one_home_share_the_server_and_the_second_takes_over(home: Path) -> None:
    with owner_process(home) as (process, role), EmbeddedServer.start(home) as attached:
        assert role == "owner"
        assert not attached.is_owner
        served_by = postmaster_of(home)
        assert 1 in kept(attached.url)
        process.kill()
        process.wait()
        until(lambda: attached.is_owner and answers(attached.url))
        assert postmaster_of(home) != served_by
        assert 1 in kept(attached.url)


def test_an_attached_process_that_stops_leaves_the_server_alone(home: Path) -> None:
    with EmbeddedServer.start(home) as server:
        with owner_process(home) as (process, role):
            assert role == "attached"
            process.communicate("")
        assert answers(server.url)


def test_many_processes_at_once_make_one_database(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with contextlib.ExitStack() as stack:
        waiting = [
            subprocess.Popen(
                [sys.executable, "-c", OWNER, str(home), "signal"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        for process in waiting:
            stack.callback(process.communicate)
            stack.callback(process.kill)
        roles = [process.stdout.readline().strip() for process in waiting if process.stdout]
        assert sorted(roles) == ["attached", "attached", "owner"]


def test_a_home_whose_path_is_too_long_for_a_socket_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    runtime = Path(tempfile.mkdtemp(dir="/tmp"))
    request.addfinalizer(lambda: shutil.rmtree(runtime))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    home = tmp_path / ("long" * 40) / "home"
    with EmbeddedServer.start(home) as server:
        assert answers(server.url)
        assert str(runtime) in server.url.replace("%2F", "/")
        (link,) = runtime.iterdir()
        link.unlink()
    far = tmp_path / ("far" * 40)
    far.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(far))
    monkeypatch.setattr("tempfile.tempdir", str(runtime))
    with EmbeddedServer.start(home) as server:
        assert answers(server.url)


def test_a_runtime_folder_that_others_may_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    planted = tmp_path / f"tallystick-{os.geteuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    with pytest.raises(TallystickError) as caught:
        EmbeddedServer.start(tmp_path / ("long" * 40) / "home")
    assert caught.value.code == "unsafeRuntimeFolder"


def test_a_first_start_that_was_cut_short_begins_anew(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "data.new-cut"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedServer.start(tmp_path) as server:
        assert answers(server.url)
    assert not half.exists()


def test_a_stale_process_file_that_names_a_living_stranger_does_not_block(home: Path) -> None:
    stale = home / "postgres" / "data" / "postmaster.pid"
    stale.write_text(f"{os.getppid()}\n{home}\n")
    with EmbeddedServer.start(home) as server:
        assert 1 in kept(server.url)


def test_data_of_another_major_version_are_refused_with_what_to_do(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(TallystickError) as caught:
        EmbeddedServer.start(tmp_path)
    assert caught.value.code == "databaseOfOtherVersion"
    assert caught.value.details["found"] == 9
    assert "TALLY_PG_BINDIR" in caught.value.message


def test_a_folder_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "mine.txt").write_text("mine")
    with pytest.raises(TallystickError) as caught:
        EmbeddedServer.start(tmp_path)
    assert caught.value.code == "databaseDamaged"
    assert (data / "mine.txt").read_text() == "mine"


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TallystickError) as caught:
        EmbeddedServer.start(tmp_path / "file" / "home")
    assert caught.value.code == "homeUnusable"


@pytest.mark.parametrize(
    ("number", "code"), [(13, "homeNotWritable"), (30, "homeNotWritable"), (28, "diskFull"), (5, "homeUnusable")]
)
def test_the_systems_refusals_have_names(tmp_path: Path, number: int, code: str) -> None:
    with pytest.raises(TallystickError) as caught, cluster.told(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path / "x"))
    assert caught.value.code == code
    assert str(tmp_path / "x") in caught.value.message


def test_a_server_that_can_not_start_tells_its_reason(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path):
        pass
    (tmp_path / "postgres" / "conf" / "local.conf").write_text("max_connections = none\n")
    with pytest.raises(TallystickError) as caught:
        EmbeddedServer.start(tmp_path)
    assert caught.value.code == "postgresFailed"
    assert "max_connections" in caught.value.message
    full = cluster.explain('FATAL:  could not write to file "pg_wal/xlogtemp.1": No space left on device', tmp_path)
    assert full.code == "diskFull"
    assert "pg_wal" in full.message


def test_a_folder_without_programs_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TallystickError) as caught:
        EmbeddedServer.start(tmp_path / "home", bindir=tmp_path)
    assert caught.value.code == "postgresNotFound"
    assert "TALLY_DATABASE_URL" in caught.value.message


def test_a_log_that_grew_large_is_put_aside(home: Path) -> None:
    log = cluster.log_path(home)
    with log.open("a") as file:
        file.write("x" * 10_000_001)
    with EmbeddedServer.start(home):
        assert log.stat().st_size < 1_000_000
    assert log.with_name("postgres.log.1").stat().st_size > 10_000_000


def test_root_runs_the_server_as_another_user_even_below_closed_folders(tmp_path: Path) -> None:
    """As an ordinary user the same start runs as ourselves; the test says which of the two it saw."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedServer.start(closed / "home") as server:
        assert answers(server.url)
        owner = (closed / "home" / "postgres" / "data").stat().st_uid
        assert Path(f"/proc/{postmaster_of(closed / 'home')}").stat().st_uid == owner
        assert (owner != 0) and (owner == os.geteuid()) == (os.geteuid() != 0)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_programs_in_a_closed_folder_are_copied_for_another_user_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_user, "_COPIES", tmp_path / "cache")
    install = tmp_path / "closed" / "install"
    (install / "bin").mkdir(parents=True)
    for name in binaries.SERVER:
        program = install / "bin" / name
        program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 17.1'\n")
        program.chmod(0o700)
    found = binaries.locate(install / "bin")
    assert found.major == 17
    assert system_user.reachable(found, None) is found
    copied = system_user.reachable(found, system_user.SystemUser(65534, 65534))
    assert copied.bindir != found.bindir
    assert stat.S_IMODE((copied.bindir / "postgres").stat().st_mode) & 0o055 == 0o055
    assert system_user.reachable(found, system_user.SystemUser(65534, 65534)) == copied
