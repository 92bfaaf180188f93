"""The two clients behind one face: what asyncio does is driven from here, on an event loop in a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tallystick.client import AsyncClient, AsyncRun, Batching, Client, RecordingError, Retrying, Run, RunPolicy

QUICK = Retrying(first=0.005, longest=0.02)
POLICY = RunPolicy(retrying=Retrying(attempts=5, first=0.005, longest=0.02), timeout=5.0)


class LoopRun:
    """An AsyncRun, entered and left from here."""

    def __init__(self, owner: "LoopClient", run: AsyncRun) -> None:
        self._owner = owner
        self.inner = run

    def __enter__(self) -> "LoopRun":
        self._owner.wait(self.inner.__aenter__())
        return self

    def __exit__(self, *error: Any) -> None:
        self._owner.wait(self.inner.__aexit__(*error))

    def reserve(self, credits: Any = None, *, tool_runs: Any = None) -> "LoopReservation":  # noqa: A002 - as the run has it
        reservation = self.inner.reserve(credits, tool_runs=tool_runs)

        async def place() -> None:
            await reservation

        self._owner.wait(place())
        return LoopReservation(self._owner, reservation)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class LoopReservation:
    def __init__(self, owner: "LoopClient", reservation: Any) -> None:
        self._owner = owner
        self._reservation = reservation

    def __enter__(self) -> LoopRun:
        return LoopRun(self._owner, self._owner.wait(self._reservation.__aenter__()))

    def __exit__(self, *error: Any) -> None:
        self._owner.wait(self._reservation.__aexit__(*error))


class LoopClient:
    """An AsyncClient, made and used on its loop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

        async def begin() -> AsyncClient:
            return AsyncClient(*args, **options)

        self.inner = self.wait(begin())

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def run(self, **arguments: Any) -> LoopRun:
        async def make() -> AsyncRun:
            run: AsyncRun = self.inner.run(**arguments)
            return run

        return LoopRun(self, self.wait(make()))

    def flush(self, timeout: float | None = None) -> None:
        self.wait(self.inner.flush(timeout))

    def close(self, timeout: float | None = 10.0) -> None:
        self.wait(self.inner.aclose(timeout))

    @property
    def lease(self) -> Any:
        return self.inner.lease

    def end(self) -> None:
        """End the loop when nothing is left on it, connections that are still closing included."""

        async def rest() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._loop.shutdown_asyncgens()
            for _ in range(5):
                await asyncio.sleep(0)

        self.wait(rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


AnyClient = Client | LoopClient
AnyRun = Run | LoopRun
MakeClient = Callable[..., Any]


@pytest.fixture(params=["threads", "asyncio"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Makes clients of either colour, impatient ones, and closes them."""
    made: list[AnyClient] = []

    def one(base_url: str, token: str, **options: Any) -> AnyClient:
        options = {"retrying": QUICK, "batching": Batching(linger=0.01), "runs": POLICY, **options}
        kind = Client if request.param == "threads" else LoopClient
        client: AnyClient = kind(base_url, token, **options)
        made.append(client)
        return client

    yield one
    for client in made:
        with contextlib.suppress(RecordingError):
            client.close(0.5)
        if isinstance(client, LoopClient):
            client.end()
