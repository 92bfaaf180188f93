"""Which letter a fact becomes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tallystick.domain.telling import (
    billing_letters,
    credit_letters,
    deployment_letters,
    facts,
    purchase_letters,
    subscription_letters,
)
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
        facts.TRIAL_STARTED: subscription_letters.trial_started,
        facts.TRIAL_ENDING: subscription_letters.trial_ending,
        facts.TRIAL_ENDED: subscription_letters.trial_ended,
        facts.PLAN_CHANGED: subscription_letters.plan_changed,
        facts.CHANGE_PENDING: subscription_letters.change_pending,
        facts.CHANGE_REVOKED: subscription_letters.change_revoked,
        facts.SUBSCRIPTION_PAST_DUE: subscription_letters.past_due,
        facts.SUBSCRIPTION_RESUMED: subscription_letters.resumed,
        facts.SUBSCRIPTION_PAUSED: subscription_letters.paused,
        facts.SUBSCRIPTION_CANCELED: subscription_letters.canceled,
        facts.WORKSPACE_CLOSED: subscription_letters.closed,
        facts.INVOICE_ISSUED: billing_letters.invoice_issued,
        facts.INVOICE_PAID: billing_letters.invoice_paid,
        facts.INVOICE_PAST_DUE: billing_letters.past_due,
        facts.INVOICE_REMINDER: billing_letters.reminder,
        facts.INVOICE_VOIDED: billing_letters.voided,
        facts.INVOICE_UNCOLLECTIBLE: billing_letters.uncollectible,
        facts.CREDIT_NOTE_ISSUED: billing_letters.credit_note,
        facts.PAYMENT_FAILED: billing_letters.payment_failed,
        facts.PAYMENT_ACTION_REQUIRED: billing_letters.action_required,
        facts.PAYMENT_REFUNDED: billing_letters.refunded,
        facts.PAYMENT_DISPUTED: billing_letters.disputed,
        facts.METHOD_UPDATED: purchase_letters.method_updated,
        facts.METHOD_EXPIRING: purchase_letters.method_expiring,
        facts.CREDITS_PURCHASED: purchase_letters.purchased,
        facts.TOP_UP_SUCCEEDED: purchase_letters.top_up_succeeded,
        facts.TOP_UP_STOPPED: purchase_letters.top_up_stopped,
        facts.WEBHOOK_FAILING: deployment_letters.endpoint_failing,
        facts.WEBHOOK_DISABLED: deployment_letters.endpoint_disabled,
    }
)

WRITTEN: Final = frozenset(_WRITERS)
"""The kinds of facts that there is a letter about."""


def write(fact: Fact, about: Circumstances) -> Letter:
    """The letter about a fact of a kind in `WRITTEN`."""
    return _WRITERS[fact.kind](fact, about).finish(about, KINDS[fact.kind].topic)
