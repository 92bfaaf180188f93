"""Receipts: what one run came to, charge by charge, each with its price version and its arithmetic (rows D5, E2).

Nothing is computed anew: amounts are those that were booked, and sums are over all of them, so a receipt's total is the
run's share of the ledger. What was taken back or priced later stands beside what it belongs to, as a line of its own.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from tallystick.domain.metering.meters import CATEGORIES, UNKNOWN
from tallystick.domain.metering.prices import PriceVersion
from tallystick.domain.metering.rates import FALLBACK
from tallystick.domain.runs.booked import Booked, Quantity, uses_of
from tallystick.domain.runs.derivations import Counted, Derivation, derive

ALWAYS: Final = ("llm", "tool_calls", "storage")
"""Line items that every receipt has, also at 0 (rule M9)."""

CHARGE: Final = "charge"
REVERSAL: Final = "reversal"
ADJUSTMENT: Final = "adjustment"


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """One booked row. `kind` is `charge`, `adjustment` (a late price) or `reversal` (taken back)."""

    row: Booked
    kind: str
    version: PriceVersion | None
    derivation: Derivation | None


@dataclass(slots=True)
class Span:
    """A batch, the run, a node or an agent, with what was charged inside it, in order of time."""

    kind: str
    name: str
    spans: "list[Span]" = field(default_factory=list)
    charges: list[ChargeLine] = field(default_factory=list)

    def every_charge(self) -> list[ChargeLine]:
        """Those of the spans inside, too."""
        return [*self.charges, *(line for span in self.spans for line in span.every_charge())]


@dataclass(slots=True)
class Sums:
    """Sums over booked rows: nano-units, provider cost in nano-USD (None: not known of any), and counts of rows."""

    credits: int = 0
    tool_runs: int = 0
    provider_cost: int | None = None
    quantity: Quantity = 0
    tokens_in: int = 0
    tokens_out: int = 0
    charges: int = 0
    corrections: int = 0

    def add(self, row: Booked) -> None:
        self.credits += row.credits
        self.tool_runs += row.tool_runs
        if row.provider_cost is not None:
            self.provider_cost = (self.provider_cost or 0) + row.provider_cost
        if row.adjusts is None:
            # A late price has the quantity of its event, which was counted when it was reported.
            self.quantity += row.quantity
        self.tokens_in += row.tokens_in
        self.tokens_out += row.tokens_out
        self.charges += 1
        if row.reverses is not None or row.adjusts is not None:
            self.corrections += row.credits


@dataclass(slots=True)
class Item:
    """A part of a line item: a language model, an integration, or what else its slug names.

    `counters` sums the counts that have one rate of one price version. `exact` is in nano-credits before rounding, None
    where it is not known of every charge.
    """

    name: str
    sums: Sums = field(default_factory=Sums)
    counters: dict[tuple[UUID, str, int], int] = field(default_factory=dict)
    exact: Fraction | None = Fraction(0)

    def add(self, line: ChargeLine) -> None:
        self.sums.add(line.row)
        found = line.derivation
        if found is None:
            if line.row.credits:
                self.exact = None
            return
        if self.exact is not None:
            self.exact = None if found.exact is None else self.exact + found.exact
        if line.version is not None:
            for one in found.counters:
                key = (line.version.id, one.counter, one.rate)
                self.counters[key] = self.counters.get(key, 0) + one.count

    def counted(self) -> list[tuple[UUID, Counted]]:
        """The sums by price version, counter and rate; what was taken back whole is left out."""
        return [(id_, Counted(name, count, rate)) for (id_, name, rate), count in self.counters.items() if count]


@dataclass(slots=True)
class LineItem:
    """A category of charges (rule M9) and its parts, by name."""

    category: str
    sums: Sums = field(default_factory=Sums)
    items: dict[str, Item] = field(default_factory=dict)

    def add(self, line: ChargeLine) -> None:
        self.sums.add(line.row)
        name = _item_name(line.row)
        self.items.setdefault(name, Item(name)).add(line)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a run came to. `prices` are the versions that its charges name; flags count the charges that carry them."""

    run: str
    lines: tuple[LineItem, ...]
    root: Span
    sums: Sums
    prices: tuple[tuple[PriceVersion, Mapping[str, Any]], ...]
    overdrawn: int
    over_budget: int
    unpriced: int
    waived: int
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


def receipt_of(
    run: str,
    rows: Iterable[Booked],
    versions: Mapping[UUID, PriceVersion],
    public: Mapping[tuple[str, str | None], Sequence[PriceVersion]] | None = None,
) -> Receipt:
    """The receipt over all rows that were booked for a run; `versions` are those that they name, by id.

    `public` are public prices by (model, integration) as reported, for percentages of a cost that nobody reported.
    """
    uses = uses_of(rows)
    lines = {category: LineItem(category) for category in ALWAYS}
    trunk = Span("run", run)
    total = Sums()
    seen: dict[UUID, set[str]] = {}
    for used in uses:
        place = _place(used.event, trunk)
        for row in used.every:
            line = _charge_line(row, used.event, versions, public or {})
            place.charges.append(line)
            lines.setdefault(row.category, LineItem(row.category)).add(line)
            total.add(row)
            _see(line, seen)
    batch = next((used.event.facts.batch for used in uses if used.event.facts.batch), None)
    times = [used.event.used_at for used in uses]
    return Receipt(
        run=run,
        lines=tuple(line for line in _in_order(lines) if line.category in ALWAYS or line.sums.charges),
        root=trunk if batch is None else Span("batch", batch, [trunk]),
        sums=total,
        prices=tuple((versions[id_], used_rates(versions[id_], names)) for id_, names in seen.items()),
        overdrawn=sum(row.overdrawn for used in uses for row in used.every),
        over_budget=sum(row.over_budget for used in uses for row in used.every),
        unpriced=sum(used.is_unpriced for used in uses),
        waived=sum(used.event.state == "waived" and not used.is_taken_back for used in uses),
        started_at=min(times, default=None),
        finished_at=max(times, default=None),
    )


def used_rates(version: PriceVersion, counters: Iterable[str]) -> Mapping[str, Any]:
    """The version's rates as far as they were used: of a price by tokens those of `counters`, and what these fall back
    on; how a public price became credits is left out, since it tells the operator's markup."""
    rates = {name: value for name, value in version.rates.items() if name != "cost"}
    if version.model != "tokens":
        return rates
    wanted = set(counters)
    for name in tuple(wanted):
        while name in FALLBACK:
            name = FALLBACK[name]
            wanted.add(name)
    narrowed = _narrowed(rates, wanted)
    if "schedule" in rates:
        narrowed["schedule"] = [_narrowed(window, wanted) for window in rates["schedule"]]
    return narrowed


def _narrowed(table: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in table.items():
        if name in ("perMillion", "perThousand"):
            kept[name] = {counter: amount for counter, amount in value.items() if counter in wanted}
        elif name == "above":
            kept[name] = [_narrowed(band, wanted) for band in value]
        elif name != "schedule":
            kept[name] = value
    return kept


def _charge_line(
    row: Booked,
    original: Booked,
    versions: Mapping[UUID, PriceVersion],
    public: Mapping[tuple[str, str | None], Sequence[PriceVersion]],
) -> ChargeLine:
    kind = REVERSAL if row.reverses is not None else ADJUSTMENT if row.adjusts is not None else CHARGE
    version = versions.get(row.price_version_id) if row.price_version_id else None
    named = public.get((original.language_model or "", original.integration), ())
    return ChargeLine(row, kind, version, derive(row, original, version, named))


def _see(line: ChargeLine, seen: dict[UUID, set[str]]) -> None:
    """Note which rates of which versions were used."""
    if line.version is not None:
        names = seen.setdefault(line.version.id, set())
        if line.derivation is not None:
            names.update(one.counter for one in line.derivation.counters)


def _place(event: Booked, trunk: Span) -> Span:
    """The innermost span that the event names: in the run the node, in it the agent."""
    place = trunk
    for kind, name in (("node", event.facts.node), ("agent", event.facts.agent)):
        if name:
            place = _inside(place, kind, name)
    return place


def _inside(span: Span, kind: str, name: str) -> Span:
    for inner in span.spans:
        if inner.kind == kind and inner.name == name:
            return inner
    made = Span(kind, name)
    span.spans.append(made)
    return made


def _item_name(row: Booked) -> str:
    if row.category == "llm":
        return row.language_model or UNKNOWN
    if row.category == "tool_calls":
        return row.integration or UNKNOWN
    return row.slug


def _in_order(lines: Mapping[str, LineItem]) -> list[LineItem]:
    known = [lines[category] for category in CATEGORIES if category in lines]
    return [*known, *(line for category, line in lines.items() if category not in CATEGORIES)]
