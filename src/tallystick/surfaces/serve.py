"""The server process: listens, says where, and ends cleanly when it is told to."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn

from tallystick.kernel.errors import TallystickError
from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tallystick.surfaces.api.app import create_app
from tallystick.surfaces.api.observing import App
from tallystick.surfaces.worker import register, work

_GRACE_SECONDS = 10

Ready = Callable[[Runtime, str], Awaitable[None]]
Ending = Callable[[], Awaitable[None]]


async def serve(settings: Settings, ready: Ready | None = None, ending: Ending | None = None) -> None:
    """Open a runtime and serve it until SIGTERM or SIGINT; then finish what is in flight and close everything.

    `ready` is called with the runtime and the real address once requests are answered, also where the port was 0,
    `ending` when a signal came, while they still are. Raises what `Runtime.open` raises, and `addressInUse`.
    """
    listener = listen(settings.host, settings.port)
    try:
        runtime = await Runtime.open(settings)
        try:
            await serve_runtime(runtime, listener, ready, ending)
        finally:
            await runtime.close()
    finally:
        listener.close()


async def serve_runtime(
    runtime: Runtime, listener: socket.socket, ready: Ready | None = None, ending: Ending | None = None
) -> None:
    """Serve an open runtime on a listening socket until a signal says stop; the caller closes both."""
    address = address_of(listener)
    runtime.listens_on(listener.getsockname()[1])

    async def told() -> None:
        if ready is not None:
            await ready(runtime, address)

    server = _Server(_config(create_app(runtime)), told, ending)
    _spare_the_collector()
    loop = asyncio.get_running_loop()
    # Registered also where others do the work: that nobody does it must show.
    await register(runtime)
    worker = asyncio.create_task(work(runtime)) if runtime.settings.worker else None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    try:
        await server.serve(sockets=[listener])
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])


def _spare_the_collector() -> None:
    """What is loaded by now stays for good: the cycle collector need not walk it again for every few hundred events."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def address_of(listener: socket.socket) -> str:
    """The base URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Taken before anything else is started, so that a port in use is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise TallystickError(
            "addressInUse", f"Cannot listen on {host} port {port}: {error.strerror}.", host=host, port=port
        ) from error


def _config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


class _Server(uvicorn.Server):
    """uvicorn raises a caught signal again once it has ended, which would kill us before the database is closed."""

    def __init__(self, config: uvicorn.Config, told: Callable[[], Awaitable[None]], ending: Ending | None) -> None:
        super().__init__(config)
        self._told = told
        self._ending = ending

    def stop(self) -> None:
        """End after the requests in flight; told twice, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await self._told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._ending is not None and not self.force_exit:
            await self._ending()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
