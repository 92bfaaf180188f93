"""`tally login | whoami | logout`."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import BaseUrl, OutputFormat, Token, WorkspaceUuid, connect
from tallystick.cli.output import Format, print_answer
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client import Client

_FROM_INPUT: Final = "-"

login_app = new_app("Keep a token and a server's address for later commands.")
whoami_app = new_app("Show whose token is used, and for which workspace.")
logout_app = new_app("Forget what login kept.")


@login_app.command("login")
def login(
    token: Annotated[str, typer.Option("--token", help="API token; - reads it from standard input.")],
    base_url: BaseUrl = None,
    output: OutputFormat = Format.json,
) -> None:
    """Keep a token and a server's address for later commands.

    The server is asked whose token it is first; a token that it does not know is not kept.

    \b
    Examples:
      tally login --token tally_… --base-url https://billing.example.com
      tally login --token - < token.txt
    """
    from tallystick.cli.credentials import Credentials, find_base_url, save
    from tallystick.wire.amounts import encode

    from_input = token == _FROM_INPUT
    given = sys.stdin.readline().strip() if from_input else token
    address = find_base_url(base_url, os.environ)
    with connect(token=given, base_url=address, workspace_uuid=None) as client:
        shown = _whoami(client)
    path = save(Credentials(address, given))
    print_answer(encode({**shown, "baseUrl": address, "savedIn": str(path)}), output)


@whoami_app.command("whoami")
def whoami(
    workspace_uuid: WorkspaceUuid = None,
    token: Token = None,
    base_url: BaseUrl = None,
    output: OutputFormat = Format.json,
) -> None:
    """Show whose token is used, and for which workspace; an operator's has none until --workspace-uuid names one.

    \b
    Example:
      tally whoami
    """
    from tallystick.wire.amounts import encode

    with connect(token=token, base_url=base_url, workspace_uuid=workspace_uuid) as client:
        print_answer(encode(_whoami(client)), output)


@logout_app.command("logout")
def logout(output: OutputFormat = Format.json) -> None:
    """Forget the token and address that login kept. The token itself stays valid: revoke it to end it.

    \b
    Example:
      tally logout
    """
    from tallystick.cli.credentials import forget
    from tallystick.wire.amounts import encode

    print_answer(encode({"loggedOut": forget()}), output)


def _whoami(client: "Client") -> dict[str, Any]:
    from tallystick.client.errors import ApiError

    user = client.current_user().user
    try:
        workspace = client.current_workspace().workspace
    except ApiError as error:
        if error.reason != "workspaceRequired":
            raise
        workspace = None
    return {"user": user, "workspace": workspace}
