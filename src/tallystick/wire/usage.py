"""Usage metrics on the wire, as the public client library of other people knows them."""

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Wire


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
