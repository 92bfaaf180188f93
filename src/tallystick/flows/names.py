"""From the names in events to attributions, cached by workspace; what is new is created in the commit that needs it."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from sys import intern
from typing import Final
from uuid import UUID

import msgspec

from tallystick.domain.metering.attribution import Attribution, priced_name
from tallystick.domain.metering.catalog import Catalog
from tallystick.domain.metering.events import LITELLM, UsageEvent
from tallystick.domain.metering.meters import LLM_TOKENS, TOOL_CALL, UNKNOWN
from tallystick.domain.metering.resources import resource_id
from tallystick.domain.metering.rollups import Dimensions
from tallystick.domain.texts import check_key
from tallystick.gateways.model_prices import ModelDirectory
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import distinct
from tallystick.store import names as store
from tallystick.store.database import Connection, Database, Row
from tallystick.store.names import Name, NewResource
from tallystick.store.usage import Key

_UUID_LENGTH: Final = 36
_CACHED_MOST: Final = 50_000
"""Attributions and names that one process keeps; past it the cache starts anew."""


_facts = attrgetter(
    "status",
    "project",
    "user",
    "workflow",
    "agent",
    "connector",
    "tool",
    "table",
    "model",
    "integration",
    "action",
    "profile",
    "complexity",
)


class Item(msgspec.Struct, gc=False):
    """One event on its way to a commit. `user` stands in for the event's own where the subject names one."""

    workspace_id: UUID
    event: UsageEvent
    user: str | None = None

    @property
    def key(self) -> Key:
        """Workspace, source and id: what an event is known by."""
        return self.workspace_id, self.event.source, self.event.source_id

    @property
    def names(self) -> tuple[str | None, ...]:
        """What decides the attribution, where an empty name is an absent one, and the user is the one that counts."""
        status, project, own_user, *others = _facts(self.event.facts)
        return tuple(name or None for name in (self.event.type, status, project, self.user or own_user, *others))


_Reported = tuple[str, str | None, tuple[str | None, ...]]
"""Everything that decides the attribution, as reported: the key under which it is cached."""


def _reported(item: Item) -> _Reported:
    """The key to keep: its words are those of many others."""
    facts = tuple(name and intern(name) for name in _facts(item.event.facts))
    return intern(item.event.type), item.user and intern(item.user), facts


_EXPECTED_MOST: Final = 10_000
_EXPECTED_FOR: Final = dt.timedelta(seconds=5)
_NOTHING: Final[dict[_Reported, Attribution]] = {}
_KINDS: Final = ("project", "user", "workflow", "agent", "connector", "tool", "table", "languageModel")
"""The kind of each name from the third on. A workflow is a play or a tool; a new one is a play."""


@dataclass(slots=True)
class _Connector:
    integration: str | None
    uses_credits: bool


@dataclass(slots=True)
class _Known:
    """What is known of one workspace's resources, as of `resources_no`."""

    resources_no: int
    ids: dict[tuple[str, str], UUID] = field(default_factory=dict)
    connectors: dict[UUID, _Connector] = field(default_factory=dict)
    attributions: dict[_Reported, Attribution] = field(default_factory=dict)
    expected: dict[tuple[str, str], tuple[UUID, dt.datetime]] = field(default_factory=dict)

    def learn(self, row: Row) -> None:
        """Keep what a row of `resource` says."""
        identity, kind, key = row["id"], intern(row["kind"]), intern(row["key"])
        # Where a play and a tool share a key, the play is the workflow.
        if kind == "play" or (kind == "tool" and ("workflow", key) not in self.ids):
            self.ids["workflow", key] = identity
        self.ids[kind, key] = identity
        if kind == "connector":
            attributes = row["attributes"]
            uses_credits = attributes.get("useCredits", True) is not False
            self.connectors[identity] = _Connector(attributes.get("integrationSlug"), uses_credits)
        # It may be named by its uuid as well, whatever kind the event takes it for.
        self.ids["", str(identity)] = identity

    def find(self, kind: str, name: str) -> UUID | None:
        """The resource that an event names, if it is known."""
        found = self.ids.get((kind, name))
        return self.ids.get(("", name)) if found is None and len(name) == _UUID_LENGTH else found

    def id_at(self, kind: str, name: str, now: dt.datetime) -> UUID | None:
        """The same, or the id that it will have, as long as it was looked for a moment ago."""
        found = self.find(kind, name)
        if found is not None:
            return found
        expected = self.expected.get((kind, name))
        return expected[0] if expected is not None and expected[1] > now else None

    def expect(self, workspace_id: UUID, kind: str, name: str, now: dt.datetime) -> UUID:
        """The id that its usage will give it; remembered, so that holds for it need not look each time."""
        check_key(name, field=kind)
        identity = resource_id(workspace_id, "play" if kind == "workflow" else kind, name)
        if len(self.expected) >= _EXPECTED_MOST:
            self.expected.clear()
        self.expected[kind, name] = identity, now + _EXPECTED_FOR
        return identity


def _stored_kinds(kind: str) -> tuple[str, ...]:
    return ("play", "tool") if kind == "workflow" else (kind,)


@dataclass(frozen=True, slots=True)
class Attributed:
    """Answers of `Names.attribute`: one for each item, by item what must be created with it, and the state of each
    workspace's connectors that they rest on."""

    attributions: list[Attribution | TallystickError]
    new: dict[int, list[NewResource]]
    rests_on: dict[UUID, int]


class Names:
    """The cache of one process. It forgets a workspace when its connectors change, everything when the catalog does."""

    def __init__(self, models: ModelDirectory) -> None:
        self._models = models
        self._catalog_version = -1
        self._known: dict[UUID, _Known] = {}
        self._subjects: dict[str, UUID] = {}
        self._size = 0

    def known_workspaces(self, subjects: Collection[str]) -> dict[str, UUID]:
        """Those of the subjects whose workspace needs no look-up."""
        return {subject: self._subjects[subject] for subject in subjects if subject in self._subjects}

    async def workspaces(self, conn: Connection, subjects: Collection[str]) -> dict[str, UUID]:
        """The workspaces that these subjects name; a subject that names none is missing."""
        known = self.known_workspaces(subjects)
        missing = {subject for subject in subjects if subject not in known}
        if missing:
            found = await store.workspaces(conn, missing)
            if len(self._subjects) > _CACHED_MOST:
                self._subjects.clear()
            self._subjects.update(found)
            known |= found
        return known

    def forget(self, workspace_ids: Iterable[UUID]) -> None:
        """Drop what is known of these workspaces."""
        for workspace_id in workspace_ids:
            self._known.pop(workspace_id, None)

    async def attribute(self, conn: Connection, items: list[Item], catalog: Catalog) -> "Attributed":
        """The attribution of each item, or why it has none.

        Reads only. The caller compares what the answer rests on under lock, and `forget`s and repeats where that moved
        on.
        """
        if not items:
            return Attributed([], {}, {})
        if catalog.version != self._catalog_version or self._size > _CACHED_MOST:
            self._known = {}
            self._size = 0
            self._catalog_version = catalog.version
        # Another lane may begin the cache anew while this one waits: what is used here is held here.
        workspace_ids = distinct(item.workspace_id for item in items)
        known = {workspace_id: self._known.get(workspace_id) for workspace_id in workspace_ids}
        cached = {workspace_id.int: held.attributions for workspace_id, held in known.items() if held}
        found: list[Attribution | TallystickError | None] = [
            # As `_reported`, which would take longer to call than to do.
            cached.get(item.workspace_id.int, _NOTHING).get((item.event.type, item.user, _facts(item.event.facts)))
            for item in items
        ]
        missing = [place for place, attribution in enumerate(found) if attribution is None]
        new: dict[int, list[NewResource]] = {}
        if missing:
            await self._load(conn, [items[place] for place in missing], known)
            for place in missing:
                fresh: list[NewResource] = []
                try:
                    found[place] = self._resolve(items[place], known[items[place].workspace_id], catalog, fresh)
                    if fresh:
                        new[place] = fresh
                except TallystickError as error:
                    found[place] = error
        rests_on = {workspace_id: held.resources_no for workspace_id, held in known.items() if held}
        return Attributed([entry for entry in found if entry is not None], new, rests_on)

    async def ids(
        self, database: Database, workspace_id: UUID, named: Mapping[str, str], now: dt.datetime
    ) -> dict[str, UUID]:
        """The ids of the resources named, by kind; one that does not exist yet has the id that its usage will give it.

        Raises `invalidKey`.
        """
        held = self._known.get(workspace_id)
        found = {kind: held.id_at(kind, name, now) for kind, name in named.items()} if held else {}
        missing = {kind: name for kind, name in named.items() if found.get(kind) is None}
        if missing:
            async with database.read(workspace_id) as conn:
                held = await self._learn(conn, workspace_id, missing)
            for kind, name in missing.items():
                found[kind] = held.find(kind, name) or held.expect(workspace_id, kind, name, now)
        return {kind: one for kind, one in found.items() if one is not None}

    async def _learn(self, conn: Connection, workspace_id: UUID, named: Mapping[str, str]) -> _Known:
        held = self._known.get(workspace_id)
        if held is None:
            numbers = await store.resources_no(conn, [workspace_id])
            held = self._known.setdefault(workspace_id, _Known(numbers.get(workspace_id, 0)))
        wanted = {(workspace_id, one, name) for kind, name in named.items() for one in _stored_kinds(kind)}
        for row in await store.resources(conn, wanted):
            held.learn(row)
            self._size += 1
        return held

    async def _load(self, conn: Connection, items: list[Item], known: "dict[UUID, _Known | None]") -> None:
        """Read what the database knows of the names that these items carry and the cache lacks."""
        strangers = {item.workspace_id for item in items if known[item.workspace_id] is None}
        if strangers:
            for workspace_id, number in (await store.resources_no(conn, strangers)).items():
                known[workspace_id] = self._known[workspace_id] = _Known(number)
        wanted: set[Name] = set()
        for item in items:
            held = known[item.workspace_id]
            if held is None:
                continue
            for kind, name in zip(_KINDS, item.names[2:], strict=False):
                if name is not None and held.find(kind, name) is None:
                    wanted.update((item.workspace_id, one, name) for one in _stored_kinds(kind))
        if wanted:
            for row in await store.resources(conn, wanted):
                held = known[row["workspace_id"]]
                if held is not None:
                    held.learn(row)
                    self._size += 1

    def _resolve(self, item: Item, known: "_Known | None", catalog: Catalog, fresh: list[NewResource]) -> Attribution:
        if known is None:
            raise TallystickError("workspaceNotFound", "There is no such workspace.")
        names = item.names
        type_ = LLM_TOKENS if item.event.type == LITELLM else item.event.type
        meter = catalog.meters.get(type_)
        if meter is None:
            raise TallystickError("unknownType", "No meter knows this type of event.", type=item.event.type[:64])
        integration, action, model = names[10], names[11], names[9]
        project, user, workflow, agent, connector_id, tool, table, _ = (
            self._id(item.workspace_id, known, kind, name, integration, fresh)
            for kind, name in zip(_KINDS, names[2:10], strict=True)
        )
        connector = known.connectors.get(connector_id) if connector_id else None
        integration = integration or (connector.integration if connector else None)
        canonical = None
        reported = integration
        if type_ == LLM_TOKENS:
            if model is None:
                raise TallystickError("invalidData", "llm.tokens needs a model.", field="model")
            canonical = self._models.resolve(model, integration)
            integration = integration or (canonical[0] if canonical else UNKNOWN)
        elif type_ == TOOL_CALL:
            integration = integration or UNKNOWN
        dimensions = Dimensions(
            type_,
            meter.category,
            meter.slug_for(integration, integration, action),
            names[1],
            project,
            user,
            workflow,
            agent,
            connector_id,
            tool,
            table,
            model,
            integration,
        )
        waived = connector is not None and not connector.uses_credits and type_ in (LLM_TOKENS, TOOL_CALL)
        named = priced_name(type_, item.event.facts)
        attribution = Attribution(item.workspace_id, meter, dimensions, waived, reported, action, canonical, named)
        if not fresh:
            known.attributions[_reported(item)] = attribution
            self._size += 1
        return attribution

    def _id(
        self,
        workspace_id: UUID,
        known: _Known,
        kind: str,
        name: str | None,
        integration: str | None,
        fresh: list[NewResource],
    ) -> UUID | None:
        if name is None:
            return None
        found = known.find(kind, name)
        if found is not None:
            return found
        check_key(name, field=kind)
        made = "play" if kind == "workflow" else kind
        identity = resource_id(workspace_id, made, name)
        attributes = {"integrationSlug": integration} if kind == "connector" and integration else {}
        fresh.append((workspace_id, identity, made, name, attributes))
        return identity
