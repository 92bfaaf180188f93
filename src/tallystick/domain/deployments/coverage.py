"""Whether usage events charge every second of a deployment once: its history against the pieces charged (rule M17)."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tallystick.domain.deployments.accrual import microseconds
from tallystick.domain.deployments.deployment import Change

Fault = Literal["deploymentTimeMissing", "deploymentTimeDoubled", "deploymentTimeUnfounded"]
"""Codes of differences (domain/differences.py)."""

_NEVER: Final = dt.datetime.max.replace(tzinfo=dt.UTC)
_LONG_AGO: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Stretch:
    """[start, end) on the same hardware: Deployed, or charged."""

    start: dt.datetime
    end: dt.datetime
    profile: str
    replicas: int

    @property
    def microseconds(self) -> int:
        """Replica time."""
        return (microseconds(self.end) - microseconds(self.start)) * self.replicas

    def within(self, start: dt.datetime, end: dt.datetime) -> "Stretch | None":
        """What of it lies in [start, end)."""
        start, end = max(start, self.start), min(end, self.end)
        return Stretch(start, end, self.profile, self.replicas) if start < end else None

    def is_like(self, other: "Stretch") -> bool:
        """Whether both are on the same hardware."""
        return (self.profile, self.replicas) == (other.profile, other.replicas)


def deployed(changes: Iterable[Change], until: dt.datetime | None) -> list[Stretch]:
    """When it was Deployed on hardware by its changes, in order of their numbers; one that goes on ends `until`."""
    found: list[Stretch] = []
    running: Change | None = None
    for change in changes:
        if running is not None and running.profile is not None and running.at < change.at:
            found.append(Stretch(running.at, change.at, running.profile, running.replicas))
        running = change if change.state == "deployed" and change.profile is not None else None
    if running is not None and running.profile is not None and until is not None and running.at < until:
        found.append(Stretch(running.at, until, running.profile, running.replicas))
    return found


def faults(spans: Sequence[Stretch], pieces: Iterable[Stretch]) -> Iterator[tuple[Fault, Stretch]]:
    """Where `pieces`, by start, do not cover each of `spans`, which are disjoint and in order, exactly once."""
    reached = _LONG_AGO
    for piece in pieces:
        again = piece.within(_LONG_AGO, reached)
        if again is not None:
            yield "deploymentTimeDoubled", again
        fresh = piece.within(reached, _NEVER)
        if fresh is None:
            continue
        yield from _missing(spans, reached, fresh.start)
        yield from _unfounded(spans, fresh)
        reached = fresh.end
    yield from _missing(spans, reached, _NEVER)


def _missing(spans: Sequence[Stretch], start: dt.datetime, end: dt.datetime) -> Iterator[tuple[Fault, Stretch]]:
    for span in spans:
        left_out = span.within(start, end)
        if left_out is not None:
            yield "deploymentTimeMissing", left_out


def _unfounded(spans: Sequence[Stretch], piece: Stretch) -> Iterator[tuple[Fault, Stretch]]:
    cursor = piece.start
    for span in spans:
        common = span.within(cursor, piece.end)
        if common is None:
            continue
        before = piece.within(cursor, common.start)
        if before is not None:
            yield "deploymentTimeUnfounded", before
        if not span.is_like(piece):
            yield "deploymentTimeMissing", common
            yield "deploymentTimeUnfounded", Stretch(common.start, common.end, piece.profile, piece.replicas)
        cursor = common.end
    rest = piece.within(cursor, piece.end)
    if rest is not None:
        yield "deploymentTimeUnfounded", rest
