"""`tally deployment`: what is deployed, what it costs by the hour, and how the deploying went."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tallystick.cli.commands import client_command
from tallystick.cli.output import Table, listed
from tallystick.cli.root import new_app

if TYPE_CHECKING:
    from tallystick.client.replies import Call

deployment_app = new_app("Deployments and the hardware they run on: ask, report, scale, take down.")
profile_app = new_app("Hardware that deployments may run on, with its prices.")
deployment_app.add_typer(profile_app, name="profile")

_COLUMNS: Final = ("name", "uuid", "kind", "status", "profile", "replicas", "creditsPerHour", "creditsUsed", "reason")
_LIST: Final = listed("deployments", *_COLUMNS)
_PROFILES: Final = listed(
    "profiles", "key", "kind", "name", "usable", "creditsPerHour", "creditsPerDay", "creditsPerMonth"
)
_KINDS: Final = ("tool", "model", "guardrail", "script")


def _one_rows(answer: Any) -> list[list[object]]:
    return [[name, value] for name, value in answer["deployment"].items() if value not in (None, "")]


def _history_rows(answer: Any) -> list[list[object]]:
    return [
        [
            f"v{span['version']}",
            span["status"],
            span["deployedBy"],
            span["start"],
            span["end"],
            span["secondsTaken"],
            span["deployedOn"],
            "-" if span["secondsDeployed"] is None else span["secondsDeployed"],
            span["profile"],
            span["replicas"],
            span["reason"],
        ]
        for span in answer["history"]
    ]


def _preview_rows(answer: Any) -> list[list[object]]:
    preview = answer["preview"]
    profile = preview["profile"]
    rows: list[list[object]] = [["hardware", profile["name"] if profile else "none"], ["replicas", preview["replicas"]]]
    rows += [[f"{part['component']} per hour", part["creditsPerHour"]] for part in preview["components"]]
    rows += [[f"credits per {span}", preview[f"creditsPer{span.capitalize()}"]] for span in ("hour", "day", "month")]
    rows += [["credits available", preview["creditsAvailable"]], ["hours that lasts", preview["hoursLeft"]]]
    return [*rows, ["may be deployed", "yes" if preview["allowed"] else preview["message"]]]


_ONE: Final = Table(("field", "value"), _one_rows)
_HISTORY: Final = Table(
    (
        "version", "status", "by", "start", "end", "seconds taken", "deployed on", "seconds deployed", "profile",
        "replicas", "reason",
    ),
    _history_rows,
)  # fmt: skip
_PREVIEW: Final = Table(("field", "value"), _preview_rows)

Uuid = Annotated[str, typer.Argument(help="The deployment's UUID, from `tally deployment list`.")]
KindOption = Annotated[str, typer.Option("--kind", help="tool, model, guardrail or script.")]
ResourceOption = Annotated[str, typer.Option("--resource", help="What is deployed, by uuid or key.")]
NameOption = Annotated[str | None, typer.Option("--name", help="What it is called; else as the resource.")]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="Its hardware, from `deployment profile list`.")]
ReplicasOption = Annotated[int, typer.Option("--replicas", min=1, help="How many of them.")]
NewReplicasOption = Annotated[int | None, typer.Option("--replicas", min=1, help="How many; else as before.")]
LanguageOption = Annotated[str | None, typer.Option("--language", help="Of a script: JavaScript, Python or another.")]
LanguageVersionOption = Annotated[str | None, typer.Option("--language-version", help="Its version.")]
MinOption = Annotated[int | None, typer.Option("--min-replicas", min=1, help="Of a script, at least; 1 to 10.")]
MaxOption = Annotated[int | None, typer.Option("--max-replicas", min=1, help="Of a script, at most; 1 to 10.")]
UtilizationOption = Annotated[
    int | None, typer.Option("--utilization", help="Of a script: percent of its hardware at which replicas are added.")
]
TimeoutOption = Annotated[
    int | None, typer.Option("--timeout-seconds", help="Of a script: how long it may run; 30 to 600.")
]
TypeOption = Annotated[str | None, typer.Option("--type", help="Of a model: base or fineTuned.")]
DraftOption = Annotated[bool, typer.Option("--draft", help="Only keep it, to be deployed later.")]
DeployedOption = Annotated[bool, typer.Option("--deployed", help="It is there already; only without hardware.")]
EndpointOption = Annotated[str | None, typer.Option("--endpoint", help="The address where it answers.")]
AccessOption = Annotated[str | None, typer.Option("--access", help="How to get in, in words; no secret: it is mailed.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why.")]
IdempotencyKey = Annotated[
    str | None, typer.Option("--idempotency-key", help="Repeating a command with the same key changes nothing more.")
]


@client_command(deployment_app, "create", table=_ONE)
def create_deployment(
    kind: KindOption,
    resource: ResourceOption,
    name: NameOption = None,
    profile: ProfileOption = None,
    replicas: ReplicasOption = 1,
    language: LanguageOption = None,
    language_version: LanguageVersionOption = None,
    min_replicas: MinOption = None,
    max_replicas: MaxOption = None,
    utilization: UtilizationOption = None,
    timeout_seconds: TimeoutOption = None,
    type: TypeOption = None,  # noqa: A002 - the name it has on the wire
    draft: DraftOption = False,
    deployed: DeployedOption = False,
    endpoint: EndpointOption = None,
    access: AccessOption = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Ask for a deployment; the exit status is 3 when the credits are not there.

    It is Deploying until `tally deployment report` says how that went.

    \b
    Examples:
      tally deployment create --kind script --resource enrich --profile script-1x2 --replicas 2
      tally deployment create --kind tool --resource crm-lookup --deployed
    """
    from tallystick.client import deployments

    given: dict[str, Any] = {
        "name": name, "profile": profile, "language": language, "language_version": language_version,
        "min_replicas": min_replicas, "max_replicas": max_replicas, "utilization": utilization,
        "timeout_seconds": timeout_seconds, "type": type, "endpoint": endpoint, "access": access,
    }  # fmt: skip
    terms: Any = {name: value for name, value in given.items() if value is not None}
    return deployments.create_deployment(
        _kind(kind),
        resource,
        replicas=replicas,
        draft=draft,
        deployed=deployed,
        idempotency_key=idempotency_key,
        **terms,
    )


@client_command(deployment_app, "preview", table=_PREVIEW)
def preview_deployment(
    kind: KindOption, resource: ResourceOption, profile: ProfileOption = None, replicas: ReplicasOption = 1
) -> "Call[Any]":
    """Print what a deployment would cost by the hour, day and month, and whether it may start; nothing is made.

    \b
    Example:
      tally deployment preview --kind model --resource support-llm --profile gpu-a100-80 --replicas 2 --format table
    """
    from tallystick.client import deployments

    terms: Any = {} if profile is None else {"profile": profile}
    return deployments.preview_deployment(_kind(kind), resource, replicas=replicas, **terms)


@client_command(deployment_app, "list", table=_LIST)
def list_deployments(
    kind: Annotated[str | None, typer.Option("--kind", help="Only these: tool, model, guardrail or script.")] = None,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            help="draft, deploying, ready, deployed, failed, stopping, undeployed or deleted; else all alive.",
        ),
    ] = None,
    resource: Annotated[str | None, typer.Option("--resource", help="Only those of it, by uuid or key.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many, 1 to 1,000.")] = None,
    offset: Annotated[int | None, typer.Option("--offset", help="Leave out so many first.")] = None,
) -> "Call[Any]":
    """Print the deployments, newest first, with what each costs by the hour and was charged.

    \b
    Example:
      tally deployment list --kind script --state deployed --format table
    """
    from tallystick.client import deployments

    return deployments.deployments(kind=kind, state=state, resource=resource, limit=limit, offset=offset)


@client_command(deployment_app, "get", table=_HISTORY)
def get_deployment(uuid: Uuid) -> "Call[Any]":
    """Print one deployment with its history; the table is that history.

    \b
    Example:
      tally deployment get 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --format table
    """
    from tallystick.client import deployments

    return deployments.deployment(uuid)


@client_command(deployment_app, "deploy", table=_ONE)
def deploy(
    uuid: Uuid,
    profile: ProfileOption = None,
    replicas: NewReplicasOption = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Deploy a draft, or again what was taken down or failed; the exit status is 3 when the credits are not there.

    \b
    Example:
      tally deployment deploy 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --profile script-2x4
    """
    from tallystick.client import deployments

    return deployments.deploy(uuid, profile=profile, replicas=replicas, idempotency_key=idempotency_key)


@client_command(deployment_app, "report", table=_ONE)
def report(
    uuid: Uuid,
    failed: Annotated[str | None, typer.Option("--failed", help="It could not be deployed, for this reason.")] = None,
    endpoint: EndpointOption = None,
    access: AccessOption = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Report that it is deployed, or with --failed that it could not be. From a success on its time is charged.

    \b
    Examples:
      tally deployment report 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --endpoint https://scripts.example/enrich
      tally deployment report 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --failed "main.py: no such file"
    """
    from tallystick.client import deployments

    if failed is not None:
        if endpoint is not None or access is not None:
            raise typer.BadParameter("what failed answers nowhere.", param_hint="--endpoint")
        return deployments.report_not_deployed(uuid, failed, idempotency_key=idempotency_key)
    return deployments.report_deployed(uuid, endpoint=endpoint, access=access, idempotency_key=idempotency_key)


@client_command(deployment_app, "scale", table=_ONE)
def scale(
    uuid: Uuid,
    replicas: NewReplicasOption = None,
    profile: ProfileOption = None,
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Report that it has other replicas or other hardware now; before and after are charged exactly.

    \b
    Example:
      tally deployment scale 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e --replicas 4
    """
    from tallystick.client import deployments

    return deployments.scale_deployment(uuid, profile=profile, replicas=replicas, idempotency_key=idempotency_key)


@client_command(deployment_app, "undeploy", table=_ONE)
def undeploy(uuid: Uuid, reason: ReasonOption = "", idempotency_key: IdempotencyKey = None) -> "Call[Any]":
    """Report that it was taken down; it is charged until now.

    \b
    Example:
      tally deployment undeploy 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import deployments

    return deployments.undeploy(uuid, reason=reason, idempotency_key=idempotency_key)


@client_command(deployment_app, "confirm", table=_ONE)
def confirm(uuid: Uuid, idempotency_key: IdempotencyKey = None) -> "Call[Any]":
    """Report that what had to be stopped at the negative limit has been stopped.

    \b
    Example:
      tally deployment confirm 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import deployments

    return deployments.confirm_stopped(uuid, idempotency_key=idempotency_key)


@client_command(deployment_app, "delete", table=_ONE)
def delete(uuid: Uuid, idempotency_key: IdempotencyKey = None) -> "Call[Any]":
    """Delete what is not deployed; undeploy it first. Its charges and history stay.

    \b
    Example:
      tally deployment delete 019d3b1e-5d3f-7b6e-8a51-3f0f6a1c2d4e
    """
    from tallystick.client import deployments

    return deployments.delete_deployment(uuid, idempotency_key=idempotency_key)


@client_command(deployment_app, "import", table=_LIST)
def import_deployments(
    file: Annotated[
        str, typer.Option("--file", help="JSON: a list of deployments, or {deployments: […]}; - is stdin.")
    ],
    idempotency_key: IdempotencyKey = None,
) -> "Call[Any]":
    """Make the deployments of a project, all or none; at zero credits or below all of them become drafts.

    \b
    Example:
      tally deployment import --file project.json
    """
    import sys
    from pathlib import Path

    import msgspec

    from tallystick.client import deployments

    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        found: Any = msgspec.json.decode(raw)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}.", param_hint="--file") from None
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"not JSON: {error}.", param_hint="--file") from None
    project = found.get("deployments") if isinstance(found, dict) else found
    if not isinstance(project, list):
        raise typer.BadParameter("no list of deployments.", param_hint="--file")
    return deployments.import_deployments(project, idempotency_key=idempotency_key)


@client_command(profile_app, "list", table=_PROFILES)
def list_profiles(
    kind: Annotated[str | None, typer.Option("--kind", help="Only for these: script, guardrail or model.")] = None,
    retired: Annotated[bool, typer.Option("--retired", help="Also what is no longer to be chosen.")] = False,
) -> "Call[Any]":
    """Print the hardware there is, with what one replica costs by the hour, the day and the month.

    \b
    Example:
      tally deployment profile list --kind script --format table
    """
    from tallystick.client import deployments

    return deployments.hardware_profiles(kind=kind, retired=retired)


@client_command(profile_app, "put", as_operator=True)
def put_profile(
    key: Annotated[str, typer.Argument(help="The profile's key, such as gpu-b200.")],
    kind: Annotated[str, typer.Option("--kind", help="What may run on it: script, guardrail or model.")],
    name: Annotated[str, typer.Option("--name", help="What it is called.")],
    vcpus: Annotated[str, typer.Option("--vcpus", help="vCPUs of one replica.")],
    memory_gb: Annotated[str, typer.Option("--memory-gb", help="GB of memory of one replica.")],
    gpu_type: Annotated[str, typer.Option("--gpu-type", help="Which GPU, such as H200 141 GB.")] = "",
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="How many of them.")] = 0,
    usable: Annotated[str, typer.Option("--usable", help="What of it is left to what runs there, in words.")] = "",
    credits_per_hour: Annotated[
        str | None, typer.Option("--credits-per-hour", help="Its price from now on, also for what runs on it.")
    ] = None,
    retired: Annotated[bool, typer.Option("--retired", help="No longer to be chosen.")] = False,
    reason: ReasonOption = "",
) -> "Call[Any]":
    """For operators: add hardware or write it anew.

    \b
    Example:
      tally deployment profile put gpu-b200 --kind model --name "1 × B200" --vcpus 28 --memory-gb 240 --gpus 1
    """
    from tallystick.client import deployments

    chosen: Any = kind
    return deployments.put_hardware_profile(
        key,
        chosen,
        name,
        vcpus=vcpus,
        memory_gb=memory_gb,
        gpu_type=gpu_type,
        gpus=gpus,
        usable=usable,
        credits_per_hour=credits_per_hour,
        retired=retired,
        reason=reason,
    )


def _kind(text: str) -> Any:
    if text not in _KINDS:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(_KINDS)}.", param_hint="--kind")
    return text
