"""Dunning: what follows when an invoice is not paid, step by step until it is, or is written off (row D11; rule M24).

Day 0 is the first attempt that failed; of an invoice that nothing can be collected for, its due date. On the days of
the schedule it is tried again, or its owner is reminded; then new runs stop; in the end it is written off. What is to
be done is a function of the invoice, its payments and the time alone: asked twice, or late, it gives the same.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from zoneinfo import ZoneInfo

from tallystick.domain.billing.invoices import ISSUED, OPEN, PAST_DUE, Invoice
from tallystick.domain.billing.payments import (
    ACTION_REQUIRED,
    CANCELED,
    CREATED,
    FAILED,
    PROCESSING,
    SUCCEEDED,
    Payment,
)
from tallystick.kernel.errors import TallystickError

StepKind = Literal["collect", "remind", "suspend", "writeOff", "giveUp"]
"""`suspend`: new runs are refused from now on (`pastDue`). `giveUp`: a purchase that nobody pays is voided."""

LOOK_AGAIN: Final = dt.timedelta(days=1)
"""How long a payment under way is waited for before its invoice is looked at again."""

_FIRST_PAUSE: Final = dt.timedelta(minutes=1)
_LONGEST_PAUSE: Final = dt.timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Policy:
    """Days after day 0, counted by the calendar of the workspace's zone."""

    retry_days: tuple[int, ...] = (1, 3, 5, 7)
    past_due_days: int = 14
    uncollectible_days: int = 90


@dataclass(frozen=True, slots=True)
class Step:
    """`at` is when its turn came; `number` counts the days of the schedule from 1, 0 is the first attempt."""

    kind: StepKind
    at: dt.datetime
    number: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """An invoice with every attempt at it. `can_collect`: there is a method on file that can be charged unattended;
    `method_at`: since when."""

    invoice: Invoice
    attempts: Sequence[Payment]
    zone: str
    can_collect: bool
    method_at: dt.datetime | None = None


def policy(dunning_days: str, *, past_due_days: int, uncollectible_days: int) -> Policy:
    """The policy of the settings. Raises `invalidSetting` unless the days ascend: retries, past due, written off."""
    try:
        days = tuple(int(part) for part in dunning_days.split(",") if part.strip())
    except ValueError:
        days = (0,)
    ascending = all(a < b for a, b in zip((0, *days), days, strict=False))
    if not ascending or not (days[-1] if days else 0) < past_due_days < uncollectible_days:
        raise TallystickError(
            "invalidSetting",
            "TALLY_DUNNING_DAYS must be ascending days before TALLY_PAST_DUE_DAYS, and those before "
            "TALLY_UNCOLLECTIBLE_DAYS.",
            setting="TALLY_DUNNING_DAYS",
            value=dunning_days[:100],
        )
    return Policy(days, past_due_days, uncollectible_days)


def can_collect(provider: str | None, customer_ref: str | None, method: object) -> bool:
    """Whether something is on file with a provider that can be charged with nobody there."""
    return provider not in (None, "offline") and method is not None and customer_ref is not None


def begun_at(case: Case) -> dt.datetime:
    """Day 0: when the first attempt failed; else when it was due. A payment that was taken back begins it anew."""
    taken_back = [one.updated_at for one in case.attempts if one.status == SUCCEEDED and one.disputed_minor > 0]
    if taken_back:
        return max(taken_back)
    failed = [at for one in case.attempts if (at := _failed_at(one)) is not None]
    return min(failed) if failed else _due_at(case.invoice)


def is_under_way(case: Case) -> bool:
    """Whether money may be on its way: nothing is asked for, told or stopped meanwhile."""
    return any(one.status in (CREATED, PROCESSING) for one in case.attempts)


def falls_due(case: Case, now: dt.datetime) -> bool:
    """Whether an issued invoice is past due now: an attempt failed, or nothing came by its due date.

    A purchase never is: nothing was delivered for it, so nothing is owed.
    """
    if case.invoice.status != ISSUED or not case.invoice.open_minor or is_under_way(case) or _is_purchase(case):
        return False
    failed = any(_failed_at(one) is not None for one in case.attempts)
    return failed or (_due_at(case.invoice) <= now and not _first_is_to_come(case))


def steps(case: Case, terms: Policy, now: dt.datetime) -> tuple[Step, ...]:
    """What is to be done now, in order; nothing of what is paid, closed, or has money on its way.

    After an outage only the last of the days missed is made up for. A reminder, a suspension and a write-off are asked
    for as long as the invoice is open: whoever does them does them once.
    """
    if not _is_open(case) or is_under_way(case):
        return ()
    if _first_is_to_come(case):
        begins = case.invoice.next_at
        return (Step("collect", begins),) if begins is not None and begins <= now else ()
    found: list[Step] = []
    passed = [slot for slot in _slots(case, terms) if slot.at <= now]
    tries = [slot for slot in passed if slot.kind in ("collect", "remind")]
    if case.method_at is not None and case.method_at <= now and _is_new_method(case):
        found.append(Step("collect", case.method_at))
    elif tries and not (tries[-1].kind == "collect" and _tried_since(case, tries[-1].at)):
        found.append(tries[-1])
    return (*found, *(slot for slot in passed if slot.kind not in ("collect", "remind")))


def next_at(case: Case, terms: Policy, now: dt.datetime) -> dt.datetime | None:
    """When it is to be looked at again, after `now`; None of what is closed."""
    if not _is_open(case):
        return None
    if is_under_way(case):
        return now + LOOK_AGAIN
    if _first_is_to_come(case):
        begins = case.invoice.next_at
        return begins if begins is not None and begins > now else now + LOOK_AGAIN
    due_at = _due_at(case.invoice)
    instants = [slot.at for slot in _slots(case, terms) if slot.at > now]
    if case.invoice.status == ISSUED and due_at > now:
        instants.append(due_at)
    return min(instants, default=None)


def next_attempt_at(case: Case, terms: Policy, now: dt.datetime) -> dt.datetime | None:
    """When it is tried again by itself, which is what a mail about a failure says; None: not any more."""
    later = [slot.at for slot in _slots(case, terms) if slot.at > now and slot.kind == "collect"]
    return min(later, default=None) if case.can_collect else None


def stops_at(case: Case, terms: Policy) -> dt.datetime | None:
    """When new runs are refused unless it is paid; None of an invoice that nothing hangs on."""
    return next((slot.at for slot in _slots(case, terms) if slot.kind == "suspend"), None)


def pause(age: dt.timedelta) -> dt.timedelta:
    """How long to wait with what has not worked for so long already: as long again, a minute at least, 6 h at most."""
    return min(max(age, _FIRST_PAUSE), _LONGEST_PAUSE)


def _is_open(case: Case) -> bool:
    return case.invoice.kind == "invoice" and case.invoice.status in OPEN and case.invoice.open_minor > 0


def _first_is_to_come(case: Case) -> bool:
    """Whether it can be collected and nobody tried yet; what came by itself was no attempt."""
    return case.can_collect and all(one.status == SUCCEEDED and not one.disputed_minor for one in case.attempts)


def _is_purchase(case: Case) -> bool:
    return case.invoice.purpose == "purchase"


def _due_at(invoice: Invoice) -> dt.datetime:
    return invoice.due_at or invoice.issued_at or invoice.created_at


def _failed_at(payment: Payment) -> dt.datetime | None:
    """When an attempt failed; one that waits for its owner to confirm it has, as far as we can collect."""
    if payment.status not in (FAILED, CANCELED, ACTION_REQUIRED):
        return None
    return payment.finished_at or payment.updated_at


def _is_new_method(case: Case) -> bool:
    """Whether what is past due was not tried with the present method yet: it is, at once (rule M24)."""
    waits = any(one.status == ACTION_REQUIRED for one in case.attempts)
    is_past_due = case.invoice.status == PAST_DUE
    return is_past_due and case.can_collect and not waits and not _tried_since(case, case.method_at)


def _tried_since(case: Case, at: dt.datetime | None) -> bool:
    return at is None or any(one.created_at >= at for one in case.attempts)


def _slots(case: Case, terms: Policy) -> list[Step]:
    """The whole schedule of an invoice, in order of time."""
    begun = begun_at(case)
    # What its owner has to confirm is not tried beside it: both might be paid.
    waits = any(one.status == ACTION_REQUIRED for one in case.attempts)
    again: StepKind = "collect" if case.can_collect and not waits else "remind"
    found = [Step(again, _days_after(begun, day, case.zone), n) for n, day in enumerate(terms.retry_days, 1)]
    # Of a purchase nothing was delivered: whoever does not pay has nothing stopped, and it is given up instead.
    if _is_purchase(case):
        return [*found, Step("giveUp", _days_after(begun, terms.past_due_days, case.zone))]
    found.append(Step("suspend", _days_after(begun, terms.past_due_days, case.zone)))
    return [*found, Step("writeOff", _days_after(begun, terms.uncollectible_days, case.zone))]


def _days_after(begun: dt.datetime, days: int, zone: str) -> dt.datetime:
    """The same time of day so many days later in a zone, as UTC (rule M29)."""
    return (begun.astimezone(ZoneInfo(zone)) + dt.timedelta(days=days)).astimezone(dt.UTC)
