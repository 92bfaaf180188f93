"""Hardware profiles: what deployments may run on, at which price (rule M17)."""

from decimal import Decimal
from typing import Final

from tallystick.domain.deployments.profiles import HardwareProfile, components_of
from tallystick.domain.identity.rights import BILLING_READ, RESOURCES_READ
from tallystick.flows import profiles
from tallystick.flows.profiles import Operator
from tallystick.kernel.credits import format_credits
from tallystick.queries import deployments as queries
from tallystick.surfaces.api.deployments import profile_on_wire
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR, requires
from tallystick.wire import deployments as wire

ROUTES = Routes("Deployments")

_AT: Final = "/v1/hardware-profiles"


@ROUTES.get(_AT, requires(RESOURCES_READ, BILLING_READ, in_workspace=False))
async def list_hardware_profiles(call: Call, query: wire.HardwareProfilesQuery) -> wire.HardwareProfilesAnswer:
    """The hardware there is, small first, with what one replica costs by the hour, the day and the month."""
    found = await queries.hardware(call.runtime.database, now=call.now, kind=query.kind, retired=query.retired)
    return wire.HardwareProfilesAnswer(profiles=[profile_on_wire(shown) for shown in found])


@ROUTES.put(
    f"{_AT}/{{key}}",
    OPERATOR,
    errors=("invalidAmount", "invalidProfile", "invalidText", "priceVersionExists", "profileKindConflict"),
)
async def put_hardware_profile(call: Call, key: str, body: wire.PutHardwareProfile) -> wire.HardwareProfileAnswer:
    """Add hardware, or write it anew; with a price, which counts from now on, also for what runs on it."""
    vcpus, memory_gb = _decimal(body.vcpus), _decimal(body.memory_gb)
    shares = body.components
    if shares is None and vcpus > 0 and memory_gb > 0:
        shares = components_of(vcpus, memory_gb, body.gpus)
    profile = HardwareProfile(
        key=key,
        kind=body.kind,
        name=body.name,
        cpu_type=body.cpu_type,
        vcpus=vcpus,
        memory_gb=memory_gb,
        gpu_type=body.gpu_type,
        gpus=body.gpus,
        usable=body.usable,
        components=shares or {},
        origin="operator",
        created_at=call.received_at,
        retired_at=call.received_at if body.retired else None,
    )
    await profiles.put(
        call.runtime.database,
        profile,
        Operator(call.principal.actor, call.received_at, call.ids, body.reason),
        hourly=None if body.credits_per_hour is None else body.credits_per_hour.nano,
    )
    found = await queries.hardware(call.runtime.database, now=call.now, kind=body.kind, retired=True)
    return wire.HardwareProfileAnswer(
        profile=next(profile_on_wire(shown) for shown in found if shown.profile.key == key)
    )


def _decimal(size: wire.Exact) -> Decimal:
    return Decimal(format_credits(size.nano))
