"""Usage per day, unit and dimension, from the daily rollups (rows A1 to A5)."""

from decimal import Decimal
from typing import Final
from uuid import UUID

from tallystick.domain.metrics import (
    CREDITS,
    EXECUTIONS,
    GROUPS,
    RECORDS,
    Filters,
    Metrics,
    Range,
    Total,
    Unit,
    metrics_of,
)
from tallystick.kernel.credits import NANO
from tallystick.store.database import Database, Row
from tallystick.store.named_sql import load

SQL = load(__file__)

_GROUP_NUMBERS: Final = {name: number for number, name in enumerate(GROUPS, start=1)}


async def metrics(
    database: Database,
    workspace_id: UUID,
    days: Range,
    *,
    filters: Filters = Filters(),  # noqa: B008 - a frozen value
    group_by: str | None = None,
    unit: Unit | None = None,
) -> Metrics:
    """Every day of the range with its items; without a unit all three, told apart by slug.

    Corrections and late prices are counted on the day of use, as the rollups have them (M6, M28); days are UTC (M29).
    """
    given = {
        "workspace_id": workspace_id,
        "first": days.first,
        "last": days.last,
        "group": _GROUP_NUMBERS[group_by] if group_by else 0,
        "workflow_id": filters.workflow_id,
        "table_id": filters.table_id,
        "connector_id": filters.connector_id,
        "agent_id": filters.agent_id,
        "integration": filters.integration,
    }
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(SQL["metrics"], given)).fetchall()
    return metrics_of((_total_of(row) for row in rows), days, unit=unit, slug=filters.slug)


def _total_of(row: Row) -> Total:
    group = row["group_id"] or row["group_text"]
    quantity: Decimal = row["quantity"]
    numerator, denominator = quantity.as_integer_ratio()
    return Total(
        day=row["day"],
        slug=row["slug"],
        status=row["status"],
        group=None if group is None else str(group),
        unit=EXECUTIONS if row["is_execution"] else RECORDS if row["is_record"] else CREDITS,
        events=row["events"],
        quantity=numerator * NANO // denominator,
        credits=int(row["credits"]),
    )
