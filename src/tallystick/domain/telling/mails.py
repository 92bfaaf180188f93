"""Mails: which facts make one, for whom, and how often it is tried (rows E10, E12; rules M18, M19).

At most one mail per threshold and day of the workspace's zone goes to a person; whatever concerns one deployment is
told once. Owners and admins get them, unless they said that they want none about its topic.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from tallystick.domain.telling import facts
from tallystick.domain.telling.facts import KINDS, Fact, Topic
from tallystick.domain.telling.figures import day
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import uuid7

Status = Literal["queued", "sent", "kept", "dead"]
"""`kept`: no SMTP server is named, so it is read in the outbox; `dead`: given up, until it is tried again by hand."""

MAILED_THRESHOLDS: Final = frozenset({50, 70, 80, 90})
"""Percent used. 20 % has a banner alone; what 100 % is, `exhausted` and `expired` tell."""

TOPICS: Final[tuple[Topic, ...]] = ("credits", "deployments", "billing")

ABOUT_TOPIC: Final[Mapping[Topic, str]] = {
    "credits": "50, 70, 80 and 90 % of credits or tool runs are used; all of them are; a grant expired.",
    "deployments": "Deployments: deployed, undeployed, limits reached, interruptions and stops.",
    "billing": "Invoices, payments, the subscription; webhook endpoints that take nothing.",
}

CREDITS: Final = "credits"
TOOL_RUNS: Final = "tool_runs"

_UNITS: Final[Mapping[str, str]] = {
    facts.CREDITS_THRESHOLD: CREDITS,
    facts.CREDITS_EXHAUSTED: CREDITS,
    facts.CREDITS_EXPIRED: CREDITS,
    facts.TOOL_RUNS_THRESHOLD: TOOL_RUNS,
    facts.TOOL_RUNS_EXHAUSTED: TOOL_RUNS,
    facts.TOOL_RUNS_EXPIRED: TOOL_RUNS,
}
_THRESHOLDS: Final = frozenset({facts.CREDITS_THRESHOLD, facts.TOOL_RUNS_THRESHOLD})
_EXHAUSTED: Final = frozenset({facts.CREDITS_EXHAUSTED, facts.TOOL_RUNS_EXHAUSTED})
_EXPIRED: Final = frozenset({facts.CREDITS_EXPIRED, facts.TOOL_RUNS_EXPIRED})
_EACH_ONCE: Final = frozenset(
    {
        facts.LOW_REACHED,
        facts.NEGATIVE_REACHED,
        facts.DEPLOYMENT_DEPLOYED,
        facts.DEPLOYMENT_STOP_REQUESTED,
        facts.DEPLOYMENT_STOP_OVERDUE,
        facts.DEPLOYMENT_STOPPED,
        facts.DEPLOYMENT_UNDEPLOYED,
        facts.TRIAL_STARTED,
        facts.TRIAL_ENDING,
        facts.TRIAL_ENDED,
        facts.PLAN_CHANGED,
        facts.CHANGE_PENDING,
        facts.CHANGE_REVOKED,
        facts.SUBSCRIPTION_PAST_DUE,
        facts.SUBSCRIPTION_RESUMED,
        facts.SUBSCRIPTION_PAUSED,
        facts.SUBSCRIPTION_CANCELED,
        facts.WORKSPACE_CLOSED,
        facts.INVOICE_ISSUED,
        facts.INVOICE_PAID,
        facts.INVOICE_PAST_DUE,
        facts.INVOICE_REMINDER,
        facts.INVOICE_VOIDED,
        facts.INVOICE_UNCOLLECTIBLE,
        facts.CREDIT_NOTE_ISSUED,
        facts.PAYMENT_FAILED,
        facts.PAYMENT_ACTION_REQUIRED,
        facts.PAYMENT_REFUNDED,
        facts.PAYMENT_DISPUTED,
        facts.METHOD_UPDATED,
        facts.METHOD_EXPIRING,
        facts.CREDITS_PURCHASED,
        facts.TOP_UP_SUCCEEDED,
        facts.TOP_UP_STOPPED,
        facts.WEBHOOK_FAILING,
        facts.WEBHOOK_DISABLED,
    }
)

MAILED: Final = _THRESHOLDS | _EXHAUSTED | _EXPIRED | _EACH_ONCE
"""The kinds of facts that make mails."""

_FIRST_PAUSE: Final = 30
_LONGEST_PAUSE: Final = 8 * 3_600
_SHARES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Recipient:
    """A member who may get mails of a workspace; `muted` are the topics that they want none about."""

    person_id: UUID
    email: str
    first_name: str
    role: str
    muted: frozenset[str] = frozenset()

    def wants(self, topic: Topic) -> bool:
        """Owners and admins get mails about every topic that they did not turn off."""
        return self.role in ("owner", "admin") and topic not in self.muted


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one person about one fact, with all that it takes to send it again the very same."""

    workspace_id: UUID
    id: UUID
    fact_id: UUID
    person_id: UUID
    kind: str
    dedup: str
    to_address: str
    message_id: str
    subject: str
    html: str
    plain: str
    status: Status
    attempts: int
    next_at: dt.datetime
    error: str | None
    created_at: dt.datetime
    sent_at: dt.datetime | None

    @property
    def topic(self) -> Topic:
        return KINDS[self.kind].topic if self.kind in KINDS else "billing"


def dedup_of(fact: Fact, zone: str) -> str | None:
    """What makes a second mail to the same person the same mail; None where the fact makes none.

    `zone` is the workspace's: whose day it is (rules M19, M29).
    """
    if fact.kind in _EACH_ONCE:
        return None if _is_told_otherwise(fact) else f"fact:{fact.id}"
    unit = _UNITS.get(fact.kind)
    if unit is None:
        return None
    if fact.kind in _THRESHOLDS:
        threshold = threshold_of(fact.data)
        return f"{unit}:{threshold}:{day(fact.at, zone)}" if threshold in MAILED_THRESHOLDS else None
    # A period's end that gives a new allocation is no loss to warn of.
    if fact.data.get("renewed") is True:
        return None
    told = "100" if fact.kind in _EXHAUSTED else "expired"
    return f"{unit}:{told}:{day(fact.at, zone)}"


def _is_told_otherwise(fact: Fact) -> bool:
    """Whether another mail says the same: nobody gets two letters about one thing, and none about nothing."""
    data = fact.data
    if fact.kind in (facts.INVOICE_ISSUED, facts.INVOICE_PAID, facts.INVOICE_VOIDED):
        # A purchase has its own receipt, a free period nothing to pay.
        return data.get("purpose") == "purchase" or data.get("amount") == 0
    if fact.kind == facts.INVOICE_PAST_DUE:
        # Of an attempt that failed its own letter tells.
        return data.get("attempted") is not False
    if fact.kind == facts.PAYMENT_FAILED:
        # Of top-up it is told that it stopped.
        return data.get("purpose") == "topup"
    if fact.kind == facts.CREDITS_PURCHASED:
        return data.get("automatic") is True
    return fact.kind == facts.SUBSCRIPTION_PAUSED and data.get("reason") == "trialEnded"


def unit_of(kind: str) -> str:
    """The unit that a kind of fact is about; deployments are about credits."""
    return _UNITS.get(kind, CREDITS)


def threshold_of(data: Mapping[str, Any]) -> int:
    """The threshold that a fact tells, in percent used; 0 where it tells none."""
    value = data.get("threshold", 0)
    return int(value) if isinstance(value, int) or str(value).isdecimal() else 0


def mail_id(fact: Fact, person_id: UUID) -> UUID:
    """The id of the mail about `fact` to a person: however often it is made, it is one.

    It begins with the fact's instant, so that mails which are made together stand in the order of what they tell.
    """
    told = hashlib.sha256(b"mail" + fact.workspace_id.bytes + fact.id.bytes + person_id.bytes).digest()
    return uuid7(fact.at, int.from_bytes(told[:10], "big") >> 6)


def message_id(mail: UUID, host: str) -> str:
    """The Message-ID of a mail, the same at every attempt, so that whoever gets it twice sees one (bar R6)."""
    return f"<{mail}@{host}>"


def pause_after(attempts: int, jitter: int) -> dt.timedelta:
    """How long to wait after so many attempts: 30 s, then three times as long each, at most 8 h; ten take a day.

    `jitter` from 0 to 1,000 lengthens it by up to a quarter, so that what failed together is not tried together.
    """
    seconds = min(_FIRST_PAUSE * 3 ** min(attempts - 1, 20), _LONGEST_PAUSE)
    return dt.timedelta(milliseconds=seconds * (1_000 + 250 * min(max(jitter, 0), _SHARES) // _SHARES))


def mail_not_found(mail: UUID) -> TallystickError:
    return TallystickError("mailNotFound", "There is no such mail.", uuid=str(mail))
