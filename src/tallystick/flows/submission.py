"""From reports to answers: which workspace each event is of, which lane it goes to, what came of it."""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol
from uuid import UUID

from tallystick.domain.metering.events import LITELLM, UsageEvent
from tallystick.flows.batches import Batch, Outcome
from tallystick.flows.committer import Committer
from tallystick.flows.names import Item, Names
from tallystick.kernel.errors import TallystickError
from tallystick.store.database import Database

_NO_CLOCKS: Final[Mapping[UUID, dt.datetime]] = MappingProxyType({})

RETRY: Final = Outcome("retry")
"""The outcome of an event whose lane could not commit: nothing was booked, sending it again is safe."""


class Named(Protocol):
    """Whatever has a subject."""

    @property
    def subject(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a report may be about: one workspace, or any when `workspace_id` is None (an operator's token).

    `default_id` is the workspace of an event without a subject. `history` names the import that it is part of.
    """

    workspace_id: UUID | None
    default_id: UUID | None
    history: str | None = None


async def submit(
    database: Database,
    names: Names,
    committer: Committer,
    events: Sequence[UsageEvent],
    scope: Scope,
    *,
    now: dt.datetime,
    clocks: Mapping[UUID, dt.datetime] = _NO_CLOCKS,
) -> list[Outcome]:
    """Book these events and answer what became of each, in their order, after the commit.

    `now` is the machine's time, `clocks` that of each workspace that has a test clock.

    Raises `busy` or `databaseUnavailable` when no lane could commit; where only some could, the events of the others
    are answered `RETRY`.
    """
    outcomes: list[Outcome | None] = [None] * len(events)
    items: list[Item] = []
    places: list[int] = []
    known = await workspaces_of(database, names, events)
    for place, event in enumerate(events):
        try:
            items.append(item_of(event, known, scope))
            places.append(place)
        except TallystickError as error:
            outcomes[place] = Outcome("rejected", error=error)
    lanes = [(lane, _batch([items[n] for n in lane], now, clocks, scope)) for lane in _split(committer, items, clocks)]
    results = await asyncio.gather(*(committer.submit(batch) for _, batch in lanes), return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures and len(failures) == len(lanes):
        raise failures[0]
    for (lane, batch), result in zip(lanes, results, strict=True):
        for n, outcome in zip(lane, batch.outcomes, strict=True):
            outcomes[places[n]] = RETRY if isinstance(result, BaseException) else outcome
    return [outcome or RETRY for outcome in outcomes]


def _split(committer: Committer, items: list[Item], clocks: Mapping[UUID, dt.datetime]) -> list[list[int]]:
    """Places of the items by lane; of a workspace with a test clock, by workspace."""
    if not clocks:
        return committer.split(items)
    others: list[int] = []
    apart: dict[UUID, list[int]] = {}
    for place, item in enumerate(items):
        (apart.setdefault(item.workspace_id, []) if item.workspace_id in clocks else others).append(place)
    lanes = committer.split([items[place] for place in others])
    return [[others[n] for n in lane] for lane in lanes] + list(apart.values())


def _batch(items: list[Item], now: dt.datetime, clocks: Mapping[UUID, dt.datetime], scope: Scope) -> Batch:
    clock = clocks.get(items[0].workspace_id)
    return Batch(items, clock or now, scope.history, on_clock=clock is not None)


async def workspaces_of(database: Database, names: Names, events: Sequence[Named]) -> dict[str, UUID]:
    """The workspaces that the events' subjects name; a subject that names none is missing."""
    subjects = {event.subject for event in events if event.subject}
    known = names.known_workspaces(subjects)
    if len(known) < len(subjects):
        async with database.read() as conn:
            known = await names.workspaces(conn, subjects)
    return known


def item_of(event: UsageEvent, known: dict[str, UUID], scope: Scope) -> Item:
    """The event with its workspace. Raises `subjectRequired`, `workspaceNotFound` or `forbidden`."""
    if not event.subject:
        if scope.default_id is None:
            raise TallystickError("subjectRequired", "An operator's event names its workspace in subject.")
        return Item(scope.default_id, event)
    named = known.get(event.subject)
    if scope.workspace_id is None:
        if named is None:
            raise TallystickError("workspaceNotFound", "subject names no workspace.", subject=event.subject[:64])
        return Item(named, event)
    if named == scope.workspace_id:
        return Item(named, event)
    if event.type == LITELLM:
        # LiteLLM puts the end user there; the token says which workspace it is.
        return Item(scope.workspace_id, event, user=event.subject)
    raise TallystickError("forbidden", "subject is not the token's workspace.", subject=event.subject[:64])
