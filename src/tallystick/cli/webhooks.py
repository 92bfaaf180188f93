"""`tally webhook endpoint | delivery | kinds`: where facts are posted, and what became of each."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.output import listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

webhook_app = new_app("Webhooks: endpoints that facts are posted to, signed, and the log of their deliveries.")
endpoint_app = new_app("Where facts are posted.")
delivery_app = new_app("What was posted, what came of it, and sending it again.")
webhook_app.add_typer(endpoint_app, name="endpoint")
webhook_app.add_typer(delivery_app, name="delivery")

_ENDPOINTS: Final = listed("webhooks", "url", "uuid", "kinds", "enabled", "failingSince", "description")
_DELIVERIES: Final = listed("deliveries", "kind", "uuid", "status", "attemptsCount", "statusCode", "error", "nextAt")
_KINDS: Final = listed("kinds", "kind", "topic", "about")

Endpoint = Annotated[str, typer.Argument(help="The endpoint's UUID, from `tally webhook endpoint list`.")]
Delivery = Annotated[str, typer.Argument(help="The delivery's UUID, from `tally webhook delivery list`.")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help="A kind of fact, again for more; all without it.")]
Limit = Annotated[int | None, typer.Option("--limit", help="At most so many, 1 to 1,000.")]
Offset = Annotated[int | None, typer.Option("--offset", help="Leave out so many first.")]
IdempotencyKey = Annotated[
    str | None, typer.Option("--idempotency-key", help="Repeating a command with the same key changes nothing more.")
]


@client_command(webhook_app, "kinds", table=_KINDS)
def list_kinds() -> "Call[Any]":
    """Print every kind of fact, with a sentence on each.

    \b
    Example:
      tally webhook kinds --format table
    """
    from tallystick.client import webhooks

    return webhooks.webhook_kinds()


@client_command(endpoint_app, "create")
def create_endpoint(
    url: Annotated[str, typer.Option("--url", help="Where facts are posted.")],
    kind: Kinds = None,
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Have facts posted to an address. The secret that signs them is in the answer, this once.

    \b
    Examples:
      tally webhook endpoint create --url https://platform.example/tally
      tally webhook endpoint create --url https://platform.example/tally --kind deployment.stop_requested
    """
    from tallystick.client import webhooks

    return webhooks.create_webhook(url, description=description, kinds=kind or (), idempotency_key=idempotency_key)


@client_command(endpoint_app, "list", table=_ENDPOINTS)
def list_endpoints(limit: Limit = None, offset: Offset = None) -> "Call[Any]":
    """Print the endpoints, oldest first, without their secrets.

    \b
    Example:
      tally webhook endpoint list --format table
    """
    from tallystick.client import webhooks

    return webhooks.webhooks(limit=limit, offset=offset)


@client_command(endpoint_app, "get")
def get_endpoint(uuid: Endpoint) -> "Call[Any]":
    """Print one endpoint.

    \b
    Example:
      tally webhook endpoint get 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import webhooks

    return webhooks.webhook(uuid)


@client_command(endpoint_app, "update")
def update_endpoint(
    uuid: Endpoint,
    url: Annotated[str | None, typer.Option("--url", help="Another address.")] = None,
    kind: Kinds = None,
    all_kinds: Annotated[bool, typer.Option("--all-kinds", help="Facts of every kind from now on.")] = False,
    description: Annotated[str | None, typer.Option("--description", help="Another description.")] = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether facts go there at all.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Change where facts go, which of them, or whether at all; what is left out stays.

    \b
    Examples:
      tally webhook endpoint update 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --url https://platform.example/new
      tally webhook endpoint update 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --enable
    """
    from tallystick.client import webhooks

    return webhooks.change_webhook(
        uuid,
        url=url,
        description=description,
        kinds=[] if all_kinds else kind or None,
        enabled=enabled,
        idempotency_key=idempotency_key,
    )


@client_command(endpoint_app, "delete")
def delete_endpoint(uuid: Endpoint) -> "Call[Any]":
    """Delete an endpoint; nothing goes there any more.

    \b
    Example:
      tally webhook endpoint delete 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import webhooks

    return webhooks.delete_webhook(uuid)


@client_command(endpoint_app, "rotate")
def rotate_endpoint(uuid: Endpoint, idempotency_key: IdempotencyKey = None) -> "Call[Any]":
    """Give an endpoint a new secret, printed this once; for a while the old one signs beside it.

    \b
    Example:
      tally webhook endpoint rotate 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import webhooks

    return webhooks.rotate_webhook_secret(uuid, idempotency_key=idempotency_key)


@client_command(endpoint_app, "test")
def send_test(uuid: Endpoint) -> "Call[Any]":
    """Queue a fact of kind `webhook.test` for one endpoint.

    \b
    Example:
      tally webhook endpoint test 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import webhooks

    return webhooks.send_webhook_test(uuid)


@client_command(delivery_app, "list", table=_DELIVERIES)
def list_deliveries(
    endpoint: Annotated[str, typer.Option("--endpoint", help="The endpoint's UUID.")],
    status: Annotated[str | None, typer.Option("--status", help="queued, delivered or dead.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only facts of this kind.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Only those made since then, ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only those made before then, ISO 8601.")] = None,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print an endpoint's deliveries, newest first.

    \b
    Example:
      tally webhook delivery list --endpoint 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --status dead --format table
    """
    from tallystick.client import webhooks

    chosen: Any = status
    return webhooks.webhook_deliveries(
        endpoint, status=chosen, kind=kind, since=since, until=until, limit=limit, offset=offset
    )


@client_command(delivery_app, "get")
def get_delivery(uuid: Delivery) -> "Call[Any]":
    """Print one delivery with what is posted and every attempt at it.

    \b
    Example:
      tally webhook delivery get 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import webhooks

    return webhooks.webhook_delivery(uuid)


@client_command(delivery_app, "replay")
def replay_deliveries(
    uuid: Annotated[str | None, typer.Argument(help="One delivery's UUID; else --endpoint and --since.")] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="An endpoint's UUID: many at once.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="What was made since then, ISO 8601.")] = None,
    which: Annotated[str, typer.Option("--which", help="dead, or all that has ended.")] = "dead",
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Send deliveries again, with the same `webhook-id`s: one, or those of an endpoint since an instant.

    \b
    Examples:
      tally webhook delivery replay 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
      tally webhook delivery replay --endpoint 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --since 2026-03-14T09:00:00Z
    """
    from tallystick.client import webhooks

    if uuid is not None and endpoint is None and since is None:
        return webhooks.replay_webhook_delivery(uuid, idempotency_key=idempotency_key)
    if uuid is None and endpoint is not None and since is not None:
        chosen: Any = which
        return webhooks.replay_webhook(endpoint, since, which=chosen, idempotency_key=idempotency_key)
    raise typer.BadParameter("Name one delivery, or an endpoint and since when.")
