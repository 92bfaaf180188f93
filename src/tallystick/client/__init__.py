"""The Python client of a Tallystick server: report usage from a platform, and ask for figures.

    from tallystick.client import Client

    with Client("http://127.0.0.1:8787", token) as tally:
        tally.record("llm.tokens", workflow="enrich-leads", model="gpt-4o", input_tokens=1200, output_tokens=45)

Importing this package costs next to nothing: what speaks HTTP is loaded when a client is first named.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tallystick.client.asking import RunPolicy
    from tallystick.client.asynchronous import AsyncClient
    from tallystick.client.asynchronous_runs import AsyncRun
    from tallystick.client.batching import Batching
    from tallystick.client.delivery import Retrying
    from tallystick.client.errors import (
        ApiError,
        BufferFullError,
        ClientError,
        EventProblem,
        RecordingError,
        RefusedError,
        ServerUnreachableError,
    )
    from tallystick.client.leases import Lease
    from tallystick.client.runs import RunArguments, current_run
    from tallystick.client.synchronous import Client
    from tallystick.client.synchronous_runs import Run

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncRun",
    "Batching",
    "BufferFullError",
    "Client",
    "ClientError",
    "EventProblem",
    "Lease",
    "RecordingError",
    "RefusedError",
    "Retrying",
    "Run",
    "RunArguments",
    "RunPolicy",
    "ServerUnreachableError",
    "current_run",
]

_HOMES: Final = {
    "ApiError": "errors",
    "AsyncClient": "asynchronous",
    "AsyncRun": "asynchronous_runs",
    "Batching": "batching",
    "BufferFullError": "errors",
    "Client": "synchronous",
    "ClientError": "errors",
    "EventProblem": "errors",
    "Lease": "leases",
    "RecordingError": "errors",
    "RefusedError": "errors",
    "Retrying": "delivery",
    "Run": "synchronous_runs",
    "RunArguments": "runs",
    "RunPolicy": "asking",
    "ServerUnreachableError": "errors",
    "current_run": "runs",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
