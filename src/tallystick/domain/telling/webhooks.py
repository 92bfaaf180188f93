"""Webhooks: who wants which facts, what is posted, when it is tried again, and what an answer means (row E10).

Deliveries are at least once and in no order that is promised; `webhook-id` names a fact whatever happens, so that a
receiver who keeps the ids that it has seen acts on each fact once.
"""

import base64
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from tallystick.domain.telling.facts import KINDS, Fact, derived_id
from tallystick.domain.texts import has_control_characters
from tallystick.kernel.errors import TallystickError

TEST: Final = "webhook.test"
"""The kind of a fact that an endpoint's owner asked for; nobody subscribes to it."""

LARGEST_PAYLOAD: Final = 65_536
"""Bytes of one payload, at most."""

LONGEST_ANSWER: Final = 1_024
"""Bytes of a receiver's answer that are kept."""

LONGEST_URL: Final = 2_000

FAILING_AFTER: Final = dt.timedelta(days=2)
"""How long an endpoint has taken nothing when its admins are told; deliveries die after three days."""

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with

Status = Literal["queued", "delivered", "dead"]
Outcome = Literal["delivered", "gone", "retry"]

_SECONDS: Final = tuple(
    int(span.total_seconds())
    for span in (
        dt.timedelta(seconds=5),
        dt.timedelta(minutes=5),
        dt.timedelta(minutes=30),
        dt.timedelta(hours=2),
        dt.timedelta(hours=5),
        dt.timedelta(hours=10),
        dt.timedelta(hours=14),
        dt.timedelta(hours=20),
        dt.timedelta(hours=24),
    )
)

JITTER_MAX: Final = 1_000_000
"""A jitter is an integer from 0 to this; at this a pause is a fifth longer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where facts are posted. `kinds` empty: all of them.

    The previous secret signs beside the current one until `previous_until`. `disabled_because` is `asked` or `gone`
    while it is not enabled; `failing_since` is its first failed attempt after the last that succeeded.
    """

    workspace_id: UUID
    id: UUID
    url: str
    description: str
    kinds: tuple[str, ...]
    secret: str
    previous_secret: str | None
    previous_until: dt.datetime | None
    is_enabled: bool
    disabled_because: str | None
    failing_since: dt.datetime | None
    failing_told_at: dt.datetime | None
    created_at: dt.datetime
    updated_at: dt.datetime
    deleted_at: dt.datetime | None

    def __repr__(self) -> str:
        return f"Endpoint({self.id})"

    def wants(self, fact: Fact) -> bool:
        """Whether `fact` goes here. What is said about an endpoint itself isn't said to it: it does not listen."""
        if not self.is_enabled or self.deleted_at is not None or self.workspace_id != fact.workspace_id:
            return False
        if fact.data.get("webhookUuid") == str(self.id):
            return False
        return not self.kinds or fact.kind in self.kinds

    def secrets(self, now: dt.datetime) -> tuple[str, ...]:
        """The secrets that sign at `now`, the current one first."""
        if self.previous_secret is None or self.previous_until is None or self.previous_until <= now:
            return (self.secret,)
        return (self.secret, self.previous_secret)


def delivery_id(endpoint: Endpoint, fact: Fact) -> UUID:
    """The id of the one delivery of a fact to an endpoint."""
    return derived_id(fact.workspace_id, "webhook delivery", str(endpoint.id), str(fact.id))


def webhook_id(fact_id: UUID) -> str:
    """What names a fact to its receivers: the same at every attempt, endpoint and replay."""
    return f"fact_{fact_id}"


def payload(workspace_id: UUID, kind: str, at: dt.datetime, data: str) -> str:
    """The JSON to post: `{"type", "timestamp", "workspaceUuid", "data"}`; the same at every attempt.

    `data` is the fact's JSON as text and goes into it untouched, so amounts keep their digits. Data that would make it
    larger than `LARGEST_PAYLOAD` stays behind: a fact is told in any case.
    """
    text = _envelope(workspace_id, kind, at, data)
    if len(text.encode()) > LARGEST_PAYLOAD:
        return _envelope(workspace_id, kind, at, '{"isTooLarge":true}')
    return text


def _envelope(workspace_id: UUID, kind: str, at: dt.datetime, data: str) -> str:
    moment = at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    return f'{{"type":{json.dumps(kind)},"timestamp":"{moment}","workspaceUuid":"{workspace_id}","data":{data}}}'


def pause(tries: int, jitter: int) -> dt.timedelta:
    """How long to wait after the `tries`-th attempt failed: 5 s, 5 min, 30 min, 2, 5, 10, 14, 20, then 24 hours.

    That is what Standard Webhooks recommends; `jitter` (0 to `JITTER_MAX`) makes it up to a fifth longer, so that what
    failed together is not tried together.
    """
    seconds = _SECONDS[min(tries, len(_SECONDS)) - 1]
    return dt.timedelta(microseconds=seconds * (5 * JITTER_MAX + jitter) // 5)


def outcome(status_code: int | None) -> Outcome:
    """What an answer means; None is no answer. A redirect is a failure: it is never followed."""
    if status_code is None:
        return "retry"
    if 200 <= status_code < 300:
        return "delivered"
    return "gone" if status_code == 410 else "retry"


def secret_text(randomness: str) -> str:
    """The text of a secret: `whsec_` and 32 bytes in base64, made of 256 random bits as URL-safe text."""
    bits = base64.urlsafe_b64decode(randomness + "=" * (-len(randomness) % 4))
    if len(bits) != 32:
        raise ValueError("a secret has 256 bits")
    return SECRET_PREFIX + base64.b64encode(bits).decode()


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds, each once and in order. Raises `unknownFactKind` for one that there isn't."""
    for kind in kinds:
        if kind not in KINDS:
            raise TallystickError("unknownFactKind", "There is no such kind of fact.", kind=kind[:200])
    return tuple(sorted(set(kinds)))


def check_url(url: str) -> SplitResult:
    """The parts of an endpoint's address.

    Raises `invalidUrl` unless it is one of http or https with a host, without a user's name or a fragment, in at most
    2,000 characters of ASCII.
    """
    if len(url) > LONGEST_URL:
        raise _invalid(f"must have at most {LONGEST_URL} characters")
    if not url.isascii() or has_control_characters(url) or any(character.isspace() for character in url):
        raise _invalid("must be ASCII without spaces; write other characters percent-encoded, a name as punycode")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid("is no address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _invalid("must begin with https:// or http:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise _invalid("must not hold a user's name or password: deliveries are signed")
    if parts.fragment or port == 0:
        raise _invalid("must have no fragment and no port 0")
    return parts


def shown_url(url: str) -> str:
    """An address without its query, which may hold what is secret."""
    return url.partition("?")[0]


def failing_fact(
    endpoint: Endpoint, since: dt.datetime, at: dt.datetime, kind: str, details: Mapping[str, str]
) -> Fact:
    """What admins are told about an endpoint; once for each time that it began to fail."""
    fact_id = derived_id(endpoint.workspace_id, kind, str(endpoint.id), since.isoformat())
    data = {
        "webhookUuid": str(endpoint.id),
        "url": shown_url(endpoint.url),
        "failingSince": since.isoformat().replace("+00:00", "Z"),
        **details,
    }
    return Fact(endpoint.workspace_id, fact_id, kind, at, data)


def _invalid(what: str) -> TallystickError:
    # Without the address: it may hold what is secret.
    return TallystickError("invalidUrl", f"The address {what}.", field="url")
