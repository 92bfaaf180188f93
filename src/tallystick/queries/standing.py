"""What a gate goes by when it only asks: the money, the standing and the budgets of a workspace at one instant."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final
from uuid import UUID

from tallystick.domain.budgets import Usage, WindowKey, windows
from tallystick.domain.gates import Decision, Funds, Standing, decide_action, overage_of, standing_of
from tallystick.domain.grants import CREDITS
from tallystick.domain.holds import Scope
from tallystick.domain.resources import resource_id
from tallystick.domain.texts import as_uuid, check_key
from tallystick.kernel.credits import parse_credits
from tallystick.kernel.errors import TallystickError
from tallystick.settings import Settings
from tallystick.store import budgets
from tallystick.store.database import Connection, Database, Row
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
    """A workspace before something starts. `funds` by unit; `budgets` are those over what was asked about."""

    funds: Mapping[str, Funds]
    standing: Standing
    budgets: Sequence[tuple[WindowKey, Usage]] = ()
    run_started: bool = False

    def decide(self, action: str, amount: int = 0) -> Decision:
        """Whether this may start; `amount` in nano-units of credits, for a tool of tool runs."""
        new_run = action == "run" and not self.run_started
        return decide_action(action, amount, self.funds, self.standing, self.budgets, new_run=new_run)


NOTHING: Final = Asked()


async def situation(
    database: Database, workspace_id: UUID, *, settings: Settings, now: dt.datetime, asked: Asked = NOTHING
) -> Situation:
    """As of the last booking: the caller settles what is due first (flows/due.py).

    A resource that is not there yet is the one that its first event would create. Raises `workspaceNotFound` and
    `invalidKey`.
    """
    async with database.read(workspace_id) as conn:
        rows = await (await conn.execute(SQL["standing"], {"workspace_id": workspace_id})).fetchall()
        if not rows:
            raise TallystickError("workspaceNotFound", "There is no such workspace.", workspaceUuid=str(workspace_id))
        over = await _budgets_over(conn, workspace_id, asked, now)
        started = asked.run is not None and await _run_started(conn, workspace_id, asked.run)
    terms = rows[0]
    return Situation(
        funds={row["unit"]: _funds(row) for row in rows},
        standing=standing_of(
            terms["status"],
            run_quota=terms["run_quota"],
            runs_started=terms["runs_started"] or 0,
            deploy_threshold=parse_credits(settings.deploy_threshold),
            negative_limit=parse_credits(settings.negative_limit, signed=True),
            fine_tune_minimum=parse_credits(settings.fine_tune_minimum),
            subscription_id=terms["subscription_id"],
            plan=terms["plan"],
        ),
        budgets=over,
        run_started=started,
    )


def _funds(row: Row) -> Funds:
    return Funds(row["posted"], row["held"], overage_of(row["at_zero"]) if row["unit"] == CREDITS else 0)


async def _budgets_over(
    conn: Connection, workspace_id: UUID, asked: Asked, now: dt.datetime
) -> list[tuple[WindowKey, Usage]]:
    scope = await _scope(conn, workspace_id, asked)
    live = (await budgets.live(conn, [workspace_id])).get(workspace_id, ())
    over = {(workspace_id, key): budget for budget, key in windows(live, scope, now)}
    used = await budgets.usages(conn, over)
    return [(key[1], Usage(budget, *used.get(key, (0, 0)))) for key, budget in over.items()]


async def _scope(conn: Connection, workspace_id: UUID, asked: Asked) -> Scope:
    for item in fields(Asked):
        value = getattr(asked, item.name)
        if value is not None:
            check_key(value, field=item.name)
    ids = {
        kind: resource_id(workspace_id, kind, name)
        for kind, name in (("project", asked.project), ("user", asked.user), ("agent", asked.agent))
        if name is not None
    }
    workflow = await _workflow(conn, workspace_id, asked.workflow) if asked.workflow is not None else None
    return Scope(asked.run, ids.get("project"), ids.get("user"), workflow, ids.get("agent"), asked.api_key)


async def _workflow(conn: Connection, workspace_id: UUID, name: str) -> UUID:
    """A play or a tool; where neither is there, the play that its first event would create."""
    given = as_uuid(name)
    if given is not None:
        return given
    play, tool = (resource_id(workspace_id, kind, name) for kind in ("play", "tool"))
    asked = {"workspace_id": workspace_id, "ids": [play, tool]}
    there = {row["id"] for row in await (await conn.execute(SQL["resources"], asked)).fetchall()}
    return tool if tool in there and play not in there else play


async def _run_started(conn: Connection, workspace_id: UUID, run: str) -> bool:
    given = {"workspace_id": workspace_id, "run": run}
    return await (await conn.execute(SQL["run_started"], given)).fetchone() is not None
