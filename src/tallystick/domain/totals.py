"""The totals of one commit: charges summed into the buckets of days and hours, ready to be added to the stored ones."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from tallystick.domain.attribution import Attribution
from tallystick.domain.charging import Charge
from tallystick.domain.rollups import MEASURES, Sums, add

_HOUR_MEASURES = tuple(MEASURES.index(name) for name in ("events", "quantity", "credits", "tool_runs"))


class Totals:
    """Sums per attribution and day, and per attribution and hour for what is no older than `hours_since`."""

    def __init__(self, hours_since: dt.datetime) -> None:
        self._hours_since = hours_since
        # Days of what is too old for an hour; the others' come from their hours.
        self._days: dict[tuple[Attribution, dt.date], Sums] = {}
        self._hours: dict[tuple[Attribution, dt.datetime], Sums] = {}

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
        """Rows of `rollup_daily`, sorted by key, one a bucket."""
        merged: dict[tuple[UUID, dt.date, UUID], tuple[Attribution, Sums]] = {}
        days = {key: list(sums) for key, sums in self._days.items()}
        for (attribution, hour), sums in self._hours.items():
            _count(days, (attribution, hour.date()), sums)
        for (attribution, day), sums in days.items():
            _merge(merged, (attribution.workspace_id, day, attribution.bucket), attribution, sums)
        return [(*key, *attribution.dimensions, *sums) for key, (attribution, sums) in _sorted(merged)]

    def hour_rows(self) -> list[tuple[Any, ...]]:
        """Rows of `rollup_hourly`, sorted by key, one a bucket."""
        merged: dict[tuple[UUID, dt.datetime, UUID], tuple[Attribution, Sums]] = {}
        for (attribution, hour), sums in self._hours.items():
            _merge(merged, (attribution.workspace_id, hour, attribution.hour_bucket), attribution, sums)
        return [
            (*key, *attribution.hour_dimensions, *(sums[place] for place in _HOUR_MEASURES))
            for key, (attribution, sums) in _sorted(merged)
        ]


def _count(totals: dict[Any, Sums], key: tuple[Attribution, dt.date], measures: Sequence[int | Decimal]) -> None:
    sums = totals.get(key)
    if sums is None:
        totals[key] = list(measures)
    else:
        add(sums, measures)


def _merge(
    merged: dict[Any, tuple[Attribution, Sums]], key: tuple[Any, ...], attribution: Attribution, sums: Sums
) -> None:
    """Two attributions may share a bucket, and a statement may touch a row only once."""
    if key in merged:
        add(merged[key][1], sums)
    else:
        merged[key] = (attribution, list(sums))


def _sorted(merged: dict[Any, tuple[Attribution, Sums]]) -> list[tuple[Any, tuple[Attribution, Sums]]]:
    return sorted(merged.items(), key=lambda row: (row[0][0].bytes, row[0][1], row[0][2].bytes))
