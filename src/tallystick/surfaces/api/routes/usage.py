"""Usage metrics (rows A1 to A5) and the usage report."""

import datetime as dt
from typing import Any, get_args

from tallystick.domain.deployments.tabs import parse_span
from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.metering.metrics import Filters, Metrics, parse_group, parse_range, parse_unit, parse_uuid
from tallystick.domain.metering.reports import ReportFilters, Sums, parse_dimensions
from tallystick.flows import due
from tallystick.queries import reports, tabs, usage
from tallystick.surfaces.api import tabs as shown
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import usage as wire
from tallystick.wire.amounts import Credits
from tallystick.wire.tabs import AnyTab, Tab

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


@ROUTES.get(
    "/v1/usage/report",
    requires(BILLING_READ),
    answers={200: (wire.ReportAnswer, *get_args(AnyTab))},
    errors=(
        "invalidDate",
        "invalidGroupBy",
        "invalidKey",
        "invalidRange",
        "invalidUuid",
        "rangeTooLong",
        "resourceNotFound",
    ),
)
async def get_usage_report(call: Call, query: wire.ReportQuery) -> wire.ReportAnswer | AnyTab:
    """Every measure of a range of UTC days, by at most two dimensions, by day or over the whole range.

    With `tab` it is one of the dashboard's: overview, tools, models, guardrails or scripts. Their range is `24h`, `7d`,
    `30d` (the usual one) or `90d`, or days as usual; `compare=true` adds the totals of the range before.
    """
    if query.tab is not None:
        return await _tab(call, query, query.tab)
    days = parse_range(query.from_, query.to, days_max=call.runtime.settings.metrics_days_max)
    dimensions = parse_dimensions(query.group_by)
    filters = ReportFilters(
        workflow_id=parse_uuid(query.workflow_uuid, "workflowUuid"),
        table_id=parse_uuid(query.model_uuid, "modelUuid"),
        connector_id=parse_uuid(query.connector_uuid, "connectorUuid"),
        agent_id=parse_uuid(query.agent_uuid, "agentUuid"),
        user_id=parse_uuid(query.user_uuid, "userUuid"),
        project_id=parse_uuid(query.project_uuid, "projectUuid"),
        tool_id=parse_uuid(query.tool_uuid, "toolUuid"),
        integration=query.integration_slug,
        language_model=query.language_model,
        category=query.category,
        slug=query.slug,
    )
    found = await reports.report(
        call.runtime.database, call.workspace_id, days, dimensions=dimensions, daily=query.daily, filters=filters
    )
    return wire.ReportAnswer(
        from_=days.first.isoformat(),
        to=days.last.isoformat(),
        group_by=list(dimensions),
        totals=wire.UsageSums(**_sums(found.totals)),
        rows=[
            wire.ReportRow(
                date=None if line.day is None else midnight(line.day),
                group=dict(zip(dimensions, line.members, strict=True)),
                **_sums(line.sums),
            )
            for line in found.lines
        ],
        names=found.names,
    )


async def _tab(call: Call, query: wire.ReportQuery, tab: Tab) -> AnyTab:
    database, workspace_id = call.runtime.database, call.workspace_id
    days_max = call.runtime.settings.metrics_days_max
    span = parse_span(query.range, query.from_, query.to, now=call.now, days_max=days_max)
    await due.bring_up(database, workspace_id, now=call.now, ids=call.ids)
    compare = query.compare
    if tab == "overview":
        return shown.overview_on_wire(await tabs.overview(database, workspace_id, span, compare=compare), span)
    if tab == "tools":
        return shown.tools_on_wire(await tabs.tools(database, workspace_id, span, compare=compare), span)
    if tab == "models":
        models = await tabs.models(database, workspace_id, span, compare=compare, of=query.model)
        return shown.models_on_wire(models, span)
    if tab == "guardrails":
        timed = await tabs.timed(database, workspace_id, "guardrail", span, compare=compare, of=query.guardrail)
        return shown.guardrails_on_wire(timed, span)
    timed = await tabs.timed(database, workspace_id, "script", span, compare=compare, of=query.script)
    return shown.scripts_on_wire(timed, span)


def _sums(sums: Sums) -> dict[str, Any]:
    return {
        "events": sums.events,
        "quantity": Credits(sums.quantity),
        "input_tokens": sums.tokens_in,
        "output_tokens": sums.tokens_out,
        "credits": Credits(sums.credits),
        "tool_runs": Credits(sums.tool_runs),
        "provider_cost": Credits(sums.provider_cost),
        "unpriced": sums.unpriced,
    }
