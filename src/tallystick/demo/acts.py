"""What happens in the demo's story beside its usage, each thing at its own time."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Act:
    """`take` is called with `at`; taken again it changes nothing."""

    at: dt.datetime
    take: Callable[[dt.datetime], Awaitable[None]]
