"""Issued invoices and credit notes to make documents of."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import UUID

from tallystick.domain.billing.accounts import Address, BankAccount
from tallystick.domain.billing.documents import Corrected, Document, UsedBy
from tallystick.domain.billing.invoices import Invoice, Line, Party, Tax
from tallystick.kernel.credits import NANO

WORKSPACE = UUID("0191e0c2-5d3f-7b6e-8a51-3f0f6a1c2d4e")
START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
END = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
NEXT = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
ISSUED = dt.datetime(2026, 4, 1, 1, 0, tzinfo=dt.UTC)
DUE = dt.datetime(2026, 4, 15, 1, 0, tzinfo=dt.UTC)

SELLER = Party(
    "Nimbus Agents GmbH",
    Address("Torstraße 140", "", "Berlin", "10119", ""),
    "DE",
    "DE123456788",
    "billing@nimbus.example",
)
BUYER = Party(
    "Ångström & Fils S.A.",
    Address("12 rue des Lilas", "Bâtiment C", "Lyon", "69003", ""),
    "FR",
    "FR40303265045",
    "comptabilite@angstrom.example",
    "PO-2026-0417",
)
BANK = BankAccount("Nimbus Agents GmbH", "DE89 3704 0044 0532 0130 00", "COBADEFFXXX", "Commerzbank")


def line(position: int, kind: Any, description: str, amount_minor: int, **more: Any) -> Line:
    """One piece at its amount, at the standard rate, where nothing else is said."""
    given: dict[str, Any] = {
        "quantity": Decimal(1),
        "unit": "month",
        "unit_price": Decimal(abs(amount_minor)),
        "tax_category": "S",
        "tax_rate_ppm": 190_000,
    }
    given |= more
    if amount_minor < 0 and "quantity" not in more:
        given["quantity"] = Decimal(-1)
    return Line(position, kind, description, amount_minor=amount_minor, **given)


def usage_line(position: int, category: str, quantity: int, credits_: int, **more: Any) -> Line:
    """Usage that credits paid for; `credits_` are whole ones."""
    given: dict[str, Any] = {
        "quantity": Decimal(quantity),
        "unit": "charges",
        "unit_price": Decimal(0),
        "credits": credits_ * NANO,
        "period_start": START,
        "period_end": END,
        "details": {"category": category},
    }
    return line(position, more.pop("kind", "usage"), f"Usage: {category}", 0, **(given | more))


def taxed(lines: Sequence[Line], country: str = "DE", **more: Any) -> tuple[Tax, ...]:
    """The breakdown of lines by category and rate."""
    bases: dict[tuple[str, int], int] = {}
    for one in lines:
        key = (one.tax_category, one.tax_rate_ppm)
        bases[key] = bases.get(key, 0) + one.amount_minor
    return tuple(
        Tax(category, rate, base, _half_even(Decimal(base) * rate / 1_000_000), country, **more)
        for (category, rate), base in bases.items()
    )


def _half_even(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), ROUND_HALF_EVEN))


def used(
    category: str, agent: str, credits_: str, *, events: int = 10, tool_runs: int = 0, start: Any = START
) -> UsedBy:
    """Usage of one agent; the empty name is nobody's. `credits_` is decimal text."""
    nano = int(Decimal(credits_) * NANO)
    agent_id = UUID(int=abs(hash_of(agent))) if agent else None
    return UsedBy(start, category, agent_id, agent, events, Decimal(events) * 3, nano, tool_runs * NANO)


def hash_of(text: str) -> int:
    """A number of a text, the same in every process."""
    return int.from_bytes(text.encode()[:15].ljust(15, b"."), "big")


USED = (
    used("llm", "Lead enrichment", "5210.25", events=4_210),
    used("llm", "Support triage", "1890.004", events=990),
    used("llm", "", "12.5", events=8),
    used("tool_calls", "Lead enrichment", "640", events=3_200, tool_runs=3_200),
    used("tool_calls", "Support triage", "95.5", events=470, tool_runs=470),
    used("storage", "", "31.337", events=31_337),
)

LINES = (
    line(1, "plan", "Pro, April 2026", 9_900, period_start=END, period_end=NEXT),
    line(
        2,
        "overage",
        "Language models beyond credits",
        4_321,
        quantity=Decimal("2880.666666667"),
        unit="credits",
        unit_price=Decimal("1.5"),
        details={"category": "llm"},
        period_start=START,
        period_end=END,
    ),
    usage_line(3, "llm", 15_624, 7_113),
    usage_line(4, "tool_calls", 11_010, 735),
    usage_line(5, "storage", 94_011, 31),
)


def document(lines: Sequence[Line] = LINES, **more: Any) -> Document:
    """An invoice of a period, issued and open; `more` are fields of the invoice, or of the document."""
    of_document = {
        name: more.pop(name) for name in ("used", "zone", "locale", "corrected", "is_collected") if name in more
    }
    taxes = more.pop("taxes", None) or taxed(lines)
    net, tax = sum(one.amount_minor for one in lines), sum(one.amount_minor for one in taxes)
    given: dict[str, Any] = {
        "kind": "invoice",
        "purpose": "period",
        "status": "issued",
        "currency": "eur",
        "created_at": END,
        "updated_at": ISSUED,
        "series": "INV",
        "number": "INV-000042",
        "period_start": START,
        "period_end": END,
        "issued_at": ISSUED,
        "due_at": DUE,
        "net_minor": net,
        "tax_minor": tax,
        "total_minor": net + tax,
        "taxes": taxes,
        "seller": SELLER,
        "buyer": BUYER,
    }
    invoice = Invoice(WORKSPACE, UUID(int=42), **(given | more))
    return Document(invoice, tuple(lines), **({"used": USED} | of_document))


def reverse_charge(**more: Any) -> Document:
    """To a business in another country, which owes the tax itself."""
    lines = [replace(one, tax_category="AE", tax_rate_ppm=0) for one in LINES]
    return document(lines, **({"taxes": taxed(lines, "FR")} | more))


def outside(**more: Any) -> Document:
    """Of a seller in the United States, not subject to the tax."""
    lines = [replace(one, tax_category="O", tax_rate_ppm=0) for one in LINES]
    seller = Party("Nimbus Inc.", Address("1 Main St", "", "Austin", "78701", "TX"), "US", None, "b@nimbus.example")
    return document(lines, **({"taxes": taxed(lines, "US"), "seller": seller, "currency": "usd"} | more))


def credit_note(**more: Any) -> Document:
    """Of part of an invoice."""
    lines = [line(1, "refund", "Outage of 12 March", 2_500)]
    given = {
        "kind": "credit_note",
        "purpose": "correction",
        "status": "paid",
        "number": "CN-000003",
        "series": "CN",
        "period_start": None,
        "period_end": None,
        "due_at": None,
        "corrects": UUID(int=41),
        "reason": "Outage of 12 March",
        "corrected": Corrected("INV-000041", START),
        "used": (),
    }
    return document(lines, **(given | more))


def long(count: int = 300) -> Document:
    """Many lines, over several pages."""
    lines = [line(place, "custom", f"Service no. {place}", 100 + place) for place in range(1, count + 1)]
    return document(lines, used=())
