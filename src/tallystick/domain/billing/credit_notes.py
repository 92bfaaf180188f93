"""Credit notes: what they take off an invoice, and the tax that goes with it (rule M28).

An issued invoice is never edited. A note takes back all that is left of it, a gross amount, or net amounts of single
lines; the tax goes back at the rates at which it was charged, and what the last note takes is exactly what is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from tallystick.domain.billing.invoices import Invoice, Line, Tax, numbered
from tallystick.domain.billing.money import PPM, round_half_up, split
from tallystick.kernel.errors import TallystickError

Rated = tuple[str, int]
"""A category and rate of the tax breakdown."""

CREDITED: Final = frozenset({"issued", "past_due", "paid", "uncollectible"})
"""States of an invoice that a credit note can correct."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A credit note that was issued for the same invoice, with its lines."""

    note: Invoice
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Credited:
    """What a note says: its lines and taxes, in minor units above zero."""

    lines: tuple[Line, ...]
    taxes: tuple[Tax, ...]

    @property
    def net_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines)

    @property
    def tax_minor(self) -> int:
        return sum(tax.amount_minor for tax in self.taxes)


def credited(
    invoice: Invoice,
    lines: Sequence[Line],
    earlier: Sequence[Earlier],
    *,
    amount_minor: int | None = None,
    of_lines: Mapping[int, int] | None = None,
) -> Credited:
    """What to take off: `amount_minor` gross, or net amounts by the position of a line, or all that is left.

    Raises `invoiceNotOpen` for a draft, a voided invoice and a credit note, `creditExceedsInvoice` for more than is
    left of it or of a line, and `invalidAmount` for nothing or less.
    """
    if invoice.kind != "invoice" or invoice.status not in CREDITED:
        raise TallystickError(
            "invoiceNotOpen", "Only an issued invoice can be credited.", id=str(invoice.id), status=invoice.status
        )
    if amount_minor is not None and of_lines is not None:
        raise TallystickError("invalidAmount", "Name an amount or lines, not both.", field="amount")
    left = _left_of_rows(invoice.taxes, earlier)
    if of_lines is not None:
        return _by_lines(lines, earlier, left, of_lines)
    gross = {key: tax.base_minor + tax.amount_minor for key, tax in left.items()}
    asked = sum(gross.values()) if amount_minor is None else amount_minor
    if asked <= 0:
        raise TallystickError("invalidAmount", "A credit note takes something off.", field="amount")
    if asked > sum(gross.values()):
        raise _too_much(asked, sum(gross.values()))
    if amount_minor is None and not earlier:
        # The whole invoice, line by line.
        return Credited(_copied(lines, {line.position: line.amount_minor for line in lines}), tuple(left.values()))
    keys = [key for key, amount in gross.items() if amount > 0]
    parts = dict(zip(keys, split(asked, [gross[key] for key in keys]), strict=True))
    taken = {key: _taken(left[key], part) for key, part in parts.items() if part}
    rows = tuple(row for row in taken.values())
    return Credited(numbered(_amount_line(row) for row in rows), rows)


def _by_lines(
    lines: Sequence[Line], earlier: Sequence[Earlier], left: Mapping[Rated, Tax], of_lines: Mapping[int, int]
) -> Credited:
    known = {line.position: line for line in lines}
    before: dict[int, int] = {}
    for one in earlier:
        for line in one.lines:
            position = line.details.get("corrects")
            if position is not None:
                before[position] = before.get(position, 0) + line.amount_minor
    for position, amount in of_lines.items():
        if position not in known:
            raise TallystickError("invalidAmount", f"The invoice has no line {position}.", field="lines")
        if amount <= 0:
            raise TallystickError("invalidAmount", "A credit note takes something off.", field="lines")
        rest = known[position].amount_minor - before.get(position, 0)
        if amount > rest:
            raise _too_much(amount, rest)
    bases: dict[Rated, int] = {}
    for position, amount in of_lines.items():
        key = known[position].tax_category, known[position].tax_rate_ppm
        bases[key] = bases.get(key, 0) + amount
    rows = []
    for key, base in bases.items():
        row = left[key]
        if base > row.base_minor:
            raise _too_much(base, row.base_minor)
        tax = min(round_half_up(base * row.rate_ppm, PPM), row.amount_minor)
        tax = row.amount_minor if base == row.base_minor else tax
        rows.append(replace(row, base_minor=base, amount_minor=tax))
    if not rows:
        raise TallystickError("invalidAmount", "A credit note takes something off.", field="lines")
    return Credited(_copied(lines, of_lines), tuple(rows))


def _left_of_rows(taxes: Sequence[Tax], earlier: Sequence[Earlier]) -> dict[Rated, Tax]:
    """The tax breakdown less what earlier notes took off it."""
    left = {(tax.category, tax.rate_ppm): tax for tax in taxes}
    for one in earlier:
        for tax in one.note.taxes:
            row = left[tax.category, tax.rate_ppm]
            left[tax.category, tax.rate_ppm] = replace(
                row, base_minor=row.base_minor - tax.base_minor, amount_minor=row.amount_minor - tax.amount_minor
            )
    return left


def _taken(row: Tax, gross: int) -> Tax:
    """The part of a row that comes to `gross`, base and tax; all of it where that is asked for."""
    if gross == row.base_minor + row.amount_minor:
        return row
    base = round_half_up(gross * PPM, PPM + row.rate_ppm)
    # Rounding of earlier notes may have left a cent less of one than the other.
    tax = min(max(gross - base, gross - row.base_minor, 0), row.amount_minor)
    return replace(row, base_minor=gross - tax, amount_minor=tax)


def _copied(lines: Sequence[Line], amounts: Mapping[int, int]) -> tuple[Line, ...]:
    """The lines that money is taken off, each naming its place on the invoice."""
    found = []
    for line in lines:
        amount = amounts.get(line.position)
        if amount:
            whole = amount == line.amount_minor
            found.append(
                replace(
                    line,
                    amount_minor=amount,
                    quantity=line.quantity if whole else Decimal(1),
                    unit_price=line.unit_price if whole else Decimal(amount),
                    credits=None,
                    details={**line.details, "corrects": line.position},
                )
            )
    return numbered(found)


def _amount_line(row: Tax) -> Line:
    amount = row.base_minor
    return Line(0, "refund", "Credit", Decimal(1), "", Decimal(amount), amount, row.category, row.rate_ppm)


def _too_much(asked: int, left: int) -> TallystickError:
    return TallystickError(
        "creditExceedsInvoice", "That is more than is left of the invoice.", asked=asked, left=max(left, 0)
    )
