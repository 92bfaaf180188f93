"""Deployments, their history and hardware, as they stand on the wire."""

import datetime as dt
from decimal import Decimal
from typing import Any, Final, cast

from tallystick.domain.deployments.costs import Cost
from tallystick.domain.deployments.deployment import LABELS, Change
from tallystick.domain.deployments.history import Span
from tallystick.domain.deployments.profiles import COMPONENTS
from tallystick.flows.deployments import NewDeployment
from tallystick.kernel.credits import NANO, parse_credits
from tallystick.queries.deployments import Preview, ShownDeployment, ShownProfile
from tallystick.wire import deployments as wire
from tallystick.wire.amounts import Credits

_MICROSECOND: Final = dt.timedelta(microseconds=1)


def deployment_on_wire(shown: ShownDeployment) -> wire.Deployment:
    """One deployment with what it costs and has cost."""
    one, details = shown.deployment, shown.deployment.details
    return wire.Deployment(
        uuid=one.id,
        kind=cast(wire.DeploymentKind, one.kind),
        resource_uuid=one.resource_id,
        name=one.name,
        state=cast(wire.DeploymentState, one.state),
        status=LABELS[one.state],
        version=details.get("version"),
        profile=one.profile,
        replicas=one.replicas,
        credits_per_hour=Credits(shown.cost.hour) if shown.cost else None,
        credits_used=Credits(shown.credits),
        seconds_used=_seconds(shown.microseconds),
        language=details.get("language"),
        language_version=details.get("languageVersion"),
        min_replicas=details.get("minReplicas"),
        max_replicas=details.get("maxReplicas"),
        utilization=details.get("utilization"),
        timeout_seconds=details.get("timeoutSeconds"),
        type=details.get("type"),
        endpoint=details.get("endpoint"),
        access=details.get("access"),
        reason=one.reason,
        comply_by=one.comply_by,
        created_by=one.created_by,
        created_at=one.created_at,
        updated_at=one.updated_at,
        deployed_at=one.deployed_at,
        metered_until=one.metered_until,
    )


def span_on_wire(span: Span, now: dt.datetime) -> wire.DeploymentSpan:
    """One time that it was deployed, which may still go on at `now`."""
    return wire.DeploymentSpan(
        version=span.version,
        deployed_by=span.deployed_by,
        profile=span.profile,
        replicas=span.replicas,
        start=span.started_at,
        end=span.finished_at,
        seconds_taken=_length(span.taken()),
        status=cast(Any, span.status),
        deployed_on=span.deployed_at,
        undeployed_on=span.ended_at,
        seconds_deployed=_length(span.deployed_for(now)),
        reason=span.reason,
    )


def change_on_wire(change: Change) -> wire.DeploymentChange:
    """One entry of its record."""
    return wire.DeploymentChange(
        number=change.number,
        at=change.at,
        asked=change.asked,
        state=cast(wire.DeploymentState, change.state),
        profile=change.profile,
        replicas=change.replicas,
        actor=change.actor,
        reason=change.reason,
    )


def profile_on_wire(shown: ShownProfile) -> wire.HardwareProfile:
    """One replica's hardware with its prices."""
    profile, cost = shown.profile, shown.cost
    return wire.HardwareProfile(
        key=profile.key,
        kind=cast(wire.HardwareKind, profile.kind),
        name=profile.name,
        cpu_type=profile.cpu_type,
        vcpus=_exact(profile.vcpus),
        memory_gb=_exact(profile.memory_gb),
        gpu_type=profile.gpu_type,
        gpus=profile.gpus,
        usable=profile.usable,
        components=_components(shown, cost),
        credits_per_hour=Credits(cost.hour) if cost else None,
        credits_per_day=Credits(cost.day) if cost else None,
        credits_per_month=Credits(cost.month) if cost else None,
        origin=profile.origin,
        retired_at=profile.retired_at,
    )


def preview_on_wire(new: NewDeployment, seen: Preview) -> wire.DeploymentPreview:
    """What would be. Without hardware it costs nothing."""
    cost = seen.cost or Cost(0, 0, 0, {})
    return wire.DeploymentPreview(
        kind=cast(wire.DeploymentKind, new.kind),
        resource=new.resource,
        profile=profile_on_wire(seen.profile) if seen.profile else None,
        replicas=new.replicas,
        components=_components(seen.profile, cost) if seen.profile else [],
        credits_per_hour=Credits(cost.hour),
        credits_per_day=Credits(cost.day),
        credits_per_month=Credits(cost.month),
        credits_available=Credits(seen.available),
        hours_left=_hours_left(seen.available, cost.hour),
        allowed=seen.decision.allowed,
        reason=seen.decision.reason,
        message=seen.decision.message,
        details=dict(seen.decision.details),
    )


def _components(shown: ShownProfile, cost: Cost | None) -> list[wire.Component]:
    return [
        wire.Component(
            component=cast(Any, name),
            share_ppm=shown.profile.components[name],
            credits_per_hour=Credits(cost.components.get(name, 0)) if cost else None,
        )
        for name in COMPONENTS
        if shown.profile.components.get(name)
    ]


def _hours_left(available: int, hourly: int) -> wire.Exact | None:
    """Hours until what is available is used by this alone, rounded down to hundredths; None where it never is."""
    if hourly <= 0:
        return None
    return wire.Exact(max(available, 0) * 100 // hourly * (NANO // 100))


def _length(length: dt.timedelta | None) -> wire.Exact | None:
    return None if length is None else _seconds(length // _MICROSECOND)


def _seconds(microseconds: int) -> wire.Exact:
    return wire.Exact(microseconds * 1_000)


def _exact(number: Decimal) -> wire.Exact:
    return wire.Exact(parse_credits(number))
