"""Usage metrics on the wire, as the public client library of other people knows them."""

import msgspec

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Wire
from tallystick.wire.tabs import Tab


class MetricsQuery(Wire):
    """`from` and `to` are UTC days, both counted. Everything is text here, so that each mistake has its own code."""

    from_: str | None = None
    to: str | None = None
    workflow_uuid: str | None = None
    model_uuid: str | None = None
    connector_uuid: str | None = None
    agent_uuid: str | None = None
    integration_slug: str | None = None
    slug: str | None = None
    group_by: str | None = None
    unit: str | None = None


class MetricsItem(Wire):
    """`count` is in the unit that the slug tells, with all its decimals."""

    slug: str
    count: Credits
    group_by: str | None


class MetricsDay(Wire):
    """`date` is the day's first instant, such as `2026-03-14T00:00:00.000Z`."""

    date: str
    items: list[MetricsItem]


class MetricsAnswer(Wire):
    """`totalUsage` sums the chosen unit, credits when none is chosen."""

    metrics: list[MetricsDay]
    total_usage: Credits


class ReportQuery(Wire):
    """`groupBy` names at most two dimensions; `daily` false sums over the whole range.

    With `tab` it is that tab of the dashboard: then the range may be `range` in place of `from` and `to`, `compare`
    adds the range before it, and `model`, `guardrail` or `script` asks for what stands behind one row, by uuid or key.
    """

    from_: str | None = None
    to: str | None = None
    tab: Tab | None = None
    range: str | None = None
    compare: bool = False
    model: str | None = None
    guardrail: str | None = None
    script: str | None = None
    group_by: list[str] = msgspec.field(default_factory=list)
    daily: bool = True
    workflow_uuid: str | None = None
    model_uuid: str | None = None
    connector_uuid: str | None = None
    agent_uuid: str | None = None
    user_uuid: str | None = None
    project_uuid: str | None = None
    tool_uuid: str | None = None
    integration_slug: str | None = None
    language_model: str | None = None
    category: str | None = None
    slug: str | None = None


class UsageSums(Wire):
    """`quantity` adds what each type of event counts, so it means something within one type only.

    `providerCost` is what the providers took, in USD; `unpriced` are events that have no price yet.
    """

    events: int
    quantity: Credits
    input_tokens: int
    output_tokens: int
    credits: Credits
    tool_runs: Credits
    provider_cost: Credits
    unpriced: int


class ReportRow(UsageSums):
    """`date` is null unless the report is daily; `group` has each dimension's member, null where there is none."""

    date: str | None
    group: dict[str, str | None]


class ReportAnswer(Wire):
    """`names` are the last known names of the resources in the rows, by UUID, deleted ones included."""

    from_: str
    to: str
    group_by: list[str]
    totals: UsageSums
    rows: list[ReportRow]
    names: dict[str, str]
