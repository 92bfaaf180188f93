"""Hardware profiles: what a deployment may run on, and how its price is shared out among its parts (rule M17).

What ships: the published table for scripts, exactly. The same hardware at the same prices for guardrails, and one GPU
each for language models, are ours: nobody publishes theirs. A GPU's price is what public clouds list for it by the
hour, in whole cents of a dollar, at 100 credits a dollar. An operator's own price or profile stands over each of them.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from tallystick.domain.texts import check_text, has_control_characters
from tallystick.kernel.credits import divide_half_even
from tallystick.kernel.errors import TallystickError

PPM: Final = 1_000_000
COMPONENTS: Final = ("vcpu", "memory", "gpu")
EVENT_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"script": "script.time", "guardrail": "guardrail.time", "model": "deployment.time"}
)
"""The type of usage event that the time of each kind is charged by; tools have no hardware and cost no time."""

HOUR: Final = 3_600
DAY_HOURS: Final = 24
MONTH_HOURS: Final = 730
"""Hours of a month in a preview: a twelfth of 8,760."""

_BEGINNING: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LONGEST_KEY: Final = 64
# How much of the price of a machine a vCPU makes, beside a GB of memory; public clouds that sell the two apart are
# close to it. A machine with a GPU is paid for the GPU: the rest shares what is left.
_GB_PER_VCPU: Final = 9
_GPU_PPM: Final = 800_000


@dataclass(frozen=True, slots=True)
class HardwareProfile:
    """One choice of hardware for one kind of deployment. `components` are parts per million that make 1,000,000.

    `usable` says in words what of it is left to what runs there; its price stands in the price book (`targets`).
    """

    key: str
    kind: str
    name: str
    cpu_type: str
    vcpus: Decimal
    memory_gb: Decimal
    gpu_type: str
    gpus: int
    usable: str
    components: Mapping[str, int]
    origin: str
    created_at: dt.datetime
    retired_at: dt.datetime | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """Where its price may stand, most specific first."""
        return targets_for_time(self.kind, self.key)


def targets_for_time(kind: str, profile: str) -> tuple[str, ...]:
    """Where the price of time on a profile may stand, most specific first."""
    type_ = EVENT_TYPES[kind]
    return f"{type_}/{profile}", type_


def components_of(vcpus: Decimal, memory_gb: Decimal, gpus: int) -> dict[str, int]:
    """How the price of such a machine is shared out unless an operator says otherwise; parts that make 1,000,000."""
    gpu = _GPU_PPM if gpus else 0
    weight = Fraction(vcpus) * _GB_PER_VCPU
    vcpu = round((PPM - gpu) * weight / (weight + Fraction(memory_gb)))
    return {"vcpu": vcpu, "memory": PPM - gpu - vcpu, "gpu": gpu}


def split(amount: int, components: Mapping[str, int]) -> dict[str, int]:
    """`amount` nano-credits by component. The parts add up to it exactly: what is rounded is the sum so far."""
    parts: dict[str, int] = {}
    share, reached = 0, 0
    for name in COMPONENTS:
        share += components.get(name, 0)
        upto = divide_half_even(amount * share, PPM)
        parts[name] = upto - reached
        reached = upto
    return parts


def check_profile(profile: HardwareProfile) -> HardwareProfile:
    """The profile itself, when an operator may define it. Raises `invalidProfile` naming the field, `invalidText`."""
    key = profile.key
    if not 0 < len(key) <= _LONGEST_KEY or not key.isascii() or not key.replace("-", "").replace(".", "").isalnum():
        raise _invalid("key", f"must be 1 to {_LONGEST_KEY} letters, digits, dots and dashes")
    if profile.kind not in EVENT_TYPES:
        raise _invalid("kind", f"must be one of {', '.join(EVENT_TYPES)}")
    check_text(profile.name, field="name")
    for field, text in (("cpuType", profile.cpu_type), ("gpuType", profile.gpu_type), ("usable", profile.usable)):
        if len(text) > 200 or has_control_characters(text):
            raise _invalid(field, "must have at most 200 printable characters")
    for field, number in (("vcpus", profile.vcpus), ("memoryGb", profile.memory_gb)):
        if not number.is_finite() or not 0 < number <= PPM or number != round(number, 3):
            raise _invalid(field, "must be a number above 0 with at most three decimals")
    if not 0 <= profile.gpus <= 1_000:
        raise _invalid("gpus", "must be 0 to 1,000")
    shares = profile.components
    if set(shares) - set(COMPONENTS) or any(share < 0 for share in shares.values()) or sum(shares.values()) != PPM:
        raise _invalid("components", f"must share {PPM:,} parts among {', '.join(COMPONENTS)}")
    if shares.get("gpu") and not profile.gpus:
        raise _invalid("components", "must give nothing to a GPU that is not there")
    return profile


def profile_not_found(key: str, kind: str = "") -> TallystickError:
    return TallystickError("profileNotFound", f"There is no such hardware{' for a ' + kind if kind else ''}.", key=key)


def _invalid(field: str, what: str) -> TallystickError:
    return TallystickError("invalidProfile", f"{field} {what}.", field=field)


_SCRIPT_TABLE: Final = (
    (1, 2, "0.7 vCPU, 1.1 GB", "0.07698"),
    (2, 4, "1.5 vCPU, 2.5 GB", "0.15396"),
    (4, 8, "3.5 vCPU, 6 GB", "0.30792"),
    (2, 8, "1.5 vCPU, 6.5 GB", "0.144"),
    (4, 16, "3.5 vCPU, 13.5 GB", "0.288"),
)
"""vCPU, GB, what of it is usable, credits an hour."""

_GPU_TABLE: Final = (
    ("gpu-t4", "T4", 16, 4, 16, "53"),
    ("gpu-l4", "L4", 24, 4, 16, "80"),
    ("gpu-a10g", "A10G", 24, 4, 16, "101"),
    ("gpu-a100-40", "A100", 40, 12, 85, "367"),
    ("gpu-a100-80", "A100", 80, 12, 170, "507"),
    ("gpu-h100", "H100", 80, 26, 234, "1106"),
)
"""Key, GPU, its GB, and beside it vCPU and GB; credits an hour."""


def _cpu(kind: str, vcpus: int, memory: int, usable: str) -> HardwareProfile:
    return HardwareProfile(
        key=f"{kind}-{vcpus}x{memory}",
        kind=kind,
        name=f"{vcpus} vCPU, {memory} GB",
        cpu_type="x86-64",
        vcpus=Decimal(vcpus),
        memory_gb=Decimal(memory),
        gpu_type="",
        gpus=0,
        usable=usable,
        components=components_of(Decimal(vcpus), Decimal(memory), 0),
        origin="shipped",
        created_at=_BEGINNING,
    )


def _gpu(key: str, gpu: str, gpu_memory: int, vcpus: int, memory: int) -> HardwareProfile:
    return HardwareProfile(
        key=key,
        kind="model",
        name=f"1 × {gpu}, {gpu_memory} GB",
        cpu_type="x86-64",
        vcpus=Decimal(vcpus),
        memory_gb=Decimal(memory),
        gpu_type=f"{gpu} {gpu_memory} GB",
        gpus=1,
        usable="",
        components=components_of(Decimal(vcpus), Decimal(memory), 1),
        origin="shipped",
        created_at=_BEGINNING,
    )


SHIPPED: Final[Mapping[str, tuple[HardwareProfile, str]]] = MappingProxyType(
    {
        profile.key: (profile, hourly)
        for profile, hourly in (
            *((_cpu(kind, *row[:3]), row[3]) for kind in ("script", "guardrail") for row in _SCRIPT_TABLE),
            *((_gpu(*row[:5]), row[5]) for row in _GPU_TABLE),
        )
    }
)
"""The profiles of a fresh installation by key, each with the credits that an hour of one replica costs."""
