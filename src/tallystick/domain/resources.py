"""Resources: what usage is attributed to. Their kinds, their keys, and how an id comes from a key."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Final, Literal, get_args
from uuid import UUID

from tallystick.domain.texts import as_uuid
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
