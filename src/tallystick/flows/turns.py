"""Large commits take turns in being prepared: while the database works on one, the next is made ready.

All lanes share one thread of Python. Left to themselves they prepare at the same time, each holding up the others' rows
half way to the database, and then wait for the database at the same time, too.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

_LARGE: Final = 250
"""Events; fewer are prepared in between, so that a hold does not wait for an import."""


class Turns:
    """One process's. Nothing may be awaited in a turn that rests on another commit of this process."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    def turn(self, size: int) -> AbstractAsyncContextManager[None]:
        """The turn of a commit of so many events; a small one needs none."""
        return self._lock if size > _LARGE else nullcontext()
