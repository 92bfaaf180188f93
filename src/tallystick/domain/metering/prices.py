"""Dated price versions, the book that answers which one is in force, and the targets that name what is priced.

A target is a type of usage event, alone or with what narrows it: `tool.call`, `tool.call/connector:<uuid>`,
`llm.tokens/openai/gpt-4o`. Versions are appended, never edited (rule M2): the one in force at an instant has the
latest start not after it. Targets are tried from the most specific one; within a target, an operator's own version
stands over a shipped or public one whatever their dates, so that a price import never undoes a price set by hand.
"""

import datetime as dt
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from tallystick.domain.metering.meters import LLM_TOKENS, PRICED_AS, RUNNING_TIME, TOOL_CALL
from tallystick.domain.metering.rates import TIERED, Graduated, Rates, Tier, Unit, compile_rates
from tallystick.kernel.errors import TallystickError

BEGINNING: Final = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
"""Start of a version that is valid from the beginning."""

ORIGINS: Final = ("operator", "shipped", "public")
"""Who made a version, in order of precedence within one target."""

MAX_TARGET: Final = 500
_MAX_TIMELINES: Final = 65_536


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """Quantity to credits, valid from an instant. `rates` is canonical; `compiled` is what rating works with.

    `source` says where the price is from (`operator`, `shipped`, `genai-prices 0.2.3`), `source_text` what stood
    there. Building one raises `invalidPrice` when `rates` don't fit the model.
    """

    id: UUID
    target: str
    valid_from: dt.datetime
    model: str
    rates: Mapping[str, Any]
    origin: str
    source: str
    source_text: str
    created_at: dt.datetime
    compiled: Rates = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        compiled = compile_rates(self.model, self.rates)
        if isinstance(compiled, Unit) and self.type in RUNNING_TIME:
            # The same price, but rounded over all pieces and not at each.
            compiled = Graduated((Tier(None, compiled.amount, 0),), compiled.per)
        object.__setattr__(self, "compiled", compiled)

    @property
    def is_tiered(self) -> bool:
        """Whether it runs over a counter of the billing period (rule M5); a unit price of running time does (M3)."""
        return self.model in TIERED or (self.model == "unit" and self.type in RUNNING_TIME)

    @property
    def type(self) -> str:
        """The type of usage event it prices."""
        return self.target.partition("/")[0]

    def digest(self) -> bytes:
        """16 bytes over the whole content, stored beside it, so that `verify` sees an edit in place."""
        return digest_of(
            self.id,
            self.target,
            self.valid_from,
            self.model,
            self.rates,
            self.origin,
            self.source,
            self.source_text,
            self.created_at,
        )


def digest_of(
    id_: UUID,
    target: str,
    valid_from: dt.datetime,
    model: str,
    rates: Mapping[str, Any],
    origin: str,
    source: str,
    source_text: str,
    created_at: dt.datetime,
) -> bytes:
    """The digest of a version's fields as stored, also of one whose rates no longer parse."""
    content = [
        str(id_),
        target,
        valid_from.astimezone(dt.UTC).isoformat(),
        model,
        rates,
        origin,
        source,
        source_text,
        created_at.astimezone(dt.UTC).isoformat(),
    ]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return blake2b(text.encode(), digest_size=16).digest()


def check_target(target: str, model: str) -> str:
    """The target itself, when a price may be set for it. Raises `invalidPrice`."""
    if not 0 < len(target) <= MAX_TARGET or target.strip() != target or not target.isprintable():
        raise TallystickError(
            "invalidPrice",
            f"A price's target must be 1 to {MAX_TARGET} printable characters.",
            field="target",
            value=target[:64],
        )
    if model == "tokens" and target.partition("/")[0] != LLM_TOKENS:
        raise TallystickError(
            "invalidPrice", f"Only {LLM_TOKENS} can be priced by token.", field="model", value=model, target=target
        )
    if model == "fixed" and target.partition("/")[0] in RUNNING_TIME:
        raise TallystickError(
            "invalidPrice",
            "Running time is reported in pieces, so it has no fixed price for each; price it by the second or hour.",
            field="model",
            value=model,
            target=target,
        )
    return target


def targets_for_type(type_: str, name: str | None = None) -> tuple[str, ...]:
    """Where the price of a type may stand, most specific first; `name` is what of the data may have one of its own."""
    targets = (f"{type_}/{name}", type_) if name else (type_,)
    other = PRICED_AS.get(type_)
    return targets if other is None else targets + targets_for_type(other, name)


def targets_for_tool_call(
    tool_id: UUID | None = None,
    connector_id: UUID | None = None,
    integration: str | None = None,
    action: str | None = None,
) -> tuple[str, ...]:
    """Where the price of one tool call may stand, most specific first."""
    targets = []
    if tool_id is not None:
        targets.append(f"{TOOL_CALL}/tool:{tool_id}")
    if connector_id is not None:
        targets.append(f"{TOOL_CALL}/connector:{connector_id}")
    if integration:
        if action:
            targets.append(f"{TOOL_CALL}/integration:{integration}/{action}")
        targets.append(f"{TOOL_CALL}/integration:{integration}")
    return (*targets, TOOL_CALL)


def targets_for_model(
    provider: str | None, model: str | None, canonical: tuple[str, str] | None = None
) -> tuple[str, ...]:
    """Where the price of one language-model call may stand, most specific first.

    `provider` and `model` are as reported; `canonical` is what they resolve to among public prices.
    The last, `llm.tokens` alone, is an operator's price for every model that has none.
    """
    targets = []
    if model:
        pairs = [(provider, model)] if provider else []
        names = [model]
        if canonical:
            pairs.append(canonical)
            names.append(canonical[1])
        targets = [f"{LLM_TOKENS}/{owner}/{name}" for owner, name in pairs]
        targets += [f"{LLM_TOKENS}/*/{name}" for name in names]
    return (*dict.fromkeys(targets), LLM_TOKENS)


Timeline = tuple[list[dt.datetime], list[PriceVersion]]
"""Starts in order, and the version in force from each."""


def in_force(timeline: Timeline, time: dt.datetime) -> PriceVersion | None:
    """The version of a timeline at `time` (aware); None before its first start."""
    starts, versions = timeline
    # Most usage is recent.
    if starts and time >= starts[-1]:
        return versions[-1]
    position = bisect_right(starts, time)
    return versions[position - 1] if position else None


class PriceBook:
    """Every version, ready to answer which one is in force. Not changed after it is made; answers are cached."""

    def __init__(self, versions: Iterable[PriceVersion] = ()) -> None:
        self._lanes: dict[tuple[str, str], list[PriceVersion]] = {}
        self._by_id: dict[UUID, PriceVersion] = {}
        for version in sorted(versions, key=lambda version: version.valid_from):
            self._lanes.setdefault((version.target, version.origin), []).append(version)
            self._by_id[version.id] = version
        self._timelines: dict[tuple[str, ...], Timeline] = {}
        self._public: dict[tuple[str, str], Timeline] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, id_: UUID) -> PriceVersion | None:
        """The version of that id: what an event was priced with."""
        return self._by_id.get(id_)

    def versions(self) -> list[PriceVersion]:
        """All versions by start."""
        return sorted(self._by_id.values(), key=lambda version: (version.valid_from, version.target, version.id))

    def at(self, targets: tuple[str, ...], time: dt.datetime) -> PriceVersion | None:
        """The version in force at `time` (aware) of the first target that has one, or None: unpriced (M2, M6)."""
        return in_force(self.timeline(targets), time)

    def timeline(self, targets: tuple[str, ...]) -> Timeline:
        """What `at` looks into; targets without any version only cost time, and are left out."""
        known = tuple(t for t in targets if any((t, origin) in self._lanes for origin in ORIGINS))
        timeline = self._timelines.get(known)
        if timeline is None:
            if len(self._timelines) >= _MAX_TIMELINES:
                self._timelines.clear()
            timeline = self._timelines[known] = self._timeline(known, ORIGINS)
        return timeline

    def public_timeline(self, canonical: tuple[str, str] | None) -> Timeline:
        """Public versions alone, whatever the operator charges: where the provider's cost is from (rule M7)."""
        if canonical is None:
            return [], []
        timeline = self._public.get(canonical)
        if timeline is None:
            if len(self._public) >= _MAX_TIMELINES:
                self._public.clear()
            timeline = self._timeline((f"{LLM_TOKENS}/{canonical[0]}/{canonical[1]}",), ("public",))
            self._public[canonical] = timeline
        return timeline

    def _timeline(self, targets: tuple[str, ...], origins: tuple[str, ...]) -> Timeline:
        """Starts and the version in force from each: the first lane that has one then."""
        lanes = [self._lanes[t, o] for t in targets for o in origins if (t, o) in self._lanes]
        starts = sorted({version.valid_from for lane in lanes for version in lane})
        versions = []
        for start in starts:
            for lane in lanes:
                begun = bisect_right(lane, start, key=lambda version: version.valid_from)
                if begun:
                    versions.append(lane[begun - 1])
                    break
        return starts, versions
