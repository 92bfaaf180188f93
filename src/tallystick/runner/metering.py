"""What a run uses, told to the server as it happens, and money set aside before each call that costs.

An event's id is made of run, node and the call's place in it: which of a node's attempts it is, or which of an agent's
calls. One that was paid for and then lost with the process is made again under the same id, so the customer pays once.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog

from tallystick.client import ApiError, AsyncClient, hold_calls
from tallystick.client.errors import RefusedError
from tallystick.client.events import EncodedEvent, encode_event
from tallystick.client.replies import WORKSPACE_HEADER, Call
from tallystick.kernel.clock import Clock
from tallystick.kernel.credits import format_credits
from tallystick.runner import connection
from tallystick.runner.failures import NodeError, RunRefusedError, Usage
from tallystick.wire.amounts import Credits
from tallystick.wire.holds import HoldAnswer

T = TypeVar("T")

_log = structlog.get_logger("tallystick.runner")

SOURCE: Final = "tallystick/runner"
_CONFLICT: Final = 409
_SAMPLES: Final = 50
_MARGIN_SECONDS: Final = 60
_LAST_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Worth:
    """What to set aside for a call, in nano-units; `credits` None: by experience, else `at_first`."""

    credits: int | None
    at_first: int
    tool_runs: int = 0


@dataclass(slots=True)
class Experience:
    """What calls of one place in a workflow were charged lately: a hold is the 90th percentile of them."""

    _lately: dict[str, deque[int]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=_SAMPLES)))

    def learn(self, place: str, charged: int) -> None:
        self._lately[place].append(charged)

    def expect(self, place: str) -> int | None:
        """Nano-credits; None where nothing is known."""
        ordered = sorted(self._lately[place])
        return ordered[(len(ordered) * 9) // 10] if ordered else None


@dataclass(frozen=True, slots=True)
class Spot:
    """One call of a run, the `ordinal`-th of its node; one that failed is tried again in a later attempt."""

    node: UUID
    attempt: int
    ordinal: int
    agent: str | None = None

    @property
    def event(self) -> str:
        return f"{self.node}/{self.ordinal}"

    @property
    def hold(self) -> str:
        return f"{self.node}/{self.attempt}/{self.ordinal}"


@dataclass(frozen=True, slots=True)
class Meter:
    """The meter of one run. `lease` tells the holds of this holder from those of an earlier one."""

    server: AsyncClient
    clock: Clock
    experience: Experience
    workspace: UUID
    workflow: UUID
    run: UUID
    batch: UUID | None
    lease: str
    wait_seconds: int

    async def paid(self, spot: Spot, worth: Worth, seconds: int, work: Callable[[], Awaitable[tuple[T, Usage]]]) -> T:
        """Set aside, do `work` of at most so many `seconds`, and settle with what it used.

        Raises `RunRefusedError` where nothing can be set aside, else what `work` raises; a `NodeError` with usage is
        settled, one without gives everything back; so does a run that is ended from outside.
        """
        place = f"{self.workflow}/{spot.node}/{'tool' if worth.tool_runs else 'model'}"
        hold = await self._hold(spot, worth, place, seconds)
        try:
            result, used = await work()
        except NodeError as failure:
            await self._settle(hold, spot, failure.usage, place)
            raise
        except BaseException:
            await _to_its_end(self._settle(hold, spot, None, place))
            raise
        await _to_its_end(self._settle(hold, spot, used, place))
        return result

    async def book(self, events: list[EncodedEvent]) -> None:
        """Tell of usage that nothing was set aside for. Raises `NodeError` with the reason of a rejected event."""
        problems = (await self.server.deliver(events)).problems
        while any(problem.kind == "unsent" for problem in problems):
            problems = (await self.server.deliver(events)).problems
        for problem in problems:
            # A conflict is none of these: the call was paid for before, by a process that was lost then.
            if problem.kind == "rejected":
                raise _rejected(problem.reason, problem.message)

    def event(self, used: Usage, key: str, node: UUID, agent: str | None) -> EncodedEvent:
        """The usage event of a key within the run."""
        where: dict[str, Any] = {
            "run": str(self.run),
            "batch": str(self.batch) if self.batch else None,
            "workflow": str(self.workflow),
            "node": str(node),
            "agent": agent,
        }
        return encode_event(
            used.type,
            id_=f"{self.run}/{key}",
            source=SOURCE,
            subject=str(self.workspace),
            time=self.clock.now(),
            data={},
            fields=where | dict(used.fields),
        )

    async def _hold(self, spot: Spot, worth: Worth, place: str, seconds: int) -> UUID | None:
        """The hold's id; None where the call was settled before, so that nothing more will be charged for it."""
        known = self.experience.expect(place) if worth.credits is None else worth.credits
        amount = worth.at_first if known is None else known
        if not amount and not worth.tool_runs:
            return None
        place_hold = partial(
            hold_calls.place_hold,
            credits=format_credits(amount) if amount else None,
            tool_runs=format_credits(worth.tool_runs) if worth.tool_runs else None,
            run=str(self.run),
            workflow=str(self.workflow),
            agent=spot.agent,
            expires_in=seconds + _MARGIN_SECONDS,
            wait=self.wait_seconds,
        )
        key = f"{SOURCE}/{self.run}/{spot.hold}"
        try:
            status, hold = await self._place(place_hold(idempotency_key=key))
            if status not in ("held", "settled"):
                # Made by an earlier holder of the run; what it set aside then is gone, or expires by itself.
                status, hold = await self._place(place_hold(idempotency_key=f"{key}/{self.lease}"))
        except RefusedError as refusal:
            raise RunRefusedError(refusal.reason, refusal.error_message, **refusal.details) from refusal
        return hold if status == "held" else None

    async def _place(self, call: Call[HoldAnswer]) -> tuple[str, UUID | None]:
        try:
            hold = (await connection.send(self.server, self._here(call))).hold
        except ApiError as error:
            if error.status != _CONFLICT:
                raise
            return error.reason, None
        return hold.status, hold.id

    async def _settle(self, hold: UUID | None, spot: Spot, used: Usage | None, place: str) -> None:
        if used is None:
            if hold is not None:
                await self._try(hold_calls.void_hold(hold))
            return
        event = self.event(used, spot.event, spot.node, spot.agent)
        if hold is not None:
            settled = await self._try(hold_calls.settle_hold_with(hold, [event], idempotency_key=event.id))
            if settled is not None:
                for refusal in settled.usage.rejected if settled.usage else []:
                    raise _rejected(refusal.reason, refusal.message)
                if settled.usage and settled.usage.accepted:
                    self.experience.learn(place, settled.hold.settled.get("credits", Credits(0)).nano)
                return
            # It ended meanwhile, or something of the event was not to its liking: the event goes by itself.
            await self._try(hold_calls.void_hold(hold))
        await self.book([event])

    def _here(self, call: Call[T]) -> Call[T]:
        """The call about the run's workspace: an operator's runner works for all of them."""
        return replace(call, headers={**call.headers, WORKSPACE_HEADER: str(self.workspace)})

    async def _try(self, call: Call[T]) -> T | None:
        try:
            return await connection.send(self.server, self._here(call))
        except ApiError as error:
            _log.info("hold can't be finished", path=call.path, reason=error.reason)
            return None


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for `work` also while being cancelled, though not for ever: nobody else would release the hold."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_LAST_SECONDS)
        task.cancel()
        raise


def _rejected(reason: str, message: str) -> NodeError:
    return NodeError(reason, f"Usage was rejected: {message}")
