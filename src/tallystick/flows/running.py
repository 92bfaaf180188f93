"""Charging what runs by time: every second of every deployment once, in order of time, and the stop at the limit.

What is due on a workspace (flows/due.py) is charged up to ticks, so that figures do not depend on when that happens; a
flow that changes a deployment first charges all of them up to its own instant with `accrue` (rules M16, M17).
"""

import datetime as dt
from typing import Final
from uuid import UUID

from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.credits.ledger import Book
from tallystick.domain.credits.limits import SHIPPED, Limits
from tallystick.domain.credits.thresholds import crossed
from tallystick.domain.deployments import accrual, told
from tallystick.domain.deployments.deployment import OUT_OF_CREDITS, Deployment
from tallystick.domain.deployments.limits import at_tick, low_fact, negative_fact
from tallystick.domain.deployments.time_events import attribution_of, time_event
from tallystick.domain.metering.attribution import Attribution
from tallystick.domain.metering.charging import charge_for
from tallystick.domain.metering.prices import PriceBook
from tallystick.domain.telling.facts import DEPLOYMENT_STOP_REQUESTED, Fact
from tallystick.flows import booking
from tallystick.flows.caps import Caps
from tallystick.flows.time_costs import Piece, TimeCosts
from tallystick.kernel.ids import Ids
from tallystick.store import deployments, facts, ledger, limits, running, subscriptions, usage
from tallystick.store.database import Connection
from tallystick.store.running import Day

ACTOR: Final = "tallystick"
"""Who stops deployments at the negative limit, in their history."""

_MOST_PIECES: Final = 5_000
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_ALL_HOURS: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""Hours older than are kept are forgotten by their own job."""


async def accrue(
    conn: Connection, workspace_id: UUID, pair: dict[str, Book], until: dt.datetime, now: dt.datetime, ids: Ids
) -> None:
    """Charge everything that runs on a workspace up to `until`, and look at it again at the next tick.

    Comes after `due.lock` of the same `now` (so that nothing that is due lies before `until`), and before whatever
    changes a deployment is read; `pair` are the locked books, which the caller saves. Where nothing runs it only sees
    to the next tick, for what is about to.
    """
    terms = await subscriptions.live_terms(conn, workspace_id)
    overage = terms.overage if terms else 0
    clockwork = await Running.load(conn, workspace_id, pair, now=now, ids=ids, overage=overage)
    if clockwork.is_running:
        await ledger.read_grants(conn, {workspace_id: pair}, [workspace_id], returns=True)
        await clockwork.reach(until)
        await clockwork.save()
    wake(pair, until, await limits.effective(conn, workspace_id))


def wake(pair: dict[str, Book], instant: dt.datetime, said: Limits) -> None:
    """Have the workspace looked at again at the first tick after an instant."""
    book = pair[CREDITS]
    tick = accrual.tick_after(instant, said.metering_seconds)
    if book.balance.due_at is None or book.balance.due_at > tick:
        book.balance.due_at = tick
        book.rescheduled = True


class Running:
    """What runs on one workspace whose books are locked, as it is charged from instant to instant.

    `overage` is how far its contract goes beyond its credits, None without end (rule M12).
    """

    def __init__(
        self,
        conn: Connection,
        workspace_id: UUID,
        pair: dict[str, Book],
        found: list[Deployment],
        limits: Limits,
        now: dt.datetime,
        ids: Ids,
    ) -> None:
        self._conn = conn
        self._workspace_id = workspace_id
        self._pair = pair
        self._running = found
        self._limits = limits
        self._now = now
        self._ids = ids
        self._overage: int | None = 0
        self._costs = TimeCosts(workspace_id, PriceBook(), {}, None)
        self._keys: dict[UUID, str] = {}
        self._attributions: dict[UUID, Attribution] = {}
        self._low_since: dt.datetime | None = None
        self._low_saved: dt.datetime | None = None
        self._caps = Caps({})
        self._days: dict[Day, tuple[int, int]] = {}
        self._position = min((one.metered_until for one in found if one.metered_until), default=now)

    @classmethod
    async def load(
        cls,
        conn: Connection,
        workspace_id: UUID,
        pair: dict[str, Book],
        *,
        now: dt.datetime,
        ids: Ids,
        overage: int | None = 0,
    ) -> "Running":
        """What runs; one small query where nothing does."""
        found = await deployments.lock_running(conn, workspace_id)
        made = cls(conn, workspace_id, pair, found, SHIPPED, now, ids)
        if found:
            made._limits = await limits.effective(conn, workspace_id)
            made._overage = overage
            made._costs = await TimeCosts.load(conn, workspace_id, found)
            made._keys = await running.resource_keys(conn, workspace_id, {one.resource_id for one in found})
            made._low_since = made._low_saved = await running.low_since(conn, workspace_id)
            made._caps = await Caps.load(conn, [workspace_id])
        return made

    @property
    def is_running(self) -> bool:
        return bool(self._running)

    async def renewed(self, overage: int | None) -> None:
        """A new period began, perhaps on another plan or calendar."""
        self._overage = overage
        if self._running:
            await self._costs.renewed(self._conn)

    def wake(self, instant: dt.datetime) -> None:
        """Where something still runs, have it looked at again at the first tick after an instant."""
        if self._running:
            wake(self._pair, instant, self._limits)

    async def reach_tick(self, instant: dt.datetime) -> None:
        """Charge up to the last tick that is not after `instant`."""
        await self.reach(accrual.tick_until(instant, self._limits.metering_seconds))

    async def reach(self, until: dt.datetime) -> None:
        """Charge up to `until`; at each tick on the way what follows from the credits then left follows there."""
        while self._running and self._position < until:
            batch, tick = self._plan(until)
            await self._book(batch)
            if tick is not None:
                await self._at_tick(tick)

    async def save(self) -> None:
        """Write until when all is charged, and the totals of days."""
        await running.advance(
            self._conn, self._workspace_id, {one.id: one.metered_until for one in self._running if one.metered_until}
        )
        await running.add_days(self._conn, self._workspace_id, self._days)
        if self._low_since != self._low_saved:
            await running.save_low(self._conn, self._workspace_id, self._low_since)
        await self._caps.save(self._conn)

    def _plan(self, until: dt.datetime) -> tuple[list[Piece], dt.datetime | None]:
        """The pieces from where it stands, up to `until` or the first tick at which something follows, which is told.

        Nothing of it is booked: what they will cost is known beforehand, so pieces need be no shorter than an hour.
        """
        posted = self._pair[CREDITS].balance.posted
        spent = 0
        batch: list[Piece] = []
        while self._position < until and len(batch) < _MOST_PIECES:
            start = self._position
            end = accrual.piece_end(start, until, self._costs.changes)
            if not self._costs.is_steady(self._pieces(start, end)):
                if batch:
                    return batch, None
                # Something is given back within it: what follows is looked at tick by tick.
                end = min(end, accrual.tick_after(start, self._limits.metering_seconds))
                until = end

            def follows(instant: dt.datetime, start: dt.datetime = start, left: int = posted - spent) -> bool:
                return self._follows(left - self._costs.cost(self._pieces(start, instant)))

            tick = accrual.first_tick(start, end, self._limits.metering_seconds, follows)
            made = self._pieces(start, end if tick is None else tick)
            spent += self._costs.take(made)
            batch += made
            self._position = end if tick is None else tick
            for one in self._running:
                if one.metered_until is not None:
                    one.metered_until = max(one.metered_until, self._position)
            if tick is not None:
                return batch, tick
        return batch, None

    def _pieces(self, start: dt.datetime, end: dt.datetime) -> list[Piece]:
        """[start, end) of each deployment, as far as it has not been charged."""
        begun = [(one, max(start, one.metered_until)) for one in self._running if one.metered_until is not None]
        return [Piece(one, since, end) for one, since in begun if since < end]

    def _follows(self, posted: int) -> bool:
        """Whether anything follows at a tick that finds so much left: of a limit, or of a threshold to be told."""
        found = at_tick(posted, self._limits, was_low=self._was_low, overage=self._overage)
        balance = self._pair[CREDITS].balance
        return found.stops or found.is_low != self._was_low or bool(crossed(balance.told, posted, balance.allocation))

    @property
    def _was_low(self) -> bool:
        """Whether a tick found credits low while something runs: what was there before all of it ran does not count."""
        begun = [one.deployed_at for one in self._running if one.deployed_at is not None]
        return self._low_since is not None and (not begun or min(begun) <= self._low_since)

    async def _book(self, batch: list[Piece]) -> None:
        if not batch:
            return
        charges = []
        for piece in batch:
            key = self._keys.get(piece.deployment.resource_id, str(piece.deployment.resource_id))
            event = time_event(piece.deployment, key, piece.start, piece.end)
            charges.append(charge_for(event, self._attribution(piece.deployment, key), self._costs.prices))
        base = booking.first_id(self._ids, self._now)
        booking.number(charges, base)
        if await usage.insert_keys(self._conn, charges) != len(charges):
            raise AssertionError("a piece of running time was charged before")
        await booking.book(
            self._conn,
            charges,
            {self._workspace_id: self._pair},
            self._caps,
            UUID(int=base),
            hours_since=_ALL_HOURS,
            now=self._now,
            ids=self._ids,
            # The last instant of what is charged: a grant that ends where it ends pays for it.
            at=batch[-1].end - _MICROSECOND,
        )
        await running.clear_stage(self._conn)
        for piece, charge in zip(batch, charges, strict=True):
            day: Day = (piece.deployment.id, piece.start.astimezone(dt.UTC).date(), piece.deployment.profile or "")
            time, charged = self._days.get(day, (0, 0))
            self._days[day] = time + piece.microseconds, charged + charge.credits

    def _attribution(self, deployment: Deployment, key: str) -> Attribution:
        if deployment.id not in self._attributions:
            self._attributions[deployment.id] = attribution_of(deployment, key)
        return self._attributions[deployment.id]

    async def _at_tick(self, tick: dt.datetime) -> None:
        balance = self._pair[CREDITS].balance
        found = at_tick(balance.posted, self._limits, was_low=self._was_low, overage=self._overage)
        if found.tells_low:
            await facts.record(self._conn, [low_fact(balance, self._limits, tick)], self._now)
        if found.is_low != self._was_low:
            self._low_since = tick if found.is_low else None
        if found.stops:
            await self._stop(tick)

    async def _stop(self, tick: dt.datetime) -> None:
        """Everything that runs, or is about to, must stop; charging has ended. The platform has a while for it."""
        every = {one.id: one for one in await deployments.lock_all(self._conn, self._workspace_id)}
        every |= {one.id: one for one in self._running}
        stopping = [one for _, one in sorted(every.items()) if one.profile is not None and one.allows("stop")]
        balance = self._pair[CREDITS].balance
        comply_by = tick + dt.timedelta(seconds=self._limits.comply_seconds)
        tells: list[Fact] = [negative_fact(balance, self._limits, tick, [one.id for one in stopping])]
        for one in stopping:
            one.move("stop", tick, reason=OUT_OF_CREDITS, comply_by=comply_by)
            number = await deployments.add_change(self._conn, one, "stop", actor=ACTOR, at=tick)
            hourly = self._costs.hourly(one, tick)
            tells.append(
                told.change_fact(
                    one,
                    DEPLOYMENT_STOP_REQUESTED,
                    number,
                    tick,
                    hourly=hourly,
                    posted=balance.posted,
                    allocation=balance.allocation,
                )
            )
        await deployments.update(self._conn, stopping)
        await facts.record(self._conn, tells, self._now)
        self._running = []
