"""CSV files of banks, each of its own making: a mapping says which column holds what."""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

from tallystick.domain.billing.statements import LINES_MOST, Columns, Statement, StatementLine
from tallystick.gateways.statements.amounts import day, minor_units, refuse, tidy

_DELIMITERS: Final = ",;\t|"
_SPACES: Final = re.compile(r"[\s\u00a0\u202f']")


def read_csv(content: bytes, columns: Columns) -> Statement:
    """The lines of a CSV file with a row of headings. Raises `invalidStatement`."""
    text = _decode(content)
    delimiter = columns.delimiter or _delimiter(text)
    if len(delimiter) != 1 or columns.decimal not in (".", ","):
        refuse("delimiter is one character, decimal is . or ,", "the mapping")
    lines: list[StatementLine] = []
    ignored: Counter[str] = Counter()
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", restval="")
    try:
        headings = [heading.strip() for heading in reader.fieldnames or ()]
        reader.fieldnames = headings
        _check(headings, columns)
        for row in reader:
            place = f"line {reader.line_num}"
            if not any(str(value or "").strip() for value in row.values()):
                continue
            line = _line(row, columns, place)
            if line is None:
                ignored["outgoing"] += 1
            else:
                lines.append(line)
            if len(lines) > LINES_MOST:
                refuse(f"it has more than {LINES_MOST} lines", place)
    except csv.Error as error:
        refuse(f"this is not CSV: {error}", f"line {reader.line_num}")
    return Statement(tuple(lines), dict(ignored))


def _line(row: Mapping[str, str], columns: Columns, place: str) -> StatementLine | None:
    currency = row.get(columns.currency, columns.currency)
    minor = minor_units(_plain(row[columns.amount], columns.decimal), currency.strip(), place)
    if minor <= 0:
        return None
    return StatementLine(
        booked_on=day(row[columns.date], place, columns.date_format),
        amount_minor=minor,
        currency=currency.strip().lower(),
        reference=tidy(row[columns.reference]),
        counterparty=tidy(row[columns.counterparty], 200) if columns.counterparty else "",
        bank_ref=tidy(row[columns.bank_ref], 100) if columns.bank_ref else "",
    )


def _plain(text: str, decimal: str) -> str:
    """`1.234,56` as `1234.56`."""
    grouping = "." if decimal == "," else ","
    return _SPACES.sub("", text).replace(grouping, "").replace(decimal, ".")


def _check(headings: list[str], columns: Columns) -> None:
    named = [columns.date, columns.amount, columns.reference, columns.counterparty, columns.bank_ref]
    if len(columns.currency) != 3 or columns.currency in headings:
        named.append(columns.currency)
    missing = [name for name in named if name is not None and name not in headings]
    if missing:
        refuse(f"there is no column {missing[0]!r}; there are {', '.join(headings)[:300]}", "line 1")


def _decode(content: bytes) -> str:
    """UTF-8, or what older programs of banks write."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    if "\0" in text:
        refuse("its encoding can't be read: save it as UTF-8", "the beginning")
    return text


def _delimiter(text: str) -> str:
    """The one that its headings have most of."""
    first = text.partition("\n")[0]
    return max(_DELIMITERS, key=lambda one: (first.count(one), -_DELIMITERS.index(one)))
