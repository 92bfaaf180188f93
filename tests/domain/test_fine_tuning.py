"""What a fine-tuning job costs, and how one ends."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.deployments.fine_tuning import (
    ENDED,
    RUNNING,
    SHIPPED,
    Job,
    Work,
    check_work,
    complexity_of,
    estimate,
    plain,
    quantities,
)
from tallystick.domain.deployments.profiles import SHIPPED as PROFILES
from tallystick.domain.metering.events import quantity_of, read_data
from tallystick.domain.metering.prices import PriceBook
from tallystick.flows.prices import shipped_versions
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError

NOW = dt.datetime(2026, 3, 14, 9, 41, tzinfo=dt.UTC)
BOOK = PriceBook(shipped_versions())
GPUS = sorted(key for key, (profile, _) in PROFILES.items() if profile.kind == "model")
fractions = st.decimals(min_value=0, max_value=50, places=9)


def work(tokens: int = 1, epochs: str = "1", complexity: str = "small", **hardware: object) -> Work:
    profile, seconds = hardware.get("profile"), hardware.get("seconds", 0)
    return Work(tokens, Decimal(epochs), complexity, profile, Decimal(str(seconds)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parameters", "complexity"),
    [
        (1, "small"),
        (10_000_000_000, "small"),
        (10_000_000_001, "medium"),
        (40_000_000_000, "medium"),
        (40_000_000_001, "large"),
        (10**15, "large"),
    ],
)
def test_classes_of_complexity_end_where_they_say(parameters: int, complexity: str) -> None:
    assert complexity_of(parameters) == complexity


@given(
    st.integers(0, 10**10), fractions, st.sampled_from(sorted(SHIPPED)), st.sampled_from(GPUS), st.integers(0, 10**15)
)
def test_each_part_is_rounded_once(tokens: int, epochs: Decimal, complexity: str, profile: str, nanos: int) -> None:
    seconds = Decimal(nanos).scaleb(-9)
    found = estimate(Work(tokens, epochs, complexity, profile, seconds), BOOK, NOW)
    trained = Fraction(tokens) * Fraction(epochs) * int(SHIPPED[complexity]) * NANO / 1_000_000
    hosted = Fraction(seconds) * Fraction(PROFILES[profile][1]) * NANO / 3_600
    # `round` of a fraction is half to even, too.
    assert found.credits == round(trained) + round(hosted)


def test_hardware_that_is_not_paid_for_costs_nothing_and_has_no_event() -> None:
    parts = list(quantities(work(10, "1.5", seconds=3_600)))
    assert [(type_, quantity) for type_, quantity, _ in parts] == [("fine_tuning.job", Decimal(15))]
    assert list(quantities(work(0, seconds=9))) == []
    [(type_, quantity, told)] = quantities(work(0, profile="gpu-t4", seconds="9.5"))
    assert (type_, quantity, told) == ("fine_tuning.time", Decimal("9.5"), {"profile": "gpu-t4", "seconds": "9.5"})


def test_what_nothing_prices_costs_nothing_yet() -> None:
    found = estimate(work(10**6, profile="gpu-t4", seconds=60), PriceBook([]), NOW)
    assert [(part.credits, part.price) for part in found.parts] == [(0, None), (0, None)]


@given(st.integers(0, 10**10), fractions)
def test_an_event_that_names_its_training_counts_what_a_job_would(tokens: int, epochs: Decimal) -> None:
    facts, _ = read_data(f'{{"trainingTokens": {tokens}, "epochs": "{plain(epochs)}"}}'.encode())
    assert quantity_of(facts) == Work(tokens, epochs, "small", None, Decimal(0)).trained_tokens


@pytest.mark.parametrize(
    ("field", "given_work"),
    [
        ("trainingTokens", work(10**14 + 1)),
        ("epochs", work(epochs="1000.000000001")),
        ("epochs", work(epochs="NaN")),
        ("epochs", work(epochs="1E-10")),
        ("epochs", work(epochs="1E+999999999")),
        ("seconds", work(seconds=-1)),
        ("seconds", work(seconds=366 * 86_400 + 1)),
        ("trainingTokens", work(10**14, "10.000000001")),
    ],
)
def test_work_beyond_all_sense_is_refused_by_name(field: str, given_work: Work) -> None:
    with pytest.raises(TallystickError) as refused:
        check_work(given_work)
    assert (refused.value.code, refused.value.details["field"]) == ("invalidQuantity", field)


@pytest.mark.parametrize("status", [RUNNING, *ENDED])
@pytest.mark.parametrize("asked", [RUNNING, *ENDED, "paused"])
def test_only_a_running_job_ends(status: str, asked: str) -> None:
    one = UUID(int=1)
    job = Job(one, one, "base", "tuned", one, status, work(), 0, None, "token:1", NOW)
    if status == RUNNING and asked in ENDED:
        assert job.end(asked) == asked
        return
    with pytest.raises(TallystickError) as refused:
        job.end(asked)
    assert refused.value.code == "fineTuningJobNotRunning"
