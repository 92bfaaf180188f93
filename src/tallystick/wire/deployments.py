"""Deployments and the hardware they run on, on the wire."""

import datetime as dt
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Page, Wire

DeploymentKind = Literal["tool", "model", "guardrail", "script"]
DeploymentState = Literal["draft", "deploying", "ready", "deployed", "failed", "stopping", "undeployed", "deleted"]
HardwareKind = Literal["model", "guardrail", "script"]
ModelType = Literal["base", "fineTuned"]
Exact = Credits
"""A decimal with at most nine places that is no amount but seconds or a size; written with all its digits."""

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Reason = Annotated[str, msgspec.Meta(max_length=2_000)]


class DeploymentTerms(Wire, forbid_unknown_fields=True):
    """What to deploy: `resource` is the tool, language model, guardrail or script, by uuid or key.

    `profile` is the key of its hardware, which a script must have and a tool has none of. A `draft` waits to be
    deployed. What has no hardware may be `deployed` already, at `endpoint`. `language` to `timeoutSeconds` are for
    scripts, `type` for models.
    """

    kind: DeploymentKind
    resource: Key
    name: Text | None = None
    profile: Key | None = None
    replicas: int = 1
    language: Text | None = None
    language_version: str | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    utilization: int | None = None
    timeout_seconds: int | None = None
    type: ModelType | None = None
    draft: bool = False
    deployed: bool = False
    endpoint: str | None = None
    access: str | None = None


class CreateDeployment(DeploymentTerms, forbid_unknown_fields=True):
    """One deployment to make, or with `?preview=true` to look at."""


class CreateQuery(Wire):
    """`preview`: say what it would cost and whether it may be deployed, and make nothing."""

    preview: bool = False


class ImportDeployments(Wire, forbid_unknown_fields=True):
    """A project: its deployments, made all or none."""

    deployments: Annotated[list[DeploymentTerms], msgspec.Meta(min_length=1, max_length=200)]


class Deploy(Wire, forbid_unknown_fields=True):
    """Other hardware or replicas than before; what is left out stays."""

    profile: Key | None = None
    replicas: int | None = None


class ScaleDeployment(Wire, forbid_unknown_fields=True):
    """The replicas there are now, the hardware, or both; what is left out stays."""

    profile: Key | None = None
    replicas: int | None = None


class ReportDeployment(Wire, forbid_unknown_fields=True):
    """How the deploying went. `endpoint` and `access` (how to get in, in words) are mailed: neither holds a secret."""

    status: Literal["succeeded", "failed"]
    endpoint: str | None = None
    access: str | None = None
    reason: Reason = ""


class UndeployDeployment(Wire, forbid_unknown_fields=True):
    reason: Reason = ""


class Deployment(Wire):
    """`state` is for programs, `status` the same for people; `version` counts how often it was deployed.

    `creditsPerHour` is what its hardware costs now, all replicas, null without hardware or price. `creditsUsed` and
    `secondsUsed` (of replicas: two for an hour are 7,200) are what was charged until `meteredUntil`.
    """

    uuid: UUID
    kind: DeploymentKind
    resource_uuid: UUID
    name: str
    state: DeploymentState
    status: str
    version: int | None
    profile: str | None
    replicas: int
    credits_per_hour: Credits | None
    credits_used: Credits
    seconds_used: Exact
    language: str | None
    language_version: str | None
    min_replicas: int | None
    max_replicas: int | None
    utilization: int | None
    timeout_seconds: int | None
    type: str | None
    endpoint: str | None
    access: str | None
    reason: str
    comply_by: dt.datetime | None
    created_by: str
    created_at: dt.datetime
    updated_at: dt.datetime
    deployed_at: dt.datetime | None
    metered_until: dt.datetime | None


class DeploymentSpan(Wire):
    """One time that it was deployed. `start`, `end` and `secondsTaken` are those of the deploying, `status` how it went
    (null while it goes on); `secondsDeployed` is how long it was, or has been, Deployed, null where it never was."""

    version: int
    deployed_by: str
    profile: str | None
    replicas: int
    start: dt.datetime
    end: dt.datetime | None
    seconds_taken: Exact | None
    status: Literal["Success", "Failed"] | None
    deployed_on: dt.datetime | None
    undeployed_on: dt.datetime | None
    seconds_deployed: Exact | None
    reason: str


class DeploymentChange(Wire):
    """One entry of its record, numbered from 1: what was asked, by whom, and how it stood after."""

    number: int
    at: dt.datetime
    asked: str
    state: DeploymentState
    profile: str | None
    replicas: int
    actor: str
    reason: str


class DeploymentAnswer(Wire):
    deployment: Deployment


class DeploymentDetails(DeploymentAnswer):
    """One with its history, newest version first, and every change, oldest first."""

    history: list[DeploymentSpan]
    changes: list[DeploymentChange]


class DeploymentsQuery(Page):
    """Which deployments; deleted ones only where `state` asks for them. `resource` is a uuid or key."""

    kind: DeploymentKind | None = None
    state: DeploymentState | None = None
    resource: str | None = None


class DeploymentsAnswer(Wire):
    deployments: list[Deployment]


class DeploymentsImported(DeploymentsAnswer):
    """`draftedBecause` is the gate's reason where all became drafts for want of credits, else null."""

    drafted_because: str | None


class Component(Wire):
    """One part of the hardware's price: `vcpu`, `memory` or `gpu`."""

    component: Literal["vcpu", "memory", "gpu"]
    share_ppm: int
    credits_per_hour: Credits | None


class HardwareProfile(Wire):
    """One replica's hardware. Prices are null where it has none; a day has 24 hours, a month 730.

    The parts of `components` add up to `creditsPerHour` exactly. `origin` is `shipped` or `operator`.
    """

    key: str
    kind: HardwareKind
    name: str
    cpu_type: str
    vcpus: Exact
    memory_gb: Exact
    gpu_type: str
    gpus: int
    usable: str
    components: list[Component]
    credits_per_hour: Credits | None
    credits_per_day: Credits | None
    credits_per_month: Credits | None
    origin: str
    retired_at: dt.datetime | None


class HardwareProfileAnswer(Wire):
    profile: HardwareProfile


class HardwareProfilesAnswer(Wire):
    profiles: list[HardwareProfile]


class HardwareProfilesQuery(Wire):
    """`kind`: only hardware for these; `retired`: also what is no longer to be chosen."""

    kind: HardwareKind | None = None
    retired: bool = False


class PutHardwareProfile(Wire, forbid_unknown_fields=True):
    """`components` are parts per million by name that make 1,000,000; left out, they are weighed by size.

    With `creditsPerHour` one replica costs that from now on, what runs included. `retired`: no longer to be chosen.
    """

    kind: HardwareKind
    name: Text
    vcpus: Exact
    memory_gb: Exact
    cpu_type: str = ""
    gpu_type: str = ""
    gpus: int = 0
    usable: str = ""
    components: dict[str, int] | None = None
    credits_per_hour: Credits | None = None
    retired: bool = False
    reason: Reason = ""


class DeploymentPreview(Wire):
    """What a deployment would cost, all replicas, and whether it may be deployed now; nothing was made.

    `profile` is one replica's hardware, null without any. `reason`, `message` and `details` say why it may not.
    """

    kind: DeploymentKind
    resource: str
    profile: HardwareProfile | None
    replicas: int
    components: list[Component]
    credits_per_hour: Credits
    credits_per_day: Credits
    credits_per_month: Credits
    credits_available: Credits
    hours_left: Exact | None
    allowed: bool
    reason: str | None
    message: str
    details: dict[str, Any]


class PreviewAnswer(Wire):
    preview: DeploymentPreview
