"""Simulation: what past runs would have cost if a lever had been pulled, from what they used (row A12).

Runs are taken as they were: the same tokens, the same outcome of every filter and call. So a figure is exact where a
lever only leaves work out or prices it otherwise, and says nothing of what another model would have answered.

- filter: in runs whose record the named filter dropped, nothing but that filter is done. Without word from whoever ran
  it, a record was dropped where nothing was charged after the filter.
- no fallback: a run ends at the first node that failed for good, so nothing after its execution is done.
- fewer steps: of each agent's tool calls in a run the first N are done, and of its model calls those before the next
  one; the last of these gives the answer that the agent ended with, so it has that answer's output.
- another model: each model call is priced as one of that model at the time it was made.

They are applied in this order. What was taken back counts with what is left of it, and is not priced anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from tallystick.domain.metering.charging import counters_of
from tallystick.domain.metering.counters import TokenCounters
from tallystick.domain.metering.meters import CATEGORIES, EXECUTION, LLM_TOKENS, TOOL_CALL
from tallystick.domain.runs.booked import Booked, Quantity, Used
from tallystick.kernel.credits import parse_credits

LEVERS: Final = ("language_model", "max_steps", "filter_node", "no_fallback")


@dataclass(frozen=True, slots=True)
class Levers:
    """`filter_node` is as events name nodes; `max_steps` bounds the tool calls of an agent in one run."""

    language_model: str | None = None
    max_steps: int | None = None
    filter_node: str | None = None
    no_fallback: bool = False

    def each(self) -> list[tuple[str, "Levers"]]:
        """Those that are pulled, one by one."""
        return [(name, Levers(**{name: getattr(self, name)})) for name in LEVERS if self._is_pulled(name)]

    def _is_pulled(self, name: str) -> bool:
        value = getattr(self, name)
        return value is not None and value is not False


@dataclass(frozen=True, slots=True)
class Amounts:
    """Nano-credits and nano-tool runs."""

    credits: int = 0
    tool_runs: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(self.credits + other.credits, self.tool_runs + other.tool_runs)

    def __sub__(self, other: "Amounts") -> "Amounts":
        return Amounts(self.credits - other.credits, self.tool_runs - other.tool_runs)


@dataclass(frozen=True, slots=True)
class Change:
    """How one use would have been another: None leaves a thing as it was."""

    language_model: str | None = None
    counters: TokenCounters | None = None
    quantity: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Repriced:
    """What a changed use would have cost in nano-credits; unpriced ones have no price, `tiered` ones one by tiers."""

    credits: int
    unpriced: bool = False
    tiered: bool = False


class Reprice(Protocol):
    """Prices a use that would have been another."""

    def __call__(self, used: Used, change: Change) -> Repriced: ...


@dataclass(frozen=True, slots=True)
class Run:
    """One past run. `dropped_by_filter` is what its runner said of the filter, None where nobody did."""

    uses: tuple[Used, ...]
    dropped_by_filter: bool | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Sums before and after, by category too, and how many uses were left out or priced otherwise."""

    before: Amounts
    after: Amounts
    lines: Mapping[str, tuple[Amounts, Amounts]]
    dropped: int
    repriced: int
    unpriced: int
    tiered: int

    @property
    def saved(self) -> Amounts:
        return self.before - self.after


_AS_IT_WAS: Final = Change()


def simulate(runs: Iterable[Run], levers: Levers, reprice: Reprice) -> Outcome:
    """What these runs would have cost with these levers."""
    lines: dict[str, tuple[Amounts, Amounts]] = {}
    dropped = repriced = unpriced = tiered = 0
    for run in runs:
        kept = _kept(run, levers)
        for place, used in enumerate(run.uses):
            was = Amounts(used.credits, used.tool_runs)
            change = kept.get(place)
            becomes, priced = _becomes(used, change, was, reprice)
            dropped += change is None
            repriced += priced is not None
            unpriced += used.is_unpriced if priced is None and change is not None else bool(priced and priced.unpriced)
            tiered += bool(priced and priced.tiered)
            before, after = lines.get(used.event.category, (Amounts(), Amounts()))
            lines[used.event.category] = (before + was, after + becomes)
    order = [*(c for c in CATEGORIES if c in lines), *(c for c in lines if c not in CATEGORIES)]
    return Outcome(
        before=sum((before for before, _ in lines.values()), Amounts()),
        after=sum((after for _, after in lines.values()), Amounts()),
        lines={category: lines[category] for category in order},
        dropped=dropped,
        repriced=repriced,
        unpriced=unpriced,
        tiered=tiered,
    )


def _becomes(used: Used, change: Change | None, was: Amounts, reprice: Reprice) -> tuple[Amounts, Repriced | None]:
    """What a use comes to, and its new price where it has one."""
    if change is None:
        return Amounts(), None
    if change is _AS_IT_WAS or used.is_taken_back or used.event.reverses or used.event.adjusts:
        return was, None
    priced = reprice(used, change)
    tool_runs = was.tool_runs if change.quantity is None else parse_credits(change.quantity, field="quantity")
    return Amounts(priced.credits, tool_runs), priced


def _kept(run: Run, levers: Levers) -> dict[int, Change]:
    """The uses that would have been, by their place in the run, and how."""
    kept = dict.fromkeys(range(len(run.uses)), _AS_IT_WAS)
    if levers.filter_node is not None:
        _filter_first(run, levers.filter_node, kept)
    if levers.no_fallback:
        _end_at_failure(run.uses, kept)
    if levers.max_steps is not None:
        for places in _agents(run.uses, kept):
            _fewer_steps(run.uses, places, levers.max_steps, kept)
    if levers.language_model is not None:
        for place, change in kept.items():
            event = run.uses[place].event
            if event.meter == LLM_TOKENS and event.language_model != levers.language_model:
                kept[place] = replace(change, language_model=levers.language_model)
    return kept


def _filter_first(run: Run, node: str, kept: dict[int, Change]) -> None:
    mine = [place for place in kept if run.uses[place].event.facts.node == node]
    if not mine:
        return
    is_dropped = run.dropped_by_filter
    if is_dropped is None:
        is_dropped = mine[-1] == len(run.uses) - 1
    if is_dropped:
        for place in kept.keys() - set(mine):
            del kept[place]


def _end_at_failure(uses: Sequence[Used], kept: dict[int, Change]) -> None:
    """A node failed for good where its last execution did; what it tried again before is its own."""
    last: dict[str | None, int] = {}
    for place in kept:
        event = uses[place].event
        if event.meter == EXECUTION and not uses[place].is_taken_back:
            last[event.facts.node] = place
    failed = [place for place in last.values() if uses[place].event.status == "error"]
    if failed:
        for place in [place for place in kept if place > min(failed)]:
            del kept[place]


def _agents(uses: Sequence[Used], kept: Iterable[int]) -> list[list[int]]:
    """The places of each agent's calls in a run, in order of time."""
    found: dict[tuple[str | None, str], list[int]] = {}
    for place in kept:
        event = uses[place].event
        if event.facts.agent and event.meter in (LLM_TOKENS, TOOL_CALL):
            found.setdefault((event.facts.node, event.facts.agent), []).append(place)
    return list(found.values())


def _fewer_steps(uses: Sequence[Used], places: Sequence[int], most: int, kept: dict[int, Change]) -> None:
    calls = [uses[place].event for place in places]
    left: Quantity = most
    blocked = 0
    for event in calls:
        if event.meter == TOOL_CALL and event.quantity > left:
            break
        left -= event.quantity if event.meter == TOOL_CALL else 0
        blocked += 1
    else:
        return
    going_on = blocked + bool(left)
    if left:
        # Several calls in one event, of which some would have been done.
        kept[places[blocked]] = replace(kept[places[blocked]], quantity=left)
    # The model that was asked with no step left gives the answer; where it had asked for several calls at once, it is
    # asked once more.
    last = blocked - 1
    if left or last < 0 or calls[last].meter == TOOL_CALL:
        last = next((at for at in range(going_on, len(calls)) if calls[at].meter == LLM_TOKENS), last)
    for place in places[going_on:]:
        if place != places[max(last, 0)]:
            del kept[place]
    if 0 <= last < len(calls) - 1 and calls[last].meter == calls[-1].meter == LLM_TOKENS:
        kept[places[last]] = replace(kept[places[last]], counters=_answering(calls[last], calls[-1]))


def _answering(asked: Booked, final: Booked) -> TokenCounters:
    """The call that would have been the last: its own input, and the output of the answer that there was."""
    output = counters_of(final.type, final.facts)
    return counters_of(asked.type, asked.facts)._replace(
        output=output.output, reasoning=output.reasoning, audio_output=output.audio_output
    )
