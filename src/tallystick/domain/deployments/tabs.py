"""The tabs of usage: overview, tools, models, guardrails, scripts, from totals to rows (rows B6 to B10, B14).

A range is UTC days, or the hours of the last day (rule M29). Credits are those that were charged, time is what was
charged for: that of every replica. What a category was charged without naming anything listed stands in its totals as
`unattributed`, so that rows and totals always add up.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from tallystick.domain.deployments.deployment import LABELS
from tallystick.domain.deployments.profiles import COMPONENTS, HardwareProfile, split
from tallystick.domain.metering.metrics import parse_range
from tallystick.kernel.errors import TallystickError

TABS: Final = ("overview", "tools", "models", "guardrails", "scripts")
RANGES: Final[Mapping[str, int]] = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}
"""Ranges that end today, by the UTC days that they have; the first is the current hour and the 23 before it."""

_HOURLY: Final = "24h"
_USUAL: Final = "30d"
_DAY: Final = dt.timedelta(days=1)
_HOUR: Final = dt.timedelta(hours=1)
_MICROSECOND: Final = dt.timedelta(microseconds=1)

MODEL_CATEGORIES: Final = ("llm", "hosting", "fine_tuning")
GROUPS: Final[Mapping[str, str]] = {
    **dict.fromkeys(MODEL_CATEGORIES, "models"),
    "guardrail": "guardrails",
    "script": "scripts",
}
"""What a category of charges is shown under (rule M9); all others are `other`."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range: whole UTC days, or with `hourly` whole UTC hours; `end` is not part of it."""

    start: dt.datetime
    end: dt.datetime
    hourly: bool = False

    @property
    def first(self) -> dt.date:
        return self.start.date()

    @property
    def last(self) -> dt.date:
        """The last day that any of it lies in."""
        return (self.end - _MICROSECOND).date()

    @property
    def step(self) -> dt.timedelta:
        return _HOUR if self.hourly else _DAY

    def before(self) -> "Span":
        """As long a range, right before this one."""
        return Span(self.start - (self.end - self.start), self.start, self.hourly)

    def steps(self) -> list[dt.datetime]:
        """The start of each of its days or hours."""
        return [self.start + n * self.step for n in range((self.end - self.start) // self.step)]


def parse_span(range_: str | None, first: str | None, last: str | None, *, now: dt.datetime, days_max: int) -> Span:
    """The range that is meant: one of `RANGES`, or two days, both counted; the last 30 days where nothing is said.

    Raises `invalidRange`, `invalidDate` and `rangeTooLong`.
    """
    today = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if range_ is None and first is None and last is None:
        range_ = _USUAL
    if range_ is None:
        days = parse_range(first, last, days_max=days_max)
        start = dt.datetime.combine(days.first, dt.time(), dt.UTC)
        return Span(start, dt.datetime.combine(days.last, dt.time(), dt.UTC) + _DAY)
    if range_ not in RANGES or first is not None or last is not None:
        raise TallystickError(
            "invalidRange",
            f"A tab's range is one of {', '.join(RANGES)}, or from and to in its place.",
            range=range_[:64],
            allowed=list(RANGES),
        )
    if range_ == _HOURLY:
        end = now.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0) + _HOUR
        return Span(end - _DAY, end, hourly=True)
    return Span(today - (RANGES[range_] - 1) * _DAY, today + _DAY)


class Named(NamedTuple):
    """A resource; a deleted one keeps its last name (rule M30)."""

    id: UUID
    key: str
    name: str
    attributes: Mapping[str, Any]
    deleted_at: dt.datetime | None


class Placed(NamedTuple):
    """A deployment as tabs need it."""

    id: UUID
    resource_id: UUID
    name: str
    state: str
    profile: str | None
    details: Mapping[str, Any]
    created_by: str
    created_at: dt.datetime
    updated_at: dt.datetime
    deployed_at: dt.datetime | None


class Time(NamedTuple):
    """Replica time of one deployment on one profile, and what it cost in nano-credits."""

    deployment_id: UUID
    profile: str
    microseconds: int
    credits: int


class Point(NamedTuple):
    """What one category was charged in one step of a range."""

    at: dt.datetime
    category: str
    credits: int
    tool_runs: int


def status_of(resource: Named, placed: Iterable[Placed]) -> str:
    """Deployed, Undeployed or Deleted: as long as one deployment runs, or has not stopped yet, it is Deployed."""
    states = [one.state for one in placed]
    if any(state in ("deployed", "stopping") for state in states):
        return "Deployed"
    gone = states and all(state == "deleted" for state in states)
    return "Deleted" if gone or resource.deleted_at is not None else "Undeployed"


@dataclass(frozen=True, slots=True)
class Trend:
    """One step of the usage trend: nano-credits by group, and tool runs in nano-units."""

    at: dt.datetime
    credits: int
    tool_runs: int
    groups: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Overview:
    """What was charged in a range, by category, and step by step."""

    credits: int
    tool_runs: int
    categories: Mapping[str, int]
    trend: Sequence[Trend]


def overview(span: Span, points: Iterable[Point]) -> Overview:
    """The totals of a range; a step in which nothing happened is there, too."""
    categories: dict[str, int] = {}
    sums: dict[dt.datetime, dict[str, int]] = {at: {} for at in span.steps()}
    runs: dict[dt.datetime, int] = dict.fromkeys(sums, 0)
    for point in points:
        categories[point.category] = categories.get(point.category, 0) + point.credits
        group = GROUPS.get(point.category, "other")
        step = sums[point.at]
        step[group] = step.get(group, 0) + point.credits
        runs[point.at] += point.tool_runs
    names = (*dict.fromkeys(GROUPS.values()), "other")
    trend = [
        Trend(at, sum(step.values()), runs[at], {name: step.get(name, 0) for name in names})
        for at, step in sums.items()
    ]
    ordered = dict(sorted(categories.items(), key=lambda entry: (-entry[1], entry[0])))
    return Overview(sum(categories.values()), sum(runs.values()), ordered, trend)


@dataclass(frozen=True, slots=True)
class ToolRow:
    """`runs` in nano-units; `owner` is empty where nobody is known; `last_active` is the UTC day of the last run."""

    resource: Named
    runs: int
    owner: str
    last_active: dt.date | None
    status: str


def tool_rows(
    resources: Mapping[UUID, Named],
    placed: Sequence[Placed],
    runs: Mapping[UUID, int],
    last_active: Mapping[UUID, dt.date],
    owners: Mapping[str, str],
) -> list[ToolRow]:
    """The tools that were ever deployed, the most used first; `owners` are people by what `created_by` says."""
    rows = []
    for resource_id, own in by_resource(placed).items():
        resource = resources.get(resource_id)
        if resource is None or all(one.deployed_at is None for one in own):
            continue
        maker = min(own, key=lambda one: (one.created_at, one.id)).created_by
        owner = resource.attributes.get("owner")
        rows.append(
            ToolRow(
                resource,
                runs.get(resource_id, 0),
                owner if isinstance(owner, str) and owner else owners.get(maker, ""),
                last_active.get(resource_id),
                status_of(resource, own),
            )
        )
    return sorted(rows, key=lambda row: (-row.runs, row.resource.name, row.resource.id))


@dataclass(frozen=True, slots=True)
class ModelRow:
    """Nano-credits of one language model, by what for."""

    resource: Named
    type: str
    inference: int
    hosting: int
    fine_tuning: int
    last_deployed: dt.datetime | None

    @property
    def credits(self) -> int:
        return self.inference + self.hosting + self.fine_tuning


def model_rows(
    resources: Iterable[Named], placed: Sequence[Placed], charged: Mapping[tuple[str, str], int]
) -> list[ModelRow]:
    """Every language model that is there, and of deleted ones those that were charged, the dearest first.

    `charged` is by the model as events name it, by key or uuid, and category.
    """
    grouped = by_resource(placed)
    rows = []
    for resource in resources:
        own = grouped.get(resource.id, [])
        spent = {
            category: sum(charged.get((name, category), 0) for name in {resource.key, str(resource.id)})
            for category in MODEL_CATEGORIES
        }
        tuned = resource.attributes.get("type") == "Fine-tuned"
        tuned = tuned or any(one.details.get("type") == "fineTuned" for one in own)
        row = ModelRow(
            resource,
            "Fine-tuned" if tuned else "Base",
            spent["llm"],
            spent["hosting"],
            spent["fine_tuning"],
            last_deployed(own),
        )
        if resource.deleted_at is None or row.credits:
            rows.append(row)
    return sorted(rows, key=lambda row: (-row.credits, row.resource.name, row.resource.id))


@dataclass(frozen=True, slots=True)
class TimeRow:
    """A guardrail or script: nano-credits and replica time. `newest` is its newest deployment, None before any."""

    resource: Named
    credits: int
    microseconds: int
    last_deployed: dt.datetime | None
    last_active: dt.date | None
    status: str
    newest: Placed | None

    @property
    def state(self) -> str:
        """The state of the newest deployment as people read it."""
        return LABELS[self.newest.state] if self.newest is not None else LABELS["draft"]


def time_rows(
    resources: Iterable[Named], placed: Sequence[Placed], times: Iterable[Time], last_active: Mapping[UUID, dt.date]
) -> list[TimeRow]:
    """Every guardrail or script that is there, and of deleted ones those that were charged, the dearest first.

    `last_active` is the last day that each deployment was charged for, by its id.
    """
    grouped = by_resource(placed)
    spent: dict[UUID, list[Time]] = {}
    for time in times:
        spent.setdefault(time.deployment_id, []).append(time)
    rows = []
    for resource in resources:
        own = grouped.get(resource.id, [])
        used = [time for one in own for time in spent.get(one.id, ())]
        if resource.deleted_at is not None and not used:
            continue
        rows.append(
            TimeRow(
                resource,
                sum(time.credits for time in used),
                sum(time.microseconds for time in used),
                last_deployed(own),
                max((last_active[one.id] for one in own if one.id in last_active), default=None),
                status_of(resource, own),
                max(own, key=lambda one: (one.updated_at, one.id), default=None),
            )
        )
    return sorted(rows, key=lambda row: (-row.credits, row.resource.name, row.resource.id))


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """One deployment of a model. `profile` is None where its hardware is not known any more, or not paid for here."""

    placed: Placed
    profile: HardwareProfile | None
    credits: int
    microseconds: int

    @property
    def status(self) -> str:
        return {"deployed": "Deployed", "stopping": "Deployed", "deleted": "Deleted"}.get(
            self.placed.state, "Undeployed"
        )


def deployment_rows(
    placed: Iterable[Placed], times: Iterable[Time], profiles: Mapping[str, HardwareProfile]
) -> list[DeploymentRow]:
    """The deployments behind one row, the dearest first."""
    sums: dict[UUID, tuple[int, int]] = {}
    for time in times:
        amount, microseconds = sums.get(time.deployment_id, (0, 0))
        sums[time.deployment_id] = amount + time.credits, microseconds + time.microseconds
    rows = [DeploymentRow(one, profiles.get(one.profile or ""), *sums.get(one.id, (0, 0))) for one in placed]
    return sorted(rows, key=lambda row: (-row.credits, row.placed.name, row.placed.id))


@dataclass(frozen=True, slots=True)
class Hardware:
    """Replica time on one profile, what it cost in nano-credits, and that by component; the parts add up exactly."""

    key: str
    profile: HardwareProfile | None
    microseconds: int
    credits: int
    components: Mapping[str, int]


def hardware(
    placed: Iterable[Placed], times: Iterable[Time], profiles: Mapping[str, HardwareProfile]
) -> list[Hardware]:
    """What one resource's deployments used, by profile, the dearest first."""
    ids = {one.id for one in placed}
    sums: dict[str, tuple[int, int]] = {}
    for time in times:
        if time.deployment_id in ids:
            amount, microseconds = sums.get(time.profile, (0, 0))
            sums[time.profile] = amount + time.credits, microseconds + time.microseconds
    found = []
    for key, (amount, microseconds) in sorted(sums.items(), key=lambda entry: (-entry[1][0], entry[0])):
        profile = profiles.get(key)
        parts = dict.fromkeys(COMPONENTS, 0) if profile is None else split(amount, profile.components)
        found.append(Hardware(key, profile, microseconds, amount, parts))
    return found


def by_resource(placed: Iterable[Placed]) -> dict[UUID, list[Placed]]:
    """Deployments by what they are of."""
    grouped: dict[UUID, list[Placed]] = {}
    for one in placed:
        grouped.setdefault(one.resource_id, []).append(one)
    return grouped


def last_deployed(placed: Iterable[Placed]) -> dt.datetime | None:
    return max((one.deployed_at for one in placed if one.deployed_at is not None), default=None)
