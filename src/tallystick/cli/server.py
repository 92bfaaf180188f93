"""`tally serve | worker | demo | settings`: what runs here and asks no server. The runtime is loaded when called."""

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.commands import OutputFormat
from tallystick.cli.output import Format
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.runtime import Runtime
    from tallystick.settings import LoadedSettings, Settings

serve_app = new_app("Start the server, in the foreground.")
worker_app = new_app("Do the background work apart from the server, in the foreground.")
demo_app = new_app("Start a demo workspace with 90 days of usage, in the foreground.")
settings_app = new_app("List every setting with its value and origin.")

Home = Annotated[Path | None, typer.Option("--home", help="Data folder; else TALLY_HOME.")]
Port = Annotated[int | None, typer.Option("--port", help="Port; 0 picks a free one; else TALLY_PORT, 8787.")]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on; else TALLY_HOST, 127.0.0.1.")]


@serve_app.command("serve")
def serve(
    home: Home = None,
    port: Port = None,
    host: Host = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Leave background work to `tally worker`.")] = False,
    no_runner: Annotated[bool, typer.Option("--no-runner", help="Leave workflows to `tally runner`.")] = False,
) -> None:
    """Start the server and serve until SIGTERM or Ctrl-C. Its address is printed once it answers.

    \b
    Examples:
      tally serve
      TALLY_DATABASE_URL=postgresql://tally@db/tally tally serve --host 0.0.0.0 --port 8787
    """
    from tallystick.cli.output import print_json
    from tallystick.cli.runner import Beside
    from tallystick.demo.run import reachable
    from tallystick.surfaces.serve import serve as serve_until_told
    from tallystick.wire.amounts import encode

    settings = configured(
        home=home, port=port, host=host, worker=False if no_worker else None, runner=False if no_runner else None
    )
    beside = Beside(settings)

    async def ready(runtime: "Runtime", address: str) -> None:
        beside.start(runtime, reachable(address))
        print_json(encode({"baseUrl": settings.public_url or address}))

    run(serve_until_told(settings, ready, beside.end))


@worker_app.command("worker")
def worker(home: Home = None) -> None:
    """Do the background work apart from the server, until SIGTERM or Ctrl-C.

    `tally serve` does it itself unless it was started with --no-worker.

    \b
    Example:
      tally worker
    """
    from tallystick.surfaces.worker import serve as work_until_told

    run(work_until_told(configured(home=home)))


@demo_app.command("demo")
def demo(home: Home = None, port: Port = None, host: Host = None) -> None:
    """Start a demo workspace with 90 days of believable usage and serve it until SIGTERM or Ctrl-C.

    The first start makes the data; later ones keep data and tokens. What is printed stands in demo.json of the data
    folder too, where every other command finds it.

    \b
    Example:
      tally demo --port 8787
    """
    from tallystick.cli.output import print_json
    from tallystick.cli.runner import Beside
    from tallystick.demo import run as stage
    from tallystick.wire.amounts import encode

    settings = configured(home=home, port=port, host=host)
    told = _Told(sys.stderr.isatty())
    beside = Beside(settings, is_demo=True)

    def ready(credentials: Any) -> None:
        told.end()
        print_json(encode(credentials))
        told.ready()

    run(stage.run(settings, ready=ready, progress=told.events, serving=beside.start, ending=beside.end))


class _Told:
    """What a person at a terminal is told: the first load's progress, on one line, and how to go on."""

    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._any = False

    def events(self, booked: int) -> None:
        if self._is_terminal:
            self._any = True
            sys.stderr.write(f"\rMaking 90 days of usage: {booked:,} events booked")
            sys.stderr.flush()

    def end(self) -> None:
        if self._any:
            sys.stderr.write("\n")

    def ready(self) -> None:
        if self._is_terminal:
            sys.stderr.write("The demo is up, until Ctrl-C. In another terminal, try `tally whoami`.\n")


@settings_app.command("settings")
def settings(home: Home = None, output: OutputFormat = Format.json) -> None:
    """List every setting with its value and where that came from; secrets are only said to be set.

    \b
    Example:
      tally settings --format table
    """
    from tallystick.cli.output import print_answer
    from tallystick.settings import describe
    from tallystick.wire.amounts import encode

    print_answer(encode({"settings": describe(loaded(home=home))}), output)


def loaded(**overrides: object) -> "LoadedSettings":
    """Settings from the environment, the file and options. Raises `invalidSetting`."""
    import os

    from tallystick.settings import load

    found = load(os.environ, overrides)
    for warning in found.warnings:
        sys.stderr.write(f"{warning}\n")
    return found


def configured(**overrides: object) -> "Settings":
    """The settings, and a log on stderr as they say."""
    from tallystick.surfaces.logs import configure

    found = loaded(**overrides).settings
    configure(found)
    return found


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, on uvloop where there is one."""
    import asyncio
    import contextlib

    new_loop = None
    with contextlib.suppress(ImportError):
        import uvloop

        new_loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(work)
