"""From charges and open holds to how far each budget is used."""

from dataclasses import asdict

from tallystick.domain.credits.budgets import Budget, WindowKey, first_window, window_start, windows
from tallystick.domain.differences import figure
from tallystick.queries.verify.checking import Check, Group
from tallystick.store import budget_admin, budgets
from tallystick.store.database import Connection
from tallystick.store.named_sql import load

SQL = load(__file__)


async def check(conn: Connection, group: Group) -> None:
    """Every live budget of these workspaces, from the window that it was made in."""
    for workspace_id, found in sorted((await budgets.live(conn, sorted(group))).items()):
        holds = await budget_admin.open_holds(conn, workspace_id)
        for budget in found:
            group[workspace_id].checked.budgets += 1
            await _spent_differs(conn, group[workspace_id], budget)
            await _held_differs(conn, group[workspace_id], budget, holds)


async def _spent_differs(conn: Connection, check: Check, budget: Budget) -> None:
    given = asdict(budget) | {
        "since": window_start(budget.per, budget.created_at),
        "first": first_window(budget.per, budget.created_at),
    }
    name = "by_run" if budget.per == "run" else "by_key" if budget.scope == "apiKey" else "by_day"
    for row in await (await conn.execute(SQL[name], given)).fetchall():
        ids = {"budget": budget.id, "subject": row["subject"], "window": row["window"]}
        check.found("budgetDiffers", ids, (figure("spent", row["expected"], row["found"]),))


async def _held_differs(conn: Connection, check: Check, budget: Budget, holds: list[budget_admin.OpenHold]) -> None:
    expected: dict[WindowKey, int] = {}
    for hold in holds:
        for _, key in windows([budget], hold.scope, hold.created_at):
            expected[key] = expected.get(key, 0) + hold.amounts.of(budget.unit)
    given = {"workspace_id": budget.workspace_id, "id": budget.id}
    rows = await (await conn.execute(SQL["held"], given)).fetchall()
    found = {WindowKey(budget.id, row["subject"], row["window"]): row["held"] for row in rows}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key, 0) != found.get(key, 0):
            ids = {"budget": budget.id, "subject": key.subject, "window": key.window}
            check.found("budgetDiffers", ids, (figure("held", expected.get(key, 0), found.get(key, 0)),))
