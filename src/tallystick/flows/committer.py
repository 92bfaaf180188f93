"""Group commit: what arrives while a commit is in flight forms the next one. No timer, no wait when idle."""

import asyncio
import contextlib
import datetime as dt
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from tallystick.flows.batches import Batch
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.holding import Change
from tallystick.flows.ingest import IngestLimits, book
from tallystick.flows.names import Item, Names
from tallystick.flows.turns import Turns
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store.database import Database

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Lane:
    waiting: deque[tuple[Batch, "asyncio.Future[None]"]] = field(default_factory=deque)
    careful: bool = False
    task: "asyncio.Task[None] | None" = None


class Committer:
    """Queues of batches, one a lane; a workspace is always in the same lane, a commit never spans two.

    Every caller is answered after its commit. A batch that cannot be booked fails alone: after a failed commit its
    batches are tried one by one.
    """

    def __init__(
        self,
        database: Database,
        *,
        names: Names,
        catalogs: CatalogCache,
        limits: IngestLimits,
        ids: Ids,
        lanes: int = 1,
        commit_max: int = 5_000,
        queue_max: int = 50_000,
    ) -> None:
        self._database = database
        self._names = names
        self._catalogs = catalogs
        self._limits = limits
        self._ids = ids
        self._lanes = [_Lane() for _ in range(lanes)]
        # A commit has one time, so workspaces with a test clock are committed one by one; beside the lanes, where they
        # hold up nobody.
        self._clocked = _Lane()
        self._commit_max = commit_max
        self._queue_max = queue_max
        self._turns = Turns()
        self.queued = 0
        self._releases: dict[UUID, asyncio.Event] = {}

    def split(self, items: Sequence[Item]) -> list[list[int]]:
        """Places of the items by lane, lanes without any left out."""
        if len(self._lanes) == 1:
            return [list(range(len(items)))] if items else []
        by_lane: dict[int, list[int]] = {}
        for place, item in enumerate(items):
            by_lane.setdefault(self._lane_of(item.workspace_id), []).append(place)
        return list(by_lane.values())

    async def submit(self, batch: Batch) -> None:
        """Book a batch whose items are all of one lane; its outcomes are filled when this returns.

        Raises `busy` when too much waits already, and what the commit raised when it could not be booked.
        """
        if not batch.size:
            return
        if self.queued + batch.size > self._queue_max and self.queued:
            raise TallystickError("busy", "Too many events wait to be booked; try again.", queued=self.queued)
        lane = self._clocked if batch.on_clock else self._lanes[self._lane_of(batch.workspace_id)]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.queued += batch.size
        lane.waiting.append((batch, done))
        if lane.task is None:
            lane.task = asyncio.create_task(self._drain(lane))
        # A caller that goes away does not take back what others may already be committed with.
        await asyncio.shield(done)

    async def released(self, workspace_id: UUID, most: dt.timedelta) -> None:
        """Wait until a hold of this workspace ends in this process, or until `most` has gone."""
        event = self._releases.setdefault(workspace_id, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), most.total_seconds())

    def _tell_released(self, batches: list[Batch]) -> None:
        for batch in batches:
            operation = batch.operation
            if isinstance(operation, Change) and operation.error is None:
                event = self._releases.pop(operation.workspace_id, None)
                if event is not None:
                    event.set()

    async def close(self) -> None:
        """Book what still waits."""
        await asyncio.gather(*(lane.task for lane in (*self._lanes, self._clocked) if lane.task is not None))

    def _lane_of(self, workspace_id: UUID) -> int:
        return workspace_id.int % len(self._lanes)

    async def _drain(self, lane: _Lane) -> None:
        try:
            while lane.waiting:
                await self._commit(lane, self._next_group(lane))
        finally:
            lane.task = None

    def _next_group(self, lane: _Lane) -> list[tuple[Batch, "asyncio.Future[None]"]]:
        group = [lane.waiting.popleft()]
        first = group[0][0]
        size = first.size
        while lane.waiting and size + lane.waiting[0][0].size <= self._commit_max:
            if first.on_clock and lane.waiting[0][0].workspace_id != first.workspace_id:
                break
            group.append(lane.waiting.popleft())
            size += group[-1][0].size
        return group

    async def _commit(self, lane: _Lane, group: list[tuple[Batch, "asyncio.Future[None]"]]) -> None:
        try:
            await self._book(lane, [batch for batch, _ in group])
        except Exception as error:  # noqa: BLE001 - it is handed to whoever waits
            if len(group) == 1 or (isinstance(error, TallystickError) and error.code == "databaseUnavailable"):
                for entry in group:
                    _finish(entry, error)
                    self.queued -= entry[0].size
                if not isinstance(error, TallystickError):
                    _log.exception("commit_failed", events=group[0][0].size)
                return
            for alone in group:
                await self._commit(lane, [alone])
        else:
            for entry in group:
                _finish(entry, None)
                self.queued -= entry[0].size

    async def _book(self, lane: _Lane, batches: list[Batch]) -> None:
        lane.careful = await book(
            self._database,
            batches,
            names_cache=self._names,
            catalogs=self._catalogs,
            limits=self._limits,
            ids=self._ids,
            careful=lane.careful,
            turns=self._turns,
        )
        self._tell_released(batches)


def _finish(entry: tuple[Batch, "asyncio.Future[None]"], error: Exception | None) -> None:
    future = entry[1]
    if future.cancelled():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
