"""API tokens of a workspace: a secret is shown once, and a revoked token is out at the next request."""

from typing import Any
from uuid import UUID

from tallystick.domain.identity.rights import MEMBERS_WRITE, forbidden
from tallystick.domain.identity.tokens import Token
from tallystick.flows import tokens
from tallystick.queries import identity
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import Guard, requires
from tallystick.wire import identity as wire

ROUTES = Routes("Tokens")

_PATH = "/v1/workspaceManagement/tokens"


@ROUTES.post(
    _PATH,
    requires(MEMBERS_WRITE),
    idempotent=True,
    errors=(
        "invalidExpiry",
        "invalidTime",
        "memberNotFound",
        "ownerRequired",
        "rightsExceeded",
        "unknownPermission",
    ),
)
async def create_token(call: Call, body: wire.CreateToken) -> wire.TokenCreated:
    """Make a token that carries a subset of its maker's rights."""
    request = call.request_key(call.workspace_id, body)
    created = await tokens.create(
        call.runtime.database,
        tokens.NewToken(
            name=body.name,
            permissions=None if body.permissions is None else frozenset(body.permissions),
            person_id=body.user_uuid,
            expires_at=body.expires_at,
        ),
        principal=call.principal,
        workspace_id=call.workspace_id,
        text=call.new_token(request),
        request=request,
        now=call.received_at,
        ids=call.ids,
    )
    return wire.TokenCreated(token=wire.NewToken(**_on_wire(created.token), token=created.text))


@ROUTES.get(f"{_PATH}/list", requires(MEMBERS_WRITE))
async def list_tokens(call: Call) -> wire.TokensAnswer:
    """The tokens of the workspace that are not revoked, without their secrets."""
    found = await identity.tokens(call.runtime.database, call.workspace_id)
    return wire.TokensAnswer(tokens=[wire.Token(**_on_wire(token)) for token in found])


@ROUTES.delete(
    f"{_PATH}/{{uuid}}",
    Guard("bearer", in_workspace=True),
    errors=("ownerRequired", "rightsExceeded", "tokenNotFound"),
)
async def revoke_token(call: Call, uuid: UUID) -> wire.TokenAnswer:
    """Revoke a token, at once. Whoever holds a token may give up that one; another one needs `members:write`."""
    if uuid != call.principal.token_id and not call.principal.may(MEMBERS_WRITE):
        raise forbidden()
    token = await tokens.revoke(
        call.runtime.database,
        uuid,
        principal=call.principal,
        workspace_id=call.workspace_id,
        now=call.received_at,
        ids=call.ids,
    )
    return wire.TokenAnswer(token=wire.Token(**_on_wire(token)))


def _on_wire(token: Token) -> dict[str, Any]:
    return {
        "uuid": token.id,
        "name": token.name,
        "last4": token.last4,
        "permissions": sorted(token.permissions),
        "workspace_uuid": token.workspace_id,
        "user_uuid": token.person_id,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "deleted_at": token.revoked_at,
    }
