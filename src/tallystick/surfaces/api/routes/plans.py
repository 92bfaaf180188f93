"""Plans as versions: what is offered, what the operator adds, retires and moves workspaces to; entitlements (D1)."""

from uuid import UUID

from tallystick.domain.billing.entitlements import Entitlement
from tallystick.domain.billing.plans import PlanVersion
from tallystick.domain.identity.rights import BILLING_READ
from tallystick.domain.identity.workspaces import NO_WORKSPACE
from tallystick.domain.texts import LONGEST_DESCRIPTION, check_text
from tallystick.flows import due
from tallystick.flows import plans as flow
from tallystick.queries import plans as queries
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import OPERATOR, requires
from tallystick.wire import plans as wire
from tallystick.wire.amounts import Credits

ROUTES = Routes("Plans")


@ROUTES.get("/v1/plans", requires(BILLING_READ, in_workspace=False))
async def list_plans(call: Call) -> wire.PlansAnswer:
    """What a workspace may choose, its own contract and the version that it is on; for an operator who names no
    workspace every version."""
    database = call.runtime.database
    if call.principal.workspace_id is None:
        found = await queries.every_version(database)
    else:
        found = await queries.offers(database, call.principal.workspace_id)
    return wire.PlansAnswer(plans=[on_wire(plan) for plan in found])


@ROUTES.post("/v1/plans", OPERATOR, errors=("invalidAmount", "invalidPlan", "invalidText", "workspaceNotFound"))
async def add_plan(call: Call, body: wire.AddPlan) -> wire.PlanAnswer:
    """Add a version of a plan, or one workspace's contract. Versions are never edited, and nobody is moved."""
    plan = PlanVersion(
        id=NO_WORKSPACE,
        plan=body.plan,
        version=0,
        name=body.name,
        cadence=body.cadence,
        price_minor=body.price,
        currency=body.currency.lower(),
        included_credits=body.included_credits.nano if body.included_credits else 0,
        included_tool_runs=body.included_tool_runs.nano if body.included_tool_runs else 0,
        run_quota=body.run_quota,
        at_zero=body.at_zero,
        rollover_share_ppm=body.rollover_share_ppm,
        created_at=call.received_at,
        features=body.features,
        workspace_id=body.workspace_uuid,
        overage_price=None if body.overage_price is None else body.overage_price.nano,
        trial_days=body.trial_days,
    )
    added = await flow.add(
        call.runtime.database,
        plan,
        reason=_reason(body.reason, may_be_empty=True),
        actor=call.principal.actor,
        now=call.received_at,
        ids=call.ids,
    )
    return wire.PlanAnswer(plan=on_wire(added))


@ROUTES.post("/v1/plans/{uuid}/retire", OPERATOR, status=200, errors=("invalidText", "lastPlanVersion", "planNotFound"))
async def retire_plan(call: Call, uuid: UUID, body: wire.RetirePlan) -> wire.PlanAnswer:
    """Offer a version to nobody new; those on it stay."""
    plan = await flow.retire(
        call.runtime.database,
        uuid,
        reason=_reason(body.reason),
        actor=call.principal.actor,
        now=call.received_at,
        ids=call.ids,
    )
    return wire.PlanAnswer(plan=on_wire(plan))


@ROUTES.post("/v1/plans/{uuid}/migrate", OPERATOR, status=200, errors=("invalidPlan", "invalidText", "planNotFound"))
async def migrate_plan(call: Call, uuid: UUID, body: wire.MigratePlan) -> wire.Migrated:
    """Put workspaces on an older version of the same plan and cadence on this one, from their next period on."""
    database = call.runtime.database
    moved = await flow.migrate(
        database,
        uuid,
        body.workspace_uuids,
        reason=_reason(body.reason),
        actor=call.principal.actor,
        now=call.received_at,
        ids=call.ids,
    )
    [plan] = [one for one in await queries.every_version(database) if one.id == uuid]
    return wire.Migrated(plan=on_wire(plan), migrated=moved)


@ROUTES.get("/v1/entitlements", requires(BILLING_READ), errors=("subscriptionNotFound",))
async def get_entitlements(call: Call) -> wire.EntitlementsAnswer:
    """What the plan lets the workspace do: enforced here, or told to the platform, which enforces it."""
    runtime = call.runtime
    await due.bring_up(runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    plan, found = await queries.entitled(
        runtime.database, call.workspace_id, free_workspaces=runtime.settings.free_workspaces_max
    )
    return wire.EntitlementsAnswer(plan=on_wire(plan), entitlements=[_entitlement(one) for one in found])


def on_wire(plan: PlanVersion) -> wire.Plan:
    return wire.Plan(
        uuid=plan.id,
        plan=plan.plan,
        version=plan.version,
        name=plan.name,
        cadence=plan.cadence,
        price=plan.price_minor,
        currency=plan.currency,
        included_credits=Credits(plan.included_credits),
        included_tool_runs=Credits(plan.included_tool_runs),
        run_quota=plan.run_quota,
        at_zero=plan.at_zero,
        rollover_share_ppm=plan.rollover_share_ppm,
        features=plan.features,
        overage_price=None if plan.overage_price is None else Credits(plan.overage_price),
        trial_days=plan.trial_days,
        workspace_uuid=plan.workspace_id,
        created_at=plan.created_at,
        retired_at=plan.retired_at,
    )


def _entitlement(one: Entitlement) -> wire.Entitlement:
    return wire.Entitlement(key=one.key, value=one.value, enforced_by=one.enforced_by, used=one.used)


def _reason(text: str, *, may_be_empty: bool = False) -> str:
    return check_text(text, field="reason", longest=LONGEST_DESCRIPTION, may_be_empty=may_be_empty)
