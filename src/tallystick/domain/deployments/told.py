"""What the outside is told of a deployment: one shape for every fact about it (rows E10, B15).

A fact's id comes from the deployment and the number of the change that it tells, so that a transaction that is tried
again tells the same. Who asked for a change is in the audit log, not here: facts leave the house.
"""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from tallystick.domain.deployments.deployment import Deployment
from tallystick.domain.telling import facts
from tallystick.domain.telling.facts import Fact, derived_id
from tallystick.kernel.credits import format_credits

TELLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "succeed": facts.DEPLOYMENT_DEPLOYED,
        "fail": facts.DEPLOYMENT_FAILED,
        "scale": facts.DEPLOYMENT_SCALED,
        "undeploy": facts.DEPLOYMENT_UNDEPLOYED,
        "stop": facts.DEPLOYMENT_STOP_REQUESTED,
        "confirm": facts.DEPLOYMENT_STOPPED,
        "delete": facts.DEPLOYMENT_DELETED,
    }
)
"""The kind of fact that a change makes. Of what is on its way it is told how that went, at first that it was made."""


def change_fact(
    deployment: Deployment,
    kind: str,
    number: int,
    at: dt.datetime,
    *,
    hourly: int | None,
    posted: int,
    allocation: int,
) -> Fact:
    """The fact of one change of a deployment that stands as it does after it.

    `hourly` is what its hardware costs by the hour, all replicas, None where it has none or no price; `posted` and
    `allocation` those of the credits right then. Nano-credits.
    """
    details = deployment.details
    data = {
        "deploymentUuid": str(deployment.id),
        "deploymentKind": deployment.kind,
        "name": deployment.name,
        "state": deployment.state,
        "resourceUuid": str(deployment.resource_id),
        "version": details.get("version"),
        "language": details.get("language"),
        "languageVersion": details.get("languageVersion"),
        "profile": deployment.profile,
        "replicas": deployment.replicas,
        "creditsPerHour": None if hourly is None else _amount(hourly),
        "endpoint": details.get("endpoint"),
        "access": details.get("access"),
        "reason": deployment.reason,
        "complyBy": _instant(deployment.comply_by),
        "creditsRemaining": _amount(max(posted, 0)),
        "creditsTotal": _amount(allocation),
        "creditsPosted": _amount(posted),
    }
    fact_id = derived_id(deployment.workspace_id, "deployment", str(deployment.id), str(number), kind)
    return Fact(deployment.workspace_id, fact_id, kind, at, data)


def _amount(nano: int) -> Decimal:
    return Decimal(format_credits(nano))


def _instant(at: dt.datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
