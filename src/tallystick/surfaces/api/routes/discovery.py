"""Discovery: plays, tools, agents, connectors and data tables, with the UUIDs that usage metrics take (row A6).

What a platform wants shown of a resource beyond its name it puts into the resource's attributes, by the names of the
fields here; an attribute of another shape is passed over.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid5

from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.metering.resources import Resource
from tallystick.queries import discovery
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import discovery as wire

ROUTES = Routes("Discovery")

_READ: Final = requires(BILLING_READ)
_COLORS: Final = ("grey", "green", "purple", "yellow", "blue", "red")


@ROUTES.get("/v1/orchestration/plays/list", _READ)
async def list_plays(call: Call, query: wire.ListQuery) -> wire.PlaysAnswer:
    """Workflows that run by themselves. Deleted ones are left out, as in all of these lists."""
    return wire.PlaysAnswer(plays=[_play(play) for play in await _found(call, query, "play")])


@ROUTES.get("/v1/orchestration/tools/list", _READ)
async def list_tools(call: Call, query: wire.ListQuery) -> wire.ToolsAnswer:
    """Workflows that are called."""
    return wire.ToolsAnswer(tools=[_tool(tool) for tool in await _found(call, query, "tool")])


@ROUTES.get("/v1/orchestration/workflows/list", _READ)
async def list_workflows(call: Call, query: wire.ListQuery) -> wire.WorkflowsAnswer:
    """What plays and tools run."""
    return wire.WorkflowsAnswer(
        workflows=[
            wire.Workflow(uuid=found.id, kind=found.kind, created_at=found.created_at, updated_at=found.updated_at)
            for found in await _found(call, query, "play", "tool")
        ]
    )


@ROUTES.get("/v1/ai/agents/list", _READ)
async def list_agents(call: Call, query: wire.ListQuery) -> wire.AgentsAnswer:
    """Agents, each with the release that is deployed."""
    return wire.AgentsAnswer(agents=[_agent(call.workspace_id, agent) for agent in await _found(call, query, "agent")])


@ROUTES.get("/v1/connection/connectors/list", _READ)
async def list_connectors(call: Call, query: wire.ListQuery) -> wire.ConnectorsAnswer:
    """Credentialed integrations."""
    found = await _found(call, query, "connector")
    return wire.ConnectorsAnswer(connectors=[_connector(call.workspace_id, connector) for connector in found])


@ROUTES.get("/v1/storage/models/list", _READ)
async def list_models(call: Call, query: wire.ListQuery) -> wire.ModelsAnswer:
    """Data tables; language models are not among them."""
    return wire.ModelsAnswer(models=[_model(call.workspace_id, table) for table in await _found(call, query, "table")])


async def _found(call: Call, query: wire.ListQuery, *kinds: str) -> Sequence[Resource]:
    return await discovery.resources(
        call.runtime.database, call.workspace_id, *kinds, limit=query.limit, offset=query.offset
    )


def _play(play: Resource) -> wire.Play:
    return wire.Play(
        uuid=play.id,
        name=play.name,
        workflow_uuid=play.id,
        model_uuid=_told(play, "modelUuid", str, None),
        segment_uuid=_told(play, "segmentUuid", str, None),
        change_kinds=_texts(play, "changeKinds"),
        run_creation_rule=_told(play, "runCreationRule", str, "always"),
        is_enabled=_told(play, "isEnabled", bool, True),
        schedule=_told(play, "schedule", dict, None),
        description=play.description,
        health_threshold=_told(play, "healthThreshold", int, None),
        folder_uuid=_told(play, "folderUuid", str, None),
        created_at=play.created_at,
        updated_at=play.updated_at,
    )


def _tool(tool: Resource) -> wire.Tool:
    return wire.Tool(
        uuid=tool.id,
        name=tool.name,
        workflow_uuid=tool.id,
        description=tool.description,
        credits_cost=_told(tool, "creditsCost", dict, {"kind": "minMax"}),
        triggers=_objects(tool, "triggers"),
        is_read_only=_told(tool, "isReadOnly", bool, False),
        folder_uuid=_told(tool, "folderUuid", str, None),
        created_at=tool.created_at,
        updated_at=tool.updated_at,
    )


def _agent(workspace_id: UUID, agent: Resource) -> wire.Agent:
    color = _told(agent, "iconColor", str, _COLORS[0])
    return wire.Agent(
        uuid=agent.id,
        workspace_uuid=workspace_id,
        name=agent.name,
        icon=wire.Icon(color=color if color in _COLORS else _COLORS[0], face=_told(agent, "iconFace", str, "")),
        description=agent.description,
        triggers=_objects(agent, "triggers"),
        deployed_release=_release(agent),
        folder_uuid=_told(agent, "folderUuid", str, None),
        template=_told(agent, "template", str, None),
        is_read_only=_told(agent, "isReadOnly", bool, False),
        created_at=agent.created_at,
        updated_at=agent.updated_at,
    )


def _release(agent: Resource) -> wire.Release | None:
    model = _told(agent, "languageModelSlug", str, None)
    if model is None:
        return None
    version = _told(agent, "version", str, "1")
    return wire.Release(
        uuid=uuid5(agent.id, f"release:{version}"),
        version=version,
        description=agent.description,
        system_prompt=_told(agent, "systemPrompt", str, ""),
        language_model_slug=model,
        integration_slug=_told(agent, "integrationSlug", str, None),
        temperature=_told(agent, "temperature", (int, float), None),
        max_steps=_told(agent, "maxSteps", int, None),
        actions=_objects(agent, "actions"),
        resources=_objects(agent, "resources"),
        capabilities=_objects(agent, "capabilities"),
        mcp_clients=_objects(agent, "mcpClients"),
        deployed_at=agent.updated_at,
        created_at=agent.created_at,
    )


def _connector(workspace_id: UUID, connector: Resource) -> wire.Connector:
    limit = _told(connector, "rateLimitPerDay", int, None)
    return wire.Connector(
        uuid=connector.id,
        workspace_uuid=workspace_id,
        user_uuid=_told(connector, "userUuid", str, None),
        name=connector.name,
        slug=_told(connector, "slug", str, connector.key),
        integration_slug=_told(connector, "integrationSlug", str, ""),
        rate_limit=None if limit is None else wire.RateLimit(unit="day", max=limit),
        cache_ttl_milliseconds=_told(connector, "cacheTtlMilliseconds", int, None),
        plays_count=0,
        tools_count=0,
        models_count=0,
        use_credits=_told(connector, "useCredits", bool, True),
        config={},
        created_at=connector.created_at,
        updated_at=connector.updated_at,
        deleted_at=connector.deleted_at,
    )


def _model(workspace_id: UUID, table: Resource) -> wire.Model:
    return wire.Model(
        uuid=table.id,
        workspace_uuid=workspace_id,
        slug=_told(table, "slug", str, table.key),
        name=table.name,
        dataset_uuid=_told(table, "datasetUuid", str, None),
        extractor_slug=_told(table, "extractorSlug", str, None),
        id_column_slug=_told(table, "idColumnSlug", str, None),
        title_column_slug=_told(table, "titleColumnSlug", str, None),
        time_column_slug=_told(table, "timeColumnSlug", str, None),
        columns=_objects(table, "columns"),
        additional_columns=_objects(table, "additionalColumns"),
        plays_count=0,
        segments_count=0,
        is_paused=_told(table, "isPaused", bool, False),
        last_run=None,
        created_at=table.created_at,
        updated_at=table.updated_at,
    )


def _told(resource: Resource, name: str, kind: type | tuple[type, ...], otherwise: Any) -> Any:
    """The attribute of this name if it is of this type, which for a number excludes true and false."""
    value = resource.attributes.get(name)
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return value if fits else otherwise


def _texts(resource: Resource, name: str) -> list[str]:
    return [value for value in _told(resource, name, list, []) if isinstance(value, str)]


def _objects(resource: Resource, name: str) -> list[dict[str, Any]]:
    return [value for value in _told(resource, name, list, []) if isinstance(value, dict)]
