"""Factories, each named for the state that it yields."""

import datetime as dt
from typing import Any
from uuid import UUID

import msgspec

from tallystick.domain.credits.grants import Grant, GrantTerms
from tallystick.domain.differences import Difference
from tallystick.domain.metering.events import UsageEvent, Window, read_event
from tallystick.domain.metering.meters import Meter as OperatorMeter
from tallystick.flows import grants, prices, subscriptions
from tallystick.flows.batches import Batch, Outcome
from tallystick.flows.catalog import CatalogCache
from tallystick.flows.ingest import IngestLimits, book
from tallystick.flows.names import Item, Names
from tallystick.gateways.model_prices import ModelDirectory, public_versions
from tallystick.kernel.credits import NANO
from tallystick.kernel.ids import SystemIds
from tallystick.queries.verify import verify
from tallystick.store.database import Connection, Database

IDS = SystemIds()
MODELS = ModelDirectory()


async def bare_workspace(
    database: Database, now: dt.datetime, *, plan: str = "free", zone: str = "UTC", key: str | None = None
) -> UUID:
    """A workspace on a plan, without any grant but the plan's."""
    workspace_id = IDS.new(now)
    await subscriptions.ship_plans(database)

    async def work(conn: Connection) -> None:
        await conn.execute(
            "INSERT INTO workspace (id, key, name, zone, created_at) VALUES (%s, %s, 'Acme', %s, %s)",
            [workspace_id, key, zone, now],
        )
        await subscriptions.begin_in(conn, workspace_id, plan, zone=zone, now=now, ids=IDS)

    await database.run(work)
    return workspace_id


class Meter:
    """A door to ingest for tests: reports as plain dicts in, outcomes out, through the real flow."""

    def __init__(self, database: Database, limits: IngestLimits | None = None) -> None:
        self.database = database
        self.names = Names(MODELS)
        self.catalogs = CatalogCache()
        self.limits = limits or IngestLimits()

    async def report(
        self,
        workspace_id: UUID,
        *reports: dict[str, Any],
        now: dt.datetime,
        history: str | None = None,
    ) -> list[Outcome]:
        """Book reports in one commit: type, id, and optionally source, time; everything else is data."""
        batch = Batch([Item(workspace_id, event_of(report, workspace_id, now)) for report in reports], now, history)
        await self.book(batch)
        return [outcome for outcome in batch.outcomes if outcome is not None]

    async def book(self, *batches: Batch) -> None:
        """Book these batches in one commit."""
        await book(
            self.database,
            list(batches),
            names_cache=self.names,
            catalogs=self.catalogs,
            limits=self.limits,
            ids=IDS,
        )


def event_of(report: dict[str, Any], workspace_id: UUID, now: dt.datetime) -> UsageEvent:
    """The usage event of a plain report."""
    data = {name: value for name, value in report.items() if name not in ("type", "id", "at", "from_")}
    return read_event(
        specversion="1.0",
        source=report.get("from_", "test"),
        source_id=report["id"],
        type_=report["type"],
        subject=str(workspace_id),
        time=report.get("at", now),
        data=msgspec.json.encode(data),
        now=now,
        window=Window(None, dt.timedelta(minutes=5)),
    )


async def catalog(database: Database, now: dt.datetime) -> None:
    """The shipped meters and prices, and a few public model prices."""
    await prices.ship_catalog(database, now)
    wanted = ("llm.tokens/openai/", "llm.tokens/anthropic/")
    public = [version for version in public_versions(now) if version.target.startswith(wanted)]
    await prices.import_public(database, public, now, IDS)


async def grant(
    database: Database, workspace_id: UUID, amount: int, now: dt.datetime, *, unit: str = "credits", **terms: Any
) -> Grant:
    """A promotion of `amount` whole credits or tool runs."""
    given = GrantTerms(unit, amount * NANO, terms.pop("source", "promotion"), key=str(IDS.new(now)), **terms)
    return await grants.issue(database, given, workspace_id=workspace_id, now=now, ids=IDS, actor="test")


async def rows(database: Database, query: str, *given: Any) -> list[dict[str, Any]]:
    """What the database holds."""
    async with database.read() as conn:
        return [dict(row) for row in await (await conn.execute(query.encode(), given)).fetchall()]


async def differences(database: Database, *workspace_ids: UUID) -> list[Difference]:
    """What `tally verify` finds wrong with these workspaces, hours included; the catalog is everybody's."""
    found: list[Difference] = []
    since = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    for workspace_id in workspace_ids:
        await verify(database, found.append, hours_since=since, workspace_id=workspace_id)
    return [difference for difference in found if difference.workspace_id is not None]


def cancellation(
    own_id: str, source: str, target_id: str, workspace_id: UUID, now: dt.datetime, own_source: str = "test"
) -> UsageEvent:
    """An event that takes another one back; its data has the target's `id`, unlike a plain report's."""
    return read_event(
        specversion="1.0",
        source=own_source,
        source_id=own_id,
        type_="event.cancelled",
        subject=str(workspace_id),
        time=now,
        data=msgspec.json.encode({"source": source, "id": target_id, "reason": "wrong"}),
        now=now,
        window=Window(None, dt.timedelta(minutes=5)),
    )


def operator_meter(type_: str) -> OperatorMeter:
    """A type of usage event that an operator defines."""
    return OperatorMeter(type_, "other", f"native.{type_}", "queries")
