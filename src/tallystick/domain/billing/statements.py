"""Bank statements: money that came, which invoice it is for, and what of it has to be looked at by a person (row D11).

A line is known by its content, so that a statement that is imported twice, or overlaps another, changes nothing.
"""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal
from uuid import UUID

from tallystick.domain.billing.invoices import OPEN, PAID, UNCOLLECTIBLE
from tallystick.domain.billing.references import named_in

LINES_MOST: Final = 20_000
"""Lines of one statement."""

Ignored = Literal["outgoing", "pending", "reversal"]


@dataclass(frozen=True, slots=True)
class StatementLine:
    """Money that came: `amount_minor` > 0 in minor units of `currency` (ISO 4217, lower case), on the bank's day.

    `reference` is what the sender wrote, `bank_ref` the bank's own id of it, empty where it gives none.
    """

    booked_on: dt.date
    amount_minor: int
    currency: str
    reference: str
    counterparty: str = ""
    bank_ref: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a file holds: money that came, and how many lines are none of ours to look at, by why."""

    lines: Sequence[StatementLine]
    ignored: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what, by its heading. `currency` is a column, or three letters that count for all lines.

    `date_format` is a pattern as `%d.%m.%Y`, without it days are ISO 8601; `decimal` is the mark before the decimals:
    the other one of `,` and `.` groups thousands. `delimiter` None: found out from the headings. Amounts below zero
    went out.
    """

    date: str = "date"
    amount: str = "amount"
    reference: str = "reference"
    currency: str = "currency"
    counterparty: str | None = None
    bank_ref: str | None = None
    date_format: str | None = None
    decimal: str = "."
    delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class BankTransaction:
    """A line that was imported. `invoice_id` None: nobody knows yet what it is for; `note` says why."""

    id: str
    line: StatementLine
    workspace_id: UUID | None = None
    invoice_id: UUID | None = None
    payment_id: UUID | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An invoice that a line may be for; `body` is what of its number stands in its reference."""

    workspace_id: UUID
    invoice_id: UUID
    number: str
    body: str
    status: str
    currency: str
    open_minor: int


def transactions(lines: Iterable[StatementLine]) -> list[BankTransaction]:
    """The lines with their ids. Equal ones are told apart by how many came before them in the same file."""
    seen: Counter[StatementLine] = Counter()
    found = []
    for line in lines:
        seen[line] += 1
        found.append(BankTransaction(_id_of(line, seen[line]), line))
    return found


def _id_of(line: StatementLine, number: int) -> str:
    parts = (
        line.booked_on.isoformat(),
        str(line.amount_minor),
        line.currency,
        line.reference,
        line.counterparty,
        line.bank_ref,
        str(number),
    )
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def bodies_named(lines: Iterable[StatementLine]) -> frozenset[str]:
    """Every body of an invoice's number that these lines may name."""
    found: set[str] = set()
    for line in lines:
        sure, perhaps = named_in(line.reference)
        found |= sure | perhaps
    return frozenset(found)


def match(transaction: BankTransaction, candidates: Mapping[str, Candidate]) -> tuple[Candidate | None, str]:
    """The invoice that a line pays, among those by `body`; or None, and why a person has to look at it.

    A reference with right check digits is believed whatever the amount: a part stays open, too much can be given back.
    A plain number is believed only when the amount is what is open.
    """
    line = transaction.line
    sure, perhaps = named_in(line.reference)
    certain = [candidates[body] for body in sorted(sure) if body in candidates]
    guessed = [candidates[body] for body in sorted(perhaps - sure) if body in candidates]
    if len(certain) > 1:
        return None, "names several invoices"
    found = certain[0] if certain else None
    if found is None:
        fitting = [one for one in guessed if one.open_minor == line.amount_minor]
        if len(fitting) != 1:
            return None, _why_not(guessed)
        found = fitting[0]
    if found.currency != line.currency:
        return None, f"{found.number} is in {found.currency.upper()}"
    if found.status not in (*OPEN, UNCOLLECTIBLE):
        return None, f"{found.number} is {found.status.replace('_', ' ')} already"
    return found, ""


def is_recorded_by_hand(candidate: Candidate, line: StatementLine, by_hand: Sequence[int]) -> bool:
    """Whether a line is a transfer that the operator wrote down before its statement came."""
    return candidate.status == PAID and candidate.currency == line.currency and line.amount_minor in by_hand


def _why_not(guessed: Sequence[Candidate]) -> str:
    if not guessed:
        return "names no invoice"
    if len(guessed) == 1:
        return f"names {guessed[0].number}, but the amount is another"
    return "may be for several invoices"


def matched(
    transaction: BankTransaction, candidate: Candidate, payment_id: UUID | None, note: str = ""
) -> BankTransaction:
    """The line, with what it paid."""
    return replace(
        transaction,
        workspace_id=candidate.workspace_id,
        invoice_id=candidate.invoice_id,
        payment_id=payment_id,
        note=note,
    )
