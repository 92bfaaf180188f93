"""The code blocks of a document, and a shell that runs them in order as a reader would."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ADDRESS = "http://127.0.0.1:8787"
"""The address that documents use; the shell puts the running server's in its place."""

_END = "— end of the block —"

_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_CURL = '''\
"""Stands in for curl on a machine that has none: what the documents use of it, and nothing else."""
import sys, urllib.error, urllib.request

headers, body, address = {}, None, None
words = iter(sys.argv[1:])
for word in words:
    if word == "-H":
        name, _, value = next(words).partition(":")
        headers[name.strip()] = value.strip()
    elif word in ("-d", "--data-binary"):
        body = next(words).encode()
        if body.startswith(b"@"):
            body = open(body[1:], "rb").read()
    elif word != "-s":
        address = word
request = urllib.request.Request(address, body, headers)
try:
    sys.stdout.write(urllib.request.urlopen(request).read().decode())
except urllib.error.HTTPError as error:
    sys.stdout.write(error.read().decode())
'''


@dataclass(frozen=True)
class Block:
    """`kind` is the language that stands behind the fence."""

    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    return [Block(kind, text) for kind, text in _BLOCK.findall(page.read_text(encoding="utf-8"))]


class Reader:
    """Somebody who types what a page says into one terminal. Variables last from block to block."""

    def __init__(self, folder: Path, base_url: str, **environment: str) -> None:
        self._base_url = base_url
        self._folder = folder
        self._complaints = folder / "stderr"
        stand_ins = folder / "bin"
        stand_ins.mkdir()
        _stand_in(stand_ins / "curl", folder)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(stand_ins)])
        known = {"PATH": path, "HOME": str(folder), "LC_ALL": "C.UTF-8", "COLUMNS": "200"}
        with self._complaints.open("wb") as complaints:
            self._shell = subprocess.Popen(
                ["bash", "-euo", "pipefail"],
                cwd=folder,
                env=known | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                encoding="utf-8",
            )

    def run(self, block: Block) -> str:
        """What the block prints. Fails the test when one of its commands fails."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        text = block.text.replace(ADDRESS, self._base_url)
        if block.kind == "python":
            script = self._folder / "block.py"
            script.write_text(text, encoding="utf-8")
            text = f"python3 {script}"
        # Braces, not a subshell: what the block sets is there for the next one.
        self._shell.stdin.write(f"{{\n{text}\n}} </dev/null\nprintf '\\n{_END}\\n'\n")
        self._shell.stdin.flush()
        printed: list[str] = []
        for line in self._shell.stdout:
            if line == f"{_END}\n":
                return "".join(printed)
            printed.append(line)
        complaints = self._complaints.read_text(encoding="utf-8")
        raise AssertionError(f"this block of the page failed:\n{text}\n{''.join(printed)}{complaints}")

    def close(self) -> None:
        """Leave the terminal."""
        if self._shell.stdin is not None:
            self._shell.stdin.close()
        self._shell.wait(10)
        if self._shell.stdout is not None:
            self._shell.stdout.close()


def _stand_in(path: Path, folder: Path) -> None:
    script = folder / "curl.py"
    script.write_text(_CURL, encoding="utf-8")
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n', encoding="utf-8")
    path.chmod(0o755)
