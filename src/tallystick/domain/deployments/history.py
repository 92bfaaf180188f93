"""A deployment's history as people read it: each time that it was deployed, from start to end (rows B8 to B10)."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from tallystick.domain.deployments.deployment import Change


@dataclass(slots=True)
class Span:
    """One time that it was deployed, versions counted from 1.

    `started_at` and `finished_at` are those of the deploying, `status` how it went: `Success`, `Failed`, or None while
    it goes on. `deployed_at` and `ended_at` are those of the time that it was Deployed; both None where it never was.
    """

    version: int
    deployed_by: str
    profile: str | None
    replicas: int
    started_at: dt.datetime
    finished_at: dt.datetime | None = None
    deployed_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    status: str | None = None
    reason: str = ""

    def taken(self) -> dt.timedelta | None:
        """How long the deploying took."""
        return None if self.finished_at is None else self.finished_at - self.started_at

    def deployed_for(self, now: dt.datetime) -> dt.timedelta | None:
        """How long it was Deployed, until `now` where it still is; None where it never was."""
        if self.deployed_at is None:
            return None
        return max((self.ended_at or now) - self.deployed_at, dt.timedelta())


def spans(changes: Iterable[Change]) -> list[Span]:
    """The spans of a deployment's changes, which are in order of their numbers; oldest first."""
    found: list[Span] = []
    for change in changes:
        if change.asked == "deploy":
            found.append(Span(len(found) + 1, change.actor, change.profile, change.replicas, change.at))
            continue
        if not found:
            continue
        span = found[-1]
        if change.asked == "succeed":
            span.finished_at = span.deployed_at = change.at
            span.status = "Success"
        elif change.asked == "scale":
            span.profile, span.replicas = change.profile, change.replicas
        elif change.asked in ("fail", "undeploy", "stop", "confirm"):
            _end(span, change)
    return found


def _end(span: Span, change: Change) -> None:
    """What was deploying has failed, what was Deployed has ended; what was stopping ended when that was asked."""
    if span.deployed_at is None:
        if span.finished_at is None:
            span.finished_at = change.at
        span.status = "Failed"
    elif span.ended_at is None:
        span.ended_at = change.at
    span.reason = change.reason or span.reason
