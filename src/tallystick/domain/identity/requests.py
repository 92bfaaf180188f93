"""What makes two requests the same one, so that the second changes nothing."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from tallystick.kernel.errors import TallystickError

_LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An `Idempotency-Key`, scoped to workspace and route, and a hash of what was asked.

    `asked_at` is on the machine's clock, also for a workspace with a test clock: it says how long the key is kept.
    """

    workspace_id: UUID
    route: str
    key: str
    hash: bytes
    asked_at: dt.datetime | None = None


def check_idempotency_key(key: str) -> str:
    """`key` itself. Raises `invalidIdempotencyKey` unless it is 1 to 255 printable ASCII characters."""
    if not 0 < len(key) <= _LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise TallystickError(
            "invalidIdempotencyKey", f"Idempotency-Key must be 1 to {_LONGEST_KEY} printable ASCII characters."
        )
    return key
