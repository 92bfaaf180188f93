"""What a call to the server is, and how its answer becomes a value or an error. Pure: the clients do the I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

import msgspec

from tallystick.client.errors import ApiError, RefusedError

T = TypeVar("T")

WORKSPACE_HEADER: Final = "selected-workspace-uuid"

REFUSED: Final = 402
"""The status of a gate's refusal."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. `decoder` reads the body of an answer of 2xx.

    `patience` are seconds that the server may think longer than it usually does.
    """

    method: str
    path: str
    decoder: "msgspec.json.Decoder[T]"
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: float = 0.0


class _Error(msgspec.Struct, rename="camel"):
    error_message: str = ""
    reason: str = ""
    details: dict[str, Any] = msgspec.field(default_factory=dict)


_errors: Final = msgspec.json.Decoder(_Error, float_hook=Decimal)


def error_of(status: int, body: bytes) -> ApiError:
    """The error of an answer that is not 2xx; a body in another shape than ours is told by its beginning."""
    try:
        error = _errors.decode(body)
    except (msgspec.MsgspecError, ArithmeticError):
        error = _Error()
    message = error.error_message or body[:200].decode(errors="replace").strip() or f"The server answered {status}."
    kind = RefusedError if status == REFUSED else ApiError
    return kind(status, message, error.reason, error.details, body)


def headers_of(token: str, workspace_uuid: str | None, agent: str) -> dict[str, str]:
    """What goes with every request of a client."""
    headers = {"user-agent": agent, "accept": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    if workspace_uuid:
        headers[WORKSPACE_HEADER] = workspace_uuid
    return headers
