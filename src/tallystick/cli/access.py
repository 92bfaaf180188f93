"""`tally token`: API tokens of a workspace."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.output import listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

token_app = new_app("API tokens of a workspace: create, list, revoke.")


@client_command(token_app, "create")
def create_token(
    name: Annotated[str, typer.Option("--name", help="What the token is for.")],
    permission: Annotated[
        list[str] | None,
        typer.Option("--permission", help="A permission such as events:write; once for each. Default: all of yours."),
    ] = None,
    user_uuid: Annotated[
        str | None, typer.Option("--user-uuid", help="Member whose token it is; default: you.")
    ] = None,
    expires_at: Annotated[str | None, typer.Option("--expires-at", help="Instant with a zone, in ISO 8601.")] = None,
) -> "Call[Any]":
    """Create a token. Its secret is printed this once.

    \b
    Example:
      tally token create --name ingest --permission events:write
    """
    from tallystick.client import calls

    return calls.create_token(
        name,
        permissions=permission,
        user_uuid=UUID(user_uuid) if user_uuid else None,
        expires_at=instant(expires_at, "--expires-at"),
    )


@client_command(token_app, "list", table=listed("tokens", "name", "uuid", "last4", "permissions", "expiresAt"))
def list_tokens() -> "Call[Any]":
    """Print the workspace's tokens, without their secrets.

    \b
    Example:
      tally token list --format table
    """
    from tallystick.client import calls

    return calls.tokens()


@client_command(token_app, "revoke")
def revoke_token(
    uuid: Annotated[str, typer.Argument(help="The token's UUID, from `tally token list`.")],
) -> "Call[Any]":
    """Revoke a token; it stops working at once.

    \b
    Example:
      tally token revoke 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import calls

    return calls.revoke_token(uuid)


def instant(text: str | None, option: str) -> dt.datetime | None:
    """An option's instant; wrong usage unless it is ISO 8601 with a zone."""
    if text is None:
        return None
    try:
        value = dt.datetime.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or value.tzinfo is None:
        raise typer.BadParameter(
            f"{text!r} is not an instant with a zone, such as 2026-03-14T00:00:00Z.", param_hint=option
        )
    return value
