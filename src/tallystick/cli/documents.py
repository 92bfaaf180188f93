"""`tally billing invoices download`: invoices as files, PDF for people or XML for programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.commands import BaseUrl, OutputFormat, Token, WorkspaceUuid, connect
from tallystick.cli.output import Format, listed, print_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tallystick.client import Client


def add_commands(app: typer.Typer) -> None:
    """Make `download` a command of `tally billing invoices`."""
    app.command("download")(download)


def download(
    invoice: Annotated[
        list[str] | None, typer.Option("--invoice", help="Number or uuid; repeatable. Else every issued one.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", help="Folder that the files go to; made if need be.")] = Path(),
    xml: Annotated[bool, typer.Option("--xml", help="The electronic form (EN 16931) alone.")] = False,
    locale: Annotated[str | None, typer.Option("--locale", help="Language of the pages, such as de or pt-BR.")] = None,
    workspace_uuid: WorkspaceUuid = None,
    token: Token = None,
    base_url: BaseUrl = None,
    format: OutputFormat = Format.json,  # noqa: A002 - the option's name
) -> None:
    """Save invoices and credit notes as files named by their numbers, and print what was saved.

    A file of that name is replaced. With --xml those that have no electronic form are named with the reason, and the
    exit status is 1.

    \b
    Examples:
      tally billing invoices download --invoice INV-000042
      tally billing invoices download --output invoices/2026 --locale de
    """
    import msgspec

    from tallystick.client.errors import ApiError
    from tallystick.kernel.errors import TallystickError

    saved: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    with connect(token=token, base_url=base_url, workspace_uuid=workspace_uuid) as client:
        wanted = _wanted(client, invoice)
        output.mkdir(parents=True, exist_ok=True)
        for one in _shown(wanted):
            try:
                content = _content(client, one["id"], xml=xml, locale=locale)
            except ApiError as error:
                if error.reason != "electronicInvoiceUnavailable":
                    raise
                refused.append({"number": one["number"], "reason": error.reason, "errorMessage": str(error)})
                continue
            file = output / f"{_file_name(one['number'])}.{'xml' if xml else 'pdf'}"
            try:
                file.write_bytes(content)
            except OSError as error:
                raise TallystickError("fileNotWritten", f"{file} could not be written: {error}.") from error
            saved.append({"number": one["number"], "id": one["id"], "file": str(file), "bytes": len(content)})
    answer = msgspec.json.encode({"files": saved, "refused": refused})
    print_answer(answer, format, listed("files", "number", "file", "bytes"))
    if refused:
        raise typer.Exit(1)


def _wanted(client: "Client", names: list[str] | None) -> list[dict[str, Any]]:
    """The issued invoices that are meant, by number or uuid. Raises `invoiceNotFound`."""
    import msgspec

    from tallystick.client import documents
    from tallystick.kernel.errors import TallystickError

    listed_ = msgspec.json.decode(client.send_raw(documents.issued_invoices()))["invoices"]
    issued = [one for one in listed_ if one["number"]]
    if not names:
        return issued
    found = []
    for name in names:
        fitting = [one for one in issued if name in (one["number"], one["id"])]
        if not fitting:
            raise TallystickError("invoiceNotFound", f"There is no issued invoice {name}.", invoice=name)
        found += fitting
    return found


def _content(client: "Client", uuid: str, *, xml: bool, locale: str | None) -> bytes:
    from tallystick.client import documents

    return client.send(documents.invoice_xml(uuid) if xml else documents.invoice_pdf(uuid, locale=locale))


def _file_name(number: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in number)


def _shown(wanted: "list[dict[str, Any]]") -> "Iterable[dict[str, Any]]":
    """The same, with a bar on stderr where somebody looks and it takes a while."""
    import sys

    if len(wanted) < 3 or not sys.stderr.isatty():
        return wanted
    return _with_bar(wanted)


def _with_bar(wanted: "list[dict[str, Any]]") -> "Iterator[dict[str, Any]]":
    from rich.console import Console
    from rich.progress import track

    yield from track(wanted, description="invoices", console=Console(stderr=True), transient=True)
