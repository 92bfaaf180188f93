"""`tally billing credits | top-up`, and for operators `tally revenue`: bought credits (row D4)."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.holds import BALANCES, show_credits
from tallystick.cli.operator import uuid
from tallystick.cli.output import Table, listed
from tallystick.cli.root import _Group, new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

revenue_app = new_app("For operators: what bought credits came to, month by month.")

_PURCHASES = listed("purchases", "createdAt", "status", "credits", "total", "currency", "invoiceNumber", "uuid")
_REVENUE = listed(
    "months",
    "month",
    "currency",
    "sold",
    "recognised",
    "breakage",
    "refunded",
    "chargedBack",
    "deferred",
    "tax",
)

Count = Annotated[str, typer.Option("--credits", help="Whole credits.")]
Limit = Annotated[int | None, typer.Option("--limit", help="Rows, at most 1,000; 100 by default.")]
Offset = Annotated[int | None, typer.Option("--offset", help="Rows to leave out at the beginning.")]
IdempotencyKey = Annotated[
    str | None, typer.Option("--idempotency-key", help="The same key and options again buy nothing more.")
]


def _one(answer: Any) -> list[list[object]]:
    shown = answer.get("purchase") or answer.get("preview") or answer.get("topup")
    rows = [[name, value] for name, value in shown.items() if value is not None and not isinstance(value, dict | list)]
    transfer = shown.get("transfer")
    return [*rows, *([f"transfer {name}", value] for name, value in (transfer or {}).items())]


_FIELDS = Table(("field", "value"), _one)


def add_commands(app: typer.Typer) -> None:
    """Add what belongs to `tally billing`."""
    bought = new_app("Print what the balances have; bought credits: buy, list, give back.", cls=_Balances)
    top_up = new_app("Automatic top-up: buy credits whenever the balance is low.")
    app.add_typer(bought, name="credits")
    app.add_typer(top_up, name="top-up")
    client_command(bought, "show", table=BALANCES)(show_credits)
    client_command(bought, "purchase", table=_FIELDS)(purchase)
    client_command(bought, "purchases", table=_PURCHASES)(list_purchases)
    client_command(bought, "checkout")(checkout)
    client_command(bought, "refund", table=_FIELDS, as_operator=True)(refund)
    client_command(top_up, "set")(set_top_up)
    client_command(top_up, "off")(switch_off)
    client_command(top_up, "show", table=_FIELDS)(show_top_up)


class _Balances(_Group):
    """A group that shows the balances when it is called without a verb."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with the verb that is meant where none is given."""
        is_bare = not args or (args[0].startswith("-") and args[0] not in ("-h", "--help"))
        return super().parse_args(ctx, ["show", *args] if is_bare else args)


def purchase(
    credits_: Count,
    preview: Annotated[bool, typer.Option("--preview", help="Only say what it costs, with tax.")] = False,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Buy credits with the payment method on file; they are there when the payment has succeeded.

    By bank transfer it prints the reference to write on it.

    \b
    Examples:
      tally billing credits purchase --credits 10000 --preview --format table
      tally billing credits purchase --credits 10000 --idempotency-key 2026-03
    """
    from tallystick.client import purchases

    if preview:
        return purchases.preview_credits(credits_)
    return purchases.buy_credits(credits_, idempotency_key=idempotency_key)


def list_purchases(
    status: Annotated[
        str | None, typer.Option("--status", help="pending, paid, failed, refunded or charged_back.")
    ] = None,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print what was bought, the newest first, failed attempts with the reason.

    \b
    Example:
      tally billing credits purchases --format table
    """
    from tallystick.client import purchases

    return purchases.purchases(status=status, limit=limit, offset=offset)


def checkout() -> "Call[Any]":
    """Print the address of a page on which credits are bought; it is good for some minutes.

    \b
    Example:
      tally billing credits checkout
    """
    from tallystick.client import purchases

    return purchases.create_credits_checkout_session()


def refund(
    purchase_uuid: Annotated[str, typer.Argument(help="From `tally billing credits purchases`.")],
    workspace_uuid: Annotated[str, typer.Option("--workspace-uuid", help="Workspace that bought them.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")],
    credits_: Annotated[str | None, typer.Option("--credits", help="So many; else all that is unused.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Give back credits that were not used, as an operator: a credit note is issued, and the money goes back.

    \b
    Example:
      tally billing credits refund 019b… --workspace-uuid 019a… --credits 500 --reason "asked for by the owner"
    """
    from tallystick.client import purchases

    return purchases.refund_purchase(
        uuid(purchase_uuid, "PURCHASE_UUID"),
        uuid(workspace_uuid, "--workspace-uuid"),
        reason=reason,
        credits_=credits_,
        idempotency_key=idempotency_key,
    )


def set_top_up(
    credits_: Count,
    threshold: Annotated[str, typer.Option("--threshold", help="Credits: below this balance it buys.")],
    daily_cap: Annotated[
        str | None, typer.Option("--daily-cap", help="Credits a UTC day, at most; else the operator's.")
    ] = None,
) -> "Call[Any]":
    """Buy credits by itself whenever the balance is below a threshold; at once where it is already.

    \b
    Example:
      tally billing top-up set --credits 5000 --threshold 500 --daily-cap 20000
    """
    from tallystick.client import purchases

    return purchases.set_topup(credits_, threshold, daily_cap=daily_cap)


def switch_off() -> "Call[Any]":
    """Buy nothing by itself any more; what is on its way arrives.

    \b
    Example:
      tally billing top-up off
    """
    from tallystick.client import purchases

    return purchases.switch_topup_off()


def show_top_up() -> "Call[Any]":
    """Print how automatic top-up stands, what it bought today, and why it stopped where it did.

    \b
    Example:
      tally billing top-up show --format table
    """
    from tallystick.client import purchases

    return purchases.topup()


@revenue_app.callback()
def _revenue() -> None:
    """For operators: what bought credits came to, month by month."""
    # A group of one command would otherwise be that command.


@client_command(revenue_app, "report", table=_REVENUE, as_operator=True)
def report(
    from_: Annotated[
        str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="A day of the first UTC month.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="A day of the last UTC month.")] = None,
) -> "Call[Any]":
    """Print what was sold, earned by use, expired, refunded and is still deferred, by UTC month and currency.

    Money is in minor units (cents), net of tax. Without a range: this month and the eleven before.

    \b
    Example:
      tally revenue report --from 2026-01-01 --to 2026-03-31 --format table
    """
    from tallystick.client import purchases

    return purchases.revenue(from_, to)
