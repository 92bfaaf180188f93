"""What work will cost, and what it would have cost otherwise (rows A11, A12)."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from tallystick.domain.credits.balances import Shown
from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS
from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.metering.metrics import Range, parse_range, parse_uuid
from tallystick.domain.metering.prices import PriceBook
from tallystick.domain.runs import estimates, simulation
from tallystick.flows import due
from tallystick.kernel.errors import TallystickError
from tallystick.queries import balances, past_runs, simulations
from tallystick.queries.past_runs import Past, Samples
from tallystick.settings import Settings
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import estimates as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Estimates")

_DAY: Final = dt.timedelta(days=1)
_NAMES: Final = {
    "language_model": "languageModel",
    "max_steps": "maxSteps",
    "filter_node": "filterNode",
    "no_fallback": "noFallback",
}


@ROUTES.get(
    "/v1/estimates",
    requires(BILLING_READ),
    errors=("invalidDate", "invalidQuantity", "invalidRange", "invalidUuid", "rangeTooLong"),
)
async def get_estimate(call: Call, query: wire.EstimateQuery) -> wire.EstimateAnswer:
    """What past runs came to each, and with `records` what so many more will, compared with the balances."""
    settings = call.runtime.settings
    chosen: Past | Sequence[str] = query.runs
    if not query.runs:
        since, until = _range(query.from_, query.to, settings, call.now)
        chosen = Past(
            since,
            until,
            workflow_id=parse_uuid(query.workflow_uuid, "workflowUuid"),
            agent_id=parse_uuid(query.agent_uuid, "agentUuid"),
        )
    found = await past_runs.samples(
        call.runtime.database, call.workspace_id, chosen, runs_max=settings.estimate_runs_max, now=call.now
    )
    return wire.EstimateAnswer(
        samples=len(found.credits),
        credits=_spread(found.credits),
        tool_runs=_spread(found.tool_runs),
        projection=None if query.records is None else await _projection(call, found, query.records),
    )


@ROUTES.post(
    "/v1/simulations",
    requires(BILLING_READ),
    status=200,
    errors=(
        "invalidDate",
        "invalidRange",
        "invalidUuid",
        "nodeNotFound",
        "rangeTooLong",
        "runNotFound",
        "tooManyCharges",
        "unknownLanguageModel",
    ),
)
async def simulate(call: Call, body: wire.Simulate) -> wire.SimulationAnswer:
    """What past runs would have cost under another model, fewer steps, an earlier filter, no fallback."""
    runtime, settings = call.runtime, call.runtime.settings

    async def prices(conn: object) -> PriceBook:
        return (await runtime.catalogs.current(conn)).prices  # type: ignore[arg-type]

    levers = simulation.Levers(
        body.levers.language_model, body.levers.max_steps, body.levers.filter_node, body.levers.no_fallback
    )
    found = await simulations.simulation(
        runtime.database,
        call.workspace_id,
        _chosen(body, settings, call.now),
        levers,
        prices=prices,
        resolve=runtime.models.resolve,
        charges_max=settings.simulation_charges_max,
        now=call.now,
    )
    outcome = found.outcome
    return wire.SimulationAnswer(
        simulation=wire.Simulation(
            runs=found.runs,
            charges=found.charges,
            before=_amounts(outcome.before),
            after=_amounts(outcome.after),
            saved=_amounts(outcome.saved),
            dropped=outcome.dropped,
            repriced=outcome.repriced,
            unpriced=outcome.unpriced,
            tiered=outcome.tiered,
            lines=[
                wire.SimulatedLine(
                    category=category, before=_amounts(was), after=_amounts(becomes), saved=_amounts(was - becomes)
                )
                for category, (was, becomes) in outcome.lines.items()
            ],
            levers=[
                wire.SimulatedLever(
                    lever=_NAMES[name], saved=_amounts(one.saved), dropped=one.dropped, repriced=one.repriced
                )
                for name, one in found.alone
            ],
        )
    )


async def _projection(call: Call, found: Samples, records: int) -> wire.Projection | None:
    by_credits = estimates.needed_for(found.credits, records)
    by_tool_runs = estimates.needed_for(found.tool_runs, records)
    if by_credits is None or by_tool_runs is None:
        return None
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    shown = {balance.unit: balance for balance in await balances.balances(call.runtime.database, call.workspace_id)}
    needed = wire.Projection(
        records=records,
        credits=_needed(by_credits, shown[CREDITS]),
        tool_runs=_needed(by_tool_runs, shown[TOOL_RUNS]),
        sufficient=False,
        sufficient_at_p90=False,
    )
    needed.sufficient = needed.credits.covered.mean and needed.tool_runs.covered.mean
    needed.sufficient_at_p90 = needed.credits.covered.p90 and needed.tool_runs.covered.p90
    return needed


def _needed(needed: estimates.Needed, balance: Shown) -> wire.Needed:
    return wire.Needed(
        mean=Credits(needed.mean),
        p50=Credits(needed.p50),
        p90=Credits(needed.p90),
        available=Credits(balance.available),
        covered=wire.Covered(**needed.covered_by(balance.available)),
    )


def _spread(samples: Sequence[int]) -> wire.Spread | None:
    found = estimates.spread_of(samples)
    if found is None:
        return None
    return wire.Spread(mean=Credits(found.mean), p50=Credits(found.p50), p90=Credits(found.p90), max=Credits(found.max))


def _amounts(amounts: simulation.Amounts) -> wire.Amounts:
    return wire.Amounts(credits=Credits(amounts.credits), tool_runs=Credits(amounts.tool_runs))


def _chosen(body: wire.Simulate, settings: Settings, now: dt.datetime) -> Past | str:
    named = [body.run, body.batch, body.workflow_uuid]
    if sum(name is not None for name in named) != 1:
        raise TallystickError("invalidRequest", "Name one of run, batch and workflowUuid.", path="run")
    if body.run is not None:
        return body.run
    since, until = _range(body.from_, body.to, settings, now)
    return Past(since, until, workflow_id=parse_uuid(body.workflow_uuid, "workflowUuid"), batch=body.batch)


def _range(
    first: str | None, last: str | None, settings: Settings, now: dt.datetime
) -> tuple[dt.datetime, dt.datetime]:
    """From the first instant until before the last; the latest days where no range is named."""
    days = Range(now.date() - settings.estimate_days * _DAY, now.date() + _DAY)
    if first is not None or last is not None:
        days = parse_range(first, last, days_max=settings.metrics_days_max)
    midnight = dt.time(tzinfo=dt.UTC)
    return dt.datetime.combine(days.first, midnight), dt.datetime.combine(days.last + _DAY, midnight)
