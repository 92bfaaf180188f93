"""A worker of facts and mails that kills itself at a step, as by -9, or goes on until it is killed.

Arguments: the database's URL, the SMTP server's port, the instant by its clock, and the step to die at, or nothing.
"""

import asyncio
import datetime as dt
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiosmtplib

from tallystick.flows import mailing
from tallystick.gateways.mail import Post
from tallystick.store import facts, mails
from tallystick.store.database import Database
from tests.telling import post_office

STEPS = {
    "mails made, nothing committed": (mails, "add", False),
    "facts done, nothing committed": (facts, "fanned", False),
    "mails committed": (post_office, "fan_out", False),
    "taken, nothing committed": (mails, "lease", False),
    "lease committed": (mailing, "take", False),
    "before the server is called": (Post, "send", True),
    "called, nothing said": (aiosmtplib.SMTP, "connect", False),
    "sender told": (aiosmtplib.SMTP, "mail", False),
    "recipient told": (aiosmtplib.SMTP, "rcpt", False),
    "mail handed in, answer heard": (aiosmtplib.SMTP, "data", False),
    "sent, nothing recorded": (Post, "send", False),
    "recorded, nothing committed": (mails, "sent", False),
    "record committed": (mailing, "sent", False),
}
"""What to die at: a function, and whether before it begins or after it has ended."""

_LATER = (Post, aiosmtplib.SMTP)


def deadly(step: str) -> None:
    """Die at this step: where it comes once a mail, at the second one, so that the first has got further."""
    owner, name, before = STEPS[step]
    done: Callable[..., Awaitable[Any]] = getattr(owner, name)
    turns = 0

    async def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal turns
        turns += 1
        dies = turns >= (2 if owner in _LATER or name == "sent" else 1)
        answer = None if dies and before else await done(*args, **kwargs)
        if dies and (before or answer or answer is None):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, dying)


async def work(url: str, port: int, now: dt.datetime, step: str) -> None:
    if step:
        deadly(step)
    database = Database(url, pool_size=4)
    await database.open()
    post = post_office.post_to(port)
    print("works", flush=True)
    while True:
        await post_office.fan(database, now)
        await post_office.send(database, post, now, attempts_max=10)
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], int(sys.argv[2]), dt.datetime.fromisoformat(sys.argv[3]), sys.argv[4]))
