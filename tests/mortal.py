"""A server that is killed in the middle of its work, with a database of its own that is killed too."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tallystick.store import leftovers


class Server:
    """`tally serve` on a home of its own, with the embedded PostgreSQL."""

    def __init__(self, home: Path, log: Path) -> None:
        self.home, self.log = home, log
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tallystick", "serve", "--home", str(self.home), "--port", str(self.port)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=kept | {"TALLY_LANES": "2", "TALLY_LOG_FORMAT": "json"},
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if self.url in line:
                return
        raise AssertionError(self.log.read_text()[-3_000:])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def stop(self) -> None:
        """End it as an operator would; whatever happens it is gone afterwards."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.communicate(timeout=30)
            finally:
                self.kill()

    def kill_postgres(self) -> None:
        found = leftovers.postmaster(self.home / "postgres" / "data")
        if found is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found[0], signal.SIGKILL)
