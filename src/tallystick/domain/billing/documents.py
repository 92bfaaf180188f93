"""What a document of an invoice holds: all that its PDF and its electronic form (EN 16931) are made of (rows D6, E13).

The same document makes the same bytes, wherever and whenever it is made.
"""

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from tallystick.domain.billing.accounts import BankAccount, mod_97
from tallystick.domain.billing.invoices import Invoice, Line
from tallystick.kernel.errors import TallystickError

NO_AGENT: Final = UUID(int=0)
"""What usage without an agent is kept under."""

_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")


@dataclass(frozen=True, slots=True)
class UsedBy:
    """Usage behind an invoice: of a period, category and agent (None where there was none), in nano-units."""

    period_start: dt.datetime
    category: str
    agent_id: UUID | None
    agent: str
    events: int
    quantity: Decimal
    credits: int
    tool_runs: int


@dataclass(frozen=True, slots=True)
class Corrected:
    """The invoice that a credit note corrects."""

    number: str
    issued_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Document:
    """An issued invoice or credit note with all that is shown of it.

    `zone` is the workspace's: its days are those of the document (rule M29). `locale` says in which language and form
    people read it, such as `de` or `pt_BR`; what programs read is the same in all. `is_collected`: there is a method on
    file that the money is taken from, so that nobody should be asked to transfer it.
    """

    invoice: Invoice
    lines: tuple[Line, ...]
    used: tuple[UsedBy, ...] = ()
    zone: str = "UTC"
    locale: str = "en"
    is_collected: bool = False
    corrected: Corrected | None = None

    @property
    def number(self) -> str:
        """The number, which every issued document has. Raises `invoiceNotIssued`."""
        if self.invoice.number is None:
            raise not_issued(self.invoice)
        return self.invoice.number

    @property
    def issued_at(self) -> dt.datetime:
        """When it was issued. Raises `invoiceNotIssued`."""
        if self.invoice.issued_at is None:
            raise not_issued(self.invoice)
        return self.invoice.issued_at

    @property
    def is_credit_note(self) -> bool:
        return self.invoice.kind == "credit_note"

    @property
    def sign(self) -> int:
        """−1 where the lines of a credit note say what is taken off as negative amounts: it shows them as positive."""
        turned = sum(line.amount_minor for line in self.lines) == -self.invoice.net_minor != 0
        return -1 if self.is_credit_note and turned else 1

    def day(self, instant: dt.datetime) -> dt.date:
        """The day of an instant, in the workspace's zone."""
        return instant.astimezone(ZoneInfo(self.zone)).date()

    def last_day(self, end: dt.datetime) -> dt.date:
        """The last day of a half-open period that ends at `end`."""
        return self.day(end - dt.timedelta(microseconds=1))


def iban_of(bank: BankAccount) -> str | None:
    """The IBAN of a bank account without spaces; None where the bank has another kind of number."""
    compact = "".join(bank.number.split()).upper()
    if not _IBAN.fullmatch(compact) or mod_97(compact[4:] + compact[:4]) != 1:
        return None
    return compact


def not_issued(invoice: Invoice) -> TallystickError:
    return TallystickError(
        "invoiceNotIssued", "The invoice is a draft: it has no document yet.", id=str(invoice.id), status=invoice.status
    )
