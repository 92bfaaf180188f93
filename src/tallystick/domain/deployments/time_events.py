"""The usage events that running time is charged by: one for each piece of each deployment (rule M17)."""

import datetime as dt
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import msgspec

from tallystick.domain.deployments.accrual import microseconds, quantity
from tallystick.domain.deployments.deployment import Deployment
from tallystick.domain.deployments.profiles import EVENT_TYPES
from tallystick.domain.metering.attribution import Attribution
from tallystick.domain.metering.events import RUNNING_SOURCE, UsageEvent, event_hash, read_data
from tallystick.domain.metering.meters import SHIPPED
from tallystick.domain.metering.rollups import Dimensions

_METERS: Final = MappingProxyType({meter.type: meter for meter in SHIPPED})


def attribution_of(deployment: Deployment, key: str) -> Attribution:
    """Where the charges of a deployment go; `key` is how the platform calls what it is of."""
    meter = _METERS[EVENT_TYPES[deployment.kind]]
    dimensions = Dimensions(
        meter.type,
        meter.category,
        meter.slug_for(),
        language_model=key if deployment.kind == "model" else None,
    )
    return Attribution(deployment.workspace_id, meter, dimensions, priced_name=deployment.profile)


def time_event(deployment: Deployment, key: str, start: dt.datetime, end: dt.datetime) -> UsageEvent:
    """The event of one piece [start, end) of a deployment, as it stands; its quantity is seconds × replicas."""
    amount = quantity(start, end, deployment.replicas)
    content: dict[str, Any] = {
        "deployment": str(deployment.id),
        deployment.kind: key,
        "profile": deployment.profile,
        "replicas": deployment.replicas,
        "quantity": f"{amount:f}" if isinstance(amount, Decimal) else amount,
        "from": _told(start),
        "until": _told(end),
    }
    facts, canonical = read_data(msgspec.json.encode(content))
    type_ = EVENT_TYPES[deployment.kind]
    subject = str(deployment.workspace_id)
    return UsageEvent(
        RUNNING_SOURCE,
        f"{deployment.id}/{microseconds(start)}",
        type_,
        subject,
        start,
        canonical.decode(),
        event_hash(type_, subject, canonical),
        facts,
    )


def _told(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
