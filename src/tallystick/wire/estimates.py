"""Estimates and simulations on the wire."""

from typing import Annotated

import msgspec

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Wire

RunName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class EstimateQuery(Wire):
    """Which runs to learn from: those of a workflow or an agent, `from` and `to` being UTC days, both counted; without
    them the last `TALLY_ESTIMATE_DAYS`. Or `runs` by name. With `records`, a projection for so many more."""

    workflow_uuid: str | None = None
    agent_uuid: str | None = None
    from_: str | None = None
    to: str | None = None
    runs: Annotated[list[RunName], msgspec.Meta(max_length=100)] = msgspec.field(default_factory=list)
    records: int | None = None


class Spread(Wire):
    """What one run came to; percentiles are nearest rank, so always the cost of a run that there was."""

    mean: Credits
    p50: Credits
    p90: Credits
    max: Credits


class Covered(Wire):
    mean: bool
    p50: bool
    p90: bool


class Needed(Wire):
    """`mean` is records × the mean; `p50` and `p90` are what it comes to if every record costs as that run did.

    `available` is what is posted less what is held.
    """

    mean: Credits
    p50: Credits
    p90: Credits
    available: Credits
    covered: Covered


class Projection(Wire):
    """`sufficient` says whether the balances cover the mean of both units, and the p90 in `sufficientAtP90`."""

    records: int
    credits: Needed
    tool_runs: Needed
    sufficient: bool
    sufficient_at_p90: bool = msgspec.field(name="sufficientAtP90")


class EstimateAnswer(Wire):
    """`samples` is how many runs it stands on; without any, and without `records`, what would follow is null."""

    samples: int
    credits: Spread | None
    tool_runs: Spread | None
    projection: Projection | None


class Levers(Wire, forbid_unknown_fields=True):
    """What would have been different. `filterNode` is a filter, by uuid or slug, that would have stood first."""

    language_model: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    max_steps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    filter_node: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    no_fallback: bool = False


class Simulate(Wire, forbid_unknown_fields=True):
    """The runs: one, those of a batch, or those of a workflow (`from` and `to` being UTC days, both counted)."""

    levers: Levers
    run: RunName | None = None
    batch: RunName | None = None
    workflow_uuid: str | None = None
    from_: str | None = None
    to: str | None = None


class Amounts(Wire):
    credits: Credits
    tool_runs: Credits


class SimulatedLine(Wire):
    """A line item as it was charged and as it would have been."""

    category: str
    before: Amounts
    after: Amounts
    saved: Amounts


class SimulatedLever(Wire):
    """One lever by itself; what levers save together is less than their sum where they save the same."""

    lever: str
    saved: Amounts
    dropped: int
    repriced: int


class Simulation(Wire):
    """`dropped` charges would not have been, `repriced` ones would have been others; `unpriced` ones have no price.

    `tiered` counts changed charges under a price by tiers: they count with what they added when they were charged.
    """

    runs: int
    charges: int
    before: Amounts
    after: Amounts
    saved: Amounts
    dropped: int
    repriced: int
    unpriced: int
    tiered: int
    lines: list[SimulatedLine]
    levers: list[SimulatedLever]


class SimulationAnswer(Wire):
    simulation: Simulation
