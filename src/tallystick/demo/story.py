"""Telling the demo's story through the real flows, at the times at which it happened.

It is told once. When telling it was cut short, it is told again from its beginning with the same end, and what was
booked is a duplicate; when it was told to its end, nothing is done.
"""

import datetime as dt
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

from tallystick.demo import cast, deployed
from tallystick.demo.acts import Act
from tallystick.demo.billed import Accountant
from tallystick.demo.calendar import DAYS, current_period_start
from tallystick.demo.deployed import Stage
from tallystick.demo.generator import SEED, Report, events
from tallystick.demo.sandbox import sandbox_events
from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS, GrantTerms
from tallystick.domain.identity.requests import RequestKey
from tallystick.domain.identity.rights import PERMISSIONS, Principal
from tallystick.domain.identity.workspaces import NO_WORKSPACE
from tallystick.domain.metering.events import Window, read_event
from tallystick.domain.metering.resources import resource_id
from tallystick.flows import members, prices, resources, tokens, workspaces
from tallystick.flows.batches import Batch
from tallystick.flows.names import Item
from tallystick.flows.resources import Change
from tallystick.flows.workspaces import FIRST_TOKEN, NewWorkspace
from tallystick.kernel.credits import NANO
from tallystick.kernel.periods import boundary, period_of
from tallystick.queries import identity
from tallystick.runtime import Runtime
from tallystick.store.database import Connection
from tallystick.store.idempotency import once

PLAN: Final = "pro"
PERIODS_BEFORE: Final = 3
"""Billing periods before the current one; the oldest began before there was any usage."""

_CHUNK: Final = 4_000
_ROUTE: Final = "demo"
_ANY_TIME: Final = Window(oldest=None, ahead=dt.timedelta(minutes=5))
_SANDBOX_AGE: Final = dt.timedelta(days=25)
PRINCIPAL: Final = Principal(
    kind="operator",
    token_id=UUID(int=0),
    token_name="demo",  # noqa: S106 - a name, not a secret
    person_id=None,
    workspace_id=None,
    role=None,
    permissions=PERMISSIONS,
)
"""On whose behalf the demo is made, as the audit log names it."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What was decided at the first start and holds for every later one; `end` is when the story ends."""

    workspace_id: UUID
    sandbox_id: UUID
    end: dt.datetime


async def tell(runtime: Runtime, now: dt.datetime, progress: Progress = lambda _: None) -> Beginning:
    """Make sure that the demo's workspaces are there with all their usage; `progress` hears how many events are.

    Safe to call again, also after it was cut short: the story keeps the end that it had.
    """
    beginning = await _begin(runtime, now)
    if not await _is_told(runtime, beginning, now, finish=False):
        await _furnish(runtime, beginning)
        acts = _acts(runtime, beginning)
        await _report(runtime, beginning.workspace_id, cast.KEY, _usage(beginning), beginning, progress, acts)
        story = sandbox_events(SEED, beginning.end - _SANDBOX_AGE, beginning.end)
        await _report(runtime, beginning.sandbox_id, cast.SANDBOX_KEY, story, beginning, lambda _: None)
        await _is_told(runtime, beginning, now, finish=True)
    return beginning


def _usage(beginning: Beginning) -> Iterator[Report]:
    return events(SEED, beginning.end - dt.timedelta(days=DAYS), beginning.end)


def _acts(runtime: Runtime, beginning: Beginning) -> list[Act]:
    """What is deployed, invoiced and paid in the course of the story, in order of time."""
    stage = Stage(runtime, beginning.workspace_id, PRINCIPAL.actor)
    steps = deployed.steps(beginning.end - dt.timedelta(days=DAYS), beginning.end)
    accountant = Accountant(runtime, beginning.workspace_id, PRINCIPAL.actor)
    turn = current_period_start(beginning.end)
    ends = [boundary(turn, -back, "UTC") for back in range(PERIODS_BEFORE)]
    found = [*(Act(step.at, partial(stage.take, step)) for step in steps), *accountant.acts(ends)]
    return sorted(found, key=lambda act: act.at)


def birth(end: dt.datetime) -> dt.datetime:
    """When the demo's workspace was made: whole billing periods before the current one."""
    return boundary(current_period_start(end), -PERIODS_BEFORE, "UTC")


async def _begin(runtime: Runtime, now: dt.datetime) -> Beginning:
    """Both workspaces and the end of the story, decided once, in one transaction."""

    async def work(conn: Connection) -> Beginning:
        async def make() -> dict[str, Any]:
            born = birth(now)
            main = NewWorkspace(cast.COMPANY, (), key=cast.KEY, email=cast.OWNER.email, plan=PLAN)
            small = NewWorkspace(cast.SANDBOX, _sandbox_grants(now), key=cast.SANDBOX_KEY, email=cast.OWNER.email)
            made = [
                await _make_workspace(runtime, conn, new, at) for new, at in ((main, born), (small, now - _SANDBOX_AGE))
            ]
            return {"workspaceId": str(made[0]), "sandboxId": str(made[1]), "end": now.isoformat()}

        answer = await once(conn, _request("begin"), now, make)
        return Beginning(
            UUID(answer["workspaceId"]), UUID(answer["sandboxId"]), dt.datetime.fromisoformat(answer["end"])
        )

    return await runtime.database.run(work)


async def _make_workspace(runtime: Runtime, conn: Connection, new: NewWorkspace, at: dt.datetime) -> UUID:
    secret = runtime.ids.secret()
    workspace, _ = await workspaces.create_in(conn, new, principal=PRINCIPAL, text=secret, now=at, ids=runtime.ids)
    # Nobody has seen the first token: the demo's own are made when its server answers.
    await tokens.revoke_named_in(conn, workspace.id, FIRST_TOKEN, actor=PRINCIPAL.actor, now=at, ids=runtime.ids)
    return workspace.id


def _sandbox_grants(now: dt.datetime) -> tuple[GrantTerms, ...]:
    expires_at = now + dt.timedelta(days=65)
    return tuple(
        GrantTerms(unit, amount * NANO, "free", key=f"free:{unit}", expires_at=expires_at, reason="free grant")
        for unit, amount in ((CREDITS, 75), (TOOL_RUNS, 300))
    )


async def _is_told(runtime: Runtime, beginning: Beginning, now: dt.datetime, *, finish: bool) -> bool:
    """Whether the story was told to its end; with `finish`, it is from now on."""
    request = _request("told")

    class NotYetError(Exception):
        """Takes back the claim of the key."""

    async def work(conn: Connection) -> None:
        async def make() -> dict[str, Any]:
            if not finish:
                raise NotYetError
            return {"workspaceId": str(beginning.workspace_id)}

        await once(conn, request, now, make)

    try:
        await runtime.database.run(work)
    except NotYetError:
        return False
    return True


def _request(key: str) -> RequestKey:
    return RequestKey(NO_WORKSPACE, _ROUTE, key, sha256(key.encode()).digest())


async def _furnish(runtime: Runtime, beginning: Beginning) -> None:
    """People, who pays, resources and the operator's prices, all there before the first event."""
    born, workspace_id = birth(beginning.end), beginning.workspace_id
    await Accountant(runtime, workspace_id, PRINCIPAL.actor).say_who_pays(born)
    known = {member.email for member in await identity.members(runtime.database, workspace_id)}
    for member in cast.MEMBERS:
        if member.email not in known:
            new = members.NewMember(member.email, member.role, member.first_name, member.last_name)
            await members.add(
                runtime.database, new, principal=PRINCIPAL, workspace_id=workspace_id, now=born, ids=runtime.ids
            )
    for made in (*cast.resources(), *deployed.RESOURCES):
        attributes = dict(made.attributes)
        if "team" in attributes:
            attributes = {"teamUuid": str(resource_id(workspace_id, "team", attributes["team"]))}
        if "table" in attributes:
            attributes["modelUuid"] = str(resource_id(workspace_id, "table", attributes.pop("table")))
        change = Change(made.name, made.description, attributes)
        await resources.put(runtime.database, made.kind, made.key, change, workspace_id=workspace_id, now=born)
    targets = {
        f"tool.call/connector:{resource_id(workspace_id, 'connector', connector.key)}": connector.price
        for connector in cast.CONNECTORS
        if connector.price is not None
    }
    for target, amount in targets.items():
        await prices.add_version(
            runtime.database,
            target=target,
            model="unit",
            rates={"amount": amount},
            now=born,
            ids=runtime.ids,
            actor=PRINCIPAL.actor,
            valid_from=born,
            reason="the demo's prices",
        )


async def _report(
    runtime: Runtime,
    workspace_id: UUID,
    subject: str,
    reports: Iterable[Report],
    beginning: Beginning,
    progress: Progress,
    acts: Sequence[Act] = (),
) -> None:
    """Book reports in chunks, each at the time of its last one; `acts` are taken between those."""
    anchor = birth(beginning.end) if workspace_id == beginning.workspace_id else beginning.end - _SANDBOX_AGE
    done = 0
    waiting = deque(acts)
    for chunk in _chunks(reports, anchor, [act.at for act in acts]):
        while waiting and waiting[0].at <= chunk[0].at:
            act = waiting.popleft()
            await act.take(act.at)
        now = chunk[-1].at
        batch = Batch([_item(workspace_id, subject, report.event, now) for report in chunk], now)
        await runtime.committer.submit(batch)
        for report, outcome in zip(chunk, batch.outcomes, strict=True):
            if outcome is None or outcome.kind not in ("accepted", "duplicate"):
                raise RuntimeError(f"the demo's event {report.event['id']} was not booked: {outcome}")
        done += len(chunk)
        progress(done)


def _chunks(reports: Iterable[Report], anchor: dt.datetime, cuts: Sequence[dt.datetime] = ()) -> Iterator[list[Report]]:
    """None reaches over the end of a billing period, whose grants would pay for what the next one has to, nor over one
    of the `cuts`, in order, at which something else happens."""
    chunk: list[Report] = []
    waiting = deque(cuts)
    ends = anchor
    for report in reports:
        is_cut = bool(waiting) and report.at >= waiting[0]
        while waiting and report.at >= waiting[0]:
            waiting.popleft()
        if chunk and (report.at >= ends or len(chunk) == _CHUNK or is_cut):
            yield chunk
            chunk = []
        if report.at >= ends:
            ends = period_of(anchor, "monthly", "UTC", report.at).end
        chunk.append(report)
    if chunk:
        yield chunk


def _item(workspace_id: UUID, subject: str, event: dict[str, Any], now: dt.datetime) -> Item:
    read = read_event(
        specversion=event["specversion"],
        source=event["source"],
        source_id=event["id"],
        type_=event["type"],
        subject=subject,
        time=event["time"],
        data=msgspec.json.encode(event["data"]),
        now=now,
        window=_ANY_TIME,
    )
    return Item(workspace_id, read)
