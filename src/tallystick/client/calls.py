"""Every route that the client knows, as a function that makes the call. Amounts in answers are exact, never floats."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import msgspec

from tallystick.client.replies import Call
from tallystick.kernel.credits import parse_credits
from tallystick.wire import billing, clocks, discovery, identity, prices, usage
from tallystick.wire.amounts import Credits, answer_decoder, encode

T = TypeVar("T")

Amount = int | str | Decimal
"""An amount of credits or tool runs: whole, as decimal text, or a Decimal; at most nine decimals."""

Day = dt.date | str
"""A UTC day, or its ISO 8601 text."""

_JSON: Final = "application/json"


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _get(path: str, shape: type[T], **query: object) -> Call[T]:
    return Call("GET", path, _decoder(cast(Any, shape)), query=_texts(query))


def _post(path: str, shape: type[T], body: object, idempotency_key: str | None = None) -> Call[T]:
    headers = {"content-type": _JSON}
    if idempotency_key is not None:
        headers["idempotency-key"] = idempotency_key
    return Call("POST", path, _decoder(cast(Any, shape)), body=encode(body), headers=headers)


def _texts(query: Mapping[str, object]) -> dict[str, str]:
    return {
        name: value.isoformat() if isinstance(value, dt.date) else str(value)
        for name, value in query.items()
        if value is not None
    }


def _credits(value: Amount) -> Credits:
    return Credits(parse_credits(value, signed=True))


def usage_metrics(
    from_: Day,
    to: Day,
    *,
    group_by: str | None = None,
    unit: str | None = None,
    workflow_uuid: str | None = None,
    model_uuid: str | None = None,
    connector_uuid: str | None = None,
    agent_uuid: str | None = None,
    integration_slug: str | None = None,
    slug: str | None = None,
) -> Call[usage.MetricsAnswer]:
    """Usage of each UTC day from `from_` to `to`, both counted, by slug; `model_uuid` names a data table."""
    query = {
        "from": from_,
        "to": to,
        "groupBy": group_by,
        "unit": unit,
        "workflowUuid": workflow_uuid,
        "modelUuid": model_uuid,
        "connectorUuid": connector_uuid,
        "agentUuid": agent_uuid,
        "integrationSlug": integration_slug,
        "slug": slug,
    }
    return _get("/v1/billing/usage/metrics", usage.MetricsAnswer, **query)


def subscription() -> Call[billing.SubscriptionAnswer]:
    """The workspace's plan, its period and its counts of credits."""
    return _get("/v1/billing/subscriptions", billing.SubscriptionAnswer)


def balances() -> Call[billing.BalancesAnswer]:
    """Credits and tool runs: granted, used, posted, held, available."""
    return _get("/v1/balances", billing.BalancesAnswer)


def current_user() -> Call[identity.UserAnswer]:
    """Whose token this is, and what it may do."""
    return _get("/v1/userManagement/users/current", identity.UserAnswer)


def current_workspace() -> Call[identity.WorkspaceAnswer]:
    """The workspace that the token, or the client's `workspace_uuid`, is about."""
    return _get("/v1/workspaceManagement/workspaces/current", identity.WorkspaceAnswer)


def plays() -> Call[discovery.PlaysAnswer]:
    """All plays: `{"plays": [{"uuid", "name", "workflowUuid", …}]}`."""
    return _get("/v1/orchestration/plays/list", discovery.PlaysAnswer)


def tools() -> Call[discovery.ToolsAnswer]:
    """All tools: `{"tools": [{"uuid", "name", "workflowUuid", "creditsCost", …}]}`."""
    return _get("/v1/orchestration/tools/list", discovery.ToolsAnswer)


def agents() -> Call[discovery.AgentsAnswer]:
    """All agents: `{"agents": [{"uuid", "name", "deployedRelease", …}]}`."""
    return _get("/v1/ai/agents/list", discovery.AgentsAnswer)


def connectors() -> Call[discovery.ConnectorsAnswer]:
    """All connectors: `{"connectors": [{"uuid", "name", "integrationSlug", "useCredits", …}]}`."""
    return _get("/v1/connection/connectors/list", discovery.ConnectorsAnswer)


def models() -> Call[discovery.ModelsAnswer]:
    """All data tables: `{"models": [{"uuid", "name", "slug", …}]}`."""
    return _get("/v1/storage/models/list", discovery.ModelsAnswer)


def create_token(
    name: str,
    *,
    permissions: Sequence[str] | None = None,
    user_uuid: UUID | None = None,
    expires_at: dt.datetime | None = None,
    idempotency_key: str | None = None,
) -> Call[identity.TokenCreated]:
    """Make a token; its secret is in the answer, once. Without `permissions` it may all that its maker may give."""
    wanted = list(permissions) if permissions is not None else None
    body = identity.CreateToken(name=name, permissions=wanted, user_uuid=user_uuid, expires_at=expires_at)
    return _post("/v1/workspaceManagement/tokens", identity.TokenCreated, body, idempotency_key)


def tokens() -> Call[identity.TokensAnswer]:
    """The workspace's tokens, without their secrets."""
    return _get("/v1/workspaceManagement/tokens/list", identity.TokensAnswer)


def revoke_token(uuid: UUID | str) -> Call[identity.TokenAnswer]:
    """Revoke a token, at once."""
    path = f"/v1/workspaceManagement/tokens/{quote(str(uuid), safe='')}"
    return Call("DELETE", path, _decoder(identity.TokenAnswer))


def create_workspace(
    name: str,
    *,
    key: str | None = None,
    email: str | None = None,
    zone: str = "UTC",
    grants: Sequence[identity.GrantRequest] | None = None,
    clock: dt.datetime | None = None,
    idempotency_key: str | None = None,
) -> Call[identity.WorkspaceCreated]:
    """For operators: a workspace and its first token. `grants`, also empty, replace the free ones; with a `clock` its
    time stands there until `advance_clock`."""
    given = list(grants) if grants is not None else None
    body = identity.CreateWorkspace(name=name, key=key, email=email, zone=zone, grants=given, clock=clock)
    return _post("/v1/workspaces", identity.WorkspaceCreated, body, idempotency_key)


def workspaces(
    *, key: str | None = None, limit: int | None = None, offset: int | None = None
) -> Call[identity.WorkspacesAnswer]:
    """For operators: a page of all workspaces, or the one with a key."""
    return _get("/v1/workspaces", identity.WorkspacesAnswer, key=key, limit=limit, offset=offset)


def clock(workspace_uuid: UUID) -> Call[clocks.ClockAnswer]:
    """For operators: what time it is for a workspace."""
    return _get(f"/v1/workspaces/{workspace_uuid}/clock", clocks.ClockAnswer)


def advance_clock(workspace_uuid: UUID, to: dt.datetime) -> Call[clocks.ClockAnswer]:
    """For operators: move a test clock forward; all that is due until then happens in order. Safe to repeat."""
    return _post(f"/v1/workspaces/{workspace_uuid}/clock", clocks.ClockAnswer, clocks.AdvanceClock(to=to))


def jobs() -> Call[clocks.JobsAnswer]:
    """For operators: how each kind of background work goes, and for how long something waits to be told."""
    return _get("/v1/jobs", clocks.JobsAnswer)


def create_grant(
    workspace_uuid: UUID,
    amount: Amount,
    *,
    reason: str,
    unit: identity.UnitName = "credits",
    source: Any = "adjustment",
    priority: int | None = None,
    expires_at: dt.datetime | msgspec.UnsetType | None = msgspec.UNSET,
    idempotency_key: str | None = None,
) -> Call[identity.GrantAnswer]:
    """For operators: give credits or tool runs. `expires_at` left out: as usual for the source; None: never.

    Raises `TallystickError` with the code `invalidAmount`.
    """
    body = identity.CreateGrant(
        workspace_uuid=workspace_uuid,
        unit=unit,
        amount=_credits(amount),
        reason=reason,
        source=source,
        priority=priority,
        expires_at=expires_at,
    )
    return _post("/v1/grants", identity.GrantAnswer, body, idempotency_key)


def price_versions(
    *, target: str | None = None, at: dt.datetime | None = None, limit: int | None = None, offset: int | None = None
) -> Call[prices.PricesAnswer]:
    """Price versions whose target begins with `target`; with `at` only those in force then."""
    return _get("/v1/prices", prices.PricesAnswer, target=target, at=at, limit=limit, offset=offset)


def add_price(
    target: str,
    model: str,
    rates: Mapping[str, Any],
    *,
    valid_from: dt.datetime | None = None,
    reason: str = "",
) -> Call[prices.PriceAnswer]:
    """For operators: append a price version, from the beginning of time without `valid_from`."""
    body = prices.AddPrice(target=target, model=model, rates=dict(rates), valid_from=valid_from, reason=reason)
    return _post("/v1/prices", prices.PriceAnswer, body)
