"""Bank statements, read: what each version says, and that nothing hostile or half-read gets through."""

import datetime as dt
from pathlib import Path

import pytest

from tallystick.domain.billing.statements import Columns, StatementLine, transactions
from tallystick.gateways.statements import read_camt053, read_csv, read_statement
from tallystick.kernel.errors import TallystickError

FILES = Path(__file__).parent / "statements"
DAY = dt.date(2026, 3, 13)
GERMAN = Columns(
    date="Buchungstag",
    amount="Betrag",
    reference="Verwendungszweck",
    currency="EUR",
    counterparty="Name",
    date_format="%d.%m.%Y",
    decimal=",",
)


def test_version_2_is_read_and_only_money_that_came_is_a_line() -> None:
    found = read_camt053((FILES / "camt053_v02.xml").read_bytes())
    assert list(found.lines) == [
        StatementLine(DAY, 9_900, "usd", "RF56INV000041", "Acme GmbH", "B-1"),
        StatementLine(DAY, 1_000, "usd", "first", "", "B-2"),
        StatementLine(DAY, 2_000, "usd", "second half", "", "B-2"),
    ]
    assert found.ignored == {"outgoing": 1, "pending": 1, "reversal": 1}


def test_version_8_is_read_with_its_other_places() -> None:
    found = read_camt053((FILES / "camt053_v08.xml").read_bytes())
    assert list(found.lines) == [
        StatementLine(DAY, 12_000, "jpy", "inv 000042 E2E 7", "株式会社アクメ", "X-9"),
        StatementLine(dt.date(2026, 3, 12), 150, "eur", "interest"),
    ]


def test_a_csv_of_another_country_is_read_by_its_mapping() -> None:
    found = read_csv((FILES / "german.csv").read_bytes(), GERMAN)
    assert list(found.lines) == [
        StatementLine(DAY, 129_900, "eur", "RF56 INV0 0004 1; danke", "Müller & Söhne"),
        StatementLine(dt.date(2026, 3, 14), 9_900, "eur", "ohne"),
    ]
    assert found.ignored == {"outgoing": 1}


def test_a_plain_csv_needs_no_mapping() -> None:
    found = read_csv(b"date,amount,currency,reference\n2026-03-13,99.00,USD,RF56INV000041\n", Columns())
    assert list(found.lines) == [StatementLine(DAY, 9_900, "usd", "RF56INV000041")]


def test_equal_lines_of_one_file_are_told_apart_and_stay_the_same_in_another() -> None:
    line = StatementLine(DAY, 100, "usd", "coffee")
    once, twice = transactions([line]), transactions([line, line])
    assert once[0].id == twice[0].id != twice[1].id


ENTRY = '<Ntry><Amt Ccy="{ccy}">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>{rest}</Ntry>'
BOOKED = "<BookgDt><Dt>2026-03-13</Dt></BookgDt>"


def camt(entry: str, before: str = "") -> bytes:
    return f"{before}<Document><BkToCstmrStmt><Stmt>{entry}</Stmt></BkToCstmrStmt></Document>".encode()


BOMB = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE d SYSTEM "file:///etc/passwd">'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<",
        b"not xml",
        b"<Document/>",
        b"<html><body/></html>",
        camt(ENTRY.format(ccy="USD", amount="&b;", rest=BOOKED), BOMB),
        camt(ENTRY.format(ccy="USD", amount="1", rest=BOOKED), OUTSIDE),
        camt(ENTRY.format(ccy="USD", amount="&x;", rest=BOOKED)),
        camt(ENTRY.format(ccy="USD", amount="NaN", rest=BOOKED)),
        camt(ENTRY.format(ccy="USD", amount="1e30", rest=BOOKED)),
        camt(ENTRY.format(ccy="USD", amount="-1", rest=BOOKED)),
        camt(ENTRY.format(ccy="USD", amount="0", rest=BOOKED)),
        camt(ENTRY.format(ccy="USD", amount="1.005", rest=BOOKED)),
        camt(ENTRY.format(ccy="JPY", amount="1.5", rest=BOOKED)),
        camt(ENTRY.format(ccy="dollars", amount="1", rest=BOOKED)),
        camt(ENTRY.format(ccy="USD", amount="1", rest="")),
        camt(ENTRY.format(ccy="USD", amount="1", rest="<BookgDt><Dt>yesterday</Dt></BookgDt>")),
        camt("<Ntry><CdtDbtInd>CRDT</CdtDbtInd></Ntry>"),
        b"<Document>" + b"<a>" * 1_000,
        b'<?xml version="1.0" encoding="no-such-encoding"?><Document/>',
    ],
)
def test_what_is_no_statement_is_refused_with_its_place(content: bytes) -> None:
    with pytest.raises(TallystickError) as raised:
        read_camt053(content)
    assert raised.value.code == "invalidStatement" and raised.value.details["place"]


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        (b"", Columns()),
        (b"a,b\n1,2\n", Columns()),
        (b"date,amount,currency,reference\n2026-03-13,much,USD,x\n", Columns()),
        (b"date,amount,currency,reference\n13.03.2026,1,USD,x\n", Columns()),
        (b"date,amount,currency,reference\n2026-03-13,1,,x\n", Columns()),
        (b"date,amount,reference\n2026-03-13,1,x\n", Columns()),
        (b"date,amount,currency,reference\n2026-03-13,1,USD,x\n", Columns(counterparty="who")),
        (b"date,amount,currency,reference\n2026-03-13,1,USD,x\n", Columns(delimiter="::")),
        (b"d\0ate,amount\n", Columns()),
        (b'date,amount,currency,reference\n2026-03-13,1,USD,"' + b"x" * 200_000, Columns()),
    ],
)
def test_a_csv_that_cant_be_read_is_refused_with_its_place(content: bytes, columns: Columns) -> None:
    with pytest.raises(TallystickError) as raised:
        read_csv(content, columns)
    assert raised.value.code == "invalidStatement" and raised.value.details["place"]


def test_a_file_of_an_unknown_type_is_looked_at() -> None:
    xml = (FILES / "camt053_v02.xml").read_bytes()
    assert len(read_statement(xml, "", Columns()).lines) == 3
    assert len(read_statement((FILES / "german.csv").read_bytes(), "", GERMAN).lines) == 2
