"""Hardware: the published table to the digit, what is ours beside it, and parts that always add up."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.deployments.costs import cost_of
from tallystick.domain.deployments.profiles import (
    COMPONENTS,
    PPM,
    SHIPPED,
    check_profile,
    components_of,
    split,
    targets_for_time,
)
from tallystick.flows.prices import shipped_versions
from tallystick.kernel.credits import MAX_NANO, format_credits, parse_credits
from tallystick.kernel.errors import TallystickError

PUBLISHED = [
    ("1 vCPU, 2 GB", "0.7 vCPU, 1.1 GB", "0.07698"),
    ("2 vCPU, 4 GB", "1.5 vCPU, 2.5 GB", "0.15396"),
    ("4 vCPU, 8 GB", "3.5 vCPU, 6 GB", "0.30792"),
    ("2 vCPU, 8 GB", "1.5 vCPU, 6.5 GB", "0.144"),
    ("4 vCPU, 16 GB", "3.5 vCPU, 13.5 GB", "0.288"),
]
BOOK = {version.target: version for version in shipped_versions()}


@pytest.mark.parametrize("kind", ["script", "guardrail"])
def test_scripts_have_the_published_table_and_guardrails_the_same(kind: str) -> None:
    found = [(one.name, one.usable, hourly) for one, hourly in SHIPPED.values() if one.kind == kind]
    assert found == PUBLISHED


@pytest.mark.parametrize("key", sorted(SHIPPED))
def test_what_ships_is_whole_and_costs_what_it_says(key: str) -> None:
    profile, hourly = SHIPPED[key]
    assert check_profile(profile).key == key
    cost = cost_of(profile, BOOK[profile.targets[0]], 1)
    assert cost is not None
    assert (format_credits(cost.hour), cost.day, cost.month) == (hourly, 24 * cost.hour, 730 * cost.hour)
    assert sum(cost.components.values()) == cost.hour
    assert (cost.components["gpu"] > 0) == (profile.gpus > 0)


def test_replicas_multiply_and_what_has_no_price_costs_nothing_known() -> None:
    profile, hourly = SHIPPED["script-1x2"]
    three = cost_of(profile, BOOK[profile.targets[0]], 3)
    assert three is not None and three.hour == 3 * parse_credits(hourly) and three.month == 730 * three.hour
    assert cost_of(profile, None, 1) is None


def test_the_price_of_time_stands_under_its_profile_or_its_type() -> None:
    assert targets_for_time("script", "a") == ("script.time/a", "script.time")
    assert targets_for_time("guardrail", "b") == ("guardrail.time/b", "guardrail.time")
    assert targets_for_time("model", "c") == ("deployment.time/c", "deployment.time")


SHARES = st.lists(st.integers(0, PPM), min_size=2, max_size=2).map(
    lambda cuts: {
        "vcpu": min(cuts),
        "memory": max(cuts) - min(cuts),
        "gpu": PPM - max(cuts),
    }
)


@given(st.integers(-MAX_NANO, MAX_NANO), SHARES)
def test_parts_add_up_to_the_amount_and_each_is_its_share(amount: int, shares: dict[str, int]) -> None:
    parts = split(amount, shares)
    assert sum(parts.values()) == amount
    assert set(parts) == set(COMPONENTS)
    for name, part in parts.items():
        assert abs(part * PPM - amount * shares[name]) <= PPM


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 8))
def test_components_of_any_machine_make_a_million(milli_cpus: int, milli_gb: int, gpus: int) -> None:
    shares = components_of(Decimal(milli_cpus) / 1000, Decimal(milli_gb) / 1000, gpus)
    assert sum(shares.values()) == PPM
    assert all(share >= 0 for share in shares.values())
    assert shares["gpu"] == (800_000 if gpus else 0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": ""}, "key"),
        ({"key": "no good"}, "key"),
        ({"key": "x" * 65}, "key"),
        ({"key": "é"}, "key"),
        ({"kind": "tool"}, "kind"),
        ({"name": " "}, "name"),
        ({"usable": "x\n"}, "usable"),
        ({"vcpus": Decimal(0)}, "vcpus"),
        ({"vcpus": Decimal("NaN")}, "vcpus"),
        ({"vcpus": Decimal("0.0001")}, "vcpus"),
        ({"memory_gb": Decimal(-1)}, "memoryGb"),
        ({"memory_gb": Decimal("1e30")}, "memoryGb"),
        ({"gpus": -1}, "gpus"),
        ({"components": {"vcpu": 999_999}}, "components"),
        ({"components": {"vcpu": PPM + 1, "memory": -1}}, "components"),
        ({"components": {"cpu": PPM}}, "components"),
        ({"components": {"gpu": PPM}}, "components"),
    ],
)
def test_hardware_that_cannot_be_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(TallystickError) as refused:
        check_profile(replace(SHIPPED["script-1x2"][0], **change))
    assert refused.value.details["field"] == field
