"""The worker's jobs that tell people: facts become mails and deliveries, mails are sent."""

import datetime as dt
import secrets
from typing import Final

from tallystick.flows import mailing, telling
from tallystick.runtime import Runtime

_ROUNDS: Final = 100
"""Rounds of one turn, at most: then the job says how much it did, and goes on at its next turn."""


async def fan_out_facts(runtime: Runtime, now: dt.datetime) -> int:
    """Make the mails and deliveries of all facts that have none yet."""
    done = 0
    for _ in range(_ROUNDS):
        count = await telling.fan_out(runtime.database, runtime.letterhead, now=now, ids=runtime.ids)
        done += count
        if count < telling.FACTS_AT_ONCE:
            break
    return done


async def send_mails(runtime: Runtime, now: dt.datetime) -> int:
    """Send the mails that are due; without an SMTP server they are kept for reading."""
    if runtime.post is None:
        return await mailing.keep(runtime.database, now=now)
    attempts_max = runtime.settings.delivery_attempts_max
    done = 0
    for _ in range(_ROUNDS):
        # Each round takes what is due by then: a slow server may have made the one before last for minutes.
        taken = await mailing.take(runtime.database, attempts_max=attempts_max, now=runtime.clock.now())
        done += await mailing.send_taken(
            runtime.database,
            taken,
            runtime.post,
            attempts_max=attempts_max,
            jitter=lambda: secrets.randbelow(1_001),
            clock=runtime.clock.now,
        )
        if len(taken) < mailing.MAILS_AT_ONCE:
            break
    return done
