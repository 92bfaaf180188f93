"""Backup and restore of a whole database by PostgreSQL's own programs, for the embedded server and any other."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tallystick.kernel.errors import TallystickError
from tallystick.store.binaries import CLIENT, Binaries, locate
from tallystick.store.cluster import environment, told

_COUNT_TABLES: Final = """SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"""
_UNKNOWN_BEFORE_17: Final = b"SET transaction_timeout = 0;\n"


def backup(url: str, bindir: Path | None, path: Path) -> int:
    """Write the database of `url` to `path` (PostgreSQL's custom format, mode 0600); the file's size in bytes.

    One consistent snapshot, taken while the server works. `path` appears when the backup is whole, or not at all.
    Blocks: call it in a thread from asynchronous code. Raises `backupFailed` with what the program said,
    `databaseUnavailable`, what `binaries.locate` raises, and the refusals of `cluster.told`.
    """
    path = path.expanduser().absolute()
    session = _session(url, bindir)
    with told(path.parent):
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(fd)
        draft = Path(name)
        try:
            dump = [session.binaries.program("pg_dump"), "--format=custom", "--no-owner", "--no-acl", "--no-password"]
            # It truncates the file that we made for our eyes only, and syncs it to the disk.
            done = subprocess.run(
                [*dump, f"--file={draft}", "--dbname", session.conninfo],
                env=session.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            if done.returncode != 0:
                raise _failed("backupFailed", done.stderr)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    return path.stat().st_size


def restore(url: str, bindir: Path | None, path: Path, *, force: bool = False) -> None:
    """Fill the database of `url` from a backup, in one transaction: all of it or nothing.

    The database must be empty; with `force` what it holds (the schema `public`) is dropped in the same transaction.
    Raises `databaseNotEmpty`, `backupNotFound`, `restoreFailed` with what the programs said, `databaseUnavailable`,
    and what `binaries.locate` raises. Blocks, like `backup`.
    """
    path = path.expanduser().absolute()
    if not path.is_file():
        raise TallystickError("backupNotFound", f"There is no file {path}.", path=str(path))
    session = _session(url, bindir)
    if session.tables and not force:
        raise TallystickError(
            "databaseNotEmpty",
            f"The database already holds {session.tables} tables and the like. "
            "Restore into an empty one, or give --force to replace what is there.",
            tables=session.tables,
        )
    _replay(session, path, force=force)


@dataclass(frozen=True, slots=True)
class _Session:
    """How the programs reach a database: a connection string without the password, which is in `environment`."""

    binaries: Binaries
    conninfo: str
    environment: dict[str, str]
    server_major: int
    tables: int


def _session(url: str, bindir: Path | None) -> _Session:
    try:
        with psycopg.connect(url, connect_timeout=30) as conn:
            server_major = conn.info.server_version // 10_000
            encrypted = bool(conn.pgconn.ssl_in_use)
            row = conn.execute(_COUNT_TABLES).fetchone()
    except psycopg.OperationalError as error:
        raise TallystickError("databaseUnavailable", "The database does not answer.") from error
    parameters = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
    variables = {**environment(), **{name: value for name, value in os.environ.items() if name.startswith("PG")}}
    # Everybody who lists processes reads command lines; a process's environment is its user's alone.
    if "password" in parameters:
        variables["PGPASSWORD"] = str(parameters.pop("password"))
    if "sslpassword" in parameters:
        raise TallystickError(
            "backupFailed", "A URL with sslpassword can't be handed to pg_dump; use a key without one."
        )
    return _Session(
        binaries=_client(bindir, server_major, encrypted=encrypted),
        conninfo=make_conninfo("", **parameters),
        environment=variables,
        server_major=server_major,
        tables=int(row[0]) if row else 0,
    )


def _client(bindir: Path | None, server_major: int, *, encrypted: bool) -> Binaries:
    """Programs of the server's own version where there are any, else newer ones: an older one can't read it.

    Those in the wheels speak no TLS.
    """
    if bindir is None:
        with contextlib.suppress(TallystickError):
            return locate(programs=CLIENT, major=server_major, wheels=not encrypted)
    return locate(bindir, programs=CLIENT, at_least=server_major, wheels=not encrypted)


def _replay(session: _Session, path: Path, *, force: bool) -> None:
    """pg_restore writes SQL, psql runs it: the one way to have a command of our own in the same transaction."""
    read = [session.binaries.program("pg_restore"), "--no-owner", "--no-acl", "--file=-", str(path)]
    run = [session.binaries.program("psql"), "--no-psqlrc", "--quiet", "--single-transaction", "--no-password"]
    run += ["--set=ON_ERROR_STOP=1", "--dbname", session.conninfo]
    if force:
        run += ["--command=DROP SCHEMA public CASCADE", "--command=CREATE SCHEMA public"]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as told_by_psql:
        reader = subprocess.Popen(read, env=session.environment, stdout=subprocess.PIPE, stderr=said)
        writer = subprocess.Popen(
            [*run, "--file=-"],
            env=session.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=told_by_psql,
        )
        assert reader.stdout is not None  # noqa: S101 - for the type checker
        assert writer.stdin is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            # Programs of version 17 set it in their preamble, whatever the server's version.
            for line in iter(reader.stdout.readline, b""):
                if line != _UNKNOWN_BEFORE_17 or session.server_major >= 17:
                    writer.stdin.write(line)
                if line.startswith(b"CREATE "):
                    break
            shutil.copyfileobj(reader.stdout, writer.stdin)
        reader.stdout.close()
        whole = reader.wait() == 0
        if not whole:
            writer.kill()
        with contextlib.suppress(BrokenPipeError):
            writer.stdin.close()
        if writer.wait() != 0 or not whole:
            said.seek(0)
            told_by_psql.seek(0)
            raise _failed("restoreFailed", said.read() + told_by_psql.read())


def _failed(code: str, said: bytes) -> TallystickError:
    text = " ".join(said.decode(errors="replace").split())
    return TallystickError(
        code, f"PostgreSQL's program failed; nothing was changed: {text[-1000:] or 'no reason given'}"
    )
