"""CAMT.053, the bank statement of ISO 20022, in whichever version a bank sends: elements are known by their names.

Read without trust: a document type is refused, so there are no entities to expand or fetch, and size and depth have
bounds. Only money that came and is booked becomes a line.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from tallystick.domain.billing.statements import LINES_MOST, Statement, StatementLine
from tallystick.gateways.statements.amounts import day, minor_units, refuse, tidy
from tallystick.kernel.errors import TallystickError

_DEEPEST: Final = 60
_NAMES_OF_DEBTOR: Final = (
    "RltdPties/Dbtr/Pty/Nm",
    "RltdPties/Dbtr/Nm",
    "RltdPties/UltmtDbtr/Pty/Nm",
    "RltdPties/UltmtDbtr/Nm",
)
_BANK_REFS: Final = ("Refs/AcctSvcrRef", "Refs/TxId", "Refs/InstrId")
_NOT_GIVEN: Final = frozenset({"NOTPROVIDED", "NONREF", "NOT PROVIDED"})


def read_camt053(content: bytes) -> Statement:
    """The lines of a CAMT.053 file. Raises `invalidStatement`."""
    root = _parse(content)
    statements = list(root.iter("Stmt"))
    if root.tag != "Document" or not statements:
        refuse("this is no CAMT.053 statement", "the beginning")
    lines: list[StatementLine] = []
    ignored: Counter[str] = Counter()
    for place, entry in enumerate((one for statement in statements for one in statement.findall("Ntry")), 1):
        why = _ignored(entry)
        if why:
            ignored[why] += 1
            continue
        lines += _lines(entry, f"entry {place}")
        if len(lines) > LINES_MOST:
            refuse(f"it has more than {LINES_MOST} lines", f"entry {place}")
    return Statement(tuple(lines), dict(ignored))


def _ignored(entry: Element) -> str:
    if _said(entry, "Sts/Cd", "Sts") not in ("BOOK", ""):
        return "pending"
    if _said(entry, "RvslInd") in ("true", "1"):
        return "reversal"
    return "" if _said(entry, "CdtDbtInd") == "CRDT" else "outgoing"


def _lines(entry: Element, place: str) -> Iterator[StatementLine]:
    """An entry is one line, or one for each of the transactions that a bank put together in it."""
    booked_on = day(_said(entry, "BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm"), place)
    total, currency = _amount(entry.find("Amt"), place)
    parts = [one for one in entry.findall("NtryDtls/TxDtls") if _said(one, "CdtDbtInd") in ("CRDT", "")]
    amounts = [_amount(_amount_of(part), place) for part in parts if _amount_of(part) is not None]
    is_split = len(parts) > 1 and len(amounts) == len(parts) and sum(minor for minor, _ in amounts) == total
    if not is_split or any(one != currency for _, one in amounts):
        parts, amounts = parts[:1] if len(parts) == 1 else [], [(total, currency)]
    extra = tidy(_said(entry, "AddtlNtryInf"))
    bank_ref = _said(entry, "AcctSvcrRef", "NtryRef")
    for number, (minor, _) in enumerate(amounts):
        detail = parts[number] if number < len(parts) else None
        if minor <= 0:
            refuse("a credit has to be above zero", place)
        yield StatementLine(
            booked_on=booked_on,
            amount_minor=minor,
            currency=currency,
            reference=(_reference(detail) if detail is not None else "") or extra,
            counterparty=tidy(_said(detail, *_NAMES_OF_DEBTOR), 200) if detail is not None else "",
            bank_ref=tidy((_said(detail, *_BANK_REFS) if detail is not None else "") or bank_ref, 100),
        )


def _amount_of(detail: Element) -> Element | None:
    found = detail.find("Amt")
    return detail.find("AmtDtls/TxAmt/Amt") if found is None else found


def _amount(amount: Element | None, place: str) -> tuple[int, str]:
    if amount is None:
        refuse("an amount is missing", place)
    currency = amount.get("Ccy", "")
    return minor_units(amount.text or "", currency, place), currency.lower()


def _reference(detail: Element) -> str:
    """What the sender wrote: the structured reference first, then free text, then what else names the payment."""
    found = [one.text or "" for one in detail.findall("RmtInf/Strd/CdtrRefInf/Ref")]
    found += [one.text or "" for one in detail.findall("RmtInf/Ustrd")]
    found += [_said(detail, "Refs/EndToEndId"), _said(detail, "AddtlTxInf")]
    return tidy(" ".join(one for one in found if one.strip().upper() not in _NOT_GIVEN))


def _said(element: Element, *paths: str) -> str:
    """The text of the first of these that says something."""
    for path in paths:
        text = (element.findtext(path) or "").strip()
        if text:
            return text
    return ""


def _parse(content: bytes) -> Element:
    """The document, its names without their namespaces."""
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            refuse("it is nested too deeply", f"line {parser.CurrentLineNumber}")
        builder.start(name.rpartition("}")[2], {key.rpartition("}")[2]: value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name.rpartition("}")[2])

    def forbid(*_: object) -> None:
        refuse("a statement has no document type and no entities", f"line {parser.CurrentLineNumber}")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = forbid
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise TallystickError("invalidStatement", f"This is not XML: {error}.", place=f"line {error.lineno}") from None
    except (UnicodeError, LookupError, ValueError):
        refuse("its encoding can't be read", "the beginning")
    return builder.close()
