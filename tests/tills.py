"""A till: holds on one workspace through the real flow, several operations in one commit where a test wants that."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from tallystick.domain.billing.plans import PlanVersion
from tallystick.domain.credits.holds import Amounts, Hold, Scope
from tallystick.flows import due, holds, subscriptions
from tallystick.flows.batches import Batch
from tallystick.flows.holding import Change, Extend, Operation, Place, Settle, Void
from tallystick.flows.ingest import IngestLimits
from tallystick.flows.names import Item
from tallystick.kernel.credits import NANO, format_credits
from tallystick.store import subscriptions as store
from tallystick.store.database import Connection, Database
from tests import make
from tests.make import IDS, Meter

MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)
QUARTER = 900
"""Seconds that a hold lives by default."""


def nano(amount: float) -> int:
    """Whole or half units as nano-units."""
    return round(amount * 2) * NANO // 2


def hash_of(*content: object) -> bytes:
    """What stands for a request's body."""
    return sha256(repr(content).encode()).digest()


@dataclass
class Till:
    """One workspace. `at` is the time of the next commit; amounts are whole (or half) credits and tool runs."""

    database: Database
    workspace_id: UUID
    at: dt.datetime
    meter: Meter = field(init=False)
    numbers: int = 0

    def __post_init__(self) -> None:
        # Hours as old as a test may make them, so that verify finds what is taken back of them.
        self.meter = Meter(self.database, IngestLimits(hourly_days=4_000))

    def wait(self, time: dt.timedelta) -> None:
        """Let time pass; nothing settles what falls due by that alone."""
        self.at += time

    def _key(self, key: str | None) -> str:
        self.numbers += 1
        return f"key {self.numbers}" if key is None else key

    def placing(
        self, money: float = 0, runs: float = 0, *, key: str | None = None, seconds: int = QUARTER, **scope: Any
    ) -> Batch:
        """A commit's part that sets amounts aside."""
        amounts = Amounts(nano(money), nano(runs))
        body = hash_of("place", amounts, sorted(scope.items()), seconds)
        named = {kind: name for kind, name in scope.items() if kind not in ("run", "api_key")}
        place = Place(
            self.workspace_id,
            self._key(key),
            body,
            amounts=amounts,
            scope=self.scope(**scope),
            seconds=seconds,
            names=json.dumps(named),
        )
        return Batch([], self.at, operation=place)

    def scope(self, run: str | None = None, api_key: str | None = None, **named: str) -> Scope:
        """What resources of these keys are found by."""
        kinds = {"workflow": "play"}
        ids = {f"{kind}_id": uuid5(self.workspace_id, f"{kinds.get(kind, kind)}:{key}") for kind, key in named.items()}
        return Scope(run=run, api_key=api_key, **ids)

    def settling(self, hold: Hold, *reports: dict[str, Any], key: str | None = None, final: bool = True) -> Batch:
        """A commit's part that settles by events."""
        body = hash_of("settle", reports, final)
        settle = Settle(self.workspace_id, self._key(key), body, hold_id=hold.id, final=final)
        items = [Item(self.workspace_id, make.event_of(report, self.workspace_id, self.at)) for report in reports]
        return Batch(items, self.at, operation=settle)

    async def charging(
        self, hold: Hold, money: float = 0, runs: float = 0, *, key: str | None = None, final: bool = True
    ) -> Batch:
        """A commit's part that settles by amounts."""
        key = self._key(key)
        amounts = Amounts(nano(money), nano(runs))
        request = holds.Request(self.workspace_id, key, hash_of("settle", amounts, final))
        event = await holds.direct_charge(self.database, request, hold.id, amounts, final=final, now=self.at)
        settle = Settle(self.workspace_id, key, request.hash, hold_id=hold.id, final=final)
        return Batch([Item(self.workspace_id, event)], self.at, operation=settle)

    def voiding(self, hold: Hold, *, key: str | None = None) -> Batch:
        """A commit's part that voids."""
        void = Void(self.workspace_id, self._key(key), hash_of("void"), hold_id=hold.id)
        return Batch([], self.at, operation=void)

    def extending(self, hold: Hold, seconds: int, *, key: str | None = None) -> Batch:
        """A commit's part that gives a new deadline."""
        body = hash_of("extend", seconds)
        return Batch(
            [], self.at, operation=Extend(self.workspace_id, self._key(key), body, hold_id=hold.id, seconds=seconds)
        )

    def using(self, *reports: dict[str, Any]) -> Batch:
        """A commit's part that reports usage by itself."""
        return Batch(
            [Item(self.workspace_id, make.event_of(report, self.workspace_id, self.at)) for report in reports], self.at
        )

    async def together(self, *batches: Batch) -> list[Operation | None]:
        """One commit."""
        await self.meter.book(*batches)
        return [batch.operation for batch in batches]

    async def place(self, money: float = 0, runs: float = 0, **terms: Any) -> Hold:
        """A hold that is granted."""
        return _hold((await self.together(self.placing(money, runs, **terms)))[0])

    async def refused(self, money: float = 0, runs: float = 0, **terms: Any) -> tuple[str, Mapping[str, Any]]:
        """Why a hold is not granted: code and details."""
        [operation] = await self.together(self.placing(money, runs, **terms))
        assert operation is not None and operation.error is not None, "it was granted"
        return operation.error.code, operation.error.details

    async def charge(self, hold: Hold, money: float = 0, runs: float = 0, **terms: Any) -> Hold:
        """Settle by amounts."""
        return _hold((await self.together(await self.charging(hold, money, runs, **terms)))[0])

    async def settle(self, hold: Hold, *reports: dict[str, Any], **terms: Any) -> Hold:
        """Settle by events."""
        return _hold((await self.together(self.settling(hold, *reports, **terms)))[0])

    async def void(self, hold: Hold, **terms: Any) -> Hold:
        return _hold((await self.together(self.voiding(hold, **terms)))[0])

    async def extend(self, hold: Hold, seconds: int) -> Hold:
        return _hold((await self.together(self.extending(hold, seconds)))[0])

    async def use(self, money: float, *, runs: float = 0, **data: Any) -> None:
        """A direct charge that no hold is about."""
        self.numbers += 1
        outcomes = await self.meter.report(
            self.workspace_id, direct(f"use {self.numbers}", money, runs, **data), now=self.at
        )
        assert [outcome.kind for outcome in outcomes] == ["accepted"]

    async def grant(self, amount: int, **terms: Any) -> None:
        await make.grant(self.database, self.workspace_id, amount, self.at, **terms)

    async def settle_due(self) -> None:
        """What the clock alone does."""
        await due.bring_up(self.database, self.workspace_id, now=self.at, ids=IDS)

    async def figures(self, unit: str = "credits") -> tuple[float, float]:
        """Posted and held, in whole units."""
        [row] = await self.rows("SELECT posted, held FROM balance WHERE workspace_id = %s AND unit = %s", unit)
        return row["posted"] / NANO, row["held"] / NANO

    async def grants(self, unit: str = "credits") -> list[tuple[float, float, float]]:
        """Remaining, kept and expired of each grant, those that end first before others, in whole units."""
        rows = await self.rows(
            "SELECT remaining, kept, expired FROM credit_grant WHERE workspace_id = %s AND unit = %s"
            " ORDER BY expires_at NULLS LAST, created_at, id",
            unit,
        )
        return [(row["remaining"] / NANO, row["kept"] / NANO, row["expired"] / NANO) for row in rows]

    async def hold(self, hold: Hold) -> dict[str, Any]:
        """A hold's row."""
        [row] = await self.rows("SELECT * FROM hold WHERE workspace_id = %s AND id = %s", hold.id)
        return row

    async def rows(self, query: str, *given: Any) -> list[dict[str, Any]]:
        """What the database holds; the first parameter is the workspace."""
        return await make.rows(self.database, query, self.workspace_id, *given)

    async def verified(self) -> None:
        """Everything that is stored twice agrees."""
        assert await make.differences(self.database, self.workspace_id) == []


def direct(id_: str, money: float, runs: float = 0, **data: Any) -> dict[str, Any]:
    """The report of a direct charge."""
    report = {"type": "direct.charge", "id": id_, "quantity": format_credits(nano(money)), **data}
    return report | {"toolRuns": format_credits(nano(runs))} if runs else report


def _hold(operation: Operation | None) -> Hold:
    assert operation is not None
    if operation.error is not None:
        raise operation.error
    assert operation.hold is not None
    return operation.hold


def change_of(operation: Operation | None) -> Change:
    assert isinstance(operation, Change)
    return operation


async def plan(database: Database, name: str, now: dt.datetime, **terms: Any) -> None:
    """A plan of whole included credits and tool runs a month, for tests of renewals; made before, it stays."""
    version = PlanVersion(
        id=uuid5(UUID(int=20), name),
        plan=name,
        version=1,
        name=name,
        cadence="monthly",
        price_minor=0,
        currency="usd",
        included_credits=terms.get("credits", 0) * NANO,
        included_tool_runs=terms.get("runs", 0) * NANO,
        run_quota=terms.get("run_quota"),
        at_zero=terms.get("at_zero", "deny"),
        rollover_share_ppm=terms.get("rollover_ppm", 0),
        created_at=now,
    )

    async def work(conn: Connection) -> None:
        await store.insert_plan_version(conn, version)

    await subscriptions.ship_plans(database)
    await database.run(work, admin=True)
