"""`tally db`: the database itself, reached directly and not through a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.commands import OutputFormat
from tallystick.cli.output import Format, print_answer
from tallystick.cli.root import new_app
from tallystick.cli.server import Home, configured, run

if TYPE_CHECKING:
    from tallystick.runtime import Runtime
    from tallystick.settings import Settings

db_app = new_app("The database: migrate, status, backup, restore.")
operator_app = new_app("The operator's own tokens, made where the database is.")


@operator_app.callback()
def operator() -> None:
    """The operator's own tokens, made where the database is."""


@operator_app.command("create-token")
def create_token(
    name: Annotated[str, typer.Option("--name", help="What the token is for; shown in lists and in the audit log.")],
    replace: Annotated[bool, typer.Option("--replace", help="Revoke earlier operator tokens of this name.")] = False,
    home: Home = None,
    output: OutputFormat = Format.json,
) -> None:
    """Make an operator's token and show it once. It asks no server: whoever reaches the database may.

    \b
    Example:
      tally operator create-token --name support
    """
    from tallystick.domain.identity.tokens import token_text
    from tallystick.flows import tokens

    async def work() -> None:
        async with reached(configured(home=home)) as runtime:
            await runtime.prepare()
            text = token_text(runtime.ids.secret())
            made = await tokens.create_operator(
                runtime.database,
                name,
                text=text,
                replace=replace,
                actor="cli",
                now=runtime.clock.now(),
                ids=runtime.ids,
            )
            _print({"uuid": str(made.id), "name": made.name, "token": text}, output)

    run(work())


@db_app.command("migrate")
def migrate(home: Home = None, output: OutputFormat = Format.json) -> None:
    """Bring the schema and the shipped catalog to this version. `tally serve` does so by itself at its start.

    \b
    Example:
      tally db migrate
    """

    async def work() -> None:
        async with reached(configured(home=home)) as runtime:
            _print({"applied": await runtime.prepare()}, output)

    run(work())


@db_app.command("status")
def status(home: Home = None, output: OutputFormat = Format.json) -> None:
    """Print a connection string that psql takes, the server's version, the schema's last migration, and whose it is.

    \b
    Example:
      psql "$(tally db status | python3 -c 'import json, sys; print(json.load(sys.stdin)["url"])')"
    """

    async def work() -> None:
        async with reached(configured(home=home)) as runtime:
            state = await runtime.state()
            _print(
                {
                    "url": state.url,
                    "version": state.version,
                    "migration": state.migrations[-1] if state.migrations else None,
                    "embedded": state.is_embedded,
                },
                output,
            )

    run(work())


@db_app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it; replaced when the backup is whole.")],
    home: Home = None,
    output: OutputFormat = Format.json,
) -> None:
    """Write the whole database to one file, while the server works or not.

    \b
    Example:
      tally db backup tally-2026-03-14.backup
    """

    async def work() -> None:
        async with reached(configured(home=home)) as runtime:
            import asyncio

            size = await asyncio.to_thread(runtime.backup, file)
            _print({"file": str(file), "bytes": size}, output)

    run(work())


@db_app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `tally db backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what the database holds.")] = False,
    home: Home = None,
    output: OutputFormat = Format.json,
) -> None:
    """Fill the database from a backup: all of it, or nothing. Stop the server first.

    \b
    Example:
      tally db restore tally-2026-03-14.backup
    """

    async def work() -> None:
        async with reached(configured(home=home)) as runtime:
            import asyncio

            await asyncio.to_thread(runtime.restore, file, force=force)
            _print({"file": str(file), "restored": True}, output)

    run(work())


@asynccontextmanager
async def reached(settings: "Settings", *, prepare: bool = False) -> "AsyncIterator[Runtime]":
    """The runtime on its database, whose schema is left as it is unless `prepare`."""
    from tallystick.runtime import Runtime

    runtime = await Runtime.open(settings, prepare=prepare)
    try:
        yield runtime
    finally:
        await runtime.close()


def _print(answer: dict[str, Any], output: Format) -> None:
    from tallystick.wire.amounts import encode

    print_answer(encode(answer), output)
