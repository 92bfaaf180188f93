"""`tally events import`: bring the history that other programs wrote."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import BaseUrl, Token, WorkspaceUuid, connect
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.cli.importing.mapping import FieldMapping
    from tallystick.cli.importing.rows import Source
    from tallystick.cli.importing.sending import Account, Rejects
    from tallystick.client import Client

events_app = new_app("Usage events: import a history from a file.")

File = Annotated[Path, typer.Argument(help="CSV, NDJSON or a JSON array; plain or gzip.")]
Maps = Annotated[
    list[str] | None, typer.Option("--map", help="field=column; dots lead into objects; once for each field.")
]
Sets = Annotated[list[str] | None, typer.Option("--set", help="field=value for every event, as type=….")]
Wheres = Annotated[
    list[str] | None, typer.Option("--where", help="column=value or column!=value; other rows are skipped.")
]
MappingFile = Annotated[Path | None, typer.Option("--mapping", help="TOML file with [map], [set], [where], [time].")]
TimeUnit = Annotated[str | None, typer.Option("--time-unit", help="s, ms, us or ns, of times that are numbers.")]
TimeBase = Annotated[str | None, typer.Option("--time-base", help="Instant from which they count; else 1970.")]
Timezone = Annotated[str | None, typer.Option("--timezone", help="Zone of times that name none; else UTC.")]
InputFormat = Annotated[str | None, typer.Option("--input-format", help="csv, ndjson or json; else by content.")]
Delimiter = Annotated[str | None, typer.Option("--delimiter", help="Of CSV; else by the first line.")]
ImportId = Annotated[str | None, typer.Option("--import-id", help="Name of the import; else from the content.")]
Debit = Annotated[bool, typer.Option("--debit", help="Take usage before the workspace's birth from its balance too.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Send nothing: check the rows and show three events.")]
RejectsFile = Annotated[Path | None, typer.Option("--rejects", help="Write every refused row here, as NDJSON.")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, max=10_000, help="Events in one request.")]

_DIGITS_OF_ID: Final = 16


@events_app.callback()
def events() -> None:
    pass


@events_app.command("import")
def import_events(
    file: File,
    map_: Maps = None,
    set_: Sets = None,
    where: Wheres = None,
    mapping: MappingFile = None,
    time_unit: TimeUnit = None,
    time_base: TimeBase = None,
    timezone: Timezone = None,
    file_format: InputFormat = None,
    delimiter: Delimiter = None,
    import_id: ImportId = None,
    debit: Debit = False,
    dry_run: DryRun = False,
    rejects: RejectsFile = None,
    batch_size: BatchSize = 1000,
    workspace_uuid: WorkspaceUuid = None,
    token: Token = None,
    base_url: BaseUrl = None,
) -> None:
    """Import usage events from a file, each exactly once, however often the command is run.

    A row without an id gets the SHA-256 of the file's content and its number. The exit status is 1 when a row was
    refused. See docs/guides/bring-your-history.md.

    \b
    Examples:
      tally events import calls.csv --map time=TIMESTAMP --map inputTokens=ContextTokens --set model=gpt-4o --dry-run
      tally events import log.jsonl.gz --mapping log.toml --rejects refused.ndjson
    """
    from tallystick.cli.importing import rows, sending
    from tallystick.cli.importing.mapping import read_mapping

    if file_format is not None and file_format not in rows.FORMATS:
        raise typer.BadParameter(
            f"{file_format!r} is not one of {', '.join(rows.FORMATS)}.", param_hint="--input-format"
        )
    if delimiter is not None and len(delimiter) != 1:
        raise typer.BadParameter("a delimiter is one character.", param_hint="--delimiter")
    fields = read_mapping(mapping, map_ or [], set_ or [], where or [], time_unit, time_base, timezone)
    source = rows.look_at(file, file_format, delimiter)
    name = import_id or source.digest[:_DIGITS_OF_ID]
    account, refused = sending.Account(), sending.Rejects()
    with contextlib.ExitStack() as stack:
        if rejects is not None:
            refused.file = stack.enter_context(rejects.open("wb"))
        progress = stack.enter_context(_progress(file.name, source.size))
        if dry_run:
            shown: dict[str, Any] = {
                "dryRun": True,
                "events": sending.check_all(source, fields, refused, account, progress),
            }
            status = 0
        else:
            client = connect(token=token, base_url=base_url, workspace_uuid=workspace_uuid)
            shown, status = _send(source, fields, refused, account, progress, name, debit, batch_size, client)
    raise typer.Exit(_conclude(file, source, name, account, refused, shown, status))


def _send(
    source: "Source",
    fields: "FieldMapping",
    refused: "Rejects",
    account: "Account",
    progress: Callable[[int], object],
    name: str,
    debit: bool,
    batch_size: int,
    client: "Client",
) -> tuple[dict[str, Any], int]:
    from urllib.parse import quote

    from tallystick.cli.failures import FAILED, UNREACHABLE
    from tallystick.cli.importing import sending

    path = f"/v1/imports/{quote(name, safe='')}/events?debit={'true' if debit else 'false'}"
    with client:
        client.current_user()  # so that a wrong token or address is told at once, without retries
        try:
            sending.send_all(
                source, fields, lambda events: client.deliver(events, path), refused, account, batch_size, progress
            )
        except sending.Stopped as stop:
            status = UNREACHABLE if stop.reason == "serverUnreachable" else FAILED
            return {"stopped": {"reason": stop.reason, "message": stop.message}}, status
        except KeyboardInterrupt:
            return {"stopped": {"reason": "interrupted", "message": "Run the same command again to go on."}}, 130
    return {}, 0


def _conclude(
    file: Path,
    source: "Source",
    name: str,
    account: "Account",
    refused: "Rejects",
    shown: dict[str, Any],
    status: int,
) -> int:
    """Print the account; the exit status. A refusal of everything is told like that of any other command."""
    from tallystick.cli.failures import FAILED, print_error
    from tallystick.cli.output import print_json
    from tallystick.wire.amounts import encode

    for line in refused.first:
        sys.stderr.write(line + "\n")
    if refused.count > len(refused.first):
        sys.stderr.write(f"and {refused.count - len(refused.first)} more; --rejects FILE writes them all\n")
    stopped = shown.get("stopped")
    if stopped and stopped["reason"] in ("forbidden", "unauthorized"):
        print_json(encode({"errorMessage": stopped["reason"]}))
        return FAILED
    counts = account.on_trial() if "dryRun" in shown else account.on_the_wire()
    summary = {"importId": name, "file": file.name, "sha256": source.digest, **counts, **shown}
    if stopped and stopped["reason"] != "interrupted":
        message = f"{stopped['message'].rstrip('.') or stopped['reason']}. Run the same command again to go on."
        print_error(message, stopped["reason"], _decoded(summary))
        return status
    print_json(encode(summary))
    return status or (FAILED if account.rejected or account.conflicts else 0)


def _decoded(summary: dict[str, Any]) -> Any:
    from decimal import Decimal

    import msgspec

    from tallystick.wire.amounts import encode

    return msgspec.json.Decoder(float_hook=Decimal).decode(encode(summary))


@contextlib.contextmanager
def _progress(label: str, size: int) -> Iterator[Callable[[int], object]]:
    """A bar on stderr where a person sees it; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=size)
        yield lambda done: bar.update(task, completed=done)
