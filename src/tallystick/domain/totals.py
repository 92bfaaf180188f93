"""The totals of one commit: charges summed into the buckets of days and hours, ready to be added to the stored ones."""

import datetime as dt
from operator import itemgetter
from typing import Any
from uuid import UUID

from tallystick.domain.attribution import Attribution
from tallystick.domain.charging import Charge
from tallystick.domain.rollups import MEASURES, Measures, Sums, add

_Key = tuple[int, int, int]
"""Workspace, day or hour, and bucket, all as integers, which hash several times as fast as what they stand for."""

_HOURS = 24
_MIDNIGHT = dt.time(tzinfo=dt.UTC)


class Totals:
    """Sums per bucket and day, and per bucket and hour for what is no older than `hours_since`.

    Rows need no order: a workspace's buckets are touched only by whoever holds its balances.
    """

    def __init__(self, hours_since: dt.datetime) -> None:
        self._hours_since = hours_since
        # By attribution, which compares by identity, and the number of the day or hour; two may still share a bucket.
        self._days: dict[tuple[Attribution, int], Sums] = {}
        self._hours: dict[tuple[Attribution, int], Sums] = {}

    def add(self, charge: Charge) -> None:
        """Count one charge on the day and in the hour of its use."""
        used_at = charge.used_at
        day = used_at.toordinal()
        if used_at >= self._hours_since:
            _count(self._hours, (charge.attribution, day * _HOURS + used_at.hour), charge.measures)
        else:
            _count(self._days, (charge.attribution, day), charge.measures)

    def day_rows(self) -> list[tuple[Any, ...]]:
        """Rows of `rollup_daily`, one a bucket and day."""
        merged: dict[_Key, tuple[Attribution, int, Sums]] = {}
        for (attribution, day), sums in self._days.items():
            _merge(merged, attribution, attribution.bucket, day, sums)
        for (attribution, hour), sums in self._hours.items():
            _merge(merged, attribution, attribution.bucket, hour // _HOURS, sums)
        return [
            (a.workspace_id, dt.date.fromordinal(day), a.bucket, *a.dimensions, *sums)
            for a, day, sums in merged.values()
        ]

    def hour_rows(self) -> list[tuple[Any, ...]]:
        """Rows of `rollup_hourly`, one a bucket and hour."""
        merged: dict[_Key, tuple[Attribution, int, Sums]] = {}
        for (attribution, hour), sums in self._hours.items():
            _merge(merged, attribution, attribution.hour_bucket, hour, sums)
        return [
            (a.workspace_id, _hour(number), a.hour_bucket, *a.hour_dimensions, *_hourly(sums))
            for a, number, sums in merged.values()
        ]


def _hour(number: int) -> dt.datetime:
    day, hour = divmod(number, _HOURS)
    return dt.datetime.combine(dt.date.fromordinal(day), _MIDNIGHT).replace(hour=hour)


_hourly = itemgetter(*(MEASURES.index(name) for name in ("events", "quantity", "credits", "tool_runs")))


def _count(totals: dict[tuple[Attribution, int], Sums], key: tuple[Attribution, int], measures: Measures) -> None:
    sums = totals.get(key)
    if sums is None:
        totals[key] = list(measures)
    else:
        add(sums, measures)


def _merge(
    merged: dict[_Key, tuple[Attribution, int, Sums]],
    attribution: Attribution,
    bucket: UUID,
    number: int,
    sums: Sums,
) -> None:
    key = (attribution.workspace_id.int, number, bucket.int)
    held = merged.get(key)
    if held is None:
        merged[key] = (attribution, number, sums.copy())
    else:
        add(held[2], sums)
