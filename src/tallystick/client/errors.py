"""What can go wrong between a program and the server, one class per thing that a caller would handle differently."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class EventProblem:
    """An event that the server does not hold. `kind` is `rejected`, `conflict` (another event has its id), or `unsent`.

    `body` is the event's JSON: what can be sent again once the cause is gone.
    """

    id: str
    kind: str
    reason: str
    message: str
    body: bytes
    index: int

    def __str__(self) -> str:
        return f"event {self.id} {self.kind}: {self.reason}{f', {self.message}' if self.message else ''}"


class ClientError(Exception):
    """Everything that the client raises by itself."""


class ServerUnreachableError(ClientError):
    """No answer: the server is down, the address wrong, or the time was up.

    Unless `was_sent` is false the request may or may not have been done.
    """

    def __init__(self, base_url: str, cause: str, *, was_sent: bool = True) -> None:
        super().__init__(f"The server at {base_url} can't be reached: {cause}.")
        self.base_url = base_url
        self.cause = cause
        self.was_sent = was_sent


class ApiError(ClientError):
    """The server refused. `body` is its answer as it came; `reason` is empty where the answer names none."""

    def __init__(
        self,
        status: int,
        error_message: str,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(
            f"{status} {reason or error_message}: {error_message}" if reason else f"{status} {error_message}"
        )
        self.status = status
        self.error_message = error_message
        self.reason = reason
        self.details: Mapping[str, Any] = details or {}
        self.body = body


class RefusedError(ApiError):
    """A gate said no (402): `reason` is one of docs/reference/errors.md, `details` has the figures.

    `way_on` is a sentence on what would make it go on.
    """

    def __init__(
        self,
        status: int,
        error_message: str,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(status, error_message, reason, details, body)
        self.way_on = str(self.details.get("wayOn", ""))


class RecordingError(ClientError):
    """Recorded events that the server does not hold. `problems` has the first of them, `count` says how many in all."""

    def __init__(self, problems: Sequence[EventProblem], count: int) -> None:
        first = f" The first: {problems[0]}" if problems else ""
        super().__init__(f"{count} recorded event{'s were' if count != 1 else ' was'} not taken by the server.{first}")
        self.problems = tuple(problems)
        self.count = count


class BufferFullError(ClientError):
    """`record` found no room in time: the server takes events more slowly than the program makes them."""
