"""Instants that a request names: always with a zone, always within what every layer can hold."""

import datetime as dt
from typing import Final

from tallystick.kernel.errors import TallystickError

EARLIEST: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LATEST: Final = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)


def check_time(value: dt.datetime, *, field: str) -> dt.datetime:
    """The instant in UTC. Raises `invalidTime` without a zone, or outside the years 1970 to 9000."""
    if value.tzinfo is None or not EARLIEST <= value < LATEST:
        raise TallystickError("invalidTime", f"{field} must have a zone and lie between 1970 and 9000.", field=field)
    return value.astimezone(dt.UTC)
