"""`tally billing` about payment, and `tally payment`: what operators do about transfers, statements and refunds."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.output import Table, listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

payment_app = new_app("For operators: transfers that came, bank statements, refunds.")

_METHOD = Table(
    ("brand", "last4", "expires"),
    lambda answer: (
        [[card["brand"], card["last4"], f"{card['expMonth']}/{card['expYear']}"]]
        if (card := answer.get("creditCard"))
        else []
    ),
)
_PAYMENTS = listed("payments", "createdAt", "invoiceNumber", "status", "amount", "currency", "refundedAmount", "uuid")
_TRANSACTIONS = listed("transactions", "date", "amount", "currency", "reference", "counterparty", "note", "id")

Limit = Annotated[int | None, typer.Option("--limit", help="Rows, at most 1,000; 100 by default.")]
Offset = Annotated[int | None, typer.Option("--offset", help="Rows to leave out at the beginning.")]
IdempotencyKey = Annotated[
    str | None, typer.Option("--idempotency-key", help="The same key and options again give the same answer.")
]
AmountMinor = Annotated[int | None, typer.Option("--amount", help="In minor units (cents); else all there is.")]


def add_commands(billing_app: typer.Typer, subscription_app: typer.Typer) -> None:
    """Add what belongs to `tally billing`."""
    payments_app = new_app("What was paid, and what failed.")
    account_app = new_app("Who pays: what invoices say of the buyer.")
    billing_app.add_typer(payments_app, name="payments")
    billing_app.add_typer(account_app, name="account")
    payments_app.callback()(_alone)
    client_command(subscription_app, "get-credit-card", table=_METHOD)(get_credit_card)
    client_command(subscription_app, "create-portal-session")(create_portal_session)
    client_command(subscription_app, "create-setup-intent")(create_setup_intent)
    client_command(subscription_app, "set-payment-method")(set_payment_method)
    client_command(payments_app, "list", table=_PAYMENTS)(list_payments)
    client_command(account_app, "get")(get_account)
    client_command(account_app, "set")(set_account)


def _alone() -> None:
    """Keeps the verb of a noun that has one."""


def get_credit_card() -> "Call[Any]":
    """Print the card on file; without one the answer is empty.

    \b
    Example:
      tally billing subscription get-credit-card
    """
    from tallystick.client import payments

    return payments.credit_card()


def create_portal_session() -> "Call[Any]":
    """Print the address of a page where payment is seen and changed; it is good for some minutes.

    \b
    Example:
      tally billing subscription create-portal-session
    """
    from tallystick.client import payments

    return payments.create_portal_session()


def create_setup_intent() -> "Call[Any]":
    """Print a client secret with which a browser puts a card or bank account on file.

    \b
    Example:
      tally billing subscription create-setup-intent
    """
    from tallystick.client import payments

    return payments.create_setup_intent()


def set_payment_method(
    payment_method_id: Annotated[str, typer.Option("--payment-method-id", help="As the payment provider calls it.")],
) -> "Call[Any]":
    """Make a payment method the one on file. What is past due is tried with it at once.

    \b
    Example:
      tally billing subscription set-payment-method --payment-method-id pm_1PqZ2x
    """
    from tallystick.client import payments

    return payments.put_payment_method(payment_method_id)


def list_payments(
    invoice_uuid: Annotated[str | None, typer.Option("--invoice-uuid", help="Only those of this invoice.")] = None,
    limit: Limit = None,
    offset: Offset = None,
) -> "Call[Any]":
    """Print payments, the newest first; amounts in minor units (cents).

    \b
    Example:
      tally billing payments list --format table
    """
    from tallystick.cli.operator import uuid
    from tallystick.client import payments

    invoice = None if invoice_uuid is None else uuid(invoice_uuid, "--invoice-uuid")
    return payments.payments(invoice_uuid=invoice, limit=limit, offset=offset)


def get_account() -> "Call[Any]":
    """Print who pays: name, address, country, tax id, and what is on file.

    \b
    Example:
      tally billing account get
    """
    from tallystick.client import payments

    return payments.billing_account()


def set_account(
    legal_name: Annotated[str | None, typer.Option("--legal-name", help="As registered.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Where invoices go.")] = None,
    line1: Annotated[str | None, typer.Option("--line1", help="Street and number.")] = None,
    line2: Annotated[str | None, typer.Option("--line2", help="More of the address.")] = None,
    postal_code: Annotated[str | None, typer.Option("--postal-code", help="Postal code.")] = None,
    city: Annotated[str | None, typer.Option("--city", help="City.")] = None,
    region: Annotated[str | None, typer.Option("--region", help="State or region.")] = None,
    country: Annotated[str | None, typer.Option("--country", help="Two letters by ISO 3166-1, such as DE.")] = None,
    tax_id: Annotated[str | None, typer.Option("--tax-id", help="With its prefix, such as DE136695976.")] = None,
    purchase_order: Annotated[str | None, typer.Option("--purchase-order", help="Your reference.")] = None,
    locale: Annotated[str | None, typer.Option("--locale", help="Language of invoices, such as en or pt-BR.")] = None,
) -> "Call[Any]":
    """Change what invoices from now on say of the buyer. What is not named stays; the parts of an address go together.

    \b
    Example:
      tally billing account set --legal-name "Acme GmbH" --line1 "Ring 1" --postal-code 10115 --city Berlin --country DE
    """
    from msgspec import UNSET

    from tallystick.client import payments
    from tallystick.wire.payments import BillingAddress

    parts = {"line1": line1, "line2": line2, "postal_code": postal_code, "city": city, "region": region}
    named = {name: value for name, value in parts.items() if value is not None}
    given: dict[str, Any] = {
        "legal_name": legal_name,
        "email": email,
        "country": country,
        "tax_id": tax_id,
        "purchase_order": purchase_order,
        "locale": locale,
    }
    changed = {name: UNSET if value is None else value for name, value in given.items()}
    return payments.put_billing_account(address=BillingAddress(**named) if named else UNSET, **changed)


@client_command(payment_app, "mark-paid", as_operator=True)
def mark_paid(
    invoice: Annotated[str, typer.Argument(help="The invoice's UUID.")],
    amount: AmountMinor = None,
    date: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="The bank's day; else today.")
    ] = None,
    reference: Annotated[str, typer.Option("--reference", help="What the sender wrote.")] = "",
    currency: Annotated[str | None, typer.Option("--currency", help="Refused unless it is the invoice's.")] = None,
    allow_overpayment: Annotated[
        bool, typer.Option("--allow-overpayment", help="More came than is open; it can be refunded.")
    ] = False,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Write down a bank transfer for an invoice of --workspace-uuid: all that is open, or --amount of it.

    \b
    Example:
      tally payment mark-paid 019d3b1e-… --workspace-uuid 0191e0c2-… --date 2026-03-14 --reference "RF45 INV0 0004 2"
    """
    from tallystick.cli.operator import uuid
    from tallystick.client import payments

    return payments.mark_paid(
        uuid(invoice, "INVOICE"),
        amount=amount,
        currency=currency,
        date=_day(date),
        reference=reference,
        allow_overpayment=allow_overpayment,
        idempotency_key=idempotency_key,
    )


@client_command(payment_app, "import-statement", table=_TRANSACTIONS, as_operator=True)
def import_statement(
    file: Annotated[Path, typer.Argument(help="CAMT.053 (XML), or CSV with a row of headings.", dir_okay=False)],
    date: Annotated[str, typer.Option("--date", help="CSV: heading of the day's column.")] = "date",
    amount: Annotated[str, typer.Option("--amount", help="CSV: heading of the amount's column.")] = "amount",
    reference: Annotated[
        str, typer.Option("--reference", help="CSV: heading of the column of what senders write.")
    ] = "reference",
    currency: Annotated[
        str, typer.Option("--currency", help="CSV: heading of the currency's column, or three letters for all.")
    ] = "currency",
    counterparty: Annotated[str | None, typer.Option("--counterparty", help="CSV: heading: who sent it.")] = None,
    bank_ref: Annotated[str | None, typer.Option("--bank-ref", help="CSV: heading: the bank's own id.")] = None,
    date_format: Annotated[
        str | None, typer.Option("--date-format", help="CSV: such as %d.%m.%Y; else ISO 8601.")
    ] = None,
    decimal: Annotated[str, typer.Option("--decimal", help="CSV: the mark before decimals, . or ,")] = ".",
    delimiter: Annotated[str | None, typer.Option("--delimiter", help="CSV: one character; else found out.")] = None,
) -> "Call[Any]":
    """Import a bank statement: lines that name an invoice pay it, the others wait for `tally payment match`.

    Importing it again changes nothing.

    \b
    Examples:
      tally payment import-statement march.xml --format table
      tally payment import-statement march.csv --date Buchungstag --amount Betrag --reference Verwendungszweck \\
        --currency EUR --date-format %d.%m.%Y --decimal ,
    """
    from tallystick.client import payments
    from tallystick.kernel.errors import TallystickError
    from tallystick.wire.payments import StatementOptions

    try:
        content = file.read_bytes()
    except OSError as error:
        raise TallystickError("fileError", f"{file} can't be read: {error.strerror}.", path=str(file)) from error
    is_xml = content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    options = StatementOptions(
        date=date,
        amount=amount,
        reference=reference,
        currency=currency,
        counterparty=counterparty,
        bank_ref=bank_ref,
        date_format=date_format,
        decimal=decimal,
        delimiter=delimiter,
    )
    return payments.import_statement(content, "application/xml" if is_xml else "text/csv", None if is_xml else options)


@client_command(payment_app, "unmatched", table=_TRANSACTIONS, as_operator=True)
def unmatched(limit: Limit = None, offset: Offset = None) -> "Call[Any]":
    """Print the lines of statements that pay no invoice yet, and why.

    \b
    Example:
      tally payment unmatched --format table
    """
    from tallystick.client import payments

    return payments.bank_transactions(limit=limit, offset=offset)


@client_command(payment_app, "match", as_operator=True)
def match(
    transaction: Annotated[str, typer.Argument(help="The line's id, from `tally payment unmatched`.")],
    workspace_uuid: Annotated[str, typer.Option("--workspace-uuid", help="Workspace whose invoice it is.")],
    invoice_uuid: Annotated[str, typer.Option("--invoice-uuid", help="The invoice that it pays.")],
) -> "Call[Any]":
    """Say which invoice a line of a statement pays, whatever it names.

    \b
    Example:
      tally payment match 5f0c… --workspace-uuid 0191e0c2-… --invoice-uuid 019d3b1e-…
    """
    from tallystick.cli.operator import uuid
    from tallystick.client import payments

    return payments.match_bank_transaction(
        transaction,
        workspace_uuid=uuid(workspace_uuid, "--workspace-uuid"),
        invoice_uuid=uuid(invoice_uuid, "--invoice-uuid"),
    )


@client_command(payment_app, "refund", as_operator=True)
def refund(
    payment: Annotated[str, typer.Argument(help="The payment's UUID, from `tally billing payments list`.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on the record.")],
    amount: AmountMinor = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Give a payment of --workspace-uuid back, all of it or --amount; what was owed is taken off by a credit note.

    \b
    Example:
      tally payment refund 019d3b1e-… --workspace-uuid 0191e0c2-… --amount 2500 --reason "charged twice"
    """
    from tallystick.cli.operator import uuid
    from tallystick.client import payments

    return payments.refund_payment(
        uuid(payment, "PAYMENT"), reason=reason, amount=amount, idempotency_key=idempotency_key
    )


def _day(text: str | None) -> dt.date | None:
    if text is None:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day.", param_hint="--date") from None
