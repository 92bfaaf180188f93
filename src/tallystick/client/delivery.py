"""How a batch of events gets to the server: what is tried again and when, what is final, what the answer means.

`deliver` is a generator that yields what to do and is sent what came of it. It touches neither network nor clock, so
that the synchronous and the asynchronous client, and the importer, follow the very same rules.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tallystick.client.errors import EventProblem
from tallystick.client.events import EncodedEvent, join
from tallystick.client.replies import error_of
from tallystick.kernel.errors import TallystickError
from tallystick.wire.amounts import answer_decoder
from tallystick.wire.events import IngestAnswer

_LOG = logging.getLogger("tallystick.client")

EVENTS_PATH: Final = "/v1/events"
BATCH_TYPE: Final = "application/cloudevents-batch+json"

AGAIN: Final = frozenset({408, 425, 429})
"""Refusals that only mean: not now."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """After a failure wait `first` seconds, then twice as long each time, up to `longest`; give up after `attempts`.

    Each wait is shortened by chance to between a half and the whole, so that many clients do not come back at once.
    The server's `Retry-After` lengthens a wait, up to `longest`.
    """

    attempts: int = 40
    first: float = 0.2
    longest: float = 15.0

    def wait(self, failures: int, chance: float, at_least: float) -> float:
        """Seconds before the next attempt; `failures` counts from 1, `chance` lies between 0 and 1."""
        full = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return max(full * (0.5 + chance / 2), min(at_least, self.longest))


@dataclass(slots=True)
class Outcome:
    """What became of a delivery. `charged` is in nano-credits; `index` of a problem counts within the delivery."""

    accepted: int = 0
    duplicates: int = 0
    charged: int = 0
    problems: list[EventProblem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Post:
    """Send this; answer with a `Reply` or a `NoReply`."""

    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds; answer with None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers` have their names in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NoReply:
    """The request may or may not have been received: only the events' ids make it safe to send it again.

    `was_sent` is false where not even a connection came about.
    """

    cause: str
    was_sent: bool = True


Delivery = Generator[Post | Pause, Reply | NoReply | None, Outcome]

_answers: Final = answer_decoder(IngestAnswer)


@dataclass(frozen=True, slots=True)
class _Item:
    index: int
    event: EncodedEvent


def deliver(
    events: list[EncodedEvent], retrying: Retrying, chance: Callable[[], float], path: str = EVENTS_PATH
) -> Delivery:
    """Bring `events` to the server. `chance` gives numbers between 0 and 1."""
    outcome = Outcome()
    batches = [[_Item(index, event) for index, event in enumerate(events)]]
    failures = 0
    while batches:
        batch = batches.pop(0)
        reply = yield Post(path, join([item.event for item in batch]))
        if isinstance(reply, Reply) and reply.status == 413 and len(batch) > 1:
            middle = len(batch) // 2
            batches[:0] = [batch[:middle], batch[middle:]]
            continue
        again, cause = _read(reply, batch, outcome)
        if not again:
            failures = 0
            continue
        failures += 1
        if failures >= retrying.attempts:
            _fail(outcome, again, "unsent", *cause)
            failures = 0
            continue
        yield Pause(retrying.wait(failures, chance(), retry_after(reply)))
        batches.insert(0, again)
    outcome.problems.sort(key=lambda problem: problem.index)
    return outcome


def _read(reply: Reply | NoReply | None, batch: list[_Item], outcome: Outcome) -> tuple[list[_Item], tuple[str, str]]:
    """Book what the reply settles; the items to send again, and why."""
    if not isinstance(reply, Reply):
        cause = reply.cause if reply is not None else "no answer"
        return batch, ("serverUnreachable", cause)
    if reply.status == 200:
        try:
            return _book(_answers.decode(reply.body), batch, outcome), ("notCommitted", "")
        except (msgspec.MsgspecError, TallystickError, IndexError):
            # Something between us and the server answered in its place; the events may well be there.
            return batch, ("unknownAnswer", reply.body[:200].decode(errors="replace"))
    error = error_of(reply.status, reply.body)
    cause_given = (error.reason or error.error_message, error.error_message)
    if reply.status >= 500 or reply.status in AGAIN:
        return batch, cause_given
    # The request as a whole was refused, so nothing of it was booked; trying again would change nothing.
    _fail(outcome, batch, "rejected" if reply.status in (400, 413) and len(batch) == 1 else "unsent", *cause_given)
    return [], cause_given


def _book(answer: IngestAnswer, batch: list[_Item], outcome: Outcome) -> list[_Item]:
    again = [] if answer.retry is msgspec.UNSET else [batch[entry.index] for entry in answer.retry]
    for kind, refusals in (("conflict", answer.conflicts), ("rejected", answer.rejected)):
        for refusal in refusals:
            _fail(outcome, [batch[refusal.index]], kind, refusal.reason, refusal.message)
    outcome.accepted += answer.accepted
    outcome.duplicates += answer.duplicates
    outcome.charged += answer.charged_credits.nano
    return again


def _fail(outcome: Outcome, items: list[_Item], kind: str, reason: str, message: str) -> None:
    outcome.problems.extend(
        EventProblem(item.event.id, kind, reason, message, item.event.body, item.index) for item in items
    )


def retry_after(reply: Reply | NoReply | None) -> float:
    """Seconds that the server asks to be left alone."""
    text = reply.headers.get("retry-after", "") if isinstance(reply, Reply) else ""
    return float(text) if text.isascii() and text.isdigit() else 0.0


def tell(problems: list[EventProblem], on_problem: Callable[[EventProblem], None] | None) -> None:
    """Say at once what went wrong: to the callback if there is one, and to the log, so that nothing is lost in silence.

    A callback that raises is logged and does not stop the sending.
    """
    for problem in problems:
        _LOG.warning("%s", problem)
        if on_problem is None:
            continue
        try:
            on_problem(problem)
        except Exception:  # noqa: BLE001 - the caller's code; the events behind this one still have to be sent
            _LOG.exception("on_problem failed for event %s", problem.id)


def unsent(events: list[EncodedEvent]) -> list[EventProblem]:
    """The problems of events that a client was closed over."""
    said = "the client was closed before it could be sent"
    return [EventProblem(event.id, "unsent", "timedOut", said, event.body, at) for at, event in enumerate(events)]


def failed(events: list[EncodedEvent], error: Exception) -> list[EventProblem]:
    """The problems of events whose sending broke in a way that nobody foresaw."""
    said = f"{type(error).__name__}: {error}"
    return [EventProblem(event.id, "unsent", "clientFailed", said, event.body, at) for at, event in enumerate(events)]
