"""Usage metrics (rows A1 to A5)."""

import datetime as dt

from tallystick.domain.metrics import Filters, Metrics, parse_group, parse_range, parse_unit, parse_uuid
from tallystick.domain.rights import BILLING_READ
from tallystick.queries import usage
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import usage as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Usage")


@ROUTES.get(
    "/v1/billing/usage/metrics",
    requires(BILLING_READ),
    errors=("invalidDate", "invalidGroupBy", "invalidRange", "invalidUnit", "invalidUuid", "rangeTooLong"),
)
async def get_metrics(call: Call, query: wire.MetricsQuery) -> wire.MetricsAnswer:
    """What was used on each UTC day of a range, by slug, in one unit or in all three."""
    days = parse_range(query.from_, query.to, days_max=call.runtime.settings.metrics_days_max)
    unit = parse_unit(query.unit)
    filters = Filters(
        workflow_id=parse_uuid(query.workflow_uuid, "workflowUuid"),
        table_id=parse_uuid(query.model_uuid, "modelUuid"),
        connector_id=parse_uuid(query.connector_uuid, "connectorUuid"),
        agent_id=parse_uuid(query.agent_uuid, "agentUuid"),
        integration=query.integration_slug,
        slug=query.slug,
    )
    group_by = parse_group(query.group_by)
    found = await usage.metrics(
        call.runtime.database, call.workspace_id, days, filters=filters, group_by=group_by, unit=unit
    )
    return on_wire(found)


def on_wire(found: Metrics) -> wire.MetricsAnswer:
    return wire.MetricsAnswer(
        metrics=[
            wire.MetricsDay(
                date=midnight(day),
                items=[wire.MetricsItem(slug=i.slug, count=Credits(i.amount), group_by=i.group) for i in items],
            )
            for day, items in found.days
        ],
        total_usage=Credits(found.total),
    )


def midnight(day: dt.date) -> str:
    """The first instant of a UTC day, in the one form that clients compare."""
    return f"{day.isoformat()}T00:00:00.000Z"
