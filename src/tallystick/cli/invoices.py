"""`tally billing invoices` and `tally billing subscription get-invoices`: what is owed, and what is done about it."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.access import instant
from tallystick.cli.commands import client_command
from tallystick.cli.operator import choice, uuid
from tallystick.cli.output import Table, listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

invoices_app = new_app("Invoices and credit notes of a workspace.")

_KINDS: Final = ("invoice", "credit_note")
_STATUSES: Final = ("draft", "issued", "paid", "past_due", "void", "uncollectible")
_COLUMNS: Final = ("number", "kind", "status", "currency", "amount", "openAmount", "issuedAt", "dueDate", "id")
_LIST: Final = listed("invoices", *_COLUMNS)
_SHORT: Final = listed("invoices", "number", "isPaid", "status", "currency", "amount", "dueDate", "id")
_LINES: Final = ("position", "description", "quantity", "unit", "unitPrice", "amount", "credits")


def _rows(answer: Any) -> list[list[object]]:
    invoice = answer["invoice"]
    rows: list[list[object]] = [[line[name] for name in _LINES] for line in invoice["lines"]]
    for tax in invoice["taxes"]:
        rows.append(["", f"{tax['name'] or 'Tax'} {tax['rate']} % of {tax['base']}", "", "", "", tax["amount"], ""])
    return [*rows, ["", f"Total {invoice['currency'].upper()}", "", "", "", invoice["amount"], ""]]


_ONE: Final = Table(_LINES, _rows)

Id = Annotated[str, typer.Argument(help="The invoice's id, from `tally billing invoices list`.")]
Owner = Annotated[str, typer.Option("--workspace-uuid", help="Workspace that it was issued to.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")]
Limit = Annotated[int | None, typer.Option("--limit", help="At most so many, 1 to 1,000; else all.")]
Offset = Annotated[int | None, typer.Option("--offset", help="Leave out so many first.")]
IdempotencyKey = Annotated[
    str | None, typer.Option("--idempotency-key", help="Repeating a command with the same key changes nothing more.")
]


def add_commands(billing: typer.Typer, subscription: typer.Typer) -> None:
    """Make them commands of `tally billing` and `tally billing subscription`."""
    billing.add_typer(invoices_app, name="invoices")
    client_command(subscription, "get-invoices", table=_SHORT)(get_invoices)


def get_invoices(limit: Limit = None, offset: Offset = None) -> "Call[Any]":
    """Print every issued invoice, the newest first; amounts are in cents.

    \b
    Example:
      tally billing subscription get-invoices
    """
    from tallystick.client import invoices

    return invoices.subscription_invoices(limit=limit, offset=offset)


@client_command(invoices_app, "list", table=_LIST)
def list_invoices(
    kind: Annotated[str | None, typer.Option("--kind", help="Only invoice, or only credit_note.")] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="Only draft, issued, paid, past_due, void or uncollectible.")
    ] = None,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print invoices, drafts and credit notes, the newest first; amounts are in cents.

    \b
    Example:
      tally billing invoices list --status past_due --format table
    """
    from tallystick.client import invoices

    return invoices.invoices(
        kind=None if kind is None else choice(kind, _KINDS, "--kind"),
        status=None if status is None else choice(status, _STATUSES, "--status"),
        limit=limit,
        offset=offset,
    )


@client_command(invoices_app, "get", table=_ONE)
def get_invoice(
    invoice: Annotated[str, typer.Argument(help="The invoice's id, or `upcoming` for what the next one would be.")],
) -> "Call[Any]":
    """Print one invoice or credit note: lines, the usage behind them, taxes, payments, what corrects it.

    \b
    Examples:
      tally billing invoices get 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --format table
      tally billing invoices get upcoming
    """
    from tallystick.client import invoices

    return invoices.upcoming_invoice() if invoice == "upcoming" else invoices.invoice(uuid(invoice, "INVOICE"))


@client_command(invoices_app, "void", table=_ONE, as_operator=True)
def void_invoice(invoice: Id, workspace_uuid: Owner, reason: Reason) -> "Call[Any]":
    """For operators: void an invoice on which nothing was paid; its number stays.

    \b
    Example:
      tally billing invoices void 019d3b1e-… --workspace-uuid 0191e0c2-… --reason "issued by mistake"
    """
    from tallystick.client import invoices

    return invoices.void_invoice(uuid(invoice, "INVOICE"), uuid(workspace_uuid, "--workspace-uuid"), reason=reason)


@client_command(invoices_app, "uncollectible", table=_ONE, as_operator=True)
def write_off_invoice(invoice: Id, workspace_uuid: Owner, reason: Reason) -> "Call[Any]":
    """For operators: write an invoice off; nobody asks for it any more, though it may still be paid.

    \b
    Example:
      tally billing invoices uncollectible 019d3b1e-… --workspace-uuid 0191e0c2-… --reason "insolvent"
    """
    from tallystick.client import invoices

    return invoices.write_off_invoice(uuid(invoice, "INVOICE"), uuid(workspace_uuid, "--workspace-uuid"), reason=reason)


@client_command(invoices_app, "credit", table=_ONE, as_operator=True)
def credit_invoice(
    invoice: Id,
    workspace_uuid: Owner,
    reason: Reason,
    amount: Annotated[
        int | None, typer.Option("--amount", help="So many cents, taxes included; else the rest.")
    ] = None,
    line: Annotated[
        list[str] | None,
        typer.Option("--line", metavar="POSITION=CENTS", help="So many cents, net, of one line; once for each."),
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """For operators: issue a credit note for an invoice, over an amount, over lines, or over all that is left.

    \b
    Examples:
      tally billing invoices credit 019d3b1e-… --workspace-uuid 0191e0c2-… --amount 2500 --reason "outage"
      tally billing invoices credit 019d3b1e-… --workspace-uuid 0191e0c2-… --line 1=1000 --reason "outage"
    """
    from tallystick.client import invoices

    return invoices.credit_invoice(
        uuid(invoice, "INVOICE"),
        uuid(workspace_uuid, "--workspace-uuid"),
        reason=reason,
        amount=amount,
        lines=dict(map(_credit_line, line)) if line else None,
        idempotency_key=idempotency_key,
    )


@client_command(invoices_app, "custom", table=_ONE, as_operator=True)
def create_invoice(
    workspace_uuid: Annotated[str, typer.Option("--workspace-uuid", help="Workspace that it goes to.")],
    line: Annotated[
        list[str],
        typer.Option("--line", metavar="TEXT=CENTS", help="What for, and how many cents, net; once for each line."),
    ],
    currency: Annotated[str | None, typer.Option("--currency", help="ISO 4217; else the contract's.")] = None,
    due_at: Annotated[
        str | None, typer.Option("--due-at", help="Instant with a zone by which it is to be paid.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")] = "",
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """For operators: issue an invoice over custom amounts to a workspace with a contract (Enterprise).

    \b
    Example:
      tally billing invoices custom --workspace-uuid 0191e0c2-… --line "Onboarding workshop=250000"
    """
    from tallystick.client import invoices

    return invoices.create_invoice(
        uuid(workspace_uuid, "--workspace-uuid"),
        [_custom_line(one) for one in line],
        currency=currency,
        due_at=instant(due_at, "--due-at"),
        reason=reason,
        idempotency_key=idempotency_key,
    )


def _credit_line(text: str) -> tuple[int, int]:
    position, _, cents = text.partition("=")
    if not (position.isascii() and position.isdigit() and cents.isascii() and cents.isdigit()):
        raise typer.BadParameter(f"{text!r} is not POSITION=CENTS.", param_hint="--line")
    return int(position), int(cents)


def _custom_line(text: str) -> Any:
    from tallystick.kernel.credits import parse_credits
    from tallystick.kernel.errors import TallystickError
    from tallystick.wire.amounts import Credits
    from tallystick.wire.invoices import CustomLine

    description, _, cents = text.rpartition("=")
    try:
        price = Credits(parse_credits(cents, field="--line", signed=True))
    except TallystickError:
        raise typer.BadParameter(f"{text!r} is not TEXT=CENTS.", param_hint="--line") from None
    return CustomLine(description=description, unit_price=price)
