"""Facts: what happened and is told to the outside, by banner, mail and webhook (row E10).

A fact is written in the transaction that caused it. Where it must not be told twice its id is derived from what
makes it one, so that a second writing of it is none.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID

Topic = Literal["credits", "deployments", "billing"]
"""What a member may want mails about or not."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`about` is one sentence for those who subscribe to it."""

    name: str
    topic: Topic
    about: str


@dataclass(frozen=True, slots=True)
class Fact:
    """`data` goes on the wire: camelCase, amounts as `Decimal` or int in whole units, ids and instants as text."""

    workspace_id: UUID
    id: UUID
    kind: str
    at: dt.datetime
    data: Mapping[str, Any]


CREDITS_THRESHOLD: Final = "credits.threshold_crossed"
CREDITS_EXHAUSTED: Final = "credits.exhausted"
CREDITS_EXPIRED: Final = "credits.expired"
CREDITS_GRANTED: Final = "credits.granted"
CREDITS_ADJUSTED: Final = "credits.adjusted"
TOOL_RUNS_THRESHOLD: Final = "tool_runs.threshold_crossed"
TOOL_RUNS_EXHAUSTED: Final = "tool_runs.exhausted"
TOOL_RUNS_EXPIRED: Final = "tool_runs.expired"
TOOL_RUNS_GRANTED: Final = "tool_runs.granted"
TOOL_RUNS_ADJUSTED: Final = "tool_runs.adjusted"
LOW_REACHED: Final = "limit.low_reached"
NEGATIVE_REACHED: Final = "limit.negative_reached"
DEPLOYMENT_CREATED: Final = "deployment.created"
DEPLOYMENT_DEPLOYED: Final = "deployment.deployed"
DEPLOYMENT_FAILED: Final = "deployment.failed"
DEPLOYMENT_SCALED: Final = "deployment.scaled"
DEPLOYMENT_STOP_REQUESTED: Final = "deployment.stop_requested"
DEPLOYMENT_STOP_OVERDUE: Final = "deployment.stop_overdue"
DEPLOYMENT_STOPPED: Final = "deployment.stopped"
DEPLOYMENT_UNDEPLOYED: Final = "deployment.undeployed"
DEPLOYMENT_DELETED: Final = "deployment.deleted"
FINE_TUNING_STARTED: Final = "fine_tuning.started"
FINE_TUNING_FINISHED: Final = "fine_tuning.finished"
TRIAL_STARTED: Final = "subscription.trial_started"
TRIAL_ENDING: Final = "subscription.trial_ending"
TRIAL_ENDED: Final = "subscription.trial_ended"
PLAN_CHANGED: Final = "subscription.plan_changed"
CHANGE_PENDING: Final = "subscription.change_pending"
CHANGE_REVOKED: Final = "subscription.change_revoked"
SUBSCRIPTION_RENEWED: Final = "subscription.renewed"
SUBSCRIPTION_PAST_DUE: Final = "subscription.past_due"
SUBSCRIPTION_RESUMED: Final = "subscription.resumed"
SUBSCRIPTION_PAUSED: Final = "subscription.paused"
SUBSCRIPTION_CANCELED: Final = "subscription.canceled"
WORKSPACE_CLOSED: Final = "workspace.closed"
INVOICE_ISSUED: Final = "invoice.issued"
INVOICE_PAID: Final = "invoice.paid"
INVOICE_PAST_DUE: Final = "invoice.past_due"
INVOICE_REMINDER: Final = "invoice.reminder"
INVOICE_VOIDED: Final = "invoice.voided"
INVOICE_UNCOLLECTIBLE: Final = "invoice.uncollectible"
CREDIT_NOTE_ISSUED: Final = "credit_note.issued"
PAYMENT_SUCCEEDED: Final = "payment.succeeded"
PAYMENT_FAILED: Final = "payment.failed"
PAYMENT_ACTION_REQUIRED: Final = "payment.action_required"
PAYMENT_REFUNDED: Final = "payment.refunded"
PAYMENT_DISPUTED: Final = "payment.disputed"
METHOD_UPDATED: Final = "payment_method.updated"
METHOD_EXPIRING: Final = "payment_method.expiring"
CREDITS_PURCHASED: Final = "credits.purchased"
TOP_UP_SUCCEEDED: Final = "top_up.succeeded"
TOP_UP_STOPPED: Final = "top_up.stopped"
WEBHOOK_FAILING: Final = "webhook.endpoint_failing"
WEBHOOK_DISABLED: Final = "webhook.endpoint_disabled"

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind(CREDITS_THRESHOLD, "credits", "20, 50, 70, 80 or 90 % of an allocation of credits is used."),
            Kind(CREDITS_EXHAUSTED, "credits", "All credits are used."),
            Kind(CREDITS_EXPIRED, "credits", "A grant of credits ended with something left."),
            Kind(CREDITS_GRANTED, "credits", "Credits were granted or bought."),
            Kind(CREDITS_ADJUSTED, "credits", "An operator took credits back or corrected them."),
            Kind(TOOL_RUNS_THRESHOLD, "credits", "20, 50, 70, 80 or 90 % of an allocation of tool runs is used."),
            Kind(TOOL_RUNS_EXHAUSTED, "credits", "All tool runs are used."),
            Kind(TOOL_RUNS_EXPIRED, "credits", "A grant of tool runs ended with something left."),
            Kind(TOOL_RUNS_GRANTED, "credits", "Tool runs were granted or bought."),
            Kind(TOOL_RUNS_ADJUSTED, "credits", "An operator took tool runs back or corrected them."),
            Kind(LOW_REACHED, "deployments", "Credits fell to the low limit while something is deployed; it goes on."),
            Kind(NEGATIVE_REACHED, "deployments", "Credits fell to the negative limit; deployments stop."),
            Kind(DEPLOYMENT_CREATED, "deployments", "A deployment was made, as a draft or on its way."),
            Kind(DEPLOYMENT_DEPLOYED, "deployments", "A deployment runs; from now on it is charged."),
            Kind(DEPLOYMENT_FAILED, "deployments", "A deployment could not be started; the reason is with it."),
            Kind(DEPLOYMENT_SCALED, "deployments", "A deployment's replicas or hardware changed."),
            Kind(DEPLOYMENT_STOP_REQUESTED, "deployments", "The platform has to stop a deployment by `complyBy`."),
            Kind(DEPLOYMENT_STOP_OVERDUE, "deployments", "A deployment that had to be stopped was not, in time."),
            Kind(DEPLOYMENT_STOPPED, "deployments", "A deployment was stopped for want of credits."),
            Kind(DEPLOYMENT_UNDEPLOYED, "deployments", "A deployment was taken down; it is charged no longer."),
            Kind(DEPLOYMENT_DELETED, "deployments", "A deployment was deleted."),
            Kind(FINE_TUNING_STARTED, "deployments", "A fine-tuning job began."),
            Kind(FINE_TUNING_FINISHED, "deployments", "A fine-tuning job ended, with what it cost."),
            Kind(TRIAL_STARTED, "billing", "The workspace's one trial began; it ends at `endsAt`."),
            Kind(TRIAL_ENDING, "billing", "A trial ends within days and nothing is on file to pay with."),
            Kind(TRIAL_ENDED, "billing", "A trial ended without a payment method: new runs are paused."),
            Kind(PLAN_CHANGED, "billing", "The workspace is on another plan, or another version of it."),
            Kind(CHANGE_PENDING, "billing", "A downgrade or the end was asked for; it comes with the period's end."),
            Kind(CHANGE_REVOKED, "billing", "A change that was to come with the period's end was taken back."),
            Kind(SUBSCRIPTION_RENEWED, "billing", "A billing period ended and the next one began."),
            Kind(SUBSCRIPTION_PAST_DUE, "billing", "An invoice stayed unpaid too long: new runs are refused."),
            Kind(SUBSCRIPTION_RESUMED, "billing", "The workspace is active again; everything goes on."),
            Kind(SUBSCRIPTION_PAUSED, "billing", "New runs are paused."),
            Kind(SUBSCRIPTION_CANCELED, "billing", "A subscription ended."),
            Kind(WORKSPACE_CLOSED, "billing", "The workspace was closed."),
            Kind(INVOICE_ISSUED, "billing", "An invoice was issued."),
            Kind(INVOICE_PAID, "billing", "An invoice is paid."),
            Kind(INVOICE_PAST_DUE, "billing", "An invoice was not paid in time."),
            Kind(INVOICE_REMINDER, "billing", "An invoice is still unpaid; told on the days of the dunning schedule."),
            Kind(INVOICE_VOIDED, "billing", "An invoice was voided: nothing is to be paid."),
            Kind(INVOICE_UNCOLLECTIBLE, "billing", "An invoice was written off."),
            Kind(CREDIT_NOTE_ISSUED, "billing", "A credit note corrects an invoice."),
            Kind(PAYMENT_SUCCEEDED, "billing", "A payment succeeded."),
            Kind(PAYMENT_FAILED, "billing", "A payment failed, with the reason and when it is tried again."),
            Kind(PAYMENT_ACTION_REQUIRED, "billing", "A payment waits for its owner to confirm it."),
            Kind(PAYMENT_REFUNDED, "billing", "Money was given back."),
            Kind(PAYMENT_DISPUTED, "billing", "A payment was disputed at the bank."),
            Kind(METHOD_UPDATED, "billing", "The payment method on file changed."),
            Kind(METHOD_EXPIRING, "billing", "The card on file ends soon."),
            Kind(CREDITS_PURCHASED, "billing", "Bought credits were paid and granted."),
            Kind(TOP_UP_SUCCEEDED, "billing", "Automatic top-up bought credits."),
            Kind(TOP_UP_STOPPED, "billing", "Automatic top-up failed and stopped; it waits for its owner."),
            Kind(WEBHOOK_FAILING, "billing", "A webhook's endpoint has taken nothing for days; deliveries die."),
            Kind(WEBHOOK_DISABLED, "billing", "A webhook's endpoint answered 410 Gone and gets nothing more."),
        )
    }
)
"""Every kind there is, by name."""


def derived_id(workspace_id: UUID, *parts: str) -> UUID:
    """The id of a fact that happens once for these parts; RFC 9562's UUIDv5 with the workspace as namespace."""
    name = "\0".join(("fact", *parts)).encode()
    digest = hashlib.sha1(workspace_id.bytes + name, usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)
