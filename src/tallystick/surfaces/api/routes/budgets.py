"""Budgets: the workspace's own caps (row E6)."""

from typing import Final
from uuid import UUID

from tallystick.domain.credits.budgets import Budget
from tallystick.domain.credits.grants import CREDITS, TOOL_RUNS
from tallystick.domain.identity.rights import BILLING_READ, BILLING_WRITE
from tallystick.flows import budgets, due
from tallystick.flows.budgets import Author, NewBudget
from tallystick.queries import budgets as queries
from tallystick.queries.budgets import ShownBudget
from tallystick.surfaces.api.endpoints import Call, Routes
from tallystick.surfaces.api.guards import requires
from tallystick.wire import holds as wire
from tallystick.wire.amounts import Credits
from tallystick.wire.identity import Page, UnitName

ROUTES = Routes("Budgets")

_ONE: Final = "/v1/budgets/{uuid}"
_READ: Final = requires(BILLING_READ)
_WRITE: Final = requires(BILLING_WRITE)
_UNITS: Final[dict[UnitName, str]] = {"credits": CREDITS, "toolRuns": TOOL_RUNS}
_NAMES: Final[dict[str, UnitName]] = {unit: name for name, unit in _UNITS.items()}


@ROUTES.post(
    "/v1/budgets",
    _WRITE,
    idempotent=True,
    errors=("invalidAmount", "invalidKey", "invalidScope", "invalidText", "resourceNotFound", "tooManyBudgets"),
)
async def create_budget(call: Call, body: wire.CreateBudget) -> wire.BudgetAnswer:
    """Cap what one of a scope, or each of it, may use per run, day or month (UTC).

    What the current window holds already, charges and open holds, counts from the start. `subject` names a project,
    user, workflow or agent by uuid or key, or is an API key as events name it; without it each one has the cap.
    """
    new = NewBudget(body.name, body.scope, body.per, _UNITS[body.unit], body.amount.nano, body.subject)
    budget = await budgets.create(
        call.runtime.database, new, _author(call, body), most=call.runtime.settings.budgets_max
    )
    return await _answer(call, budget)


@ROUTES.get("/v1/budgets", _READ)
async def list_budgets(call: Call, query: Page) -> wire.BudgetsAnswer:
    """A page of the workspace's budgets, oldest first, with what the current window of each has spent and held."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await queries.page(
        call.runtime.database, call.workspace_id, limit=query.limit, offset=query.offset, now=call.now
    )
    return wire.BudgetsAnswer(budgets=[_on_wire(budget) for budget in found])


@ROUTES.get(_ONE, _READ, errors=("budgetNotFound",))
async def get_budget(call: Call, uuid: UUID) -> wire.BudgetAnswer:
    """One budget, with what its current window has spent and held."""
    await due.bring_up(call.runtime.database, call.workspace_id, now=call.now, ids=call.ids)
    found = await queries.one(call.runtime.database, call.workspace_id, uuid, now=call.now)
    return wire.BudgetAnswer(budget=_on_wire(found))


@ROUTES.put(_ONE, _WRITE, idempotent=True, errors=("budgetNotFound", "invalidAmount", "invalidText"))
async def change_budget(call: Call, uuid: UUID, body: wire.ChangeBudget) -> wire.BudgetAnswer:
    """Give a budget another name or amount; how far it is used stays."""
    budget = await budgets.change(
        call.runtime.database,
        uuid,
        _author(call, {"uuid": uuid, "body": body}),
        name=body.name,
        amount=None if body.amount is None else body.amount.nano,
    )
    return await _answer(call, budget)


@ROUTES.delete(_ONE, _WRITE, idempotent=True, errors=("budgetNotFound",))
async def delete_budget(call: Call, uuid: UUID) -> wire.BudgetAnswer:
    """End a budget: it caps nothing any more. One that has ended stays so."""
    return await _answer(call, await budgets.end(call.runtime.database, uuid, _author(call, {"uuid": uuid})))


def _author(call: Call, body: object) -> Author:
    request = call.request_key(call.workspace_id, body)
    return Author(call.workspace_id, call.principal.actor, request, call.now, call.ids)


async def _answer(call: Call, budget: Budget) -> wire.BudgetAnswer:
    """As it stands; one that has ended, perhaps since its request was first sent, without its use."""
    found = await queries.find(call.runtime.database, budget, now=call.now)
    return wire.BudgetAnswer(budget=_on_wire(found))


def _on_wire(shown: ShownBudget) -> wire.Budget:
    budget, usage = shown.budget, shown.usage
    return wire.Budget(
        uuid=budget.id,
        name=budget.name,
        scope=budget.scope,  # type: ignore[arg-type]
        subject=budget.subject,
        per=budget.per,  # type: ignore[arg-type]
        unit=_NAMES[budget.unit],
        amount=Credits(budget.amount),
        spent=None if usage is None else Credits(usage.spent),
        held=None if usage is None else Credits(usage.held),
        created_at=budget.created_at,
    )
