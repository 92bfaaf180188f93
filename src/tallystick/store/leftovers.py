"""What an earlier server left behind: processes that must end before the data folder is served again."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tallystick.kernel.errors import TallystickError


def postmaster(data: Path) -> tuple[int, bool] | None:
    """The server's process id and whether it takes connections, as it wrote down itself."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        return int(lines[0]), len(lines) > 7 and lines[7].strip() == "ready"
    except (OSError, ValueError, IndexError):
        return None


def end_leftovers(data: Path, is_free: Callable[[], bool], *, patience: int = 60) -> None:
    """Wait until no process of an earlier server is left, asking, then forcing it to end.

    A server whose owner was killed is writing its last checkpoint; a session whose server was killed may still run
    its statement. Raises `databaseBusy` after `patience` seconds.
    """
    began = time.monotonic()
    asked = forced = False
    while not is_free():
        waited = time.monotonic() - began
        alive = postmaster(data)
        serving = alive is not None and alive[0] in _processes(data)
        if serving and alive is not None and not asked:
            _signal(alive[0], signal.SIGINT)
            asked = True
        if not forced and waited > (patience / 2 if serving else 1):
            for pid in _processes(data):
                _signal(pid, signal.SIGQUIT)
            forced = True
        if waited > patience:
            raise TallystickError(
                "databaseBusy",
                f"Processes of an earlier server still use {data}. End them, then start again.",
                path=str(data),
                processes=sorted(_processes(data)),
            )
        time.sleep(0.02)


def _processes(data: Path) -> set[int]:
    """Processes that work in the data folder, as far as this system tells."""
    found: set[int] = set()
    try:
        identity = data.stat()
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names suffice
    except OSError:
        alive = postmaster(data)
        return {alive[0]} if alive and _is_postgres(alive[0]) else set()
    for pid in numbers:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(f"/proc/{pid}/cwd"), identity):  # noqa: PTH116 - no path, a kernel link
                found.add(pid)
    return found


def _is_postgres(pid: int) -> bool:
    told = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "postgres" in told.stdout


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
