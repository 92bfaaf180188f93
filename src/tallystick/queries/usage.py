"""Usage per day, unit and dimension, from the daily rollups (rows A1 to A5)."""

from typing import Final
from uuid import UUID

from psycopg.rows import tuple_row

from tallystick.domain.metering.metrics import GROUPS, Filters, Metrics, Range, Series, Unit, metrics_of
from tallystick.store.database import Database
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
    others = (filters.table_id, filters.connector_id, filters.agent_id, filters.integration)
    by_workflow = group_by in (None, "workflow_uuid") and others == (None, None, None, None)
    async with database.read(workspace_id) as conn, conn.cursor(row_factory=tuple_row, binary=True) as cursor:
        # The planner takes arrays for larger than they are, and would sort: half as long again as to hash.
        await conn.execute("SET LOCAL enable_sort = off")
        # Not prepared: a plan for these very values drops the filters and groups that are not asked for.
        await cursor.execute(SQL["workflow_metrics" if by_workflow else "metrics"], given, prepare=False)
        rows = await cursor.fetchall()
    return metrics_of((Series(*row) for row in rows), days, unit=unit, slug=filters.slug)
