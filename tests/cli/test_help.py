"""Help: every command has it, with a sentence and an example; and it loads next to nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tallystick.cli.root import COMMANDS, root_command

GRAMMAR = [
    "billing usage get-metrics",
    "usage report",
    "billing subscription get",
    "billing estimate",
    "billing simulate",
    "orchestration run receipt",
    "billing budgets create",
    "billing budgets list",
    "billing budgets get",
    "billing budgets change",
    "billing budgets delete",
    "billing gate",
    "billing banners",
    "billing widget",
    "orchestration play list",
    "orchestration tool list",
    "orchestration workflow put",
    "orchestration workflow get",
    "orchestration run create",
    "orchestration run get",
    "orchestration run list",
    "orchestration run cancel",
    "orchestration batch create",
    "orchestration batch get",
    "orchestration batch list",
    "orchestration batch cancel",
    "ai agent list",
    "connection connector list",
    "storage model list",
    "login",
    "whoami",
    "logout",
    "events import",
    "workspace create",
    "workspace list",
    "clock get",
    "clock advance",
    "jobs list",
    "credits grant",
    "credits adjust",
    "credits list",
    "credits expire",
    "limits get",
    "limits set",
    "audit list",
    "fine-tuning create",
    "fine-tuning preview",
    "fine-tuning report",
    "fine-tuning get",
    "fine-tuning list",
    "price list",
    "price add",
    "plan list",
    "token create",
    "token list",
    "token revoke",
    "serve",
    "worker",
    "demo",
    "settings",
    "db migrate",
    "db status",
    "db backup",
    "db restore",
    "verify",
]

HEAVY = ["httpx2", "httpx", "rich", "litestar", "psycopg", "pydantic", "msgspec", "asyncio", "uvicorn"]


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    commands = getattr(command, "commands", None)
    if commands is None:
        yield " ".join(path), command
        return
    for name in commands:
        yield from leaves(commands[name], (*path, name))


ALL = dict(leaves(root_command()))


def test_the_grammar_is_there_word_for_word() -> None:
    assert [path for path in GRAMMAR if path not in ALL] == []


@pytest.mark.parametrize("path", ALL)
def test_a_command_says_what_it_does_shows_an_example_and_explains_every_option(path: str) -> None:
    command = ALL[path]
    text = command.help or ""
    assert text.split("\n\n")[0].endswith("."), "say in a sentence what it does"
    assert f"tally {path}" in text.split("Example", 1)[-1], "show how it is called"
    assert [param.name for param in command.params if not getattr(param, "help", None)] == []


def test_the_names_at_the_top_say_what_stands_behind_them() -> None:
    root = root_command()
    for name, (_, text) in COMMANDS.items():
        command = root.commands[name]
        if getattr(command, "commands", None) is not None:
            assert command.help.startswith(text), name
        assert text.endswith("."), name


HELPS = """
import contextlib, io, json, sys
from tallystick.cli.main import main
shown = []
for arguments in {calls!r}:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = main([*arguments, "--help"])
    shown.append([status, out.getvalue()])
print(json.dumps([shown, sorted(set({heavy!r}) & set(sys.modules))]))
"""


def test_every_help_is_on_stdout_and_none_loads_anything_heavy() -> None:
    calls = [[], ["billing"], ["billing", "usage"], *(path.split() for path in ALL)]
    code = HELPS.format(calls=calls, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, loaded = json.loads(done.stdout)
    for arguments, (status, text) in zip(calls, shown, strict=True):
        assert status == 0, arguments
        assert text.startswith(f"Usage: {' '.join(['tally', *arguments])} "), arguments
    assert loaded == []
    assert done.stderr == ""


def test_the_version_is_an_object_too() -> None:
    command = [sys.executable, "-m", "tallystick.cli.main", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith('{"version": "')
