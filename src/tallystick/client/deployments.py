"""Calls about deployments and the hardware they run on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final, TypedDict, TypeVar, Unpack, cast
from urllib.parse import quote
from uuid import UUID

import msgspec

from tallystick.client.calls import Amount
from tallystick.client.replies import Call
from tallystick.kernel.credits import parse_credits
from tallystick.wire import deployments as wire
from tallystick.wire.amounts import Credits, answer_decoder, encode

T = TypeVar("T")

_AT: Final = "/v1/deployments"
_HARDWARE: Final = "/v1/hardware-profiles"
_JSON: Final = "application/json"


class Terms(TypedDict, total=False):
    """What may be said of a deployment beside its kind and resource: the fields of `CreateDeployment`."""

    name: str
    profile: str
    replicas: int
    language: str
    language_version: str
    min_replicas: int
    max_replicas: int
    utilization: int
    timeout_seconds: int
    type: wire.ModelType
    draft: bool
    deployed: bool
    endpoint: str
    access: str


def create_deployment(
    kind: wire.DeploymentKind, resource: str, *, idempotency_key: str | None = None, **terms: Unpack[Terms]
) -> Call[wire.DeploymentAnswer]:
    """Ask for a deployment; refused with 402 when the gate says no. A draft is only kept."""
    body = wire.CreateDeployment(kind=kind, resource=resource, **terms)
    return _send("POST", _AT, wire.DeploymentAnswer, body, idempotency_key)


def preview_deployment(kind: wire.DeploymentKind, resource: str, **terms: Unpack[Terms]) -> Call[wire.PreviewAnswer]:
    """What a deployment would cost by the hour, day and month, and whether it may start; nothing is made."""
    body = wire.CreateDeployment(kind=kind, resource=resource, **terms)
    return replace(_send("POST", _AT, wire.PreviewAnswer, body), query={"preview": "true"})


def import_deployments(
    deployments: Sequence[Mapping[str, Any] | wire.DeploymentTerms], *, idempotency_key: str | None = None
) -> Call[wire.DeploymentsImported]:
    """Make the deployments of a project, all or none; at zero credits or below all of them become drafts.

    Each is what `create_deployment` takes, as an object with the names that it has on the wire.
    """
    return _send("POST", f"{_AT}/import", wire.DeploymentsImported, {"deployments": list(deployments)}, idempotency_key)


def deployments(
    *,
    kind: str | None = None,
    state: str | None = None,
    resource: str | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Call[wire.DeploymentsAnswer]:
    """A page of the workspace's deployments, newest first; deleted ones only with that `state`."""
    query = {"kind": kind, "state": state, "resource": resource, "limit": limit, "offset": offset}
    return _get(_AT, wire.DeploymentsAnswer, query)


def deployment(uuid: UUID | str) -> Call[wire.DeploymentDetails]:
    """One deployment with its history."""
    return _get(_path(uuid), wire.DeploymentDetails, {})


def deploy(
    uuid: UUID | str, *, profile: str | None = None, replicas: int | None = None, idempotency_key: str | None = None
) -> Call[wire.DeploymentAnswer]:
    """Deploy a draft, or again what was taken down or failed, where asked on other hardware."""
    body = wire.Deploy(profile=profile, replicas=replicas)
    return _send("POST", f"{_path(uuid)}/deploy", wire.DeploymentAnswer, body, idempotency_key)


def report_deployed(
    uuid: UUID | str,
    *,
    endpoint: str | None = None,
    access: str | None = None,
    idempotency_key: str | None = None,
) -> Call[wire.DeploymentAnswer]:
    """Report that it is deployed; from now on its time is charged. Neither `endpoint` nor `access` holds a secret."""
    body = wire.ReportDeployment(status="succeeded", endpoint=endpoint, access=access)
    return _send("POST", f"{_path(uuid)}/report", wire.DeploymentAnswer, body, idempotency_key)


def report_not_deployed(
    uuid: UUID | str, reason: str, *, idempotency_key: str | None = None
) -> Call[wire.DeploymentAnswer]:
    """Report that it could not be deployed, and why."""
    body = wire.ReportDeployment(status="failed", reason=reason)
    return _send("POST", f"{_path(uuid)}/report", wire.DeploymentAnswer, body, idempotency_key)


def scale_deployment(
    uuid: UUID | str, *, profile: str | None = None, replicas: int | None = None, idempotency_key: str | None = None
) -> Call[wire.DeploymentAnswer]:
    """Report that it has other replicas or other hardware now."""
    body = wire.ScaleDeployment(profile=profile, replicas=replicas)
    return _send("POST", f"{_path(uuid)}/scale", wire.DeploymentAnswer, body, idempotency_key)


def undeploy(uuid: UUID | str, *, reason: str = "", idempotency_key: str | None = None) -> Call[wire.DeploymentAnswer]:
    """Report that it was taken down; it is charged until now."""
    body = wire.UndeployDeployment(reason=reason)
    return _send("POST", f"{_path(uuid)}/undeploy", wire.DeploymentAnswer, body, idempotency_key)


def confirm_stopped(uuid: UUID | str, *, idempotency_key: str | None = None) -> Call[wire.DeploymentAnswer]:
    """Report that what had to be stopped at the negative limit has been stopped."""
    return _send("POST", f"{_path(uuid)}/confirm", wire.DeploymentAnswer, None, idempotency_key)


def delete_deployment(uuid: UUID | str, *, idempotency_key: str | None = None) -> Call[wire.DeploymentAnswer]:
    """Delete what is not deployed; its charges and history stay."""
    return _send("DELETE", _path(uuid), wire.DeploymentAnswer, None, idempotency_key)


def hardware_profiles(*, kind: str | None = None, retired: bool = False) -> Call[wire.HardwareProfilesAnswer]:
    """The hardware there is, with what one replica costs by the hour, the day and the month."""
    return _get(_HARDWARE, wire.HardwareProfilesAnswer, {"kind": kind, "retired": "true" if retired else None})


def put_hardware_profile(
    key: str,
    kind: wire.HardwareKind,
    name: str,
    *,
    vcpus: Amount,
    memory_gb: Amount,
    cpu_type: str = "",
    gpu_type: str = "",
    gpus: int = 0,
    usable: str = "",
    components: dict[str, int] | None = None,
    credits_per_hour: Amount | None = None,
    retired: bool = False,
    reason: str = "",
) -> Call[wire.HardwareProfileAnswer]:
    """For operators: add hardware or write it anew, with a price that counts from now on.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = wire.PutHardwareProfile(
        kind=kind,
        name=name,
        vcpus=Credits(parse_credits(vcpus)),
        memory_gb=Credits(parse_credits(memory_gb)),
        cpu_type=cpu_type,
        gpu_type=gpu_type,
        gpus=gpus,
        usable=usable,
        components=components,
        credits_per_hour=None if credits_per_hour is None else Credits(parse_credits(credits_per_hour)),
        retired=retired,
        reason=reason,
    )
    return _send("PUT", f"{_HARDWARE}/{quote(key, safe='')}", wire.HardwareProfileAnswer, body)


def _path(uuid: UUID | str) -> str:
    return f"{_AT}/{quote(str(uuid), safe='')}"


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _get(path: str, shape: type[T], query: dict[str, Any]) -> Call[T]:
    given = {name: str(value) for name, value in query.items() if value is not None}
    return Call("GET", path, cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape))), query=given)


def _send(method: str, path: str, shape: type[T], body: object, idempotency_key: str | None = None) -> Call[T]:
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    decoder = cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape)))
    if body is None:
        return Call(method, path, decoder, headers=headers)
    return Call(method, path, decoder, body=encode(body), headers=headers | {"content-type": _JSON})
