"""How a command that asks the server is written: a function from its options to a call, and this decorator around it.

Every such command gets `--token`, `--base-url`, `--workspace-uuid` and `--format`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from tallystick.cli.output import Format, Table, names_in, print_answer

if TYPE_CHECKING:
    from tallystick.client import Client
    from tallystick.client.replies import Call

F = TypeVar("F", bound=Callable[..., "Call[Any]"])

Token = Annotated[str | None, typer.Option("--token", help="API token; else TALLY_TOKEN, the login, the demo.")]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="Address of the server; else TALLY_BASE_URL, as above.")
]
WorkspaceUuid = Annotated[str | None, typer.Option("--workspace-uuid", help="Workspace to act on, for operators.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="json for programs, table for people.")]

_SHARED: Final[Mapping[str, tuple[Any, Any]]] = {
    "workspace_uuid": (WorkspaceUuid, None),
    "token": (Token, None),
    "base_url": (BaseUrl, None),
    "format": (OutputFormat, Format.json),
}


def client_command(
    app: typer.Typer, name: str, *, table: Table | None = None, as_operator: bool = False
) -> Callable[[F], F]:
    """Make `tally … name` of a function that returns a call. `as_operator` takes the demo's operator token."""

    def register(make: F) -> F:
        own = inspect.signature(make).parameters

        def command(**given: Any) -> None:
            form = given.pop("format")
            options = {key: given.get(key) for key in ("token", "base_url", "workspace_uuid")}
            call = make(**{key: value for key, value in given.items() if key in own})
            with connect(**options, as_operator=as_operator) as client:
                answer = client.send_raw(call)
                names: dict[object, str] = {}
                if form is Format.table and table is not None:
                    for lookup in table.lookups(given):
                        names |= names_in(client.send_raw(lookup))
            print_answer(answer, form, table, names)

        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in _SHARED.items()
            if key not in own
        ]
        keywords = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own.values()]
        command.__signature__ = inspect.Signature([*keywords, *shared])  # type: ignore[attr-defined]
        command.__annotations__ = {item.name: item.annotation for item in [*keywords, *shared]}
        command.__doc__ = make.__doc__
        app.command(name)(command)
        return make

    return register


def connect(
    *, token: str | None, base_url: str | None, workspace_uuid: str | None, as_operator: bool = False
) -> "Client":
    """A client with the first credentials found. Raises `notLoggedIn`."""
    import os

    from tallystick import __version__
    from tallystick.cli.credentials import find
    from tallystick.client import Client
    from tallystick.kernel.errors import TallystickError

    found = find(token, base_url, os.environ, as_operator=as_operator)
    try:
        return Client(found.base_url, found.token, workspace_uuid=workspace_uuid, agent=f"tally/{__version__}")
    except ValueError as error:
        raise TallystickError("invalidBaseUrl", f"{error}.", baseUrl=found.base_url) from error
