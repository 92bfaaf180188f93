"""`tally facts | mail | notification`: what happened, what was mailed about it, and which mails you want."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.access import instant
from tallystick.cli.commands import client_command
from tallystick.cli.output import Table, listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

facts_app = new_app("What happened in a workspace: thresholds, grants, limits, deployments.")
mail_app = new_app("The outbox of mails: list, show, retry.")
notification_app = new_app("Which mails you want from a workspace.")


@facts_app.callback()
def _facts() -> None:
    """What happened in a workspace: thresholds, grants, limits, deployments."""
    # A group of one command would otherwise be that command.


Limit = Annotated[int | None, typer.Option("--limit", help="At most so many, 1 to 1,000.")]
Offset = Annotated[int | None, typer.Option("--offset", help="Leave out so many first.")]
Uuid = Annotated[str, typer.Argument(help="The mail's UUID, from `tally mail list`.")]


def _mail_rows(answer: Any) -> list[list[object]]:
    """A mail for people: its head and its plain text."""
    mail = answer["mail"]
    head = [[name, mail[name]] for name in ("to", "subject", "status", "attempts", "error", "createdAt", "sentAt")]
    return [*head, *(["", line] for line in mail["plain"].splitlines())]


_MAIL: Final = Table(("field", "value"), _mail_rows)


@client_command(facts_app, "list", table=listed("facts", "at", "kind", "uuid", "data"))
def list_facts(
    kind: Annotated[str | None, typer.Option("--kind", help="Only this kind, such as credits.exhausted.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Not before this instant, in ISO 8601.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Before this instant, in ISO 8601.")] = None,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print what happened, newest first, with the figures of that instant.

    \b
    Examples:
      tally facts list --format table
      tally facts list --kind credits.threshold_crossed --from 2026-03-01T00:00:00Z
    """
    from tallystick.client import telling

    return telling.facts(kind=kind, start=instant(from_, "--from"), end=instant(to, "--to"), limit=limit, offset=offset)


@client_command(
    mail_app, "list", table=listed("mails", "createdAt", "status", "kind", "to", "subject", "attempts", "error", "uuid")
)
def list_mails(
    status: Annotated[str | None, typer.Option("--status", help="queued, sent, kept or dead.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only about this kind of fact.")] = None,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print the outbox, newest first; for an operator without `--workspace-uuid`, everybody's.

    \b
    Examples:
      tally mail list --format table
      tally mail list --status dead
    """
    from tallystick.client import telling

    chosen: Any = status
    return telling.mails(status=chosen, kind=kind, limit=limit, offset=offset)


@client_command(mail_app, "show", table=_MAIL)
def show_mail(uuid: Uuid) -> "Call[Any]":
    """Print one mail with its HTML and its plain text.

    \b
    Example:
      tally mail show 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --format table
    """
    from tallystick.client import telling

    return telling.mail(uuid)


@client_command(mail_app, "retry", as_operator=True)
def retry_mail(uuid: Uuid) -> "Call[Any]":
    """For operators: let a dead or kept mail be sent as if it had never been tried.

    \b
    Example:
      tally mail retry 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import telling

    return telling.retry_mail(uuid)


@client_command(notification_app, "get", table=listed("preferences", "topic", "mail", "about"))
def get_preferences() -> "Call[Any]":
    """Print which mails you want.

    \b
    Example:
      tally notification get --format table
    """
    from tallystick.client import telling

    return telling.notification_preferences()


@client_command(notification_app, "set", table=listed("preferences", "topic", "mail", "about"))
def set_preferences(
    credits_: Annotated[
        bool | None, typer.Option("--credits/--no-credits", help="Thresholds, all used, expired.")
    ] = None,
    deployments: Annotated[
        bool | None, typer.Option("--deployments/--no-deployments", help="Deployed, undeployed, limits, stops.")
    ] = None,
    billing: Annotated[
        bool | None, typer.Option("--billing/--no-billing", help="Invoices, payments, the subscription.")
    ] = None,
) -> "Call[Any]":
    """Say which mails you want; what is left out stays.

    \b
    Example:
      tally notification set --no-deployments
    """
    from tallystick.client import telling

    return telling.set_notification_preferences(credits=credits_, deployments=deployments, billing=billing)
