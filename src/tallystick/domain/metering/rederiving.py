"""Re-derivation: what a stored event must have cost, from its data and the price version that its charge names.

Which version was in force is not asked again: one that was appended later, dated back, changes no charge (rule M6).
"""

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from tallystick.domain.differences import Figure, figure
from tallystick.domain.metering.charging import PRICED, counters_of
from tallystick.domain.metering.counters import TokenCounters
from tallystick.domain.metering.events import EventData, quantity_of
from tallystick.domain.metering.meters import DIRECT_CHARGE, LLM_TOKENS, PRICED_AS, TOOL_CALL
from tallystick.domain.metering.prices import PriceBook, PriceVersion
from tallystick.domain.metering.pricing import nano_usd
from tallystick.domain.metering.rating import rate_percentage, rate_quantity, rate_tiered, rate_tokens, token_numerator
from tallystick.kernel.credits import NANO, parse_credits
from tallystick.kernel.errors import TallystickError

Quantity = int | Decimal

MEASURED: Final = ("quantity", "tokens_in", "tokens_out", "credits", "tool_runs", "provider_cost")
Measured = tuple[Quantity, int, int, int, int, int | None]
"""The figures of a charge, in the order of `MEASURED`."""

_CACHED_MOST: Final = 100_000
_decode = msgspec.json.Decoder(EventData).decode


class Stored(NamedTuple):
    """What of a stored event decides its charge, and what was charged (nano-credits).

    `version` is the recorded price version's id, as bytes.
    """

    type: str
    meter: str
    data: bytes
    time: dt.datetime
    state: str
    version: bytes | None
    counter_before: Quantity | None
    provider_cost: int | None
    charged: int


class UnknownPriceError(Exception):
    """The recorded price version is not in the book, or can't have priced this event."""


class UnreadableError(Exception):
    """The event's data no longer say what was used."""


class Rerating:
    """Rates stored events again. Amounts that repeat are remembered, so that a million events take seconds."""

    def __init__(self, prices: PriceBook) -> None:
        self._versions = {version.id.bytes: version for version in prices.versions()}
        self._types = {id_: version.type for id_, version in self._versions.items()}
        self._amounts: dict[tuple[bytes, Quantity], int] = {}

    def version(self, id_: bytes | None) -> PriceVersion | None:
        """The price version of this id."""
        return None if id_ is None else self._versions.get(id_)

    def measured(self, stored: Stored) -> Measured:
        """The figures that this event's charge must have. Where the event cannot say, the stored one is taken: what
        a public price made of the provider's cost (the totals hold it too), and a share of it within its rounding.

        Raises `UnknownPriceError` and `UnreadableError`.
        """
        try:
            facts = _decode(stored.data)
            cost = stored.provider_cost if facts.cost is None else nano_usd(facts.cost)
            if stored.meter == LLM_TOKENS:
                counters = counters_of(stored.type, facts)
                tokens_in, tokens_out = counters.tokens_in, counters.tokens_out
                quantity = tokens_in + tokens_out
                amount = self._amount(stored, facts, quantity, counters)
                return quantity, tokens_in, tokens_out, amount, 0, cost
            return self._counted(stored, facts, cost)
        except (TallystickError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UnreadableError(str(error)) from error

    def _counted(self, stored: Stored, facts: EventData, cost: int | None) -> Measured:
        quantity = quantity_of(facts)
        tool_runs = 0
        if stored.meter == TOOL_CALL:
            tool_runs = NANO if quantity == 1 else parse_credits(quantity, field="quantity")
        if stored.meter == DIRECT_CHARGE:
            tool_runs = parse_credits(facts.tool_runs or 0, field="toolRuns")
        amount = self._amount(stored, facts, quantity, None)
        return quantity, 0, 0, amount, tool_runs, None if facts.cost is None else cost

    def _amount(self, stored: Stored, facts: EventData, quantity: Quantity, counters: TokenCounters | None) -> int:
        if stored.meter == DIRECT_CHARGE:
            return parse_credits(quantity, field="quantity")
        if stored.state != PRICED:
            return 0
        if stored.version is None:
            raise UnknownPriceError
        version = self._versions.get(stored.version)
        if version is None or version.valid_from > stored.time:
            raise UnknownPriceError
        if self._types.get(stored.version) not in (stored.meter, PRICED_AS.get(stored.meter)):
            raise UnknownPriceError
        model = version.model
        if model == "tokens" and counters is not None:
            return rate_tokens(token_numerator(version, counters, stored.time))
        if version.is_tiered:
            return rate_tiered(version, stored.counter_before or 0, quantity)
        if model == "percentage":
            return self._share(version, facts, stored)
        return self._by_quantity(stored.version, version, quantity)

    def _by_quantity(self, id_: bytes, version: PriceVersion, quantity: Quantity) -> int:
        key = (id_, quantity)
        amount = self._amounts.get(key)
        if amount is None:
            if len(self._amounts) >= _CACHED_MOST:
                self._amounts.clear()
            amount = self._amounts[key] = rate_quantity(version, quantity)
        return amount

    @staticmethod
    def _share(version: PriceVersion, facts: EventData, stored: Stored) -> int:
        if facts.cost is not None:
            return rate_percentage(version, facts.cost)
        cost = stored.provider_cost
        if cost is None:
            return 0
        # The public price gave the cost unrounded; what is kept of it is rounded to a nano-USD, so the charge is
        # known only to within that rounding.
        lowest = rate_percentage(version, Fraction(max(2 * cost - 1, 0), 2 * NANO))
        highest = rate_percentage(version, Fraction(2 * cost + 1, 2 * NANO))
        return min(max(stored.charged, lowest), highest)


def reversed_figures(original: Measured, tier: PriceVersion | None, before: Quantity | None) -> Measured:
    """What a reversal of these figures must have: all negated; a tiered price is taken back from its end (rule M5)."""
    quantity, tokens_in, tokens_out, charged, tool_runs, cost = original
    amount = -charged if tier is None else rate_tiered(tier, before or 0, -quantity)
    return -quantity, -tokens_in, -tokens_out, amount, -tool_runs, None if cost is None else -cost


class Tiling:
    """The counters of tiered prices: what charges filled must cover each from 0 to its end, each stretch once.

    Every stretch begins where another ended, but the first; ends that found no beginning yet are all that is kept.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, dt.datetime], dict[Quantity, tuple[int, UUID]]] = {}

    def add(self, target: str, start: dt.datetime, before: Quantity, quantity: Quantity, id_: UUID) -> None:
        """Count one charge's stretch, `quantity` long (negative for a reversal)."""
        ends = self._open.setdefault((target, start), {})
        for value, step in ((before, 1), (before + quantity, -1)):
            count = ends.get(value, (0, id_))[0] + step
            if count:
                ends[value] = (count, id_)
            else:
                del ends[value]

    def counters(self) -> set[tuple[str, dt.datetime]]:
        """What was filled: target and start of the billing period."""
        return set(self._open)

    def gaps(self, target: str, start: dt.datetime, stored: Quantity | None) -> list[tuple[UUID | None, Figure]]:
        """Where the stretches leave gaps or overlap, given the counter as it is stored: the charge next to it, if any.

        When all stretches form one run from 0, the counter alone may be wrong.
        """
        loose = self._open.get((target, start), {})
        begins = sorted(value for value, (count, _) in loose.items() if count > 0)
        ends = sorted(value for value, (count, _) in loose.items() if count < 0)
        if begins in ([], [0]) and len(ends) == len(begins):
            end = ends[0] if ends else 0
            return [] if end == (stored or 0) else [(None, figure("quantity", end, stored))]
        return [
            (loose[value][1], figure("counter_before", ends[0] if ends else None, value))
            for value in begins
            if value or loose[value][0] > 1
        ]
