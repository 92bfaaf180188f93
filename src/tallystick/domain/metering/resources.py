"""Resources: what usage is attributed to. Their kinds, their keys, and how an id comes from a key."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha1
from typing import Any, Final, Literal, get_args
from uuid import UUID

from tallystick.domain.texts import LONGEST_KEY, LONGEST_NAME, as_uuid, check_text, has_control_characters
from tallystick.kernel.errors import TallystickError

Kind = Literal[
    "play",
    "tool",
    "agent",
    "connector",
    "table",
    "languageModel",
    "guardrail",
    "script",
    "user",
    "team",
    "project",
]

KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))

MOST_PER_KIND: Final = 10_000
"""How many resources of one kind a workspace may have before a new one is refused `tooManyResources`."""


_FLAGS: Final = frozenset({"useCredits", "isEnabled", "isReadOnly", "isPaused"})
_TEXTS: Final = frozenset({"slug", "integrationSlug", "languageModelSlug", "teamUuid", "modelUuid"})
_COUNTS: Final = frozenset({"maxSteps", "cacheTtlMilliseconds"})
_DEEPEST: Final = 6
_MOST_VALUES: Final = 500
_LONGEST_TEXT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. A deleted one keeps its id and last name, so that reports stay readable (rule M30)."""

    id: UUID
    kind: str
    key: str
    name: str
    description: str
    attributes: Mapping[str, Any]
    created_at: dt.datetime
    updated_at: dt.datetime
    deleted_at: dt.datetime | None


def resource_id(workspace_id: UUID, kind: str, name: str) -> UUID:
    """The id of the resource that `name` names: the UUID itself if it is one, else derived from workspace, kind, key.

    The derivation is RFC 9562's UUIDv5 with the workspace as namespace and `kind:key` as name, so that every
    process, and every replay of an event, finds the same id without asking. Ingest calls this; it does not check.
    """
    given = as_uuid(name)
    if given is not None:
        return given
    digest = sha1(  # UUIDv5 is SHA-1 by definition; nothing is guarded by it
        workspace_id.bytes + f"{kind}:{name}".encode(), usedforsecurity=False
    ).digest()
    return UUID(bytes=digest[:16], version=5)


def check_kind(kind: str) -> str:
    """`kind` itself. Raises `unknownKind` naming the kinds there are."""
    if kind not in KINDS:
        raise TallystickError("unknownKind", "No such kind of resource.", kind=kind[:64], known=sorted(KINDS))
    return kind


def too_many(kind: str) -> TallystickError:
    return TallystickError(
        "tooManyResources",
        f"A workspace has at most {MOST_PER_KIND} resources of kind {kind}; delete some or reuse keys.",
        kind=kind,
        limit=MOST_PER_KIND,
    )


def check_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """`attributes` itself. Raises `invalidAttributes`.

    What the program itself reads has a type, wherever it stands: `useCredits`, `isEnabled`, `isReadOnly` and
    `isPaused` are true or false, `slug`, `integrationSlug`, `languageModelSlug`, `teamUuid` and `modelUuid` text,
    `maxSteps` and `cacheTtlMilliseconds` whole numbers. The rest is the platform's own, within a size that stays handy.
    """
    left = _check_value("attributes", attributes, _MOST_VALUES, _DEEPEST)
    if left < 0:
        raise _invalid_attribute("attributes", f"must hold at most {_MOST_VALUES} values")
    return attributes


def _check_value(path: str, value: Any, left: int, depth: int) -> int:
    """How many values are still allowed after this one and those inside it."""
    if depth == 0 or left <= 0:
        raise _invalid_attribute(path, "is nested too deeply, or one of too many values")
    left -= 1
    if isinstance(value, Mapping):
        for name, member in value.items():
            if len(name) > LONGEST_KEY or has_control_characters(name):
                raise _invalid_attribute(path, f"must have names of at most {LONGEST_KEY} printable characters")
            _check_known(f"{path}.{name}", name, member)
            left = _check_value(f"{path}.{name}", member, left, depth - 1)
    elif isinstance(value, list):
        for member in value:
            left = _check_value(path, member, left, depth - 1)
    elif isinstance(value, str):
        if len(value) > _LONGEST_TEXT or "\0" in value or (not value.isprintable() and not _is_storable(value)):
            raise _invalid_attribute(path, f"must have at most {_LONGEST_TEXT} characters, no NUL, no lone surrogate")
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        if not number.is_finite() or len(number.as_tuple().digits) > 30 or abs(number.adjusted()) > 30:
            raise _invalid_attribute(path, "must have at most thirty digits")
    elif value is not None and not isinstance(value, bool):
        raise _invalid_attribute(path, "must be a JSON value")
    return left


def _check_known(path: str, name: str, value: Any) -> None:
    if value is None:
        return
    if name in _FLAGS and not isinstance(value, bool):
        raise _invalid_attribute(path, "must be true or false")
    if name in _TEXTS:
        if not isinstance(value, str):
            raise _invalid_attribute(path, "must be text")
        check_text(value, field=path[:LONGEST_NAME])
    if name in _COUNTS and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53):
        raise _invalid_attribute(path, "must be a whole number that is not negative")


def _is_storable(text: str) -> bool:
    """Whether UTF-8 can hold it: a lone surrogate can't."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _invalid_attribute(path: str, what: str) -> TallystickError:
    return TallystickError("invalidAttributes", f"{path[:100]} {what}.", field=path[:100])
