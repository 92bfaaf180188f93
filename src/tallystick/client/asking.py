"""How one request of a run gets its answer: what is tried again, what is final. Pure, like `delivery`."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from tallystick.client.batching import Batching
from tallystick.client.delivery import AGAIN, NoReply, Pause, Reply, Retrying, retry_after
from tallystick.client.errors import EventProblem, ServerUnreachableError
from tallystick.client.events import EncodedEvent
from tallystick.client.leases import LeaseAccount, Share
from tallystick.client.replies import Call, error_of
from tallystick.kernel.errors import TallystickError

T = TypeVar("T")

ONCE: Final = Retrying(attempts=1)
"""For what comes round again by itself."""


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """How runs talk to the server: each request is tried as `retrying` has it, for `timeout` seconds each time.

    What a run has used is settled when it is as much, or as old, as `settling` says, and when the run ends.
    """

    retrying: Retrying = Retrying(attempts=4, first=0.1, longest=2.0)  # noqa: RUF009 - frozen
    settling: Batching = Batching(max_events=500, linger=5.0)  # noqa: RUF009 - frozen
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this request; answer with a `Reply` or a `NoReply`."""

    call: Call[Any]


@dataclass(frozen=True, slots=True)
class Record:
    """Give these to the recorder, which brings them to the server whenever that answers; answer with None."""

    events: list[EncodedEvent]
    share: Share | None


@dataclass(frozen=True, slots=True)
class Tell:
    """The server does not take these events, and never will; answer with None."""

    problems: list[EventProblem]


Steps = Generator[Ask | Pause | Record | Tell, Reply | NoReply | None, T]


@dataclass(frozen=True, slots=True)
class Rules:
    """What all runs of a client go by. `time` gives seconds of a clock that never runs back, `chance` 0 to 1.

    `uuids` are those of workflows and agents that were looked up by their keys.
    """

    base_url: str
    policy: RunPolicy
    lease: LeaseAccount | None
    time: Callable[[], float]
    chance: Callable[[], float]
    uuids: dict[tuple[str, str], str] = field(default_factory=dict)


def ask(call: Call[T], rules: Rules, retrying: Retrying) -> Steps[T]:
    """The answer to a call that is safe to repeat.

    Raises `ApiError`, of a refusal at once, and `ServerUnreachableError` when no attempt brought an answer of the
    server itself: none at all, 5xx, or what a gateway in between says.
    """
    failures = 0
    was_sent = False
    while True:
        reply = yield Ask(call)
        failures += 1
        was_sent = was_sent or not isinstance(reply, NoReply) or reply.was_sent
        if not isinstance(reply, Reply):
            cause = reply.cause if reply is not None else "no answer"
        elif 200 <= reply.status < 300:
            try:
                return call.decoder.decode(reply.body)
            except (msgspec.MsgspecError, TallystickError, ArithmeticError):
                cause = f"something else answers: {reply.body[:100].decode(errors='replace')}"
        else:
            error = error_of(reply.status, reply.body)
            if reply.status < 500 and (reply.status not in AGAIN or failures >= retrying.attempts):
                raise error
            cause = f"it answers {error}"
        if failures >= retrying.attempts:
            raise ServerUnreachableError(rules.base_url, cause, was_sent=was_sent)
        yield Pause(retrying.wait(failures, rules.chance(), retry_after(reply)))
