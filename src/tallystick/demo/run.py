"""`tally demo`: make the demo workspace if it is not there, serve it, and write `demo.json` once it answers."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from tallystick.demo import credentials, story
from tallystick.demo.credentials import Credentials
from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tallystick.surfaces.serve import Ending, listen, serve_runtime

T = TypeVar("T")

_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - told apart, not listened on
_ANSWER_ATTEMPTS: Final = 200
_PAUSE_SECONDS: Final = 0.05


async def run(
    settings: Settings,
    *,
    ready: Callable[[Credentials], None] = lambda _: None,
    progress: story.Progress = lambda _: None,
    serving: Callable[[Runtime, str], None] = lambda _, __: None,
    ending: Ending | None = None,
) -> None:
    """Serve the demo until SIGTERM or SIGINT. `progress` hears how many events of the first load are booked, `ready`
    what stands in `demo.json`, `serving` that requests are answered at an address, `ending` that they soon are not.

    A signal during the first load ends it; the next start goes on. Raises what `serve` raises.
    """
    listener = listen(settings.host, settings.port)
    try:
        runtime = await Runtime.open(settings)
        try:
            beginning = await _unless_told_to_stop(story.tell(runtime, runtime.clock.now(), progress))
            if beginning is None:
                return

            async def written(runtime: Runtime, address: str) -> None:
                base_url = settings.public_url or reachable(address)
                await _answers(reachable(address))
                serving(runtime, reachable(address))
                ready(await credentials.write(runtime, settings.home, base_url, beginning.workspace_id))

            await serve_runtime(runtime, listener, written, ending)
        finally:
            await runtime.close()
    finally:
        listener.close()


def reachable(address: str) -> str:
    """The address as a client on this machine can use it, where we listen on all of them."""
    parts = urlsplit(address)
    host = _ANYWHERE.get(parts.hostname or "")
    return address if host is None else f"{parts.scheme}://{host}:{parts.port}"


async def _unless_told_to_stop(work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives; None when a signal ended it first."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
        return None
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _answers(address: str) -> None:
    """Return once `GET /healthz` answers 200 at `address`. Raises TimeoutError when it does not."""
    parts = urlsplit(address)
    for _ in range(_ANSWER_ATTEMPTS):
        try:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError:
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        try:
            writer.write(f"GET /healthz HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
            status = await reader.readline()
        finally:
            writer.close()
        if b" 200 " in status:
            return
        await asyncio.sleep(_PAUSE_SECONDS)
    raise TimeoutError(f"{address} does not answer")
