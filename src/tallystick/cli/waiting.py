"""Waiting for a run or a batch: asked again and again, with a progress bar on stderr when that is a terminal."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from tallystick.client import Client

What = Literal["run", "batch"]

DONE: Final = 0
FAILED: Final = 1
NOT_ENOUGH: Final = 3

_ENDED: Final = frozenset({"success", "error", "cancelled", "skipped"})
_MONEY: Final = frozenset({"budgetExceeded", "notEnoughCredits", "notEnoughToolRuns", "runQuotaReached"})
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = {"run": 2.0, "batch": 5.0}


def follow(client: "Client", what: What, made: bytes) -> bytes:
    """Ask for what was made until it has ended; the last answer."""
    from tallystick.client import orchestration

    call = (orchestration.run if what == "run" else orchestration.batch)(_read(made)[what]["uuid"])
    pause, answer = _FIRST_PAUSE, client.send_raw(call)
    with _progress(what) as show:
        while True:
            found = _read(answer)[what]
            show(found)
            if found["status"] in _ENDED:
                return answer
            time.sleep(pause)
            pause = min(pause * 1.3, _LONGEST_PAUSE[what])
            answer = client.send_raw(call)


def exit_status(what: What, answer: bytes) -> int:
    """0 when it succeeded, 3 when it was refused for what is not there, else 1."""
    found = _read(answer)[what]
    if found["status"] == "success":
        return DONE
    return NOT_ENOUGH if found["reason"] in _MONEY else FAILED


def _read(answer: bytes) -> Any:
    import msgspec

    return msgspec.json.decode(answer)


@contextlib.contextmanager
def _progress(what: What) -> Iterator[Callable[[Any], None]]:
    """What shows how far it is; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    counted = [BarColumn(), MofNCompleteColumn()] if what == "batch" else [SpinnerColumn()]
    columns = [TextColumn("{task.description}"), *counted, TimeElapsedColumn()]
    with Progress(*columns, console=Console(file=sys.stderr, markup=False), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def show(found: Any) -> None:
            if what == "batch":
                failed = f", {found['failedRunsCount']} failed" if found["failedRunsCount"] else ""
                told = f"{found['status']}{failed}, {found['creditsUsedCount']} credits"
                bar.update(task, description=told, total=found["runsCount"], completed=found["executedRunsCount"])
            else:
                done = sum(one["status"] in _ENDED for one in found["executions"])
                bar.update(task, description=f"{found['status']}, {done} nodes, {found['creditsUsedCount']} credits")

        yield show
