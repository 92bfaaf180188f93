"""API tokens: 256 random bits that are shown once; only their hash is kept."""

import datetime as dt
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID

PREFIX: Final = "tally_"
"""How every token begins, so that people and secret scanners know one when they see it."""

LONGEST: Final = 256
"""No token is longer; what is longer is refused before it is hashed."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token. `workspace_id` is None for an operator's, `person_id` where no person owns it."""

    id: UUID
    name: str
    last4: str
    workspace_id: UUID | None
    person_id: UUID | None
    permissions: frozenset[str]
    is_operator: bool
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None

    def is_valid(self, now: dt.datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def token_text(secret: str) -> str:
    """The token as its owner sees it, from the 256 random bits of `Ids.secret`."""
    return PREFIX + secret


def digest(token: str) -> bytes:
    """What is stored of a token. A plain hash is enough, since nobody can guess 256 random bits."""
    return sha256(token.encode()).digest()
