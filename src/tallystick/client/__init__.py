"""The Python client of a Tallystick server: report usage from a platform, and ask for figures.

    from tallystick.client import Client

    with Client("http://127.0.0.1:8787", token) as tally:
        tally.record("llm.tokens", workflow="enrich-leads", model="gpt-4o", input_tokens=1200, output_tokens=45)

Importing this package costs next to nothing: what speaks HTTP is loaded when a client is first named.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tallystick.client.asynchronous import AsyncClient
    from tallystick.client.batching import Batching
    from tallystick.client.delivery import Retrying
    from tallystick.client.errors import (
        ApiError,
        BufferFullError,
        ClientError,
        EventProblem,
        RecordingError,
        ServerUnreachableError,
    )
    from tallystick.client.synchronous import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Batching",
    "BufferFullError",
    "Client",
    "ClientError",
    "EventProblem",
    "RecordingError",
    "Retrying",
    "ServerUnreachableError",
]

_HOMES: Final = {
    "ApiError": "errors",
    "AsyncClient": "asynchronous",
    "Batching": "batching",
    "BufferFullError": "errors",
    "Client": "synchronous",
    "ClientError": "errors",
    "EventProblem": "errors",
    "RecordingError": "errors",
    "Retrying": "delivery",
    "ServerUnreachableError": "errors",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
