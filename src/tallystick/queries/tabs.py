"""What the tabs of usage show: rows and totals of a range, each tab one snapshot (rows B6 to B10, B14)."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tallystick.domain.credits.balances import Shown, shown
from tallystick.domain.deployments import tabs
from tallystick.domain.deployments.deployment import RESOURCE_KINDS
from tallystick.domain.deployments.profiles import HardwareProfile
from tallystick.domain.deployments.tabs import (
    MODEL_CATEGORIES,
    DeploymentRow,
    Hardware,
    ModelRow,
    Named,
    Overview,
    Placed,
    Point,
    Span,
    Time,
    TimeRow,
    ToolRow,
)
from tallystick.domain.metering.resources import resource_id
from tallystick.domain.texts import as_uuid, check_key
from tallystick.kernel.errors import TallystickError
from tallystick.queries import balances
from tallystick.store import profiles
from tallystick.store.database import Connection, Database, Row, together
from tallystick.store.named_sql import load

SQL = load(__file__)

_CATEGORIES: Final[Mapping[str, str]] = {"guardrail": "guardrail", "script": "script", "model": "hosting"}
"""The category of a deployment's time, by its kind."""


@dataclass(frozen=True, slots=True)
class OverviewTab:
    """`balances` are those of the current allocation, whatever the range; `previous` that of the range before."""

    balances: list[Shown]
    found: Overview
    previous: Overview | None


@dataclass(frozen=True, slots=True)
class ToolsTab:
    """Runs in nano-units; totals count the rows."""

    rows: list[ToolRow]
    previous: list[ToolRow] | None


@dataclass(frozen=True, slots=True)
class ModelSums:
    """Nano-credits of a range by what for, and what of them no row has."""

    inference: int
    hosting: int
    fine_tuning: int
    unattributed: int

    @property
    def credits(self) -> int:
        return self.inference + self.hosting + self.fine_tuning


@dataclass(frozen=True, slots=True)
class ModelPanel:
    """The deployments behind one row."""

    resource: Named
    rows: list[DeploymentRow]


@dataclass(frozen=True, slots=True)
class ModelsTab:
    rows: list[ModelRow]
    sums: ModelSums
    previous: ModelSums | None
    panel: ModelPanel | None


@dataclass(frozen=True, slots=True)
class TimeSums:
    """Nano-credits and replica time of a range, and what of the credits no row has."""

    credits: int
    microseconds: int
    unattributed: int


@dataclass(frozen=True, slots=True)
class TimePanel:
    """The hardware behind one row."""

    resource: Named
    hardware: list[Hardware]


@dataclass(frozen=True, slots=True)
class TimeTab:
    """Guardrails, or scripts."""

    rows: list[TimeRow]
    sums: TimeSums
    previous: TimeSums | None
    panel: TimePanel | None


async def overview(database: Database, workspace_id: UUID, span: Span, *, compare: bool = False) -> OverviewTab:
    """As of the last booking (flows/due.py). Raises `workspaceNotFound`."""
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(balances.SQL["balances"], {"workspace_id": workspace_id})).fetchall()
        found = tabs.overview(span, await _points(conn, workspace_id, span))
        previous = None
        if compare:
            previous = tabs.overview(span.before(), await _points(conn, workspace_id, span.before()))
    if not rows:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    now = [shown(row["unit"], posted=row["posted"], held=row["held"], allocation=row["allocation"]) for row in rows]
    return OverviewTab(now, found, previous)


async def tools(database: Database, workspace_id: UUID, span: Span, *, compare: bool = False) -> ToolsTab:
    """Those that were ever deployed."""
    async with database.read(workspace_id) as conn:
        resources, placed = await _listed(conn, workspace_id, "tool")
        rows = await _tool_rows(conn, workspace_id, span, resources, placed)
        previous = await _tool_rows(conn, workspace_id, span.before(), resources, placed) if compare else None
    return ToolsTab(rows, previous)


async def models(
    database: Database, workspace_id: UUID, span: Span, *, compare: bool = False, of: str | None = None
) -> ModelsTab:
    """Language models. `of` names one, by key or uuid, whose deployments are wanted. Raises `resourceNotFound`."""
    async with database.read(workspace_id) as conn:
        resources, placed = await _listed(conn, workspace_id, "model")
        charged = await _charged(conn, workspace_id, span)
        rows = tabs.model_rows(resources.values(), placed, charged)
        previous = None
        if compare:
            earlier = await _charged(conn, workspace_id, span.before())
            previous = _model_sums(earlier, tabs.model_rows(resources.values(), placed, earlier))
        panel = None
        if of is not None:
            resource = _one(workspace_id, "model", of, resources)
            own = tabs.by_resource(placed).get(resource.id, [])
            hardware = await _profiles(conn, (one.profile for one in own))
            times = await _times(conn, workspace_id, "model", span)
            panel = ModelPanel(resource, tabs.deployment_rows(own, times, hardware))
    return ModelsTab(rows, _model_sums(charged, rows), previous, panel)


async def timed(
    database: Database, workspace_id: UUID, kind: str, span: Span, *, compare: bool = False, of: str | None = None
) -> TimeTab:
    """Guardrails or scripts. `of` names one, by key or uuid, whose hardware is wanted. Raises `resourceNotFound`."""
    async with database.read(workspace_id) as conn:
        resources, placed = await _listed(conn, workspace_id, kind)
        times = await _times(conn, workspace_id, kind, span)
        active = await _last_active(conn, workspace_id, span)
        rows = tabs.time_rows(resources.values(), placed, times, active)
        sums = _time_sums(await _points(conn, workspace_id, span), kind, rows)
        previous = None
        if compare:
            before = span.before()
            earlier = tabs.time_rows(resources.values(), placed, await _times(conn, workspace_id, kind, before), active)
            previous = _time_sums(await _points(conn, workspace_id, before), kind, earlier)
        panel = None
        if of is not None:
            resource = _one(workspace_id, kind, of, resources)
            own = tabs.by_resource(placed).get(resource.id, [])
            found = await _profiles(conn, (time.profile for time in times))
            panel = TimePanel(resource, tabs.hardware(own, times, found))
    return TimeTab(rows, sums, previous, panel)


def _model_sums(charged: Mapping[tuple[str, str], int], rows: Iterable[ModelRow]) -> ModelSums:
    by_category = dict.fromkeys(MODEL_CATEGORIES, 0)
    for (_, category), amount in charged.items():
        by_category[category] += amount
    left = sum(by_category.values()) - sum(row.credits for row in rows)
    return ModelSums(by_category["llm"], by_category["hosting"], by_category["fine_tuning"], left)


def _time_sums(points: Iterable[Point], kind: str, rows: Sequence[TimeRow]) -> TimeSums:
    charged = sum(point.credits for point in points if point.category == _CATEGORIES[kind])
    return TimeSums(charged, sum(row.microseconds for row in rows), charged - sum(row.credits for row in rows))


def _given(workspace_id: UUID, span: Span, **more: Any) -> dict[str, Any]:
    edges = {"first": span.first, "last": span.last, "start": span.start, "end": span.end}
    return {"workspace_id": workspace_id, **edges, **more}


async def _points(conn: Connection, workspace_id: UUID, span: Span) -> list[Point]:
    query = SQL["hours" if span.hourly else "days"]
    rows = await (await conn.execute(query, _given(workspace_id, span))).fetchall()
    return [Point(**row) for row in rows]


async def _listed(conn: Connection, workspace_id: UUID, kind: str) -> tuple[dict[UUID, Named], list[Placed]]:
    """Every resource that deployments of a kind are of, and every such deployment."""
    resources, placed = await together(
        conn,
        (SQL["resources"], {"workspace_id": workspace_id, "kind": RESOURCE_KINDS[kind], "id": None}),
        (SQL["deployments"], {"workspace_id": workspace_id, "kind": kind}),
    )
    return {row["id"]: Named(**row) for row in resources}, [Placed(**row) for row in placed]


async def _times(conn: Connection, workspace_id: UUID, kind: str, span: Span) -> list[Time]:
    query = SQL["time_by_hours" if span.hourly else "time_by_days"]
    given = _given(workspace_id, span, kind=kind, category=_CATEGORIES[kind])
    return [Time(**row) for row in await (await conn.execute(query, given)).fetchall()]


async def _last_active(conn: Connection, workspace_id: UUID, span: Span) -> dict[UUID, dt.date]:
    rows = await (await conn.execute(SQL["time_last_active"], _given(workspace_id, span))).fetchall()
    return {row["deployment_id"]: row["last"] for row in rows}


async def _charged(conn: Connection, workspace_id: UUID, span: Span) -> dict[tuple[str, str], int]:
    """Nano-credits by language model as reported, empty where none is named, and category."""
    query = SQL["models_by_hours" if span.hourly else "models_by_days"]
    given = _given(workspace_id, span, categories=list(MODEL_CATEGORIES))
    rows = await (await conn.execute(query, given)).fetchall()
    return {(row["language_model"] or "", row["category"]): row["credits"] for row in rows}


async def _tool_rows(
    conn: Connection, workspace_id: UUID, span: Span, resources: Mapping[UUID, Named], placed: Sequence[Placed]
) -> list[ToolRow]:
    given = _given(workspace_id, span, ids=sorted({one.resource_id for one in placed}))
    makers = sorted({made for one in placed if (made := _token_of(one.created_by)) is not None})
    runs, last, people = await together(
        conn,
        (SQL["tools_by_hours" if span.hourly else "tools_by_days"], given),
        (SQL["tools_last_active"], given),
        (SQL["makers"], {"workspace_id": workspace_id, "ids": makers}),
    )
    owners = {row["id"]: _person(row) for row in people}
    by_maker = {one.created_by: owners.get(_token_of(one.created_by), "") for one in placed}
    return tabs.tool_rows(
        resources,
        placed,
        {row["tool_id"]: row["tool_runs"] for row in runs},
        {row["tool_id"]: row["last"] for row in last},
        by_maker,
    )


def _token_of(actor: str) -> UUID | None:
    """The token that an actor of the audit log is."""
    return as_uuid(actor.rpartition(":")[2])


def _person(row: Row) -> str:
    """A person's name or address; where nobody owns a token, what that is called."""
    return f"{row['first_name']} {row['last_name']}".strip() or str(row["email"] or row["name"])


async def _profiles(conn: Connection, keys: Iterable[str | None]) -> dict[str, HardwareProfile]:
    wanted = sorted({key for key in keys if key is not None})
    if not wanted:
        return {}
    rows = await (await conn.execute(SQL["profiles"], {"keys": wanted})).fetchall()
    return {row["key"]: profiles.profile_of(row) for row in rows}


def _one(workspace_id: UUID, kind: str, name: str, resources: Mapping[UUID, Named]) -> Named:
    """The resource that is named. Raises `resourceNotFound` and `invalidKey`."""
    check_key(name, field=kind)
    found = resources.get(resource_id(workspace_id, RESOURCE_KINDS[kind], name))
    if found is None:
        raise TallystickError("resourceNotFound", f"There is no such {kind}.", kind=RESOURCE_KINDS[kind], name=name)
    return found
