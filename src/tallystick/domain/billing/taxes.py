"""Taxes on an invoice: who charges which rate, and why none where there is none (row D6).

What we sell is one kind of thing, a service supplied electronically, so all lines of an invoice are taxed alike and it
only matters who sells to whom, and when. A `TaxService` decides that; the one that ships is a table of rates by
country. Tax is rounded once for each rate over the sum of its lines, as EN 16931 has it, so that what is shown adds up.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, Protocol

from tallystick.domain.billing.invoices import Line, Party, Tax
from tallystick.domain.billing.money import PPM, round_half_up
from tallystick.domain.billing.tax_ids import EU, tax_id_country

STANDARD: Final = "S"
REVERSE_CHARGE: Final = "AE"
OUT_OF_SCOPE: Final = "O"

REASONS: Final = {
    "reverseCharge": "Reverse charge: VAT is due by the recipient (Article 196 of Directive 2006/112/EC).",
    "recipient": "The tax is due by the recipient.",
    "abroad": "Not subject to the seller's tax: the place of supply is in the buyer's country.",
    "none": "No sales tax or VAT is charged by the seller.",
}
"""Why nothing is charged, as an invoice says it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A country's standard rate in parts per million, from a day on; `name` is what the tax is called there."""

    country: str
    name: str
    ppm: int
    since: dt.date = dt.date.min


@dataclass(frozen=True, slots=True)
class Treatment:
    """How all of an invoice is taxed: a category of EN 16931, the rate, and the reason where nothing is charged."""

    category: str
    ppm: int
    country: str
    name: str = ""
    reason: str = ""


class TaxService(Protocol):
    """Decides about taxes. It is asked within a transaction, so one that asks others has to have asked before."""

    def tax(
        self, lines: Sequence[Line], seller: Party, buyer: Party, *, at: dt.datetime
    ) -> tuple[tuple[Line, ...], tuple[Tax, ...]]:
        """The lines with category and rate, and the rows of the breakdown. Lines with a category keep theirs."""


@dataclass(frozen=True, slots=True)
class RateTable:
    """The shipped service: rates by country. `registered` are countries in which the seller charges beside its own."""

    rates: Mapping[str, Sequence[Rate]] = field(default_factory=dict)
    registered: frozenset[str] = frozenset()

    def tax(
        self, lines: Sequence[Line], seller: Party, buyer: Party, *, at: dt.datetime
    ) -> tuple[tuple[Line, ...], tuple[Tax, ...]]:
        """See `TaxService`."""
        treatment = self.treatment(seller, buyer, at=at)
        taxed = tuple(
            line if line.tax_category else replace(line, tax_category=treatment.category, tax_rate_ppm=treatment.ppm)
            for line in lines
        )
        return taxed, breakdown(taxed, treatment)

    def treatment(self, seller: Party, buyer: Party, *, at: dt.datetime) -> Treatment:
        """How a sale is taxed.

        At home the country's rate, whoever buys. Inside the EU a business with a tax id of another member state owes
        the tax itself (reverse charge); everybody else there is charged the rate of their country where the seller is
        registered in it, else the seller's. Elsewhere nothing is charged unless the seller is registered there, and
        then only who is no business. Where the buyer is is not known, they are taken to be at home.
        """
        home = seller.country.upper()
        there = (buyer.country or home).upper()
        proven = tax_id_country(buyer.tax_id, there)
        if there == home:
            return self._charge(home, at)
        if home in EU and there in EU:
            if proven in EU and proven != home:
                return Treatment(REVERSE_CHARGE, 0, there, self._name(there, at), REASONS["reverseCharge"])
            return self._charge(there if there in self.registered else home, at)
        if there in self.registered and self.rate(there, at) is not None:
            if proven is not None:
                return Treatment(OUT_OF_SCOPE, 0, there, self._name(there, at), REASONS["recipient"])
            return self._charge(there, at)
        reason = REASONS["abroad"] if self.rate(home, at) is not None else REASONS["none"]
        return Treatment(OUT_OF_SCOPE, 0, there, self._name(there, at), reason)

    def rate(self, country: str, at: dt.datetime) -> Rate | None:
        """The rate in force in a country on the day of an instant, None where there is none."""
        known = [rate for rate in self.rates.get(country, ()) if rate.since <= at.date()]
        return max(known, key=lambda rate: rate.since, default=None)

    def _charge(self, country: str, at: dt.datetime) -> Treatment:
        rate = self.rate(country, at)
        if rate is None or not rate.ppm:
            return Treatment(OUT_OF_SCOPE, 0, country, "" if rate is None else rate.name, REASONS["none"])
        return Treatment(STANDARD, rate.ppm, country, rate.name)

    def _name(self, country: str, at: dt.datetime) -> str:
        rate = self.rate(country, at)
        return rate.name if rate else ""


def breakdown(lines: Sequence[Line], treatment: Treatment) -> tuple[Tax, ...]:
    """One row for each category and rate, the largest rate first; its tax is rounded once over the sum of its bases."""
    bases: dict[tuple[str, int], int] = {}
    for line in lines:
        key = line.tax_category, line.tax_rate_ppm
        bases[key] = bases.get(key, 0) + line.amount_minor
    return tuple(
        Tax(
            category=category,
            rate_ppm=ppm,
            base_minor=base,
            amount_minor=round_half_up(base * ppm, PPM),
            country=treatment.country,
            name=treatment.name,
            reason="" if category == STANDARD else treatment.reason or REASONS["none"],
        )
        for (category, ppm), base in sorted(bases.items(), key=lambda item: (-item[0][1], item[0][0]))
    )


def read_rates(table: Mapping[str, object]) -> dict[str, tuple[Rate, ...]]:
    """Rates of a table by country, as TOML gives it: `DE = {name = "USt", rates = [{percent = "19"}]}`.

    A rate may have `since`, a date; `percent` is a decimal text with at most four decimals. Raises `ValueError` naming
    the country.
    """
    found: dict[str, tuple[Rate, ...]] = {}
    for country, entry in table.items():
        try:
            found[_country(country)] = tuple(_rate(country, entry, one) for one in _rates(entry))
        except (AttributeError, TypeError, KeyError, ArithmeticError, ValueError) as error:
            raise ValueError(f"the tax rates of {country} can't be read: {error}") from error
    return found


def _country(text: str) -> str:
    if len(text) != 2 or not text.isascii() or not text.isalpha() or not text.isupper():
        raise ValueError("a country has two capital letters")
    return text


def _rates(entry: object) -> list[Mapping[str, object]]:
    if not isinstance(entry, dict) or not isinstance(entry.get("rates"), list):
        raise TypeError("a country needs `name` and a list `rates`")
    return list(entry["rates"])


def _rate(country: str, entry: object, one: Mapping[str, object]) -> Rate:
    name = entry.get("name", "VAT") if isinstance(entry, dict) else "VAT"
    since = one.get("since", dt.date.min)
    if not isinstance(since, dt.date) or isinstance(since, dt.datetime):
        raise TypeError("`since` must be a date")
    percent = one["percent"]
    if not isinstance(percent, str | int):
        raise TypeError("`percent` must be a text")
    ppm = Decimal(percent) * (PPM // 100)
    if ppm != ppm.to_integral_value() or not 0 <= ppm <= PPM:
        raise ValueError("`percent` lies between 0 and 100 and has at most four decimals")
    return Rate(country, str(name), int(ppm), since)
