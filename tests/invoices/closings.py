"""Periods that end, and what is invoiced for them, through the real flows."""

import datetime as dt
from typing import Any
from uuid import UUID

from tallystick.domain.billing.invoices import Invoice, Line, Used
from tallystick.domain.billing.plans import PlanVersion
from tallystick.flows import due, issuing
from tallystick.flows.billing import Billing
from tallystick.store import invoices as store
from tallystick.store import subscriptions as plans
from tallystick.store.database import Connection, Database
from tests import bills, make
from tests.make import IDS

BIRTH = dt.datetime(2026, 1, 31, 9, 30, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def at(month: int, day: int, hour: int = 12, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, month, day, hour, minute, tzinfo=dt.UTC)


async def contract(database: Database, now: dt.datetime = BIRTH, **terms: Any) -> UUID:
    """A workspace on a plan version of its own."""
    given: dict[str, Any] = {
        "plan": f"contract{IDS.secret()[:8].lower()}",
        "version": 1,
        "name": "Contract",
        "cadence": "monthly",
        "price_minor": 0,
        "currency": "usd",
        "included_credits": 0,
        "included_tool_runs": 0,
        "run_quota": None,
        "at_zero": "invoice",
        "rollover_share_ppm": 0,
        "created_at": now,
    }
    version = PlanVersion(id=IDS.new(now), **given | terms)
    await database.run(lambda conn: plans.insert_plan_version(conn, version))
    workspace_id = await make.bare_workspace(database, now, plan=version.plan)
    if terms.get("plan") is None:
        await database.run(lambda conn: _rename(conn, version, "enterprise"))
    return workspace_id


async def _rename(conn: Connection, version: PlanVersion, plan: str) -> None:
    # A version of Enterprise for one workspace alone; the number keeps it out of the others' way.
    await conn.execute(
        "UPDATE plan_version SET plan = %s, version = %s, retired_at = created_at WHERE id = %s",
        [plan, IDS.new(version.created_at).int % 1_000_000_000 + 1_000, version.id],
    )


async def bring_up(database: Database, workspace_id: UUID, now: dt.datetime) -> None:
    await due.bring_up(database, workspace_id, now=now, ids=IDS)


async def issue_due(
    database: Database, workspace_id: UUID, now: dt.datetime, billing: Billing | None = None
) -> list[Invoice]:
    """Close what has ended, issue every draft that is due; what was issued, in order."""
    await bring_up(database, workspace_id, now)
    async with database.read() as conn:
        drafts = await conn.execute(
            "SELECT id FROM invoice WHERE workspace_id = %s AND status = 'draft' AND next_at <= %s ORDER BY next_at",
            [workspace_id, now],
        )
        ids = [row["id"] for row in await drafts.fetchall()]
    terms = billing or bills.billing()
    issued = [await issuing.issue_draft(database, terms, workspace_id, one, now=now, ids=IDS) for one in ids]
    return [invoice for invoice in issued if invoice is not None]


async def lines_of(database: Database, invoice: Invoice) -> list[Line]:
    async with database.read() as conn:
        return await store.lines(conn, invoice.workspace_id, invoice.id)


async def used_of(database: Database, invoice: Invoice) -> list[Used]:
    async with database.read() as conn:
        return await store.used(conn, invoice.workspace_id, invoice.id)


def charge(own_id: str, amount: str, moment: dt.datetime, **data: Any) -> dict[str, Any]:
    """A report of so many credits, used at `moment`."""
    return {"type": "direct.charge", "id": own_id, "quantity": amount, "at": moment, **data}
