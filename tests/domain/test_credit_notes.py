"""Credit notes take off an invoice what is left of it at most, and the tax goes back as it was charged (rule M28)."""

import datetime as dt
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.billing.credit_notes import Credited, Earlier, credited
from tallystick.domain.billing.invoices import Invoice, Line, Party, new_line, numbered
from tallystick.gateways.taxes import load
from tallystick.kernel.errors import TallystickError

NOW = dt.datetime(2026, 3, 14, tzinfo=dt.UTC)
SELLER = Party("Tally Works", country="DE")


def issued(*amounts: int, status: str = "issued") -> tuple[Invoice, tuple[Line, ...]]:
    lines, taxes = load(None).tax(
        numbered(new_line("custom", "Work", amount) for amount in amounts), SELLER, Party("Acme", country="DE"), at=NOW
    )
    made = Invoice(UUID(int=1), UUID(int=2), "invoice", "custom", status, "eur", NOW, NOW, taxes=taxes)
    made.net_minor = sum(amounts)
    made.tax_minor = sum(tax.amount_minor for tax in taxes)
    made.total_minor = made.net_minor + made.tax_minor
    return made, lines


def noted(taken: Credited) -> Earlier:
    note = Invoice(UUID(int=1), UUID(int=3), "credit_note", "correction", "issued", "eur", NOW, NOW, taxes=taken.taxes)
    note.total_minor = taken.net_minor + taken.tax_minor
    return Earlier(note, taken.lines)


def test_all_of_an_invoice_goes_back_line_by_line() -> None:
    invoice, lines = issued(100, 333, 0)
    taken = credited(invoice, lines, ())
    assert [(line.position, line.amount_minor, line.details["corrects"]) for line in taken.lines] == [
        (1, 100, 1),
        (2, 333, 2),
    ]
    assert (taken.net_minor, taken.tax_minor) == (invoice.net_minor, invoice.tax_minor)


def test_a_part_of_a_line_takes_its_tax_with_it() -> None:
    invoice, lines = issued(1_000, 500)
    taken = credited(invoice, lines, (), of_lines={2: 250})
    assert (taken.net_minor, taken.tax_minor) == (250, 48)
    assert taken.lines[0].details["corrects"] == 2


@given(
    st.lists(st.integers(0, 5_000), min_size=1, max_size=5).filter(any),
    st.lists(st.integers(1, 3_000), max_size=8),
)
def test_notes_never_take_more_than_there_is_and_the_last_takes_exactly_the_rest(
    amounts: list[int], asked: list[int]
) -> None:
    invoice, lines = issued(*amounts)
    earlier: list[Earlier] = []
    left = invoice.total_minor
    for amount in asked:
        if amount > left:
            with pytest.raises(TallystickError, match="more than is left"):
                credited(invoice, lines, earlier, amount_minor=amount)
            continue
        taken = credited(invoice, lines, earlier, amount_minor=amount)
        assert taken.net_minor + taken.tax_minor == amount
        assert all(tax.base_minor >= 0 and tax.amount_minor >= 0 for tax in taken.taxes)
        assert sum(tax.base_minor for tax in taken.taxes) == taken.net_minor
        earlier.append(noted(taken))
        left -= amount
    if left:
        rest = credited(invoice, lines, earlier)
        assert rest.net_minor + rest.tax_minor == left
        earlier.append(noted(rest))
    every = [tax for one in earlier for tax in one.note.taxes]
    assert sum(tax.amount_minor for tax in every) == invoice.tax_minor
    assert sum(tax.base_minor for tax in every) == invoice.net_minor
    with pytest.raises(TallystickError):
        credited(invoice, lines, earlier)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"amount_minor": 0}, "invalidAmount"),
        ({"amount_minor": -5}, "invalidAmount"),
        ({"amount_minor": 10_000}, "creditExceedsInvoice"),
        ({"of_lines": {}}, "invalidAmount"),
        ({"of_lines": {7: 1}}, "invalidAmount"),
        ({"of_lines": {1: 0}}, "invalidAmount"),
        ({"of_lines": {1: 1_001}}, "creditExceedsInvoice"),
        ({"of_lines": {1: 1}, "amount_minor": 1}, "invalidAmount"),
    ],
)
def test_what_cannot_be_credited(asked: dict[str, Any], code: str) -> None:
    invoice, lines = issued(1_000, 500)
    with pytest.raises(TallystickError) as refused:
        credited(invoice, lines, (), **asked)
    assert refused.value.code == code


def test_a_line_is_credited_once() -> None:
    invoice, lines = issued(1_000, 500)
    first = noted(credited(invoice, lines, (), of_lines={1: 600}))
    with pytest.raises(TallystickError, match="more than is left"):
        credited(invoice, lines, (first,), of_lines={1: 401})
    assert credited(invoice, lines, (first,), of_lines={1: 400}).net_minor == 400


@pytest.mark.parametrize("status", ["draft", "void"])
def test_only_an_issued_invoice_is_credited(status: str) -> None:
    invoice, lines = issued(1_000, status=status)
    with pytest.raises(TallystickError) as refused:
        credited(invoice, lines, ())
    assert refused.value.code == "invoiceNotOpen"
