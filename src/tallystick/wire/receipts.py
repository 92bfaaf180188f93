"""Receipts and refunds of runs on the wire.

Amounts before rounding are text: a decimal in plain digits, or `a/b` where no decimal ends.
"""

import datetime as dt
from typing import Any, Literal
from uuid import UUID

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Wire

ChargeKind = Literal["charge", "adjustment", "reversal"]
SpanKind = Literal["batch", "run", "node", "agent"]
ChargeState = Literal["priced", "unpriced", "waived", "direct"]


class ReceiptCounter(Wire):
    """`count` × `creditsPerMillion` / 1,000,000 = `credits`, unrounded."""

    counter: str
    count: int
    credits_per_million: Credits
    price_version_uuid: UUID
    credits: str


class Calculation(Wire):
    """How a charge came about. `exact` is in credits before rounding, `rounding` what rounding added to it.

    Tokens: the sum of `counters`. Tiered prices: `owedAfter` - `owedBefore`, which are the price's sums for `after`
    and `before` units of the billing period. Percentages: of `cost` in USD, by the price `costPriceUuid` where it was
    not reported. `exact` is null where the event alone can't say.
    """

    model: str
    counters: list[ReceiptCounter]
    before: Credits | None
    after: Credits | None
    owed_before: Credits | None
    owed_after: Credits | None
    cost: str | None
    cost_price_uuid: UUID | None
    exact: str | None
    rounding: str | None


class ReceiptCharge(Wire):
    """One booked event. `reverses` and `adjusts` name the charge that it takes back, or prices later.

    `providerCost` is in USD; `state` `unpriced` has no price yet, `waived` went through the workspace's own key.
    """

    uuid: UUID
    kind: ChargeKind
    type: str
    source: str
    id: str
    category: str
    slug: str
    status: str | None
    used_at: dt.datetime
    booked_at: dt.datetime
    language_model: str | None
    integration: str | None
    action: str | None
    quantity: Credits
    input_tokens: int
    output_tokens: int
    credits: Credits
    tool_runs: Credits
    provider_cost: Credits | None
    state: ChargeState
    price_version_uuid: UUID | None
    calculation: Calculation | None
    overdrawn: bool
    over_budget: bool
    reverses: UUID | None
    adjusts: UUID | None


class ReceiptSpan(Wire):
    """A batch, run, node or agent; sums are over everything inside, `charges` those of no inner span."""

    kind: SpanKind
    name: str
    credits: Credits
    tool_runs: Credits
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    spans: "list[ReceiptSpan]"
    charges: list[ReceiptCharge]


class ReceiptItem(Wire):
    """A language model, an integration, or a slug; `corrections` are the credits of late prices and reversals in it."""

    name: str
    quantity: Credits
    input_tokens: int
    output_tokens: int
    credits: Credits
    tool_runs: Credits
    provider_cost: Credits | None
    charges: int
    corrections: Credits
    counters: list[ReceiptCounter]
    exact: str | None
    rounding: str | None


class ReceiptLine(Wire):
    """A line item: `llm`, `tool_calls` and `storage` always, others where there is something."""

    category: str
    quantity: Credits
    credits: Credits
    tool_runs: Credits
    provider_cost: Credits | None
    charges: int
    corrections: Credits
    items: list[ReceiptItem]


class ReceiptPrice(Wire):
    """A price version that charges name, with its rates as far as they were used; `validFrom` null: always."""

    uuid: UUID
    target: str
    valid_from: dt.datetime | None
    model: str
    rates: dict[str, Any]
    origin: str
    source: str


class ReceiptTotals(Wire):
    """Σ over every charge; the last four count charges that carry the flag, unpriced ones still without a price."""

    credits: Credits
    tool_runs: Credits
    provider_cost: Credits | None
    charges: int
    corrections: Credits
    overdrawn: int
    over_budget: int
    unpriced: int
    waived: int


class Receipt(Wire):
    """`names` says what workflows, agents, connectors, tools and nodes are called, by uuid."""

    run: str
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    totals: ReceiptTotals
    lines: list[ReceiptLine]
    span: ReceiptSpan
    prices: list[ReceiptPrice]
    names: dict[str, str]


class ReceiptAnswer(Wire):
    receipt: Receipt


class RefundRun(Wire, forbid_unknown_fields=True):
    """Why; it stays on the record."""

    reason: str


class Refund(Wire):
    """What was taken back: how many charges, and what they came to. Nothing where all of it was before."""

    run: str
    charges: int
    credits: Credits
    tool_runs: Credits
    reason: str


class RefundAnswer(Wire):
    refund: Refund
