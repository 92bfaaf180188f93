"""Charging: one rated line item for each usage event, and the reversal that takes one back (rules M3, M6 to M10)."""

import datetime as dt
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from tallystick.domain.credits.holds import Cover, Scope
from tallystick.domain.metering.attribution import Attribution
from tallystick.domain.metering.counters import TokenCounters, disjoint
from tallystick.domain.metering.events import LITELLM, EventData, UsageEvent, quantity_of
from tallystick.domain.metering.meters import DIRECT_CHARGE, LLM_TOKENS, TOOL_CALL
from tallystick.domain.metering.prices import PriceBook, PriceVersion
from tallystick.domain.metering.pricing import Use, amount, provider_cost, version_for
from tallystick.domain.metering.rating import rate_tiered
from tallystick.kernel.credits import parse_credits
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import uuid_of

PRICED: Final = "priced"
UNPRICED: Final = "unpriced"
WAIVED: Final = "waived"
DIRECT: Final = "direct"


class Charge(msgspec.Struct, eq=False, gc=False):
    """One event's line item. Amounts in nano-units, provider cost in nano-USD.

    `tier` is set where a tiered price must still be applied, once its counter is locked; `settles` where it is booked
    by settling a hold, what that has left. `run` and `api_key` are those of the usage, also on what takes it back.
    """

    event: UsageEvent
    attribution: Attribution
    quantity: int | Decimal
    used_at: dt.datetime
    tokens_in: int = 0
    tokens_out: int = 0
    credits: int = 0
    tool_runs: int = 0
    provider_cost: int | None = None
    state: str = PRICED
    price_version_id: UUID | None = None
    tier: PriceVersion | None = None
    counter_before: int | Decimal | None = None
    number: int = 0
    overdrawn: bool = False
    over_budget: bool = False
    covered_by: UUID | None = None
    reverses: UUID | None = None
    adjusts: UUID | None = None
    run: str | None = None
    api_key: str | None = None
    settles: Cover | None = None

    @property
    def id(self) -> UUID:
        """The id of its row. It is kept as a number: most are only ever written."""
        return uuid_of(self.number)

    @property
    def scope(self) -> Scope:
        """What budgets go by."""
        d = self.attribution.dimensions
        return Scope(self.run, d.project_id, d.user_id, d.workflow_id, d.agent_id, self.api_key)

    def apply_tier(self, before: int | Decimal) -> int | Decimal:
        """Rate against the counter as it stands; the counter after it (rule M5). A reversal takes back from its end."""
        if self.tier is None:
            raise AssertionError("not a tiered charge")
        self.counter_before = before
        self.credits = rate_tiered(self.tier, before, self.quantity)
        return before + self.quantity


def charge_for(event: UsageEvent, attribution: Attribution, prices: PriceBook) -> Charge:
    """Rate one event by the version in force at its time (rule M2); an unknown price is `unpriced`, never a refusal.

    Raises `invalidCounters`, `invalidQuantity`, `invalidAmount` or `amountTooLarge`.
    """
    kind = attribution.meter.type
    facts = event.facts
    if kind == LLM_TOKENS:
        counters = counters_of(event.type, facts)
        tokens_in, tokens_out = counters.tokens_in, counters.tokens_out
        use = Use(attribution.tariff(prices), event.time, tokens_in + tokens_out, counters, facts.cost)
        cost = provider_cost(use)
        charge = Charge(event, attribution, use.quantity, event.time, tokens_in, tokens_out, provider_cost=cost)
    else:
        use = Use(attribution.tariff(prices), event.time, quantity_of(facts), cost=facts.cost)
        charge = Charge(event, attribution, use.quantity, event.time, provider_cost=provider_cost(use))
    if kind == TOOL_CALL:
        charge.tool_runs = parse_credits(use.quantity, field="quantity")
    charge.run = facts.run or None
    charge.api_key = facts.api_key or None
    if kind == DIRECT_CHARGE:
        charge.state = DIRECT
        charge.tool_runs = parse_credits(facts.tool_runs or 0, field="toolRuns")
        charge.credits = parse_credits(use.quantity, field="quantity")
    elif attribution.waived:
        charge.state = WAIVED
    else:
        _price(charge, version_for(use), use)
    return charge


def _price(charge: Charge, version: PriceVersion | None, use: Use) -> None:
    """Put a version's price on a charge; a tiered one waits for its counter."""
    if version is None:
        charge.state = UNPRICED
        return
    charge.price_version_id = version.id
    if version.is_tiered:
        charge.tier = version
    else:
        charge.credits = amount(version, use)


def counters_of(type_: str, facts: EventData) -> TokenCounters:
    """The disjoint counters of a language-model call, LiteLLM's names included. Raises `invalidCounters`."""
    if type_ == LITELLM:
        return _litellm_counters(facts)
    return disjoint(
        facts.input_tokens or 0,
        facts.output_tokens or 0,
        cached=facts.cached_input_tokens or 0,
        cache_write=facts.cache_write_tokens or 0,
        cache_write_1h=facts.cache_write1h_tokens or 0,
        audio_input=facts.audio_input_tokens or 0,
        image_input=facts.image_input_tokens or 0,
        reasoning=facts.reasoning_tokens or 0,
        audio_output=facts.audio_output_tokens or 0,
        requests=1 if facts.requests is None else facts.requests,
        searches=facts.searches or 0,
    )


def _litellm_counters(facts: EventData) -> TokenCounters:
    prompt, completion = facts.prompt_tokens or 0, facts.completion_tokens
    if completion is None:
        completion = max((facts.total_tokens or 0) - prompt, 0)
    if facts.total_tokens not in (None, prompt + completion):
        raise TallystickError(
            "invalidCounters",
            "total_tokens must be the sum of prompt_tokens and completion_tokens.",
            figures={"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": facts.total_tokens},
        )
    return disjoint(prompt, completion)


def reversal_of(original: Charge, event: UsageEvent) -> Charge:
    """The charge that takes `original` back, booked now and shown on the day of use; `event` is what asks for it."""
    return msgspec.structs.replace(
        original,
        event=event,
        quantity=-original.quantity,
        tokens_in=-original.tokens_in,
        tokens_out=-original.tokens_out,
        credits=-original.credits,
        tool_runs=-original.tool_runs,
        provider_cost=None if original.provider_cost is None else -original.provider_cost,
        counter_before=None,
        overdrawn=False,
        over_budget=False,
        reverses=original.id,
    )
