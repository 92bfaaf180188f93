"""Rollups: rebuildable totals per bucket of dimensions, one bucket a day or an hour."""

from hashlib import blake2b
from typing import Final, NamedTuple
from uuid import UUID


class Dimensions(NamedTuple):
    """What a charge is attributed to; every field but the first three may be absent."""

    type: str
    category: str
    slug: str
    status: str | None = None
    project_id: UUID | None = None
    user_id: UUID | None = None
    workflow_id: UUID | None = None
    agent_id: UUID | None = None
    connector_id: UUID | None = None
    tool_id: UUID | None = None
    table_id: UUID | None = None
    language_model: str | None = None
    integration: str | None = None


DIMENSION_COLUMNS: Final = ("meter", *Dimensions._fields[1:])
"""The same as columns, where `type` stands for the type as reported."""


class WorkflowDimensions(NamedTuple):
    """What a workflow's total of a day is kept by; `workflow_id` is the nil UUID where there is none.

    `status` is empty but for executions, which are counted by it.
    """

    type: str
    slug: str
    status: str
    workflow_id: UUID


class HourDimensions(NamedTuple):
    category: str
    slug: str
    workflow_id: UUID | None
    agent_id: UUID | None


def bucket_of(dimensions: tuple[object, ...]) -> UUID:
    """A digest of the dimensions, 128 bits: the narrow key of a wide row."""
    parts = []
    for part in dimensions:
        # The first byte keeps an absent part apart from an empty text, and a UUID from the same bytes as text.
        if part is None:
            parts.append(b"-")
        elif isinstance(part, UUID):
            parts.append(b"u" + part.bytes)
        else:
            parts.append(b"t" + str(part).encode() + b"\0")
    return UUID(bytes=blake2b(b"".join(parts), digest_size=16).digest())


MEASURES: Final = (
    "events",
    "quantity",
    "tokens_in",
    "tokens_out",
    "credits",
    "tool_runs",
    "provider_cost",
    "unpriced",
)
"""What is summed. Each may be summed in any order, so buckets merge."""
