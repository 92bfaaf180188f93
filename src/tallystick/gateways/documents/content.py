"""What stands on the pages of a document, as texts in its language: what the template gets and only has to lay out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tallystick.domain.billing.accounts import BankAccount
from tallystick.domain.billing.closing import BEFORE, LABELS
from tallystick.domain.billing.documents import Document, UsedBy, iban_of
from tallystick.domain.billing.invoices import Line, Party, Tax
from tallystick.domain.billing.references import creditor_reference, shown
from tallystick.domain.billing.taxes import REASONS
from tallystick.gateways.documents.locales import Form

Json = dict[str, Any]

_GROUPS: Final = (
    ("plan", ("plan", "proration")),
    ("custom", ("custom",)),
    ("credits", ("credits",)),
    ("overage", ("overage",)),
    ("usage", ("usage",)),
    ("adjustment", ("adjustment",)),
    ("refund", ("refund",)),
)
"""The groups of lines in order, and the kinds of lines in each."""

_NOTES: Final = {"AE": "note_reverse_charge", "E": "note_exempt", "O": "note_outside", "Z": "note_zero"}
_AGENTS_SHOWN: Final = 5
_ROWS_SHOWN: Final = 1_000
"""Rows of the appendix, about: beyond that nobody reads it, and making it would take more memory than a server has."""

_US_PAPER: Final = frozenset({"US", "CA", "MX", "PH", "CL", "CO", "VE"})
_REASONS: Final = {reason: key for key, reason in REASONS.items()}
_TOWN_FIRST: Final = frozenset({"US", "CA", "AU", "IN", "GB", "IE", "NZ"})
_PLAIN_UNITS: Final = frozenset({"", "period"})


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What every document of a seller has: where transfers go, and the file name of a logo."""

    bank: BankAccount | None = None
    logo: str | None = None


def content(document: Document, head: Letterhead, *, has_attachment: bool) -> Json:
    """All texts of the document's pages, still to be cleaned (`fonts.Cleaner`)."""
    form = Form(document.locale, document.invoice.currency)
    invoice, seller, buyer = document.invoice, document.invoice.seller, document.invoice.buyer
    if seller is None or buyer is None:
        raise AssertionError("an issued invoice has a seller and a buyer")
    title = form.words["credit_note" if document.is_credit_note else "invoice"]
    day = document.day(document.issued_at)
    return {
        "language": form.locale.language,
        "region": form.locale.territory or "",
        "paper": "us-letter" if (buyer.country or seller.country).upper() in _US_PAPER else "a4",
        "date": [day.year, day.month, day.day],
        "logo": head.logo,
        "title": title,
        "number": document.number,
        "seller": _party(form, seller),
        "buyer": _party(form, buyer),
        "sellerTitle": form.words["from"],
        "buyerTitle": form.words["credit_to" if document.is_credit_note else "bill_to"],
        "facts": _facts(form, document, buyer),
        "headline": _headline(form, document),
        "intro": _intro(form, document),
        "columns": [form.words[name] for name in ("description", "quantity", "unit_price", "tax", "amount")],
        "currency": form.currency,
        "groups": _groups(form, document),
        "totals": _totals(form, document),
        "notes": _notes(form, invoice.taxes),
        "pay": _pay(form, document, head, seller),
        "questions": form.say("questions", email=form.isolate(seller.email)) if seller.email else "",
        "appendix": _appendix(form, document),
        "footer": " · ".join(form.isolate(text) for text in (seller.name, seller.tax_id or "") if text),
        "page": form.words["page"],
        "unreadable": form.words["unreadable" if has_attachment else "unreadable_alone"],
    }


def _party(form: Form, party: Party) -> Json:
    address = party.address
    country = form.locale.territories.get(party.country.upper(), party.country) if party.country else ""
    lines = [address.line1, address.line2, *_places(party), country]
    shown = [form.isolate(line) for line in lines if line]
    if party.tax_id:
        shown.append(f"{form.words['tax_id']}: {form.isolate(party.tax_id)}")
    return {"name": form.isolate(party.name), "lines": shown}


def _places(party: Party) -> list[str]:
    """Town, region and postal code in the order of the country."""
    address = party.address
    if party.country.upper() in _TOWN_FIRST:
        region = " ".join(text for text in (address.region, address.postal_code) if text)
        return [", ".join(text for text in (address.city, region) if text)]
    return [" ".join(text for text in (address.postal_code, address.city) if text), address.region]


def _facts(form: Form, document: Document, buyer: Party) -> list[list[str]]:
    """Label and value."""
    invoice = document.invoice
    facts = [
        [form.words["number"], form.isolate(document.number)],
        [form.words["date"], form.day(document.day(document.issued_at))],
    ]
    if invoice.due_at is not None and not document.is_credit_note:
        facts.append([form.words["due_date"], form.day(document.day(invoice.due_at))])
    if invoice.period_start and invoice.period_end:
        days = form.days(document.day(invoice.period_start), document.last_day(invoice.period_end))
        facts.append([form.words["period"], days])
    if buyer.reference:
        facts.append([form.words["purchase_order"], form.isolate(buyer.reference)])
    return facts


def _headline(form: Form, document: Document) -> Json:
    """The one amount that matters, what is to be said of it, and the stamp."""
    invoice = document.invoice
    stamp = {"paid": "paid", "past_due": "past_due", "uncollectible": "past_due", "void": "void"}.get(invoice.status)
    words = form.words[f"status_{stamp}"] if stamp and not document.is_credit_note else ""
    if document.is_credit_note:
        return _head(form.words["amount_credited"], form.money(invoice.total_minor), "", "", "")
    due = form.day(document.day(invoice.due_at)) if invoice.due_at else ""
    if stamp == "paid":
        paid = form.say("paid_on", date=form.day(document.day(invoice.paid_at))) if invoice.paid_at else ""
        return _head(form.words["amount_paid"], form.money(invoice.total_minor), paid, "paid", words)
    left = invoice.total_minor - invoice.credited_minor - invoice.paid_minor
    if stamp == "void":
        return _head(form.words["total"], form.money(invoice.total_minor), "", "void", words)
    told = form.say("was_due_by" if stamp == "past_due" else "due_by", date=due) if due else ""
    return _head(form.words["amount_due"], form.money(max(left, 0)), told, stamp or "", words)


def _head(label: str, amount: str, told: str, stamp: str, words: str) -> Json:
    return {"label": label, "amount": amount, "told": told, "stamp": stamp, "words": words}


def _intro(form: Form, document: Document) -> list[str]:
    told = []
    if document.corrected is not None:
        day = form.day(document.day(document.corrected.issued_at))
        told.append(form.say("corrects", number=form.isolate(document.corrected.number), date=day))
    if document.invoice.reason:
        told.append(f"{form.words['reason']}: {form.isolate(document.invoice.reason)}")
    return told


def _groups(form: Form, document: Document) -> list[Json]:
    """Lines by what they are for; usage by category, with the agents that used most of it."""
    groups = []
    agents = _by_agent(document.used)
    for name, kinds in _GROUPS:
        lines = [line for line in document.lines if line.kind in kinds]
        if lines:
            rows = [_row(form, document, line, agents) for line in lines]
            groups.append({"title": form.words[f"group_{name}"], "rows": rows})
    return groups


def _row(form: Form, document: Document, line: Line, agents: Mapping[tuple[Any, str], list[UsedBy]]) -> Json:
    category = str(line.details.get("category", ""))
    is_usage = line.kind in ("usage", "adjustment") and category != ""
    start = line.period_start or (BEFORE if line.kind == "adjustment" else document.invoice.period_start)
    return {
        "title": _title(form, line, category if is_usage else ""),
        "note": " · ".join(_line_notes(form, document, line, is_usage=is_usage)),
        "agents": _agents(form, agents.get((start, category), [])) if is_usage else [],
        "quantity": _quantity(form, line),
        "price": form.price(line.unit_price) if line.amount_minor or line.unit_price else "",
        "tax": "" if line.tax_category == "O" else form.percent(line.tax_rate_ppm),
        "amount": form.amount(document.sign * line.amount_minor),
    }


def _title(form: Form, line: Line, category: str) -> str:
    """Usage is named in the reader's language; all else as it was agreed."""
    if category:
        return _category(form, category)
    return form.words["overage"] if line.kind == "overage" else form.isolate(line.description)


def _line_notes(form: Form, document: Document, line: Line, *, is_usage: bool) -> list[str]:
    notes = []
    if line.kind == "adjustment" and line.period_start is None:
        notes.append(form.words["before"])
    elif line.period_start and line.period_end and not _is_of_whole_period(document, line):
        notes.append(form.days(document.day(line.period_start), document.last_day(line.period_end)))
    if is_usage and line.credits:
        notes.append(form.say("credits_used", count=form.short_nano(line.credits)))
    if line.details.get("toolRuns"):
        count = form.number(Decimal(str(line.details["toolRuns"])))
        notes.append(form.say("tool_runs_used", count=count))
    return notes


def _quantity(form: Form, line: Line) -> str:
    """The quantity with what it counts, which is named in the reader's language where we know it."""
    number = form.short(line.quantity)
    if line.unit in _PLAIN_UNITS:
        return number
    unit = form.words.get(f"unit_{line.unit.removesuffix('s')}s", line.unit)
    return f"{number} {unit}"


def _is_of_whole_period(document: Document, line: Line) -> bool:
    invoice = document.invoice
    return (line.period_start, line.period_end) == (invoice.period_start, invoice.period_end)


def _agents(form: Form, used: list[UsedBy]) -> list[list[str]]:
    """Name and credits of those that used most; one agent alone says nothing that the line does not."""
    if not used or (len(used) == 1 and used[0].agent_id is None):
        return []
    ordered = sorted(used, key=_by_size)
    shown = ordered if len(ordered) <= _AGENTS_SHOWN + 1 else ordered[:_AGENTS_SHOWN]
    rows = [[_agent(form, row), form.say("credits_used", count=form.short_nano(row.credits))] for row in shown]
    if len(shown) < len(ordered):
        rows.append([form.say("more_agents", count=form.number(len(ordered) - len(shown))), ""])
    return rows


def _agent(form: Form, row: UsedBy) -> str:
    return form.isolate(row.agent or str(row.agent_id)) if row.agent_id else form.words["no_agent"]


def _category(form: Form, category: str) -> str:
    return form.words.get(f"category_{category}", category)


def _totals(form: Form, document: Document) -> list[Json]:
    """Rows of the sum; a `strong` one is what they come to."""
    invoice = document.invoice
    rows = [_total(form.words["net"], form.money(invoice.net_minor))]
    for tax in invoice.taxes:
        if tax.category == "O":
            continue
        parts = {"name": tax.name or form.words["tax_name"], "base": form.money(tax.base_minor)}
        rows.append(_total(form.say("tax_on", rate=form.percent(tax.rate_ppm), **parts), form.money(tax.amount_minor)))
    rows.append(_total(form.words["total"], form.money(invoice.total_minor), is_strong=True))
    if document.is_credit_note:
        return rows
    changes = (("credited", invoice.credited_minor), ("paid", invoice.paid_minor))
    later = [_total(form.words[name], form.money(-amount)) for name, amount in changes if amount]
    if later:
        left = max(invoice.total_minor - invoice.credited_minor - invoice.paid_minor, 0)
        rows += [*later, _total(form.words["amount_due"], form.money(left), is_strong=True)]
    return rows


def _total(label: str, amount: str, *, is_strong: bool = False) -> Json:
    return {"label": label, "amount": amount, "strong": is_strong}


def _notes(form: Form, taxes: Iterable[Tax]) -> list[str]:
    """Why a tax is not charged, as the law wants an invoice to say it; in the reader's language where we know it."""
    notes = []
    for tax in taxes:
        known = _REASONS.get(tax.reason)
        if known is not None:
            notes.append(form.words[f"reason_{known}"])
        elif tax.category in _NOTES:
            notes.append(form.words[_NOTES[tax.category]])
            notes.append(form.isolate(tax.reason))
    return [text for text in dict.fromkeys(notes) if text]


def _pay(form: Form, document: Document, head: Letterhead, seller: Party) -> Json | None:
    """How to pay what is open; None where there is nothing to be paid."""
    if document.is_credit_note or not document.invoice.open_minor:
        return None
    bank = head.bank
    if bank is None or document.is_collected:
        told = form.say("pay_online", seller=form.isolate(seller.email or seller.name))
        return {"title": form.words["how_to_pay"], "told": told, "rows": []}
    rows = [
        [form.words["account_holder"], bank.holder],
        [form.words["iban" if iban_of(bank) else "account"], bank.number],
        [form.words["bic"], bank.bic],
        [form.words["bank"], bank.bank],
        [form.words["reference"], shown(creditor_reference(document.number))],
    ]
    return {
        "title": form.words["how_to_pay"],
        "told": form.words["pay_transfer"],
        "rows": [[label, form.isolate(value)] for label, value in rows if value],
    }


def _by_agent(used: Iterable[UsedBy]) -> dict[tuple[Any, str], list[UsedBy]]:
    found: dict[tuple[Any, str], list[UsedBy]] = defaultdict(list)
    for row in used:
        found[(row.period_start, row.category)].append(row)
    return found


def _appendix(form: Form, document: Document) -> Json | None:
    """All usage behind the invoice, by period, category and agent."""
    if not document.used:
        return None
    periods: dict[Any, list[UsedBy]] = defaultdict(list)
    for row in document.used:
        periods[row.period_start].append(row)
    several = len(periods) > 1 or next(iter(periods)) != document.invoice.period_start
    most = max(_ROWS_SHOWN // len({(row.period_start, row.category) for row in document.used}), 2 * _AGENTS_SHOWN)
    names = ("agent", "charges", "quantity", "credits", "tool_runs")
    return {
        "title": form.words["appendix"],
        "about": form.words["appendix_about"],
        "columns": [form.words[name] for name in names],
        "sum": form.words["sum"],
        "periods": [
            {"title": _since(form, document, start) if several else "", "categories": _categories(form, rows, most)}
            for start, rows in sorted(periods.items())
        ],
    }


def _since(form: Form, document: Document, start: Any) -> str:
    return form.words["before"] if start == BEFORE else form.say("period_from", date=form.day(document.day(start)))


def _categories(form: Form, rows: list[UsedBy], most: int) -> list[Json]:
    categories: dict[str, list[UsedBy]] = defaultdict(list)
    for row in rows:
        categories[row.category].append(row)
    return [
        {
            "title": _category(form, category),
            "rows": _agent_rows(form, found, most),
            "sum": _figures(form, found),
        }
        for category, found in sorted(categories.items(), key=lambda item: _place(item[0]))
    ]


def _agent_rows(form: Form, found: list[UsedBy], most: int) -> list[list[str]]:
    """A row for each agent, the largest first; those beyond `most` in one."""
    ordered = sorted(found, key=_by_size)
    shown, rest = (ordered, []) if len(ordered) <= most + 1 else (ordered[:most], ordered[most:])
    rows = [[_agent(form, row), *_figures(form, [row])] for row in shown]
    if rest:
        rows.append([form.say("others", count=form.number(len(rest))), *_figures(form, rest)])
    return rows


def _by_size(row: UsedBy) -> tuple[int, str, str]:
    return -abs(row.credits), row.agent, str(row.agent_id)


def _place(category: str) -> tuple[int, str]:
    places = list(LABELS)
    return (places.index(category) if category in LABELS else len(places)), category


def _figures(form: Form, rows: list[UsedBy]) -> list[str]:
    tool_runs = sum(row.tool_runs for row in rows)
    return [
        form.number(sum(row.events for row in rows)),
        form.number(sum((row.quantity for row in rows), Decimal(0))),
        form.credits(sum(row.credits for row in rows)),
        form.credits(tool_runs) if tool_runs else "",
    ]
