"""What a run came to, and taking it back (rows D5, E2; rule M11)."""

import asyncio
from fractions import Fraction
from typing import cast
from uuid import UUID

from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.metering.prices import BEGINNING
from tallystick.domain.runs.booked import Quantity
from tallystick.domain.runs.derivations import Counted, Derivation, decimal_text
from tallystick.domain.runs.receipts import ChargeLine, Item, LineItem, Receipt, Span
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.flows import refunds
from tallystick.kernel.credits import NANO
from tallystick.queries import receipts
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import Guard, requires
from tallystick.wire import receipts as wire
from tallystick.wire.amounts import Credits, encode

ROUTES = Routes("Receipts")

_OPERATOR_IN_WORKSPACE = Guard("operator", in_workspace=True)


@ROUTES.get(
    "/v1/runs/{run}/receipt",
    requires(BILLING_READ),
    answers={200: wire.ReceiptAnswer},
    errors=("invalidText", "runNotFound", "tooManyCharges"),
)
async def get_receipt(call: Call, run: str) -> Reply:
    """What a run came to: every charge in its span, the price version that made it, and sums by line item."""
    receipt, names = await receipts.receipt(
        call.runtime.database,
        call.workspace_id,
        check_text(run, field="run"),
        charges_max=call.runtime.settings.receipt_charges_max,
        resolve=call.runtime.models.resolve,
    )
    # Megabytes for a long run, which others need not wait for.
    return Reply(await asyncio.to_thread(_encoded, receipt, names))


@ROUTES.post(
    "/v1/runs/{run}/refund",
    _OPERATOR_IN_WORKSPACE,
    status=200,
    idempotent=True,
    errors=("alreadyCorrected", "invalidText", "runNotFound"),
)
async def refund_run(call: Call, run: str, body: wire.RefundRun) -> wire.RefundAnswer:
    """Take back everything that a run was charged and that still stands, line by line, on the record."""
    named = check_text(run, field="run")
    reason = check_text(body.reason, field="reason", longest=LONGEST_DESCRIPTION)
    done = await refunds.refund(
        call.runtime.database,
        named,
        workspace_id=call.workspace_id,
        reason=reason,
        catalogs=call.runtime.catalogs,
        hourly_days=call.runtime.settings.hourly_rollup_days,
        request=call.request_key(call.workspace_id, {"run": named, "reason": reason}),
        now=call.now,
        ids=call.ids,
        actor=call.principal.actor,
    )
    return wire.RefundAnswer(
        refund=wire.Refund(
            run=named,
            charges=done.charges,
            credits=Credits(done.credits),
            tool_runs=Credits(done.tool_runs),
            reason=reason,
        )
    )


def _encoded(receipt: Receipt, names: dict[str, str]) -> bytes:
    return encode(wire.ReceiptAnswer(receipt=on_wire(receipt, names)))


def on_wire(receipt: Receipt, names: dict[str, str]) -> wire.Receipt:
    sums = receipt.sums
    return wire.Receipt(
        run=receipt.run,
        started_at=receipt.started_at,
        finished_at=receipt.finished_at,
        totals=wire.ReceiptTotals(
            credits=Credits(sums.credits),
            tool_runs=Credits(sums.tool_runs),
            provider_cost=_known(sums.provider_cost),
            charges=sums.charges,
            corrections=Credits(sums.corrections),
            overdrawn=receipt.overdrawn,
            over_budget=receipt.over_budget,
            unpriced=receipt.unpriced,
            waived=receipt.waived,
        ),
        lines=[_line(line) for line in receipt.lines],
        span=_span(receipt.root),
        prices=[
            wire.ReceiptPrice(
                uuid=version.id,
                target=version.target,
                valid_from=None if version.valid_from == BEGINNING else version.valid_from,
                model=version.model,
                rates=dict(rates),
                origin=version.origin,
                source=version.source,
            )
            for version, rates in receipt.prices
        ],
        names=names,
    )


def _line(line: LineItem) -> wire.ReceiptLine:
    sums = line.sums
    return wire.ReceiptLine(
        category=line.category,
        quantity=_quantity(sums.quantity),
        credits=Credits(sums.credits),
        tool_runs=Credits(sums.tool_runs),
        provider_cost=_known(sums.provider_cost),
        charges=sums.charges,
        corrections=Credits(sums.corrections),
        items=[_item(item) for item in line.items.values()],
    )


def _item(item: Item) -> wire.ReceiptItem:
    sums = item.sums
    return wire.ReceiptItem(
        name=item.name,
        quantity=_quantity(sums.quantity),
        input_tokens=sums.tokens_in,
        output_tokens=sums.tokens_out,
        credits=Credits(sums.credits),
        tool_runs=Credits(sums.tool_runs),
        provider_cost=_known(sums.provider_cost),
        charges=sums.charges,
        corrections=Credits(sums.corrections),
        counters=[_counter(one, version_id) for version_id, one in item.counted()],
        exact=_exact(item.exact),
        rounding=_rounding(sums.credits, item.exact),
    )


def _span(span: Span) -> wire.ReceiptSpan:
    every = [line.row for line in span.every_charge()]
    times = [row.used_at for row in every]
    return wire.ReceiptSpan(
        kind=cast(wire.SpanKind, span.kind),
        name=span.name,
        credits=Credits(sum(row.credits for row in every)),
        tool_runs=Credits(sum(row.tool_runs for row in every)),
        started_at=min(times, default=None),
        finished_at=max(times, default=None),
        spans=[_span(inner) for inner in span.spans],
        charges=[_charge(line) for line in span.charges],
    )


def _charge(line: ChargeLine) -> wire.ReceiptCharge:
    row = line.row
    return wire.ReceiptCharge(
        uuid=row.id,
        kind=cast(wire.ChargeKind, line.kind),
        type=row.type,
        source=row.source,
        id=row.source_id,
        category=row.category,
        slug=row.slug,
        status=row.status,
        used_at=row.used_at,
        booked_at=row.booked_at,
        language_model=row.language_model,
        integration=row.integration,
        action=row.facts.action,
        quantity=_quantity(row.quantity),
        input_tokens=row.tokens_in,
        output_tokens=row.tokens_out,
        credits=Credits(row.credits),
        tool_runs=Credits(row.tool_runs),
        provider_cost=_known(row.provider_cost),
        state=cast(wire.ChargeState, row.state),
        price_version_uuid=row.price_version_id,
        calculation=None if line.derivation is None else _calculation(line, line.derivation),
        overdrawn=row.overdrawn,
        over_budget=row.over_budget,
        reverses=row.reverses,
        adjusts=row.adjusts,
    )


def _calculation(line: ChargeLine, found: Derivation) -> wire.Calculation:
    version_id = line.version.id if line.version else None
    return wire.Calculation(
        model=found.model,
        counters=[_counter(one, version_id) for one in found.counters if version_id is not None],
        before=None if found.before is None else _quantity(found.before),
        after=None if found.after is None else _quantity(found.after),
        owed_before=_known(found.owed_before),
        owed_after=_known(found.owed_after),
        cost=None if found.cost is None else decimal_text(found.cost),
        cost_price_uuid=found.cost_price.id if found.cost_price else None,
        exact=_exact(found.exact),
        rounding=_rounding(line.row.credits, found.exact),
    )


def _counter(one: Counted, version_id: UUID) -> wire.ReceiptCounter:
    return wire.ReceiptCounter(
        counter=one.counter,
        count=one.count,
        credits_per_million=Credits(one.rate),
        price_version_uuid=version_id,
        credits=decimal_text(one.exact / NANO),
    )


def _known(nano: int | None) -> Credits | None:
    return None if nano is None else Credits(nano)


def _quantity(quantity: Quantity) -> Credits:
    if isinstance(quantity, int):
        return Credits(quantity * NANO)
    return Credits(int(Fraction(quantity) * NANO))


def _exact(nano: Fraction | None) -> str | None:
    return None if nano is None else decimal_text(nano / NANO)


def _rounding(charged: int, nano: Fraction | None) -> str | None:
    return None if nano is None else decimal_text((charged - nano) / NANO)
