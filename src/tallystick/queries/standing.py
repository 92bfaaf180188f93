"""What a gate goes by when it only asks: the money, the standing and the budgets of a workspace at one instant."""

import datetime as dt
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields
from typing import Final
from uuid import UUID

from tallystick.domain.credits.budgets import Usage, WindowKey, windows
from tallystick.domain.credits.gates import Decision, Funds, Standing, decide_action, overage_of, standing_of
from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.credits.holds import Scope
from tallystick.domain.credits.limits import Limits
from tallystick.domain.metering.resources import resource_id
from tallystick.domain.texts import check_key
from tallystick.kernel.errors import TallystickError
from tallystick.store import budgets, limits
from tallystick.store.database import Database, Row, together
from tallystick.store.named_sql import load

SQL = load(__file__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the question is about, as named: resources by uuid or key, `run` and `api_key` as reported."""

    run: str | None = None
    agent: str | None = None
    workflow: str | None = None
    project: str | None = None
    user: str | None = None
    api_key: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """A workspace before something starts. `funds` by unit; `budgets` are those over what was asked about.

    `is_due` says that something ended by the clock and is not booked yet: settle it (flows/due.py) and look again.
    """

    funds: Mapping[str, Funds]
    standing: Standing
    budgets: Sequence[tuple[WindowKey, Usage]] = ()
    run_started: bool = False
    is_due: bool = False

    def decide(self, action: str, amount: int = 0) -> Decision:
        """Whether this may start; `amount` in nano-units of credits, for a tool of tool runs."""
        new_run = action == "run" and not self.run_started
        return decide_action(action, amount, self.funds, self.standing, self.budgets, new_run=new_run)


NOTHING: Final = Asked()


async def situation(database: Database, workspace_id: UUID, *, now: dt.datetime, asked: Asked = NOTHING) -> Situation:
    """As of the last booking. A resource that is not there yet is the one that its first event would create.

    Raises `workspaceNotFound` and `invalidKey`.
    """
    for item in fields(Asked):
        if (name := getattr(asked, item.name)) is not None:
            check_key(name, field=item.name)
    workflows = _workflows(workspace_id, asked.workflow)
    given = {"workspace_id": workspace_id}
    async with database.read(workspace_id) as conn:
        rows, started, there, live, limited = await together(
            conn,
            (SQL["standing"], given),
            (SQL["run_started"], given | {"run": asked.run}),
            (SQL["resources"], given | {"ids": workflows}),
            (budgets.SQL["live"], {"workspace_ids": [workspace_id]}),
            limits.question(workspace_id),
        )
        scope = _scope(workspace_id, asked, workflows, {row["id"] for row in there})
        own = budgets.by_workspace(live).get(workspace_id, ())
        over = {(workspace_id, key): budget for budget, key in windows(own, scope, now)}
        used = await budgets.usages(conn, over)
    if not rows:
        raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
    return Situation(
        funds={row["unit"]: _funds(row) for row in rows},
        standing=_standing(rows[0], limits.limits_of(limited)),
        budgets=[(key[1], Usage(budget, *used.get(key, (0, 0)))) for key, budget in over.items()],
        run_started=bool(started),
        is_due=any(row["due_at"] is not None and row["due_at"] <= now for row in rows),
    )


def _funds(row: Row) -> Funds:
    overage = overage_of(row["at_zero"], row["overage_cap"], row["overage_invoiced"] or 0)
    return Funds(row["posted"], row["held"], overage if row["unit"] == CREDITS else 0)


def _standing(row: Row, said: Limits) -> Standing:
    return standing_of(
        row["status"],
        row["resumes_to"],
        run_quota=row["run_quota"],
        runs_started=row["runs_started"] or 0,
        deploy_threshold=said.deploy_threshold,
        negative_limit=said.negative_limit,
        fine_tune_minimum=said.fine_tune_minimum,
        subscription_id=row["subscription_id"],
        plan=row["plan"],
    )


def _workflows(workspace_id: UUID, name: str | None) -> list[UUID]:
    """What a workflow's name may mean, most likely first: a play, or a tool."""
    return [] if name is None else [resource_id(workspace_id, kind, name) for kind in ("play", "tool")]


def _scope(workspace_id: UUID, asked: Asked, workflows: Sequence[UUID], there: Set[UUID]) -> Scope:
    ids = {
        kind: resource_id(workspace_id, kind, name)
        for kind, name in (("project", asked.project), ("user", asked.user), ("agent", asked.agent))
        if name is not None
    }
    # Where neither is there, the play that its first event would create.
    workflow = next((one for one in workflows if one in there), workflows[0] if workflows else None)
    return Scope(asked.run, ids.get("project"), ids.get("user"), workflow, ids.get("agent"), asked.api_key)
