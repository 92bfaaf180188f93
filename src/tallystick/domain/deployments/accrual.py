"""The pieces in which running time is charged, and the ticks at which limits are looked at (rules M16, M17).

Ticks are the multiples of the metering seconds since 1970, the same for everybody, so that what follows at one does
not depend on when it is noticed. Pieces end at every UTC hour, wherever else the caller cuts, and at a tick at which
something follows; apart from that they are as long as they can be. All instants are aware and in UTC.
"""

import datetime as dt
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Final

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_MILLION: Final = 1_000_000
_HOUR: Final = 3_600 * _MILLION


def microseconds(instant: dt.datetime) -> int:
    """Since 1970, exactly."""
    return (instant - _EPOCH) // _MICROSECOND


def tick_until(instant: dt.datetime, seconds: int) -> dt.datetime:
    """The last tick that is not after `instant`."""
    return _instant(microseconds(instant) // (seconds * _MILLION) * seconds * _MILLION)


def tick_after(instant: dt.datetime, seconds: int) -> dt.datetime:
    """The first tick after `instant`."""
    return tick_until(instant, seconds) + dt.timedelta(seconds=seconds)


def piece_end(start: dt.datetime, until: dt.datetime, cuts: Sequence[dt.datetime] = ()) -> dt.datetime:
    """Where the piece that begins at `start` ends at the latest: the next UTC hour, the next of `cuts` (in order), or
    `until`, which lies after `start`."""
    ends = [until, _instant((microseconds(start) // _HOUR + 1) * _HOUR)]
    following = bisect_right(cuts, start)
    if following < len(cuts):
        ends.append(cuts[following])
    return min(ends)


def pieces(
    start: dt.datetime, until: dt.datetime, cuts: Sequence[dt.datetime] = ()
) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """[start, until) as half-open pieces, each second in one of them."""
    while start < until:
        end = piece_end(start, until, cuts)
        yield start, end
        start = end


def quantity(start: dt.datetime, end: dt.datetime, replicas: int) -> int | Decimal:
    """Seconds × replicas of a piece, exactly: at most six places, an int where it is whole."""
    whole, rest = divmod((microseconds(end) - microseconds(start)) * replicas, _MILLION)
    return whole if not rest else (Decimal(whole * _MILLION + rest).scaleb(-6)).normalize()


def first_tick(
    start: dt.datetime, end: dt.datetime, seconds: int, follows: Callable[[dt.datetime], bool]
) -> dt.datetime | None:
    """The first tick in (start, end] at which something follows; None where nothing does at any.

    `follows` stays true once it is, but for the first tick, which is asked by itself: what stands there may have come
    from elsewhere. It is asked a handful of times, however many ticks there are.
    """
    step = seconds * _MILLION
    low, high = microseconds(start) // step + 1, microseconds(end) // step
    if low > high:
        return None
    if follows(_instant(low * step)):
        return _instant(low * step)
    if not follows(_instant(high * step)):
        return None
    # Nothing follows at low, something does at high.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if follows(_instant(middle * step)) else (middle, high)
    return _instant(high * step)


def _instant(since: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=since)
