"""Which letter a fact becomes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tallystick.domain.telling import credit_letters, deployment_letters, facts
from tallystick.domain.telling.facts import KINDS, Fact
from tallystick.domain.telling.letters import Circumstances, Draft, Letter

_WRITERS: Final[Mapping[str, Callable[[Fact, Circumstances], Draft]]] = MappingProxyType(
    {
        facts.CREDITS_THRESHOLD: credit_letters.threshold_crossed,
        facts.CREDITS_EXHAUSTED: credit_letters.exhausted,
        facts.CREDITS_EXPIRED: credit_letters.expired,
        facts.TOOL_RUNS_THRESHOLD: credit_letters.threshold_crossed,
        facts.TOOL_RUNS_EXHAUSTED: credit_letters.exhausted,
        facts.TOOL_RUNS_EXPIRED: credit_letters.expired,
        facts.LOW_REACHED: deployment_letters.low_reached,
        facts.NEGATIVE_REACHED: deployment_letters.negative_reached,
        facts.DEPLOYMENT_DEPLOYED: deployment_letters.deployed,
        facts.DEPLOYMENT_UNDEPLOYED: deployment_letters.undeployed,
        facts.DEPLOYMENT_STOP_REQUESTED: deployment_letters.stop_requested,
        facts.DEPLOYMENT_STOP_OVERDUE: deployment_letters.stop_overdue,
        facts.DEPLOYMENT_STOPPED: deployment_letters.stopped,
        facts.WEBHOOK_FAILING: deployment_letters.endpoint_failing,
        facts.WEBHOOK_DISABLED: deployment_letters.endpoint_disabled,
    }
)

WRITTEN: Final = frozenset(_WRITERS)
"""The kinds of facts that there is a letter about."""


def write(fact: Fact, about: Circumstances) -> Letter:
    """The letter about a fact of a kind in `WRITTEN`."""
    return _WRITERS[fact.kind](fact, about).finish(about, KINDS[fact.kind].topic)
