"""A worker of facts and webhooks that kills itself at a step, as by -9, or goes on until it is killed.

Arguments: the database's URL, seconds by which its clock is ahead, and the step to die at, or nothing.
"""

import asyncio
import datetime as dt
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from tallystick.flows import delivering, telling
from tallystick.gateways.webhooks import WebhookPoster
from tallystick.store import deliveries, webhooks
from tallystick.store import facts as store
from tallystick.store.database import Database
from tests.telling.posting import Ahead, fan, sender

STEPS = {
    "deliveries made, nothing committed": (webhooks, "queue", False),
    "facts done, nothing committed": (store, "fanned", False),
    "deliveries committed": (telling, "fan_out", False),
    "claimed, nothing committed": (deliveries, "claim", False),
    "claim committed": (delivering.Sender, "_claimed", False),
    "before anything is sent": (WebhookPoster, "post", True),
    "answered, nothing recorded": (WebhookPoster, "post", False),
    "attempt logged, nothing committed": (deliveries, "log", False),
    "finished, nothing committed": (deliveries, "finish", False),
    "outcome committed": (delivering, "record", False),
}
"""What to die at: a function, and whether before it begins or after it has ended."""


def deadly(step: str) -> None:
    """Die at this step: of deliveries at the second one, so that the first one has got further."""
    owner, name, before = STEPS[step]
    done: Callable[..., Awaitable[Any]] = getattr(owner, name)
    turns = 0

    async def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal turns
        turns += 1
        dies = turns >= (2 if owner in (WebhookPoster, delivering) or name in ("log", "finish") else 1)
        answer = None if dies and before else await done(*args, **kwargs)
        if dies and (before or answer or answer is None):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, dying)
    if step == "deliveries committed":
        sys.modules["tests.telling.posting"].fan_out = dying  # type: ignore[attr-defined]


async def work(url: str, ahead: int, step: str) -> None:
    if step:
        deadly(step)
    database = Database(url, pool_size=4)
    await database.open()
    clock = Ahead(dt.timedelta(seconds=ahead))
    print("works", flush=True)
    while True:
        await fan(database, clock.now())
        await sender(database, clock=clock, seconds=1).turn()
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
