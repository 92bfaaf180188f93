"""The tabs of usage as they stand on the wire."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from tallystick.domain.deployments.profiles import COMPONENTS
from tallystick.domain.deployments.tabs import (
    GROUPS,
    Hardware,
    ModelRow,
    Overview,
    Span,
    TimeRow,
    ToolRow,
)
from tallystick.kernel.credits import NANO
from tallystick.queries.tabs import (
    ModelPanel,
    ModelsTab,
    ModelSums,
    OverviewTab,
    TimePanel,
    TimeSums,
    TimeTab,
    ToolsTab,
)
from tallystick.surfaces.api.routes.balances import on_wire
from tallystick.wire import tabs as wire
from tallystick.wire.amounts import Credits

_MICROSECOND: Final = 1_000
"""Nanoseconds: seconds on the wire have nine decimals, as credits do."""
_HOUR: Final = 3_600_000_000
_MINUTE: Final = 60_000_000


def overview_on_wire(tab: OverviewTab, span: Span) -> wire.OverviewTab:
    """Balances, what was charged by category, and the trend."""
    return wire.OverviewTab(
        range=_range(span),
        balances=[on_wire(balance) for balance in tab.balances],
        totals=_overview_totals(tab.found),
        categories=_categories(tab.found),
        trend=[
            wire.TrendPoint(
                time=step.at,
                tool_runs=Credits(step.tool_runs),
                credits=Credits(step.credits),
                **{name: Credits(amount) for name, amount in step.groups.items()},
            )
            for step in tab.found.trend
        ],
        previous=None
        if tab.previous is None
        else wire.PreviousOverview(
            range=_range(span.before()),
            totals=_overview_totals(tab.previous),
            categories=_categories(tab.previous),
        ),
    )


def tools_on_wire(tab: ToolsTab, span: Span) -> wire.ToolsTab:
    """Tools and their runs."""
    return wire.ToolsTab(
        range=_range(span),
        totals=_tool_totals(tab.rows),
        rows=[
            wire.ToolRow(
                uuid=row.resource.id,
                name=row.resource.name,
                runs=Credits(row.runs),
                owner=row.owner,
                last_active_on=row.last_active,
                status=cast(wire.Status, row.status),
            )
            for row in tab.rows
        ],
        previous=None
        if tab.previous is None
        else wire.PreviousTools(range=_range(span.before()), totals=_tool_totals(tab.previous)),
    )


def models_on_wire(tab: ModelsTab, span: Span) -> wire.ModelsTab:
    """Language models and their credits."""
    return wire.ModelsTab(
        range=_range(span),
        totals=_model_totals(tab.sums, len(tab.rows)),
        rows=[_model_row(row) for row in tab.rows],
        panel=None if tab.panel is None else _model_panel(tab.panel),
        previous=None
        if tab.previous is None
        else wire.PreviousModels(range=_range(span.before()), totals=_model_totals(tab.previous, len(tab.rows))),
    )


def guardrails_on_wire(tab: TimeTab, span: Span) -> wire.GuardrailsTab:
    """Guardrails, their credits and time."""

    def totals(sums: TimeSums) -> wire.GuardrailTotals:
        return wire.GuardrailTotals(
            guardrails=len(tab.rows),
            credits=Credits(sums.credits),
            seconds=_seconds(sums.microseconds),
            unattributed=Credits(sums.unattributed),
        )

    return wire.GuardrailsTab(
        range=_range(span),
        totals=totals(tab.sums),
        rows=[
            wire.GuardrailRow(
                uuid=row.resource.id,
                name=row.resource.name,
                credits=Credits(row.credits),
                seconds=_seconds(row.microseconds),
                last_deployed_at=row.last_deployed,
                status=cast(wire.Status, row.status),
            )
            for row in tab.rows
        ],
        panel=None if tab.panel is None else _hardware_panel(tab.panel),
        previous=None
        if tab.previous is None
        else wire.PreviousGuardrails(range=_range(span.before()), totals=totals(tab.previous)),
    )


def scripts_on_wire(tab: TimeTab, span: Span) -> wire.ScriptsTab:
    """Custom scripts, their credits and time."""

    def totals(sums: TimeSums) -> wire.ScriptTotals:
        return wire.ScriptTotals(
            scripts=len(tab.rows),
            hosting_credits=Credits(sums.credits),
            seconds=_seconds(sums.microseconds),
            unattributed=Credits(sums.unattributed),
        )

    return wire.ScriptsTab(
        range=_range(span),
        totals=totals(tab.sums),
        rows=[_script_row(row) for row in tab.rows],
        panel=None if tab.panel is None else _hardware_panel(tab.panel),
        previous=None
        if tab.previous is None
        else wire.PreviousScripts(range=_range(span.before()), totals=totals(tab.previous)),
    )


def _range(span: Span) -> wire.TabRange:
    return wire.TabRange(from_=span.start, to=span.end, hourly=span.hourly)


def _overview_totals(found: Overview) -> wire.OverviewTotals:
    return wire.OverviewTotals(credits=Credits(found.credits), tool_runs=Credits(found.tool_runs))


def _categories(found: Overview) -> list[wire.CategoryCredits]:
    return [
        wire.CategoryCredits(category=name, group=GROUPS.get(name, "other"), credits=Credits(amount))
        for name, amount in found.categories.items()
    ]


def _tool_totals(rows: list[ToolRow]) -> wire.ToolTotals:
    return wire.ToolTotals(tools=len(rows), runs=Credits(sum(row.runs for row in rows)))


def _model_totals(sums: ModelSums, models: int) -> wire.ModelTotals:
    return wire.ModelTotals(
        models=models,
        credits=Credits(sums.credits),
        fine_tuning_credits=Credits(sums.fine_tuning),
        hosting_credits=Credits(sums.hosting),
        inference_credits=Credits(sums.inference),
        unattributed=Credits(sums.unattributed),
    )


def _model_row(row: ModelRow) -> wire.ModelRow:
    return wire.ModelRow(
        uuid=row.resource.id,
        name=row.resource.name,
        type=cast(Any, row.type),
        credits=Credits(row.credits),
        fine_tuning_credits=Credits(row.fine_tuning),
        hosting_credits=Credits(row.hosting),
        inference_credits=Credits(row.inference),
        last_deployed_at=row.last_deployed,
    )


def _model_panel(panel: ModelPanel) -> wire.ModelPanel:
    return wire.ModelPanel(
        uuid=panel.resource.id,
        name=panel.resource.name,
        rows=[
            wire.ModelDeploymentRow(
                uuid=row.placed.id,
                name=row.placed.name,
                type=row.profile.name if row.profile is not None else row.placed.profile or "",
                credits=Credits(row.credits),
                seconds=_seconds(row.microseconds),
                last_updated_at=row.placed.updated_at,
                status=cast(wire.Status, row.status),
            )
            for row in panel.rows
        ],
        credits=Credits(sum(row.credits for row in panel.rows)),
    )


def _script_row(row: TimeRow) -> wire.ScriptRow:
    details: Mapping[str, Any] = row.newest.details if row.newest is not None else row.resource.attributes
    return wire.ScriptRow(
        uuid=row.resource.id,
        name=row.resource.name,
        language=str(details.get("language") or ""),
        version=str(details.get("languageVersion") or ""),
        credits=Credits(row.credits),
        seconds=_seconds(row.microseconds),
        last_active_on=row.last_active,
        last_deployed_at=row.last_deployed,
        status=row.state,
    )


def _hardware_panel(panel: TimePanel) -> wire.HardwarePanel:
    microseconds = sum(one.microseconds for one in panel.hardware)
    return wire.HardwarePanel(
        uuid=panel.resource.id,
        name=panel.resource.name,
        hardware=[_hardware(one) for one in panel.hardware],
        seconds=_seconds(microseconds),
        hours=microseconds // _HOUR,
        minutes=microseconds % _HOUR // _MINUTE,
        credits=Credits(sum(one.credits for one in panel.hardware)),
        components=_components(one.components for one in panel.hardware),
    )


def _hardware(one: Hardware) -> wire.HardwareUse:
    profile = one.profile
    return wire.HardwareUse(
        profile=one.key,
        name=profile.name if profile else one.key,
        cpu_type=profile.cpu_type if profile else "",
        cpu_count=Credits(int(profile.vcpus * NANO) if profile else 0),
        memory_gb=Credits(int(profile.memory_gb * NANO) if profile else 0),
        gpu_type=profile.gpu_type if profile else "",
        gpus=profile.gpus if profile else 0,
        seconds=_seconds(one.microseconds),
        hours=one.microseconds // _HOUR,
        minutes=one.microseconds % _HOUR // _MINUTE,
        credits=Credits(one.credits),
        components=_components([one.components]),
    )


def _components(parts: Iterable[Mapping[str, int]]) -> list[wire.ComponentCredits]:
    found = list(parts)
    return [
        wire.ComponentCredits(component=cast(Any, name), credits=Credits(sum(one.get(name, 0) for one in found)))
        for name in COMPONENTS
    ]


def _seconds(microseconds: int) -> Credits:
    return Credits(microseconds * _MICROSECOND)
