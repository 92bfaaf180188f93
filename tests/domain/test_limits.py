"""Rule M16 as one table: what follows from the credits for what runs, and for what would."""

import itertools

import pytest

from tallystick.domain.credits.limits import Limits
from tallystick.domain.deployments.deployment import OUT_OF_CREDITS
from tallystick.domain.deployments.limits import Consequences, consequences
from tallystick.kernel.credits import NANO
from tallystick.kernel.errors import TallystickError

LIMITS = Limits()
STOP, DISABLED, BELOW = OUT_OF_CREDITS, "deploymentsDisabled", "negativeLimitReached"

TABLE = (
    # credits in nano-units; low limit told while something runs; it stops; what refuses new ones; imports are drafts
    (1_000 * NANO, False, None, None, False),
    (5 * NANO, False, None, None, False),
    (5 * NANO - 1, False, None, DISABLED, False),
    (NANO + 1, False, None, DISABLED, False),
    (NANO, True, None, DISABLED, False),
    (1, True, None, DISABLED, False),
    (0, True, None, DISABLED, True),
    (-1, True, None, DISABLED, True),
    (-10 * NANO + 1, True, None, DISABLED, True),
    (-10 * NANO, True, STOP, BELOW, True),
    (-1_000 * NANO, True, STOP, BELOW, True),
)


@pytest.mark.parametrize(("posted", "low", "stops", "refuses", "drafts"), TABLE)
@pytest.mark.parametrize("is_running", [True, False])
@pytest.mark.parametrize("was_low", [True, False])
def test_every_cell(
    posted: int, low: bool, stops: str | None, refuses: str | None, drafts: bool, is_running: bool, was_low: bool
) -> None:
    found = consequences(posted, LIMITS, is_running=is_running, was_low=was_low)
    assert found == Consequences(
        tells_low=low and is_running and not was_low,
        stops=stops if is_running else None,
        refuses=refuses,
        imports_are_drafts=drafts,
    )


@pytest.mark.parametrize("posted", [row[0] for row in TABLE])
def test_a_contract_without_end_stops_and_refuses_nothing(posted: int) -> None:
    found = consequences(posted, LIMITS, is_running=True, overage=None)
    assert (found.stops, found.refuses, found.imports_are_drafts) == (None, None, False)
    assert found.tells_low == (posted <= NANO), "that credits are low is still news"


@pytest.mark.parametrize(("posted", "low", "stops", "refuses", "drafts"), TABLE)
def test_what_a_contract_allows_beyond_counts_as_there_but_for_the_low_limit(
    posted: int, low: bool, stops: str | None, refuses: str | None, drafts: bool
) -> None:
    found = consequences(posted - 100 * NANO, LIMITS, is_running=True, overage=100 * NANO)
    assert (found.stops, found.refuses, found.imports_are_drafts) == (stops, refuses, drafts)


def test_credits_that_come_back_allow_new_deployments_and_arm_the_low_limit() -> None:
    down = consequences(-20 * NANO, LIMITS, is_running=True, was_low=True)
    up = consequences(80 * NANO, LIMITS, is_running=False, was_low=True)
    again = consequences(NANO, LIMITS, is_running=True, was_low=False)
    assert (down.stops, up.stops, up.refuses, again.tells_low) == (STOP, None, None, True)


def test_a_threshold_of_zero_still_refuses_at_zero() -> None:
    limits = Limits(deploy_threshold=0, low_limit=0, negative_limit=-1).check()
    assert consequences(1, limits, is_running=False).refuses is None
    assert consequences(0, limits, is_running=True) == Consequences(True, None, DISABLED, True)
    assert consequences(-1, limits, is_running=True).stops == STOP


def test_only_limits_in_order_are_limits() -> None:
    for deploy, low, negative in itertools.product((-1, 0, 1, 2), repeat=3):
        limits = Limits(deploy_threshold=deploy, low_limit=low, negative_limit=negative)
        if deploy >= low >= 0 > negative:
            assert limits.check() is limits
        else:
            with pytest.raises(TallystickError) as error:
                limits.check()
            assert error.value.code == "invalidLimits"
