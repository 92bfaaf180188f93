"""Requests to the server that outlive its restart: what is safe to send again is sent until it is answered."""

import asyncio
from typing import Final, TypeVar

import structlog

from tallystick.client import ApiError, AsyncClient, ServerUnreachableError
from tallystick.client.replies import Call
from tallystick.runner.failures import LeaseLostError

T = TypeVar("T")

_log = structlog.get_logger("tallystick.runner")

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_AGAIN: Final = frozenset({408, 425, 429, 502, 503, 504})
_LEASE_LOST: Final = "leaseLost"


async def send(client: AsyncClient, call: Call[T]) -> T:
    """The answer to a call that may be sent twice, however long the server is away.

    Raises `ApiError` where it refuses, and `LeaseLostError` where that is why.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            return await client.send(call)
        except ServerUnreachableError as error:
            cause = error.cause
        except ApiError as error:
            if error.reason == _LEASE_LOST:
                raise LeaseLostError from error
            if error.status not in _AGAIN:
                raise
            cause = str(error)
        _log.warning("server does not answer", path=call.path, cause=cause, pause=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
