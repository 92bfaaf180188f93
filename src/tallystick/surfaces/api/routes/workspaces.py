"""Workspaces, made and listed by the operator."""

from uuid import UUID

from tallystick.domain.identity.workspaces import NO_WORKSPACE, Workspace
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.domain.times import check_time
from tallystick.flows import ending, workspaces
from tallystick.flows.budgets import Author
from tallystick.queries import identity
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR
from tallystick.surfaces.api.routes.grants import birth_terms
from tallystick.wire import billing as billing_wire
from tallystick.wire import identity as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Workspaces")


@ROUTES.post(
    "/v1/workspaces",
    OPERATOR,
    idempotent=True,
    errors=(
        "invalidAmount",
        "invalidExpiry",
        "invalidKey",
        "invalidPriority",
        "invalidTime",
        "invalidZone",
        "workspaceKeyTaken",
        "workspaceLimitReached",
    ),
)
async def create_workspace(call: Call, body: wire.CreateWorkspace) -> wire.WorkspaceCreated:
    """Make a workspace on the Free plan, with its first grants and a token that carries every permission."""
    settings = call.runtime.settings
    clock = None if body.clock is None else check_time(body.clock, field="clock")
    born = clock or call.received_at
    free = workspaces.free_grants(settings, born)
    given = free if body.grants is None else birth_terms(body.grants, settings, born)
    new = workspaces.NewWorkspace(
        name=body.name, key=body.key, email=body.email or None, zone=body.zone, grants=given, clock=clock
    )
    request = call.request_key(NO_WORKSPACE, body)
    created = await workspaces.create(
        call.runtime.database,
        new,
        principal=call.principal,
        text=call.new_token(request),
        request=request,
        now=born,
        ids=call.ids,
        free_workspaces=settings.free_workspaces_max,
    )
    return wire.WorkspaceCreated(workspace=workspace_on_wire(created.workspace), admin_token=created.token)


@ROUTES.post(
    "/v1/workspaces/{uuid}/close",
    OPERATOR,
    status=200,
    errors=("currencyMismatch", "invalidText", "paymentProviderUnavailable", "subscriptionNotFound"),
)
async def close_workspace(call: Call, uuid: UUID, body: billing_wire.CloseWorkspace) -> billing_wire.Closed:
    """Close a workspace for good: holds voided, deployments stopped, the last invoice made, tokens revoked.

    One that was cut off is gone on with by asking again. Its ledger and invoices are kept.
    """
    await call.turn_to(uuid)
    runtime = call.runtime
    made = await ending.close_workspace(
        runtime.database,
        runtime.billing,
        Author(uuid, call.principal.actor, None, call.now, call.ids),
        bought=body.bought_credits,
        reason=check_text(body.reason, field="reason", longest=LONGEST_DESCRIPTION),
        real=call.received_at,
    )
    return billing_wire.Closed(
        workspace_uuid=made.workspace_id,
        closed_at=made.closed_at,
        holds_voided=made.holds_voided,
        deployments_stopped=made.deployments_stopped,
        credits_forfeited=Credits(made.forfeited),
        refunded=made.refunded_minor,
        currency=made.currency,
        invoice_uuid=made.invoice_id,
    )


@ROUTES.get("/v1/workspaces", OPERATOR)
async def list_workspaces(call: Call, query: wire.WorkspaceList) -> wire.WorkspacesAnswer:
    """A page of the workspaces, oldest first; with `key`, the one that has it."""
    found = await identity.workspaces(call.runtime.database, key=query.key, limit=query.limit, offset=query.offset)
    return wire.WorkspacesAnswer(workspaces=[workspace_on_wire(workspace) for workspace in found])


def workspace_on_wire(workspace: Workspace) -> wire.Workspace:
    return wire.Workspace(
        uuid=workspace.id,
        name=workspace.name,
        key=workspace.key,
        email=workspace.email,
        zone=workspace.zone,
        created_at=workspace.created_at,
        clock=workspace.clock_at,
    )
