"""Plays, tools, agents, connectors and data tables on the wire, as a public client library knows them.

What we have no use for is present with its empty value.
"""

import datetime as dt
from typing import Annotated, Any
from uuid import UUID

import msgspec

from tallystick.wire.identity import Wire


class ListQuery(Wire):
    """A list is complete unless `limit` is given."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    offset: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0


class Play(Wire):
    """A workflow that runs by itself; `modelUuid` is the data table it works on."""

    uuid: UUID
    name: str
    workflow_uuid: UUID
    model_uuid: str | None
    segment_uuid: str | None
    change_kinds: list[str]
    run_creation_rule: str
    is_enabled: bool
    schedule: dict[str, Any] | None
    description: str
    health_threshold: int | None
    folder_uuid: str | None
    created_at: dt.datetime
    updated_at: dt.datetime


class PlaysAnswer(Wire):
    plays: list[Play]


class Tool(Wire):
    """A workflow that is called."""

    uuid: UUID
    name: str
    workflow_uuid: UUID
    description: str
    credits_cost: dict[str, Any]
    triggers: list[dict[str, Any]]
    is_read_only: bool
    folder_uuid: str | None
    created_at: dt.datetime
    updated_at: dt.datetime


class ToolsAnswer(Wire):
    tools: list[Tool]


class Workflow(Wire):
    """What a play or a tool runs; the two share their UUID. A workflow itself has no name."""

    uuid: UUID
    kind: str
    created_at: dt.datetime
    updated_at: dt.datetime


class WorkflowsAnswer(Wire):
    workflows: list[Workflow]


class Icon(Wire):
    color: str
    face: str


class Release(Wire):
    """What an agent runs with."""

    uuid: UUID
    version: str
    description: str
    system_prompt: str
    language_model_slug: str | None
    integration_slug: str | None
    temperature: float | None
    max_steps: int | None
    actions: list[dict[str, Any]]
    resources: list[dict[str, Any]]
    capabilities: list[dict[str, Any]]
    mcp_clients: list[dict[str, Any]]
    deployed_at: dt.datetime
    created_at: dt.datetime


class Agent(Wire):
    """`deployedRelease` is null where no language model is known of it."""

    uuid: UUID
    workspace_uuid: UUID
    name: str
    icon: Icon
    description: str
    triggers: list[dict[str, Any]]
    deployed_release: Release | None
    folder_uuid: str | None
    template: str | None
    is_read_only: bool
    created_at: dt.datetime
    updated_at: dt.datetime


class AgentsAnswer(Wire):
    agents: list[Agent]


class RateLimit(Wire):
    unit: str
    max: int


class Connector(Wire):
    """`useCredits` false: the workspace's own key, so that nothing is charged for the provider."""

    uuid: UUID
    workspace_uuid: UUID
    user_uuid: str | None
    name: str
    slug: str
    integration_slug: str
    rate_limit: RateLimit | None
    cache_ttl_milliseconds: int | None
    plays_count: int
    tools_count: int
    models_count: int
    use_credits: bool
    config: dict[str, Any]
    created_at: dt.datetime
    updated_at: dt.datetime
    deleted_at: dt.datetime | None


class ConnectorsAnswer(Wire):
    connectors: list[Connector]


class Model(Wire):
    """A data table; a language model is none."""

    uuid: UUID
    workspace_uuid: UUID
    slug: str
    name: str
    dataset_uuid: str | None
    extractor_slug: str | None
    id_column_slug: str | None
    title_column_slug: str | None
    time_column_slug: str | None
    columns: list[dict[str, Any]]
    additional_columns: list[dict[str, Any]]
    plays_count: int
    segments_count: int
    is_paused: bool
    last_run: dict[str, Any] | None
    created_at: dt.datetime
    updated_at: dt.datetime


class ModelsAnswer(Wire):
    models: list[Model]
