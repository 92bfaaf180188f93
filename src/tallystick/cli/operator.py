"""`tally workspace | credits | price`: what an operator does."""

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from tallystick.cli.access import instant
from tallystick.cli.commands import client_command
from tallystick.cli.output import listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

workspace_app = new_app("For operators: create and list workspaces.")
credits_app = new_app("For operators: grant, correct and end credits and tool runs.")
price_app = new_app("Prices: list versions, and add one as an operator.")

_PRICES: Final = listed("prices", "target", "validFrom", "model", "rates", "origin")
_GRANTS: Final = listed("grants", "uuid", "unit", "source", "amount", "remaining", "priority", "expiresAt", "reason")
_WORKSPACES: Final = listed("workspaces", "name", "uuid", "key", "email", "createdAt")

Limit = Annotated[int | None, typer.Option("--limit", help="At most so many, 1 to 1,000.")]
Offset = Annotated[int | None, typer.Option("--offset", help="Leave out so many first.")]
IdempotencyKey = Annotated[
    str | None, typer.Option("--idempotency-key", help="Repeating a command with the same key changes nothing more.")
]
GrantWorkspace = Annotated[str, typer.Option("--workspace-uuid", help="Workspace that receives it.")]
Amount = Annotated[str, typer.Option("--amount", help="A decimal with at most nine places.")]
Unit = Annotated[str, typer.Option("--unit", help="credits or toolRuns.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")]
Priority = Annotated[int | None, typer.Option("--priority", help="Lower is used first; default: as its source has.")]
ExpiresAt = Annotated[str | None, typer.Option("--expires-at", help="Instant with a zone, or never.")]


@client_command(workspace_app, "create", as_operator=True)
def create_workspace(
    name: Annotated[str, typer.Option("--name", help="What it is called.")],
    key: Annotated[str | None, typer.Option("--key", help="Your own name for it, which events may use.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Its owner's address.")] = None,
    zone: Annotated[str, typer.Option("--zone", help="IANA time zone of its billing periods.")] = "UTC",
    no_grants: Annotated[bool, typer.Option("--no-grants", help="Leave out the free grants.")] = False,
    clock: Annotated[
        str | None, typer.Option("--clock", help="Instant with a zone: give it a test clock that stands there.")
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Create a workspace; prints it with its first token, which is shown this once.

    \b
    Example:
      tally workspace create --name "Acme" --key acme --email owner@acme.example
    """
    from tallystick.client import calls

    grants: list[Any] | None = [] if no_grants else None
    at = instant(clock, "--clock")
    return calls.create_workspace(
        name, key=key, email=email, zone=zone, grants=grants, clock=at, idempotency_key=idempotency_key
    )


@client_command(workspace_app, "list", table=_WORKSPACES, as_operator=True)
def list_workspaces(
    key: Annotated[str | None, typer.Option("--key", help="Only the one with this key.")] = None,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print a page of all workspaces, oldest first.

    \b
    Example:
      tally workspace list --limit 20 --format table
    """
    from tallystick.client import calls

    return calls.workspaces(key=key, limit=limit, offset=offset)


@client_command(workspace_app, "close", as_operator=True)
def close_workspace(
    workspace: Annotated[str, typer.Argument(help="The workspace's UUID.")],
    bought_credits: Annotated[
        str, typer.Option("--bought-credits", help="refund or forfeit: what becomes of the rest that was paid for.")
    ],
    reason: Reason,
) -> "Call[Any]":
    """Close a workspace for good: holds are voided, deployments stop, the last invoice is made.

    Its ledger and invoices are kept; personal data is blanked after TALLY_CLOSED_DATA_DAYS.

    \b
    Example:
      tally workspace close 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --bought-credits refund --reason "asked by the owner"
    """
    from tallystick.client import plans

    return plans.close_workspace(
        uuid(workspace, "WORKSPACE"),
        bought_credits=choice(bought_credits, ("refund", "forfeit"), "--bought-credits"),
        reason=reason,
    )


@client_command(credits_app, "grant", as_operator=True)
def grant_credits(
    workspace_uuid: GrantWorkspace,
    amount: Amount,
    reason: Reason,
    unit: Unit = "credits",
    source: Annotated[str, typer.Option("--source", help="promotion, free, purchase or adjustment.")] = "promotion",
    priority: Priority = None,
    expires_at: ExpiresAt = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Give credits or tool runs to a workspace.

    \b
    Example:
      tally credits grant --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --amount 500 --reason "launch offer"
    """
    return _grant(workspace_uuid, amount, reason, unit, source, priority, expires_at, idempotency_key)


@client_command(credits_app, "adjust", as_operator=True)
def adjust_credits(
    workspace_uuid: Annotated[str, typer.Option("--workspace-uuid", help="Workspace whose balance it is.")],
    amount: Annotated[str, typer.Option("--amount", help="Above zero gives, below zero takes back.")],
    reason: Reason,
    unit: Unit = "credits",
    priority: Priority = None,
    expires_at: ExpiresAt = None,
    allow_negative: Annotated[
        bool, typer.Option("--allow-negative", help="Take back more than is available; the rest is owed.")
    ] = False,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Correct a balance either way. What is given is a grant of the source adjustment, which never ends unless told.

    \b
    Examples:
      tally credits adjust --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --amount 12.5 --reason "failed runs"
      tally credits adjust --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --amount -5 --reason "granted twice"
    """
    from tallystick.client import operations

    never = expires_at is None or expires_at.lower() == "never"
    return operations.adjust_credits(
        uuid(workspace_uuid, "--workspace-uuid"),
        amount,
        reason=reason,
        unit=choice(unit, ("credits", "toolRuns"), "--unit"),
        priority=priority,
        expires_at=None if never else instant(expires_at, "--expires-at"),
        allow_negative=allow_negative,
        idempotency_key=idempotency_key,
    )


@client_command(credits_app, "list", table=_GRANTS, as_operator=True)
def list_grants(
    include_ended: Annotated[bool, typer.Option("--include-ended", help="Those that have ended, too.")] = False,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print the grants of a workspace, the newest first, with what is left of each.

    \b
    Example:
      tally credits list --workspace-uuid 0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e --format table
    """
    from tallystick.client import operations

    return operations.grants(include_ended=include_ended, limit=limit, offset=offset)


@client_command(credits_app, "expire", as_operator=True)
def expire_grant(
    grant: Annotated[str, typer.Argument(help="The grant's UUID, from `tally credits list`.")],
    workspace_uuid: Annotated[str, typer.Option("--workspace-uuid", help="Workspace that has it.")],
    reason: Reason,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """End a grant now; what open holds rely on of it stays for their settles alone.

    \b
    Example:
      tally credits expire 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --workspace-uuid 0191e0c2-… --reason "by mistake"
    """
    from tallystick.client import operations

    return operations.expire_grant(
        uuid(grant, "GRANT"),
        uuid(workspace_uuid, "--workspace-uuid"),
        reason=reason,
        idempotency_key=idempotency_key,
    )


def _grant(
    workspace_uuid: str,
    amount: str,
    reason: str,
    unit: str,
    source: str,
    priority: int | None,
    expires_at: str | None,
    idempotency_key: str | None,
) -> "Call[Any]":
    from msgspec import UNSET

    from tallystick.client import calls

    never = expires_at is not None and expires_at.lower() == "never"
    until = None if never else UNSET if expires_at is None else instant(expires_at, "--expires-at")
    return calls.create_grant(
        uuid(workspace_uuid, "--workspace-uuid"),
        amount,
        reason=reason,
        unit=choice(unit, ("credits", "toolRuns"), "--unit"),
        source=choice(source, ("promotion", "free", "purchase", "adjustment"), "--source"),
        priority=priority,
        expires_at=until,
        idempotency_key=idempotency_key,
    )


@client_command(price_app, "list", table=_PRICES, as_operator=True)
def list_prices(
    target: Annotated[str | None, typer.Option("--target", help="Only targets that begin so, as llm.tokens/.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Only versions in force at this instant.")] = None,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print price versions by target.

    \b
    Example:
      tally price list --target llm.tokens/openai/ --format table
    """
    from tallystick.client import calls

    return calls.price_versions(target=target, at=instant(at, "--at"), limit=limit, offset=offset)


@client_command(price_app, "add", as_operator=True)
def add_price(
    target: Annotated[str, typer.Option("--target", help="What it prices, such as tool.call/integration:hubspot.")],
    model: Annotated[
        str, typer.Option("--model", help="fixed, unit, package, graduated, volume, percentage or tokens.")
    ],
    rates: Annotated[str, typer.Option("--rates", help="JSON object, as the model wants it.")],
    valid_from: Annotated[
        str | None, typer.Option("--valid-from", help="Instant with a zone; default: from the beginning.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")] = "",
) -> "Call[Any]":
    """Append a price version. Versions are never edited: a change is a version with a later --valid-from.

    \b
    Example:
      tally price add --target tool.call/integration:hubspot --model unit --rates '{"amount": "0.5"}'
    """
    import msgspec

    from tallystick.client import calls

    try:
        parsed = msgspec.json.decode(rates, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"not a JSON object: {error}.", param_hint="--rates") from None
    return calls.add_price(target, model, parsed, valid_from=instant(valid_from, "--valid-from"), reason=reason)


def uuid(text: str, option: str) -> UUID:
    """An option's UUID; wrong usage otherwise."""
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a UUID.", param_hint=option) from None


def choice(text: str, choices: tuple[str, ...], option: str) -> Any:
    """An option's word; wrong usage unless it is one of `choices`."""
    if text not in choices:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(choices)}.", param_hint=option)
    return text
