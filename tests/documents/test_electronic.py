"""The electronic form: valid by the schema and the business rules of EN 16931, and read by others as it was meant."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from drafthorse.models.document import Document as Read
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.billing.accounts import Address, BankAccount
from tallystick.domain.billing.documents import Document
from tallystick.domain.billing.invoices import Party, Tax
from tallystick.gateways.documents import facturx
from tallystick.gateways.documents.pdf import Look, Printer
from tallystick.kernel.currencies import decimal_text
from tallystick.kernel.errors import TallystickError
from tests.documents import samples
from tests.documents.checking import violations
from tests.documents.samples import BANK, BUYER, DUE, ISSUED, LINES, SELLER, document, line, taxed

NUMBERED = BankAccount("Nimbus Inc.", "000123456789", "CHASUS33", "Chase")


def of_one_category(category: str, **tax: Any) -> Document:
    lines = [replace(one, tax_category=category, tax_rate_ppm=0) for one in LINES]
    return document(lines, taxes=taxed(lines, **tax))


def at_two_rates() -> Document:
    lines = [replace(one, tax_rate_ppm=55_000) if one.position == 2 else one for one in LINES]
    return document(lines, taxes=taxed(lines))


def with_negative_lines() -> Document:
    lines = [
        line(1, "proration", "Unused time of Pro", -4_567),
        line(2, "proration", "Rest of the period of Enterprise", 25_000),
        line(3, "adjustment", "Price corrected", -100, quantity=Decimal(4), unit_price=Decimal(-25)),
    ]
    return document(lines, used=())


KINDS = {
    "at the standard rate": document(),
    "paid when it was issued": document(status="paid", paid_at=ISSUED, paid_minor=16_923),
    "paid later": document(status="paid", paid_at=DUE, paid_minor=16_923),
    "at two rates": at_two_rates(),
    "reverse charge": samples.reverse_charge(),
    "outside the scope": samples.outside(),
    "exempt": of_one_category("E", reason="Exempt by article 132"),
    "exempt without a reason": of_one_category("E"),
    "at rate zero": of_one_category("Z"),
    "negative lines": with_negative_lines(),
    "credit note": samples.credit_note(),
    "of nothing but usage": document(LINES[2:], status="paid", paid_at=ISSUED),
    "in yen": document(currency="jpy"),
    "300 lines": samples.long(),
    "no bank account": document(),
    "due at once": document(due_at=ISSUED),
    "an account that is no IBAN": document(),
}
BANKS = {"no bank account": None, "an account that is no IBAN": NUMBERED}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_document_obeys_schema_and_business_rules(kind: str) -> None:
    made = KINDS[kind]
    assert facturx.obstacles(made) == []
    assert violations(facturx.write(made, BANKS.get(kind, BANK))) == []


def test_a_rule_that_is_broken_is_found() -> None:
    xml = facturx.write(document(), BANK)
    assert violations(xml.replace(b">169.23<", b">169.24<")) != []
    assert violations(xml.replace(b">380<", b">999<")) != []


def test_others_read_every_amount_as_it_was_meant() -> None:
    made = document()
    read = Read.parse(facturx.write(made, BANK))
    invoice, settlement = made.invoice, read.trade.settlement
    sums = settlement.monetary_summation
    assert (sums.line_total._value, sums.due_amount._value) == (Decimal("142.21"), Decimal("169.23"))
    assert (sums.tax_basis_total._amount, sums.grand_total._amount) == (Decimal("142.21"), Decimal("169.23"))
    assert read_rows(settlement) == rows_of(invoice.taxes)
    assert [one.settlement.monetary_summation.total_amount._value for one in read.trade.items.children] == [
        Decimal(decimal_text(one.amount_minor, "eur")) for one in made.lines
    ]
    for shown, meant in zip(read.trade.items.children, made.lines, strict=True):
        assert shown.delivery.billed_quantity._amount == meant.quantity
        assert shown.agreement.net.amount._value == meant.unit_price / 100
        assert shown.product.name._text == meant.description
    assert (read.header.id._text, read.header.type_code._text) == ("INV-000042", "380")
    # What to write on the transfer has check digits: a bank statement is matched by it.
    assert settlement.payment_reference._text == "RF29INV000042"
    assert read.header.issue_date_time._value.isoformat() == "2026-04-01"
    assert settlement.terms.children[0].due._value.isoformat() == "2026-04-15"
    assert read.trade.agreement.seller.name._text == SELLER.name
    assert read.trade.agreement.buyer.address.country_id._text == "FR"
    assert read.trade.agreement.buyer_order.issuer_assigned_id._text == "PO-2026-0417"


def test_a_period_is_told_by_its_first_and_last_day() -> None:
    xml = facturx.write(document(), BANK).decode()
    assert xml.count(">20260301</udt:DateTimeString></ram:StartDateTime>") == 5
    assert xml.count(">20260331</udt:DateTimeString></ram:EndDateTime>") == 5
    assert xml.count(">20260430</udt:DateTimeString></ram:EndDateTime>") == 1
    assert "20260501" not in xml


def test_price_times_quantity_is_the_amount_and_where_it_is_not_the_line_is_one_piece() -> None:
    lines = [
        line(1, "custom", "Fits", 31, quantity=Decimal(3), unit_price=Decimal("10.4")),
        line(2, "custom", "Does not", 33, quantity=Decimal(3), unit_price=Decimal(10)),
        line(3, "proration", "Negative price", -30, quantity=Decimal(3), unit_price=Decimal(-10)),
        line(4, "proration", "Negative, does not fit", -30, quantity=Decimal(7), unit_price=Decimal(-10)),
    ]
    read = Read.parse(facturx.write(document(lines, used=()), BANK)).trade.items.children
    shown = [(one.delivery.billed_quantity._amount, one.agreement.net.amount._value) for one in read]
    assert shown == [
        (Decimal(3), Decimal("0.104")),
        (Decimal(1), Decimal("0.33")),
        (Decimal(-3), Decimal("0.1")),
        (Decimal(-1), Decimal("0.3")),
    ]


def read_rows(settlement: Any) -> list[tuple[str, Decimal, Decimal, Decimal]]:
    return [
        (
            one.category_code._text,
            one.rate_applicable_percent._value,
            one.basis_amount._value,
            one.calculated_amount._value,
        )
        for one in settlement.trade_tax.children
    ]


def rows_of(taxes: tuple[Tax, ...]) -> list[tuple[str, Decimal, Decimal, Decimal]]:
    return [
        (
            tax.category,
            Decimal(tax.rate_ppm) / 10_000,
            Decimal(decimal_text(tax.base_minor, "eur")),
            Decimal(decimal_text(tax.amount_minor, "eur")),
        )
        for tax in taxes
    ]


def test_a_credit_note_names_what_it_corrects_and_takes_off_positive_amounts() -> None:
    positive = samples.credit_note()
    turned = [replace(one, amount_minor=-one.amount_minor) for one in positive.lines]
    negative = replace(positive, lines=tuple(turned))
    for made in (positive, negative):
        read = Read.parse(facturx.write(made))
        assert read.header.type_code._text == "381"
        assert read.trade.settlement.invoice_referenced_document.issuer_assigned_id._text == "INV-000041"
        assert read.trade.settlement.monetary_summation.grand_total._amount == Decimal("29.75")
        (only,) = read.trade.items.children
        assert only.settlement.monetary_summation.total_amount._value == Decimal("25.00")
        assert violations(facturx.write(made)) == []


def test_what_is_paid_later_does_not_change_what_was_issued() -> None:
    paid = document(status="paid", paid_at=DUE, paid_minor=16_923, credited_minor=100)
    assert facturx.write(paid, BANK) == facturx.write(document(), BANK)


def test_days_are_those_of_the_workspace() -> None:
    # 1 April 01:00 in UTC is still 31 March in New York, the period's last instant then, too.
    read = Read.parse(facturx.write(document(zone="America/New_York"), BANK))
    assert read.header.issue_date_time._value.isoformat() == "2026-03-31"


def test_hostile_texts_arrive_as_they_are_and_what_xml_cannot_hold_is_left_out() -> None:
    name = "A&B <script>]]> \x00\x08\ufffe\ud800 *x* #panic() 株式会社 " + "x" * 10_000
    made = document(buyer=replace(BUYER, name=name), lines=[replace(LINES[0], description=name)], used=())
    xml = facturx.write(made, BANK)
    assert violations(xml) == []
    read = Read.parse(xml).trade.agreement.buyer.name._text
    assert read.startswith("A&B <script>]]> *x* #panic() 株式会社 xxx")
    assert len(read) <= 2_000


LACKS: list[tuple[str, Document]] = [
    ("three decimals", document(currency="bhd")),
    ("no lines", document([], taxes=(), used=())),
    ("do not sum", document(net_minor=1)),
    ("the seller has no name", document(seller=replace(SELLER, name=" "))),
    ("the seller has no country", document(seller=replace(SELLER, country=""))),
    ("the seller has no tax id", document(seller=replace(SELLER, tax_id=None))),
    ("the buyer has no name", document(buyer=replace(BUYER, name="\x00"))),
    ("the buyer has no country", document(buyer=replace(BUYER, country=""))),
    ("the buyer, who is to pay", samples.reverse_charge(buyer=replace(BUYER, tax_id=None))),
    ("neither a tax id nor an e-mail", samples.outside(seller=Party("Nimbus", Address(), "US"))),
    (
        "mixes",
        document(
            mixed := [replace(LINES[0], tax_category="O", tax_rate_ppm=0), *LINES[1:]],
            taxes=taxed(mixed),
        ),
    ),
]


@pytest.mark.parametrize(("words", "made"), LACKS, ids=[words for words, _ in LACKS])
def test_a_document_that_cannot_be_one_by_the_standard_has_no_electronic_form_and_says_why(
    words: str, made: Document
) -> None:
    assert any(words in text for text in facturx.obstacles(made))
    with pytest.raises(TallystickError) as refused:
        Printer(Look()).write_xml(made)
    assert refused.value.code == "electronicInvoiceUnavailable"


def test_a_draft_has_no_document() -> None:
    with pytest.raises(TallystickError) as refused:
        Printer(Look()).write_xml(document(number=None, status="draft"))
    assert refused.value.code == "invoiceNotIssued"


RATES = (("S", 190_000), ("S", 70_000), ("S", 55_000), ("Z", 0))
LINE = st.tuples(
    st.sampled_from(["plan", "proration", "overage", "usage", "custom", "adjustment"]),
    st.decimals("0", "100000", places=9),
    st.decimals("-5000", "5000", places=9),
    st.sampled_from(RATES),
    st.booleans(),
    st.text(max_size=30),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=8))
def test_whatever_is_on_the_lines_the_rules_hold(drawn: list[Any]) -> None:
    lines = []
    for position, (kind, quantity, price, (category, rate), fits, text) in enumerate(drawn, 1):
        amount = int(quantity * price) if fits else int(price)
        more = {"quantity": quantity, "unit_price": price, "tax_category": category, "tax_rate_ppm": rate}
        lines.append(line(position, kind, text, amount, **more))
    made = document(lines, taxes=taxed(lines), used=())
    assert facturx.obstacles(made) == []
    assert violations(facturx.write(made, BANK)) == []
