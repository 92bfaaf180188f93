"""The tabs of usage on the wire: overview, tools, models, guardrails, scripts."""

import datetime as dt
from typing import Literal
from uuid import UUID

from tallystick.wire.amounts import Credits
from tallystick.wire.billing import Balance
from tallystick.wire.identity import Wire

Tab = Literal["overview", "tools", "models", "guardrails", "scripts"]
RangeName = Literal["24h", "7d", "30d", "90d"]
Status = Literal["Deployed", "Undeployed", "Deleted"]


class TabRange(Wire):
    """Half-open: `to` is the first instant that is not counted. Whole UTC days, or hours where `hourly`."""

    from_: dt.datetime
    to: dt.datetime
    hourly: bool


class CategoryCredits(Wire):
    """`group` is what it is shown under: models, guardrails, scripts or other."""

    category: str
    group: str
    credits: Credits


class OverviewTotals(Wire):
    credits: Credits
    tool_runs: Credits


class TrendPoint(Wire):
    """One UTC day or hour, by its first instant."""

    time: dt.datetime
    tool_runs: Credits
    credits: Credits
    models: Credits
    guardrails: Credits
    scripts: Credits
    other: Credits


class PreviousOverview(Wire):
    range: TabRange
    totals: OverviewTotals
    categories: list[CategoryCredits]


class OverviewTab(Wire, tag_field="tab", tag="overview"):
    """`balances` are those of the current allocation, as the widget shows them; all else is of the range."""

    range: TabRange
    balances: list[Balance]
    totals: OverviewTotals
    categories: list[CategoryCredits]
    trend: list[TrendPoint]
    previous: PreviousOverview | None


class ToolTotals(Wire):
    """They count the rows."""

    tools: int
    runs: Credits


class ToolRow(Wire):
    """`lastActiveOn` is the UTC day of its last run until the range's end; `owner` is empty where nobody is known."""

    uuid: UUID
    name: str
    runs: Credits
    owner: str
    last_active_on: dt.date | None
    status: Status


class PreviousTools(Wire):
    range: TabRange
    totals: ToolTotals


class ToolsTab(Wire, tag_field="tab", tag="tools"):
    """The tools that were ever deployed, the most used first."""

    range: TabRange
    totals: ToolTotals
    rows: list[ToolRow]
    previous: PreviousTools | None


class ModelTotals(Wire):
    """`credits` is the sum of the three; `unattributed` is what of it names no model of the list."""

    models: int
    credits: Credits
    fine_tuning_credits: Credits
    hosting_credits: Credits
    inference_credits: Credits
    unattributed: Credits


class ModelRow(Wire):
    """`credits` is the sum of the three."""

    uuid: UUID
    name: str
    type: Literal["Fine-tuned", "Base"]
    credits: Credits
    fine_tuning_credits: Credits
    hosting_credits: Credits
    inference_credits: Credits
    last_deployed_at: dt.datetime | None


class ModelDeploymentRow(Wire):
    """`type` is the hardware it is on; `seconds` those of all replicas, which are what credits were charged for."""

    uuid: UUID
    name: str
    type: str
    credits: Credits
    seconds: Credits
    last_updated_at: dt.datetime
    status: Status


class ModelPanel(Wire):
    """The deployments of one model in the range; `credits` is their sum."""

    uuid: UUID
    name: str
    rows: list[ModelDeploymentRow]
    credits: Credits


class PreviousModels(Wire):
    range: TabRange
    totals: ModelTotals


class ModelsTab(Wire, tag_field="tab", tag="models"):
    """Language models, the dearest first. `panel` is there where `model` names one."""

    range: TabRange
    totals: ModelTotals
    rows: list[ModelRow]
    panel: ModelPanel | None
    previous: PreviousModels | None


class ComponentCredits(Wire):
    component: Literal["vcpu", "memory", "gpu"]
    credits: Credits


class HardwareUse(Wire):
    """One profile: `cpuCount` vCPU and `memoryGb` of each replica; `seconds` of all replicas, in whole `hours` and
    `minutes` beside; `credits` is the sum of its components."""

    profile: str
    name: str
    cpu_type: str
    cpu_count: Credits
    memory_gb: Credits
    gpu_type: str
    gpus: int
    seconds: Credits
    hours: int
    minutes: int
    credits: Credits
    components: list[ComponentCredits]


class HardwarePanel(Wire):
    """What one guardrail or script used in the range; the totals add up its hardware."""

    uuid: UUID
    name: str
    hardware: list[HardwareUse]
    seconds: Credits
    hours: int
    minutes: int
    credits: Credits
    components: list[ComponentCredits]


class GuardrailTotals(Wire):
    """`seconds` of all replicas; `unattributed` credits name no guardrail of the list."""

    guardrails: int
    credits: Credits
    seconds: Credits
    unattributed: Credits


class GuardrailRow(Wire):
    uuid: UUID
    name: str
    credits: Credits
    seconds: Credits
    last_deployed_at: dt.datetime | None
    status: Status


class PreviousGuardrails(Wire):
    range: TabRange
    totals: GuardrailTotals


class GuardrailsTab(Wire, tag_field="tab", tag="guardrails"):
    """Guardrails, the dearest first. `panel` is there where `guardrail` names one."""

    range: TabRange
    totals: GuardrailTotals
    rows: list[GuardrailRow]
    panel: HardwarePanel | None
    previous: PreviousGuardrails | None


class ScriptTotals(Wire):
    """`hostingCredits` is what all scripts were charged; `unattributed` of it names no script of the list."""

    scripts: int
    hosting_credits: Credits
    seconds: Credits
    unattributed: Credits


class ScriptRow(Wire):
    """`status` is that of its newest deployment, such as `Ready to Deploy`; `lastActiveOn` the last day it ran."""

    uuid: UUID
    name: str
    language: str
    version: str
    credits: Credits
    seconds: Credits
    last_active_on: dt.date | None
    last_deployed_at: dt.datetime | None
    status: str


class PreviousScripts(Wire):
    range: TabRange
    totals: ScriptTotals


class ScriptsTab(Wire, tag_field="tab", tag="scripts"):
    """Custom scripts, the dearest first. `panel` is there where `script` names one."""

    range: TabRange
    totals: ScriptTotals
    rows: list[ScriptRow]
    panel: HardwarePanel | None
    previous: PreviousScripts | None


AnyTab = OverviewTab | ToolsTab | ModelsTab | GuardrailsTab | ScriptsTab
