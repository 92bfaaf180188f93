"""Sending deliveries: at least once, each attempt counted before it is made, each outcome recorded after it (R6).

A delivery is claimed in one transaction, which counts the attempt and moves its next instant beyond the time that an
attempt may take; it is posted outside of any; what came of it is recorded in another. Whoever dies in between leaves a
delivery that another one claims once its time has come: it may arrive twice, under the same `webhook-id`, never less
than once.
"""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from tallystick.domain.telling.facts import WEBHOOK_DISABLED, WEBHOOK_FAILING
from tallystick.domain.telling.webhooks import (
    FAILING_AFTER,
    JITTER_MAX,
    Endpoint,
    failing_fact,
    outcome,
    pause,
    payload,
    shown_url,
    webhook_id,
)
from tallystick.gateways.webhooks import Letter as Posted
from tallystick.gateways.webhooks import WebhookPoster
from tallystick.kernel.clock import Clock
from tallystick.kernel.ids import Ids
from tallystick.store import audit, deliveries, facts, webhooks, workspaces
from tallystick.store.database import Connection, Database
from tallystick.store.deliveries import Letter, Standing, Tried, Waiting

_GRACE: Final = dt.timedelta(seconds=60)
"""How much longer than an attempt may take a claim holds: time for recording what came of it."""

_TURN: Final = dt.timedelta(seconds=60)
"""After this a turn claims nothing more and ends with what is on its way, so that others see that it goes on."""

_LOOKED_AT: Final = 500
_NEWS_SECONDS: Final = 1
_TOGETHER: Final = dt.timedelta(milliseconds=20).total_seconds()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many attempts may be on their way: in all, and of one workspace and one endpoint, so that none takes all."""

    in_all: int = 64
    of_workspace: int = 16
    of_endpoint: int = 4


@dataclass(slots=True)
class Sender:
    """What one process sends. `seconds` is how long a receiver may take, `attempts_max` when a delivery is dead."""

    database: Database
    poster: WebhookPoster
    clock: Clock
    ids: Ids
    seconds: int
    attempts_max: int
    bounds: Bounds = field(default_factory=Bounds)
    grace: dt.timedelta = _GRACE
    _flying: dict["asyncio.Task[None]", Letter] = field(default_factory=dict)
    _trouble: Exception | None = None

    async def turn(self) -> int:
        """Send what is due, many at once, until nothing is or a minute has gone; how many attempts were made.

        A slow endpoint holds up nobody: what is due elsewhere goes on beside it. Safe by any number of processes at
        once. Raises what the database raised, once everything that was on its way has ended.
        """
        made, self._trouble = 0, None
        until = self.clock.now() + _TURN
        async with asyncio.TaskGroup() as group:
            while True:
                now = self.clock.now()
                letters = await self._claim(now) if now < until and self._trouble is None else []
                for letter in letters:
                    task = group.create_task(self._send(letter))
                    self._flying[task] = letter
                    task.add_done_callback(self._flying.pop)
                made += len(letters)
                if not self._flying:
                    break
                if not letters:
                    # One ended makes room; and what became due meanwhile need not wait for a slow one.
                    await asyncio.wait(self._flying, timeout=_NEWS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    # Those that end together are followed by one look at what is due, not by one each.
                    await asyncio.sleep(_TOGETHER)
        if self._trouble is not None:
            raise self._trouble
        return made

    async def _claim(self, now: dt.datetime) -> list[Letter]:
        try:
            return await self._claimed(now)
        except Exception as error:  # noqa: BLE001 - what is on its way goes on; the turn raises it at its end
            self._trouble = error
            return []

    async def _claimed(self, now: dt.datetime) -> list[Letter]:
        room = self.bounds.in_all - len(self._flying)
        if room <= 0:
            return []
        by_endpoint = Counter(letter.endpoint.id for letter in self._flying.values())
        by_workspace = Counter(letter.endpoint.workspace_id for letter in self._flying.values())
        async with self.database.look() as conn:
            waiting = await deliveries.due(
                conn,
                now,
                busy=[one for one, many in by_endpoint.items() if many >= self.bounds.of_endpoint],
                busy_workspaces=[one for one, many in by_workspace.items() if many >= self.bounds.of_workspace],
                limit=_LOOKED_AT,
            )
        chosen = choose(waiting, by_endpoint, by_workspace, room, self.bounds)
        if not chosen:
            return []
        until = now + dt.timedelta(seconds=self.seconds) + self.grace

        async def work(conn: Connection) -> list[Letter]:
            return await deliveries.claim(conn, chosen, now=now, until=until)

        return await self.database.run(work)

    async def _send(self, letter: Letter) -> None:
        endpoint, at = letter.endpoint, self.clock.now()
        try:
            if not endpoint.is_enabled:
                # Queued by one who had read it before it was disabled.
                await self.database.run(lambda conn: _let_die(conn, letter, at))
                return
            text = payload(endpoint.workspace_id, letter.kind, letter.at, letter.data)
            posted = Posted(endpoint.url, webhook_id(letter.fact_id), text, endpoint.secrets(at))
            answer = await self.poster.post(posted, at)
            tried = Tried(letter.number, at, answer.milliseconds, answer.status_code, answer.error, answer.answer)
            now = self.clock.now()
            jitter = self.ids.new(now).int % (JITTER_MAX + 1)
            await record(
                self.database, letter, tried, attempts_max=self.attempts_max, jitter=jitter, now=now, ids=self.ids
            )
        except Exception as error:  # noqa: BLE001 - the others on their way go on; the turn raises it at its end
            # What it was on its way with is sent again when its claim has ended.
            self._trouble = error


def choose(
    waiting: Sequence[Waiting],
    by_endpoint: Counter[UUID],
    by_workspace: Counter[UUID],
    room: int,
    bounds: Bounds,
) -> list[Waiting]:
    """As many of them, the oldest first, as there is room for; the counters are of what is on its way already."""
    endpoints, spaces = Counter(by_endpoint), Counter(by_workspace)
    chosen: list[Waiting] = []
    for one in waiting:
        if len(chosen) == room:
            break
        if endpoints[one.endpoint_id] < bounds.of_endpoint and spaces[one.workspace_id] < bounds.of_workspace:
            endpoints[one.endpoint_id] += 1
            spaces[one.workspace_id] += 1
            chosen.append(one)
    return chosen


async def record(
    database: Database, letter: Letter, tried: Tried, *, attempts_max: int, jitter: int, now: dt.datetime, ids: Ids
) -> None:
    """Write what came of an attempt: delivered, dead, or when it is tried again.

    410 Gone disables the endpoint, and admins are told; so they are when deliveries die and nothing has arrived there
    for days. Where another one has claimed the delivery meanwhile, only a success changes it.
    """

    async def work(conn: Connection) -> None:
        workspace_id, delivery_id = letter.endpoint.workspace_id, letter.delivery_id
        endpoint = await webhooks.lock(conn, workspace_id, letter.endpoint.id)
        standing = await deliveries.lock(conn, workspace_id, delivery_id)
        if endpoint is None or standing is None:
            return
        await deliveries.log(conn, workspace_id, delivery_id, tried)
        came_of_it = outcome(tried.status_code)
        if came_of_it == "delivered":
            if standing.status != "delivered":
                await deliveries.finish(conn, workspace_id, delivery_id, "delivered", now)
            if endpoint.failing_since is not None:
                await webhooks.update(conn, replace(endpoint, failing_since=None, failing_told_at=None))
        elif standing.status == "queued" and standing.attempts == tried.number:
            # An address that was changed meanwhile has said nothing yet.
            if came_of_it == "gone" and endpoint.url == letter.endpoint.url and endpoint.is_enabled:
                await _disable(conn, endpoint, now, ids)
            else:
                dies = standing.attempts - standing.attempts_before >= attempts_max
                await _fail(conn, letter, standing, jitter, now, dies=dies)
                await _watch(conn, endpoint, tried, now, dies=dies)

    await database.run(work)


async def _fail(
    conn: Connection, letter: Letter, standing: Standing, jitter: int, now: dt.datetime, *, dies: bool
) -> None:
    workspace_id = letter.endpoint.workspace_id
    if dies:
        await deliveries.finish(conn, workspace_id, letter.delivery_id, "dead", now)
    else:
        tries = standing.attempts - standing.attempts_before
        await deliveries.postpone(conn, workspace_id, letter.delivery_id, now + pause(tries, jitter))


async def _watch(conn: Connection, endpoint: Endpoint, tried: Tried, now: dt.datetime, *, dies: bool) -> None:
    """Remember since when it fails; tell admins, once, when deliveries die and none has arrived for days."""
    since = endpoint.failing_since or tried.at
    told_at = endpoint.failing_told_at
    if dies and told_at is None and now - since >= FAILING_AFTER:
        told_at = now
        why = tried.error or f"It answered {tried.status_code}."
        at = await _moment(conn, endpoint.workspace_id, now)
        await facts.record(conn, [failing_fact(endpoint, since, at, WEBHOOK_FAILING, {"error": why})], now)
    after = replace(endpoint, failing_since=since, failing_told_at=told_at)
    if after != endpoint:
        await webhooks.update(conn, after)


async def _disable(conn: Connection, endpoint: Endpoint, now: dt.datetime, ids: Ids) -> None:
    gone = replace(endpoint, is_enabled=False, disabled_because="gone", updated_at=now)
    await deliveries.abandon(conn, gone, now)
    await webhooks.update(conn, gone)
    at = await _moment(conn, endpoint.workspace_id, now)
    since = endpoint.failing_since or now
    await facts.record(conn, [failing_fact(endpoint, since, at, WEBHOOK_DISABLED, {})], now)
    await audit.record(
        conn,
        "webhook.disabled",
        workspace_id=endpoint.workspace_id,
        actor="system",
        now=now,
        ids=ids,
        reason="It answered 410 Gone.",
        webhook=str(endpoint.id),
        url=shown_url(endpoint.url),
    )


async def _let_die(conn: Connection, letter: Letter, now: dt.datetime) -> None:
    standing = await deliveries.lock(conn, letter.endpoint.workspace_id, letter.delivery_id)
    if standing is not None and standing.status == "queued" and standing.attempts == letter.number:
        await deliveries.finish(conn, letter.endpoint.workspace_id, letter.delivery_id, "dead", now)


async def _moment(conn: Connection, workspace_id: UUID, now: dt.datetime) -> dt.datetime:
    """What time it is for the workspace, which may have a clock of its own."""
    return (await workspaces.clocks(conn, [workspace_id])).get(workspace_id) or now
