"""The totals of one commit: charges summed into the buckets of days and hours, ready to be added to the stored ones."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any
from uuid import UUID

from tallystick.domain.attribution import Attribution
from tallystick.domain.charging import Charge
from tallystick.domain.rollups import MEASURES, Sums, add

_Key = tuple[int, dt.date, int]
"""Workspace, day or hour, and bucket; the UUIDs as integers, which hash several times as fast."""


class Totals:
    """Sums per bucket and day, and per bucket and hour for what is no older than `hours_since`.

    Rows need no order: a workspace's buckets are touched only by whoever holds its balances.
    """

    def __init__(self, hours_since: dt.datetime) -> None:
        self._hours_since = hours_since
        # First by attribution, which compares by identity; two attributions may still share a bucket.
        self._days: dict[tuple[Attribution, dt.date], Sums] = {}
        self._hours: dict[tuple[Attribution, dt.date], Sums] = {}

    def add(self, charge: Charge) -> None:
        """Count one charge on the day and in the hour of its use."""
        used_at = charge.used_at
        if used_at >= self._hours_since:
            _count(
                self._hours, (charge.attribution, used_at.replace(minute=0, second=0, microsecond=0)), charge.measures
            )
        else:
            _count(self._days, (charge.attribution, used_at.date()), charge.measures)

    def day_rows(self) -> list[tuple[Any, ...]]:
        """Rows of `rollup_daily`, one a bucket and day."""
        merged: dict[_Key, tuple[Attribution, dt.date, Sums]] = {}
        for (attribution, day), sums in self._days.items():
            _merge(merged, attribution, attribution.bucket, day, sums)
        for (attribution, hour), sums in self._hours.items():
            # An hour is a datetime, which is a date too.
            _merge(merged, attribution, attribution.bucket, dt.date(hour.year, hour.month, hour.day), sums)
        return [(a.workspace_id, day, a.bucket, *a.dimensions, *sums) for a, day, sums in merged.values()]

    def hour_rows(self) -> list[tuple[Any, ...]]:
        """Rows of `rollup_hourly`, one a bucket and hour."""
        merged: dict[_Key, tuple[Attribution, dt.date, Sums]] = {}
        for (attribution, hour), sums in self._hours.items():
            _merge(merged, attribution, attribution.hour_bucket, hour, sums)
        return [
            (a.workspace_id, hour, a.hour_bucket, *a.hour_dimensions, *_hourly(sums))
            for a, hour, sums in merged.values()
        ]


_hourly = itemgetter(*(MEASURES.index(name) for name in ("events", "quantity", "credits", "tool_runs")))


def _count(totals: dict[Any, Sums], key: tuple[Attribution, dt.date], measures: Sequence[int | Decimal]) -> None:
    sums = totals.get(key)
    if sums is None:
        totals[key] = list(measures)
    else:
        add(sums, measures)


def _merge(
    merged: dict[_Key, tuple[Attribution, dt.date, Sums]],
    attribution: Attribution,
    bucket: UUID,
    instant: dt.date,
    sums: Sums,
) -> None:
    key = (attribution.workspace_id.int, instant, bucket.int)
    held = merged.get(key)
    if held is None:
        merged[key] = (attribution, instant, sums.copy())
    else:
        add(held[2], sums)
