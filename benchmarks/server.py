"""A server process of its own for a benchmark: fresh home, embedded PostgreSQL, a free port on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen


@dataclass(frozen=True)
class Server:
    """A running server: its address, an operator's token, and how to reach its database."""

    base_url: str
    operator_token: str
    home: Path
    pid: int

    @property
    def port(self) -> int:
        return int(self.base_url.rsplit(":", 1)[1])

    def post(self, path: str, body: Any) -> Any:
        """One JSON request as the operator."""
        request = Request(
            self.base_url + path,
            data=json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self.operator_token}", "content-type": "application/json"},
        )
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def database_url(self) -> str:
        """The connection string that `tally db status` gives."""
        answer = tally("db", "status", home=self.home)
        return str(json.loads(answer)["url"])

    def resident_bytes(self) -> int:
        """Memory of the server process, without PostgreSQL's."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else 0


def environment(home: Path) -> dict[str, str]:
    """This environment without any setting of ours, and with `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    return kept | {"TALLY_HOME": str(home)}


def tally(*arguments: str, home: Path) -> str:
    """What a `tally` command prints. Raises CalledProcessError."""
    command = [sys.executable, "-m", "tallystick", *arguments]
    return subprocess.run(command, env=environment(home), check=True, capture_output=True, text=True).stdout


@contextmanager
def serving(*, settings: dict[str, str] | None = None, home: Path | None = None) -> Iterator[Server]:
    """Start `tally serve`, wait until it answers, end it by its process id."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as temporary:
        folder = home or Path(temporary) / "home"
        token = tally("operator", "create-token", "--name", "bench", home=folder)
        process = subprocess.Popen(
            [sys.executable, "-m", "tallystick", "serve", "--port", "0"],
            env=environment(folder) | (settings or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield Server(_address(process), json.loads(token)["token"], folder, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _address(process: "subprocess.Popen[str]") -> str:
    """The address that the server names once it listens."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.stdout is not None:
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if found:
            return found[0]
        if not line and process.poll() is not None:
            break
    raise RuntimeError("the server did not start")
